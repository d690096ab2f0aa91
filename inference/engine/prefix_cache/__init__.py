"""Prefixes whose KV cells are kept: found by their tokens, and stored on disk.

The modules here know tokens, slot numbers and bytes, no sequence and no model.
"""
