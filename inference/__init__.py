"""Inference: the engine, its processes, and the OpenAI endpoints."""
