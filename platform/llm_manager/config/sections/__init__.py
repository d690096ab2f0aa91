"""The sections of the configuration: their keys, defaults, bounds and meanings."""
