"""Closes connections of the tunnel."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import StreamWriter

_CLOSES_WITHIN_S = 2.0


async def closed(writer: StreamWriter) -> None:
    """Close a connection; its other side may take a moment to agree."""
    writer.close()
    try:
        with suppress(OSError):
            await asyncio.wait_for(writer.wait_closed(), _CLOSES_WITHIN_S)
    finally:
        # Nothing more happens to one that is closed.
        writer.transport.abort()
