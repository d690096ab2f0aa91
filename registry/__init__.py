"""The registry of model files: what was found, what it is, how it is to be run."""
