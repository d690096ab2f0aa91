"""Which node has which model files: reported, and heeded by scans and loads."""
