"""Grammars that answers are made to match, by llguidance.

``grammars`` makes constraints of what requests say and checks them; ``guide`` leads
sequences by them.
"""
