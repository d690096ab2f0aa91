"""The page of one request: what it took, why it failed, what is like it."""
