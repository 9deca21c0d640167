"""The fleet's server side: makes and signs the two TUF repositories that cars update from, and stages roll-outs."""
