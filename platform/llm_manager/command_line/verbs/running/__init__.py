"""Verbs of what runs: the server, its requests, its state, its log, its backups."""
