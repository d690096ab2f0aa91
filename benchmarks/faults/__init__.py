"""Faults of processes, machines and networks, and what clients see of them."""
