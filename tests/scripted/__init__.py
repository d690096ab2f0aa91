"""The whole server, with a model that says what a test has written for it.

Everything is real but the engine's backend: processes, Redis, queues, templates.
"""
