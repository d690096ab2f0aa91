"""Getting models: by the running server, or by this program itself."""
