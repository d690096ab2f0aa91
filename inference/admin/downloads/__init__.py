"""Admin pages that get models and delete them with their files."""
