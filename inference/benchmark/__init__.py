"""How fast a model is: streams at once, and the first token after a long prompt."""
