"""What a request does, as it is measured and written down: one row of usage each.

This is the one place where requests of all endpoints are recorded.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from django.conf import settings

from accounts.limits.throttling import request_ip
from accounts.record_id import new_id
from accounts.session_access import SessionAccess
from accounts.usage.recorder import usage_recorder
from inference.api.accounting.capture import Capture
from inference.api.accounting.durations import Durations
from inference.api.accounting.running import running_request
from inference.api.streaming.token_counts import TokenCounts
from inference.engine.output import PoolingOutput, SequenceOutput
from inference.metrics.request_metrics import CLIENT_GONE, RequestMeter
from inference.transport.messages.events import Accepted
from inference.transport.running.tracking import TrackedRequest, running_requests
from llm_manager.lib.request_id import request_id
from llm_manager.lib.tracing.choice import is_on
from registry.prices import Prices

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from django.http import HttpRequest

    from accounts.keys.key_access import Access
    from inference.api.accounting.trace import RequestSpan
    from inference.api.error_shapes.failure import Failure
    from inference.api.streaming.token_counts import Progress
    from inference.transport.messages.events import Event
    from inference.transport.messages.running import CurrentRequest
    from inference.transport.running.tracking import RunningStream
    from registry.models import Model


_OK = 200
#: The lengths of the columns that hold what clients write.
_NAME_LENGTH = 255
_CODE_LENGTH = 64


class Recording:
    """Measures one request, and writes its row: when it is accepted, and at its end.

    ``model`` is the name for metrics. A request whose key is not known has no row.
    """

    def __init__(self, request: HttpRequest) -> None:
        self._meter = RequestMeter()
        self._request = request
        self._time = time.time()
        self._started = time.perf_counter()
        self._id = str(new_id(self._time))
        self._fields: dict[str, Any] = {}
        self._about: dict[str, Any] = {}
        self._labels: dict[str, Any] = {}
        self._timing: dict[str, Any] = {}
        self._progress: Progress = lambda: (TokenCounts(), "")
        self._replayed = TokenCounts()
        self._prices = Prices()
        self._begun_at: float | None = None
        self._first_token_at: float | None = None
        self._span: RequestSpan | None = None
        self._has_caller = self._is_accepted = self._is_finished = False
        self.capture = Capture(self._id)
        #: The request for those who look at what runs.
        self.tracked = TrackedRequest(self._id, self._running)

    # What becomes known ---------------------------------------------------------

    def caller_is(self, key: Access | None) -> None:
        """Note whose request it is; None is a client that needs no key.

        The row of a person's session names the owner, and no key.
        """
        if key is None:
            self._has_caller = not settings.AUTH_REQUIRED
            return
        self._has_caller = True
        self._fields.update(owner_id=key.owner_id, owner_name=key.owner.get_username())
        if isinstance(key, SessionAccess):
            return
        self.capture.caller_is(key)
        team = key.team
        self._fields.update(
            key_id=key.pk,
            key_prefix=key.prefix,
            key_name=key.name,
            team_id=0 if team is None else team.pk,
            team_name="" if team is None else str(team),
        )

    def asks_for(self, name: str) -> None:
        """Note the name of a model, as it is in the request."""
        self._fields["model_asked"] = _cut(name, _NAME_LENGTH)

    def serves(self, model: Model) -> None:
        """Note the model that serves it."""
        self._meter.model = model.name
        self._prices = model.prices
        self._fields.update(model_id=model.pk, model_name=model.name)

    def labels(self, metadata: Mapping[str, Any]) -> None:
        """Note the client's own labels of the request, as JSON."""
        self._labels.update(metadata)
        if self._labels:
            self._fields["metadata"] = json.dumps(self._labels, ensure_ascii=True)

    def leaves_out(self, names: str) -> None:
        """Note what the answer goes without, as the header says it."""
        if names:
            self._fields["left_out"] = names

    def routed(self, route: str, fell_back_from: Sequence[str] = ()) -> None:
        """Note the route that chose the model, and those of it that failed before."""
        self._fields["route"] = _cut(route, _NAME_LENGTH)
        if fell_back_from:
            self._fields["fell_back_from"] = ", ".join(fell_back_from)

    def is_estimated(self) -> None:
        """Note that its tokens are an estimate."""
        self._timing["is_estimated"] = True

    def counts(self, progress: Progress) -> None:
        """Note who counts its tokens."""
        self._progress = progress

    def replays(self, counts: TokenCounts) -> None:
        """Note what an earlier request counts of this one's answer."""
        self._replayed = counts

    def durations(self) -> Durations:
        """Return how long it has taken so far, by what was done."""
        now = time.perf_counter()
        first = self._first_token_at or now
        begun = self._begun_at or first
        return Durations(
            total_ns=_nanoseconds(now - self._started),
            waiting_ns=_nanoseconds(begun - self._started),
            prompt_ns=_nanoseconds(first - begun),
            answer_ns=_nanoseconds(now - first),
        )

    def used(self) -> TokenCounts:
        """Return its tokens so far, without those that an earlier request counts."""
        return self._progress()[0].beyond(self._replayed)

    # Its life -------------------------------------------------------------------

    def accept(self, *, is_stream: bool = False) -> None:
        """Write down that it goes to the workers now."""
        self._is_accepted = True
        self._fields["is_stream"] = is_stream
        self._about = self._known()
        running_requests.add(self.tracked)
        if is_on() and self._span is None:
            self._span = self._begin_span(is_stream=is_stream)
        if self._has_caller:
            usage_recorder.begin(self._id, self._about, self._counted)

    def observe(self, events: Iterable[tuple[int, Event]], *, n: int) -> None:
        """Measure events, each with its sequence's index.

        The first ``n`` sequences share a prompt, as do the next ones.
        """
        self._meter.observe(events, n=n)
        if self._first_token_at is not None:
            return
        for _, event in events:
            self._time_event(event)

    @property
    def has_begun(self) -> bool:
        """Whether a token of its answer was written."""
        return self._first_token_at is not None

    def begins(self) -> None:
        """Note that an upstream begins its answer now."""
        self._begun_at = time.perf_counter()
        self._timing["queue_ms"] = self._since_arrival(self._begun_at)

    def writes(self) -> None:
        """Note that an upstream has sent a piece of its answer."""
        now = time.perf_counter()
        self._meter.piece(now)
        if self._first_token_at is None:
            self._first_token_at = now
            self._timing["first_token_ms"] = self._since_arrival(now)

    def counted(self, *, prompt: int, completion: int) -> None:
        """Note the tokens that an upstream has counted, once."""
        self._meter.count(prompt=prompt, completion=completion)

    def finish(self, status: int, failure: Failure | None = None) -> None:
        """Write down its end; the first call counts.

        It comes before the client gets the end of the answer: who has that has a row.
        """
        if self._is_finished:
            return
        self._is_finished = True
        running_requests.remove(self._id)
        self._meter.finish(status)
        if self._span is not None:
            self._span.end(
                status,
                code=None if failure is None else failure.code,
                counts=self.used(),
                reason=self._progress()[1],
                timing=self._timing,
            )
        if not self._has_caller:
            return
        now = time.perf_counter()
        # A request that no worker began was answered whole, with a refusal.
        is_cut = status == CLIENT_GONE or (status != _OK and "queue_ms" in self._timing)
        fields = {
            **({} if self._is_accepted else self._known()),
            **self._counted(),
            "status": status,
            "completed": not is_cut,
            "duration_ms": self._since_arrival(now),
        }
        if self._first_token_at is not None and now > self._first_token_at:
            rate = (fields["completion_tokens"] - 1) / (now - self._first_token_at)
            fields["tokens_per_second"] = max(round(rate, 2), 0)
        if failure is not None:
            fields["error_code"] = _cut(failure.code or "", _CODE_LENGTH)
            fields["limit_name"] = _cut(failure.limit_name, _CODE_LENGTH)
        usage_recorder.end(self._id, fields)

    def drop(self) -> None:
        """Write nothing: another request records what becomes of this one.

        A request that went to the workers keeps its row.
        """
        self._is_finished = self._is_finished or not self._is_accepted
        self.capture.drop()

    def leave(self) -> None:
        """Write down that the client has left, unless the end came before."""
        self.finish(CLIENT_GONE)

    def _running(self, streams: Sequence[RunningStream]) -> CurrentRequest:
        """Return what it does now, on these streams."""
        return running_request(
            self._id, self._about, streams, self.used(), self._first_token_at
        )

    def _begin_span(self, *, is_stream: bool) -> RequestSpan:
        # Nobody who does not trace imports OpenTelemetry.
        from inference.api.accounting.trace import RequestSpan

        match = self._request.resolver_match
        endpoint = "" if match is None else match.url_name or ""
        asked = self._fields["model_asked"]
        model = self._meter.model
        return RequestSpan(endpoint, asked=asked, model=model, is_stream=is_stream)

    def _known(self) -> dict[str, Any]:
        """Return what is known when it is accepted, by the names of columns."""
        match = self._request.resolver_match
        return {
            "request_id": request_id.get(),
            "time": round(self._time, 3),
            "endpoint": "" if match is None else match.url_name,
            "client_address": request_ip(self._request),
            **self._fields,
        }

    def _counted(self) -> dict[str, Any]:
        """Return what was counted so far, by the names of columns."""
        counts, reason = self._progress()
        own = counts.beyond(self._replayed)
        cost = self._prices.cost(
            prompt=own.prompt, cached=own.cached, output=own.completion
        )
        return {
            "prompt_tokens": own.prompt,
            "cached_tokens": own.cached,
            "audio_tokens": own.audio,
            "completion_tokens": own.completion,
            "reasoning_tokens": own.reasoning,
            "drafted_tokens": own.drafted,
            "cost": cost,
            "replayed_tokens": self._replayed.completion,
            "finish_reason": reason,
            **self._timing,
        }

    def _time_event(self, event: Event) -> None:
        now = time.perf_counter()
        if isinstance(event, Accepted):
            self._timing.setdefault("node", event.node)
            self._timing.setdefault("replica", event.replica)
        elif isinstance(event, SequenceOutput | PoolingOutput):
            if self._begun_at is None:
                self._begun_at = now
                self._timing["queue_ms"] = self._since_arrival(now)
            is_token = isinstance(event, SequenceOutput) and event.num_output
            if is_token and self._first_token_at is None:
                self._first_token_at = now
                self._timing["first_token_ms"] = self._since_arrival(now)

    def _since_arrival(self, now: float) -> int:
        """Return milliseconds."""
        return round((now - self._started) * 1000)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _cut(text: str, length: int) -> str:
    """Return a text that every database takes, however strange it is."""
    clean = text[:length].replace("\x00", "\ufffd")
    return clean.encode("utf-8", "replace").decode()
