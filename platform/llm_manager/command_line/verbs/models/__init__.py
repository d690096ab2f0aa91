"""Verbs of models: what there is, got, loaded, asked, measured, deleted."""
