"""The whole server with an engine that computes nothing: what is left is the rest.

Everything is real but the engine's backend: web process, Redis, node, worker, queues,
the engine's loop and its scheduler.
"""
