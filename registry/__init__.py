"""The registry of models: their files, descriptions and settings."""
