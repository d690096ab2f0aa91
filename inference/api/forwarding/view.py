"""The base of views whose requests workers answer, or upstreams, or what a route says.

A route's next target is asked where one fails before its first token, if the route
says so. Which one answers is in the headers of the answer and in the usage.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast
from urllib.parse import quote

from accounts.errors import ModelNotAllowed
from accounts.limits.demand import Tokens
from inference import errors
from inference.api.accounting.charge import Charge
from inference.api.errors import BadRequest
from inference.api.forwarding.answering import Answering
from inference.api.forwarding.forwarded import Forwarded, forwarded_request
from inference.api.model_access import access_of, caller_of, model_find
from inference.api.preparing.abilities import require
from inference.api.preparing.plan import plan_of, seed_of
from inference.api.responses import EventStreamResponse
from inference.api.worker_view import WorkerView
from inference.metrics.request_metrics import ROUTE_REQUESTS
from llm_manager.lib.request_id import request_id
from llm_manager.lib.threads import in_thread
from registry.errors import ModelNotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from inference.api.body.request_body import Body
    from inference.api.preparing.abilities import Ability
    from inference.api.preparing.plan import Plan
    from registry.model_facts import ModelFacts
    from registry.models import Model

    FindModel = Callable[[str], ModelFacts]

logger = logging.getLogger(__name__)

ROUTE_HEADER = "x-llm-manager-route"
TARGET_HEADER = "x-llm-manager-target"
FELL_BACK_HEADER = "x-llm-manager-fell-back-from"

#: After these the next target of a route is asked: none says that the request is bad.
FAILS_OVER = (
    errors.QueueFull,
    errors.QueueTimeout,
    errors.ModelLoadFailed,
    errors.EngineUnavailable,
    errors.ModelStopped,
    errors.WorkerCrashed,
    errors.UpstreamError,
)

_B = TypeVar("_B", bound="Body")
_P = TypeVar("_P")


class RoutedView(WorkerView):
    """A view whose requests go where their model is."""

    #: What the view's requests are, in ``registry.models.Api``.
    api: ClassVar[str]
    _plan: Plan | None = None
    _prepare_at: Callable[[Model], Any]
    _asked: int = 0
    _failed: tuple[str, ...] = ()

    def aimed(
        self,
        request: Request,
        body: _B,
        ability: Ability,
        prepare_here: Callable[[_B, FindModel], _P],
    ) -> _P | Forwarded:
        """Return what ``prepare_here`` makes of a body, or what goes to an upstream.

        ``prepare_here`` gets the body as the chosen model gets it, and what finds that.
        """
        name: str = getattr(body, "model")  # noqa: B009 - every body here has it
        model = self._without_file(request, name)
        if model is None:
            return prepare_here(
                body, lambda name: self.find_model(request, name, ability)
            )
        self.recording.asks_for(name)
        # The body that was read is emptied once it is prepared.
        given = dict(cast("dict[str, Any]", request.data))
        caller = caller_of(request).key
        plan = self._plan = plan_of(model, seed_of(given, caller, request_id.get()))

        def prepare_at(target: Model) -> _P | Forwarded:
            members = plan.body(given, target)
            parsed = type(body).parse(members) if plan.route else body
            self.recording.serves(target)
            self.model = target
            if not target.has_file:
                self._leave_out(request)
                sent = self.forwardable(parsed, members)
                upstream_model = target.upstreammodel
                return forwarded_request(
                    upstream_model, self.api, sent, request.headers
                )
            require(target, ability)
            self.queue = self.queue_of(target)
            return prepare_here(parsed, lambda _: target)

        self._prepare_at = prepare_at
        prepared: _P | Forwarded = self._prepared_next(0)
        return prepared

    def forwardable(self, body: Any, members: dict[str, Any]) -> Mapping[str, Any]:
        """Return the members of a valid body that an upstream may be sent.

        What is left out is noted in ``left_out``. Raises BadRequest.
        """
        return members

    def _without_file(self, request: Request, name: str) -> Model | None:
        """Return the model of a name if no worker serves it; None for any other."""
        try:
            model = model_find(name, access_of(request))
        except (ModelNotFound, ModelNotAllowed):
            # It is refused where it is looked for.
            return None
        return None if model.has_file else model

    def _leave_out(self, request: Request) -> None:
        if "Idempotency-Key" in request.headers and not caller_of(request).idle_only:
            self.left_out.add("Idempotency-Key")

    def _prepared_next(self, number: int) -> Any:
        """Return what is prepared for a target of the plan, and say which it is."""
        plan = self._plan
        assert plan is not None  # noqa: S101 - aimed() made it
        self._asked = number
        target = plan.targets[number]
        prepared = self._prepare_at(target)
        if plan.route:
            self.recording.routed(plan.route, self._failed)
            self.headers[ROUTE_HEADER] = _encoded(plan.route)
            self.headers[TARGET_HEADER] = _encoded(target.name)
            if self._failed:
                self.headers[FELL_BACK_HEADER] = ", ".join(map(_encoded, self._failed))
        return prepared

    async def answer_by(
        self, prepared: Any, run_here: Callable[[Any], Awaitable[HttpResponseBase]]
    ) -> HttpResponseBase:
        """Return the answer of who is to answer, or of the next one where it fails."""
        while True:
            number, result = self._asked, "answered"
            try:
                if isinstance(prepared, Forwarded):
                    return await self._forward(prepared)
                return await run_here(prepared)
            except FAILS_OVER as error:
                if self.recording.has_begun:
                    raise
                following = await self._fall_back()
                if following is None:
                    raise
                result = "failed"
                logger.warning(
                    "Request %s falls back: '%s': %s: %s",
                    request_id.get(),
                    self._failed[-1],
                    type(error).__name__,
                    error,
                )
                prepared = following
            finally:
                self._count_route(number, result)

    def _count_route(self, number: int, result: str) -> None:
        if (plan := self._plan) is not None and plan.route:
            target = plan.targets[number].name
            ROUTE_REQUESTS.labels(plan.route, target, result).inc()

    async def _fall_back(self) -> Any:
        """Return what is prepared for the next target; None if there is none.

        Targets that cannot take the request are passed over. Raises LimitReached.
        """
        plan = self._plan
        while plan is not None and self._asked + 1 < len(plan.targets):
            self._failed = (*self._failed, plan.targets[self._asked].name)
            # What the first one took from the limits is given back, but the request.
            await self.charge.settle(Tokens())
            self.charge = Charge()
            try:
                prepared = await in_thread(self._count_next, self._asked + 1)
                return await self._with_media(prepared)
            except (BadRequest, errors.RequestRejected) as error:
                logger.warning(
                    "Request %s passes over '%s': %s",
                    request_id.get(),
                    plan.targets[self._asked].name,
                    error,
                )
        return None

    def _count_next(self, number: int) -> Any:
        prepared = self._prepared_next(number)
        self.recording.leaves_out(self.left_out.header())
        self._count(self.model_requests(prepared))
        return prepared

    async def _with_media(self, prepared: Any) -> Any:
        """Return what is prepared with its media."""
        return prepared

    async def _forward(self, prepared: Forwarded) -> HttpResponseBase:
        """Return the upstream's answer. Raises UpstreamError, RequestRejected."""
        answering = Answering(
            prepared, self.recording, timeout_s=self.request_timeout_s()
        )
        self.recording.accept(is_stream=prepared.is_stream)
        self.charge.run()
        if not prepared.is_stream:
            return await answering.whole()
        events = await answering.stream(self.settle)
        if self.recording.capture.is_on:
            events = self.recording.capture.following(events)
        return EventStreamResponse(events)


def _encoded(name: str) -> str:
    """Return a name as a header can have it."""
    return quote(name, safe="/:@ ")
