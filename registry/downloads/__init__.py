"""Downloads as rows: asked for by pages and the API, run by the engine's process."""
