"""Connections to Redis that end when the kernel gives them up."""

from __future__ import annotations

from typing import Any

from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError


class EndsWithItsSocket(Connection):
    """Raises where redis-py takes the kernel's ETIMEDOUT for its own time limit.

    Both are ``TimeoutError``. A read with a limit of time, as subscribers have, would
    return None for ever, at once each time, and nothing would connect again.
    """

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """Return a reply or, after the time limit, None. Raises RedisError."""
        response = await super().read_response(*args, **kwargs)
        failure = self._reader.exception() if self._reader is not None else None
        if response is None and failure is not None:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(f"Redis is silent: {failure}") from failure
        return response


class TcpConnection(EndsWithItsSocket):
    """A TCP connection."""


class TlsConnection(EndsWithItsSocket, SSLConnection):
    """A TCP connection with TLS."""
