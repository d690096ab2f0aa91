"""Requests to other inference servers: who is asked, how, and what they answer."""
