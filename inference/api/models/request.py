"""The bodies of POST /v1/models/{id}/load and /unload."""

from __future__ import annotations

from inference.api.body.request_body import Body


class LoadRequest(Body):
    """How to load the model."""

    wait: bool = True
    """Answer only when the model is ready."""


class UnloadRequest(Body):
    """How to unload the model."""

    now: bool = False
    """End running requests with an error instead of finishing them first."""
