"""Pure: the clock, settings and clients are arguments."""
