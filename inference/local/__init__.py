"""The Python API: models loaded by a program itself, without a server.

``llm_manager.LLMManager`` is here. It runs the server's worker in a child process, and
makes its requests and answers with the code of the HTTP API. It needs no Redis, no
database and no Django settings, and imports no Django.
"""
