"""Copies of models on several machines."""
