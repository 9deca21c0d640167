"""The plate detector: where the shipped network comes from."""
