"""Grammars that answers are made to match, by llguidance.

``grammars`` makes and checks them from what requests say; ``matcher`` leads
sequences by them.
"""
