"""Limits that are counted in Redis: which hold, and how much is left of them."""
