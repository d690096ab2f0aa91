"""The access log: one line for each request, written when its answer has ended."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from accounts.secret_paths import without_secrets
from inference.metrics.request_metrics import CLIENT_GONE
from llm_manager.lib.log.json_lines import FIELDS
from llm_manager.lib.request_id import request_id

if TYPE_CHECKING:
    from llm_manager.web.asgi_types import Application, Message, Receive, Scope, Send

logger = logging.getLogger("llm_manager.access")


class AccessLog:
    """ASGI middleware that logs method, path, status, time and id.

    No query, no body and no header is written, so no secret is. A client that leaves
    before its answer begins is logged as 499.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request and log it."""
        started = time.perf_counter()
        status = CLIENT_GONE

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._application(scope, receive, send_and_note)
        except Exception:
            status = 500
            raise
        finally:
            # Quoted, or a path with a line feed could write lines of its own.
            path = quote(without_secrets(scope["path"]), safe="/…")
            duration_ms = (time.perf_counter() - started) * 1000
            logger.info(
                "%s %s %d %.0f ms id=%s",
                *(scope["method"], path, status, duration_ms, request_id.get()),
                extra={
                    FIELDS: {
                        "method": scope["method"],
                        "path": path,
                        "status": status,
                        "duration_ms": round(duration_ms, 1),
                    }
                },
            )
