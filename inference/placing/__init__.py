"""Which nodes may load what, and how many workers a model has."""
