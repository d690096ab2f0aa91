"""`llm-manager batch`: a file of requests, answered by the server or this program."""
