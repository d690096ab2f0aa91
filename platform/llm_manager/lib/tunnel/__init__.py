"""Connections between machines of one installation: TLS, and a secret that both know.

Neither side's certificate is signed. Each proves to know the secret, with what it sees
of the connection: one in between is found out.
"""
