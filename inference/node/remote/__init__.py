"""RPC servers of models: how they are, and what is done when one is lost."""
