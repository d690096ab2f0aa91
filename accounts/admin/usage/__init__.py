"""The lists of usage, and their filters."""
