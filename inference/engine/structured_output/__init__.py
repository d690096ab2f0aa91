"""Structured output: grammars that answers must match, enforced by llguidance.

``grammars`` makes grammars from the members of requests and checks them; ``matcher``
applies them to sequences.
"""
