"""`llm-manager run`: a conversation in the terminal."""
