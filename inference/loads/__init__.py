"""The loads of models, written down, and what to do about those that fail."""
