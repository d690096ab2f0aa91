"""The prefix cache: finds prefixes by their tokens, and stores them on disk.

The modules here know tokens, slot numbers and bytes, no sequence and no model.
"""
