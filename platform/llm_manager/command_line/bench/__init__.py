"""`llm-manager bench`: a model's speed through the running server."""
