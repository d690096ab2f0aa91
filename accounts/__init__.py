"""API keys: who may call, what they may do."""
