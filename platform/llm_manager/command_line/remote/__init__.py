"""The running server, over HTTP: which one, its answers, the names of its models."""
