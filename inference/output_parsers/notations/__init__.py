"""Notations: how models write the values of arguments, where that is not JSON."""
