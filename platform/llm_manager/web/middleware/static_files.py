"""The files below /static/, straight from the packages that they come with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.exceptions import SuspiciousOperation
from django.http import Http404
from rest_framework.exceptions import MethodNotAllowed, NotFound

if TYPE_CHECKING:
    from django.http import FileResponse, HttpRequest, HttpResponse

    from llm_manager.web.asgi_types import Application, Message, Receive, Scope, Send


class StaticFiles(ASGIStaticFilesHandler):
    """Serves files by their path, and hands on what is not below /static/.

    A path that names no file is 404, whatever it is made of: Django raises other errors
    for one with "..", a NUL, or too many letters.
    """

    application: Any

    def __init__(self, application: Application) -> None:
        # It is typed as if it wrapped Django's handler only.
        super().__init__(application)  # type: ignore[arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises MethodNotAllowed and NotFound."""
        if not self._should_handle(scope["path"]):
            await self.application(scope, receive, send)
            return
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(scope["method"])
        messages = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive_no_body() -> Message:
            # No file needs a body.
            if messages:
                return messages.pop()
            while (message := await receive())["type"] == "http.request":
                """Drop it."""
            return message

        await super().__call__(scope, receive_no_body, send)

    def serve(self, request: HttpRequest) -> HttpResponse | FileResponse:
        """Return the file. Raises NotFound."""
        try:
            return super().serve(request)
        except (Http404, SuspiciousOperation, ValueError, OSError):
            # Http404 would become Django's page, also for programs.
            raise NotFound("There is no such file.", "not_found") from None
