"""Nodes in the admin: their drains, their files and pulls."""
