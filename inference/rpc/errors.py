"""Why an RPC server cannot be used."""

from __future__ import annotations


class RpcError(Exception):
    """The message is a sentence that names the server."""


class RpcUnreachable(RpcError):
    """It does not answer, or serves another model: it may later."""


class RpcRefused(RpcError):
    """It answers, and refuses: another secret, another version. A person must act."""
