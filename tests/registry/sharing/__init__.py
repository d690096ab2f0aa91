"""Model files from one node to another."""
