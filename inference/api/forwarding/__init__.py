"""Requests that other servers answer, and routes, which choose who answers."""
