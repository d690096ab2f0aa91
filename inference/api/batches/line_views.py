"""The views that answer the lines of batches: those of the API, without a client."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from inference.api.body.incoming_body import IncomingBody
from inference.api.chat.view import ChatCompletionsView
from inference.api.completions.view import CompletionsView
from inference.api.embeddings.view import EmbeddingsView
from inference.api.left_out import HEADER
from inference.api.model_access import access_of
from inference.api.own_request import OwnRequest, key_of_id
from inference.api.responses_api.view import ResponsesView
from inference.api.worker_view import WorkerView
from llm_manager.lib.request_id import request_id_begin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.request import Request

    from accounts.models import Batch
    from inference.api.batches.lines import BatchLine
    from inference.transport.queue import ModelQueue
    from registry.models import Model

#: How long the engine's events of an answer are kept, for another process to go on with
#: it: longer than an update of the server takes.
_KEPT_S = 3600
#: Statuses after which a line is tried again.
_LATER = (408, 429, 503)
#: Another process had this line, and its lock has not lapsed.
_IN_USE = "idempotency_key_in_use"


class LineView(WorkerView):
    """Answers one line of a batch; to be mixed into the endpoint's view.

    It may wait for its answer until the batch expires.
    """

    schema = None
    kept_s = _KEPT_S
    batch: Batch

    def perform_authentication(self, request: Request) -> None:
        """Find the key that has made the batch. Raises AuthenticationFailed."""
        request.auth = key_of_id(self.batch.key_id)
        self.recording.caller_is(access_of(request))
        self.recording.labels({"batch_id": self.batch.pk})

    def request_timeout_s(self) -> float:
        """Return the seconds that the answer may take."""
        left = self.batch.expires_at - timezone.now()
        return max(left.total_seconds(), 1.0)

    def queue_of(self, model: Model) -> ModelQueue:
        """Return the model's queue; the request waits there until the batch expires."""
        return replace(super().queue_of(model), timeout_s=self.request_timeout_s())

    def handle_exception(self, exc: Exception) -> Any:
        """Return the answer to an exception; one that is tried again has no row yet."""
        response = super().handle_exception(exc)
        if is_for_later(response.status_code, _code(response.content)):
            self.recording.drop()
        return response


class _ChatLine(LineView, ChatCompletionsView):
    """A line for /v1/chat/completions."""


class _CompletionLine(LineView, CompletionsView):
    """A line for /v1/completions."""


class _EmbeddingLine(LineView, EmbeddingsView):
    """A line for /v1/embeddings."""


class _ResponseLine(LineView, ResponsesView):
    """A line for /v1/responses."""


_VIEWS: dict[str, type[LineView]] = {
    "/v1/chat/completions": _ChatLine,
    "/v1/completions": _CompletionLine,
    "/v1/embeddings": _EmbeddingLine,
    "/v1/responses": _ResponseLine,
}


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """What a view has answered to a line."""

    status: int
    request_id: str
    body: Any
    headers: Mapping[str, str]

    @property
    def is_for_later(self) -> bool:
        """Whether the line may be answered when it is tried again."""
        code = self.body["error"].get("code") if self.status >= 400 else None
        return is_for_later(self.status, code)

    @property
    def left_out(self) -> str:
        """What the answer goes without."""
        return self.headers.get(HEADER, "")


async def answer_line(batch: Batch, line: BatchLine) -> LineAnswer:
    """Return the answer to a line. Run it in a task of its own."""
    id_ = request_id_begin("")
    data = json.dumps(line.body).encode()

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": data}

    request = OwnRequest(
        batch.endpoint,
        client_address=batch.client_address,
        idempotency_key=f"{batch.pk}-{line.number}",
        idle_only=True,
    )
    incoming = IncomingBody(receive)
    request.incoming_body = incoming  # type: ignore[attr-defined]
    view = _VIEWS[batch.endpoint]()
    view.batch = batch
    try:
        response: Any = await view.dispatch(request)
    finally:
        incoming.release()
    return LineAnswer(
        response.status_code, id_, json.loads(response.content), dict(response.items())
    )


def is_for_later(status: int, code: str | None) -> bool:
    """Whether a refusal is of this moment only."""
    return status in _LATER or code == _IN_USE


def _code(content: bytes) -> str | None:
    code: str | None = json.loads(content)["error"].get("code")
    return code
