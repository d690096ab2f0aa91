"""Verbs of who uses the server: keys, teams, users, limits, usage, the audit log."""
