"""On a laptop, with no account."""
