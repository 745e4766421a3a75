"""The synthetic trail."""
