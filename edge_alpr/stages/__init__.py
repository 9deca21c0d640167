"""Pure steps of the way from a frame to an event: no I/O, small state, no stage imports another."""
