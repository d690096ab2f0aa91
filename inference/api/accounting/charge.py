"""What a request takes from the limits of its key, and gives back at its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from django.conf import settings

from accounts.errors import TooManySequences, TooManyTokens
from accounts.limits.admission import Reservation, admit
from accounts.limits.demand import Tokens
from accounts.limits.throttling import count_sequences
from inference.api.accounting.demand import demand_of
from inference.api.model_access import access_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rest_framework.request import Request

    from inference.engine.request import ModelRequest
    from registry.models import Model

#: Settlements of requests whose clients have left: nobody waits for them.
_settling: set[asyncio.Task[None]] = set()


class Charge:
    """One request's charge. ``may_count``: its key is known and nothing was taken.

    Made on the event loop; ``take`` runs in a thread.
    """

    def __init__(self) -> None:
        self.may_count = False
        self._is_over = False
        self._loop = asyncio.get_running_loop()
        self._reservation: Reservation | None = None

    def take(
        self, request: Request, model: Model | None, requests: Sequence[ModelRequest]
    ) -> dict[str, str]:
        """Take what a request asks for; return the headers of its answer.

        Raises LimitReached, TooManySequences, TooManyTokens and RedisError.
        """
        self.may_count = False
        if access_of(request) is None:
            # The address was counted before the body was read.
            demand = demand_of(requests, model, needs_tokens=False)
            return count_sequences(request, demand.requests)
        is_parallel = not getattr(request, "idle_only", False)
        return self._reserve(request, model, requests, is_parallel=is_parallel)

    def take_more(
        self, request: Request, model: Model | None, requests: Sequence[ModelRequest]
    ) -> None:
        """Take what another answer of a request asks for, in the place that it has.

        Raises what ``take`` raises.
        """
        if access_of(request) is None:
            count_sequences(request, 1 + len(requests))
        else:
            self._reserve(request, model, requests, is_parallel=False)

    def _reserve(
        self,
        request: Request,
        model: Model | None,
        requests: Sequence[ModelRequest],
        *,
        is_parallel: bool,
    ) -> dict[str, str]:
        key = access_of(request)
        assert key is not None  # noqa: S101 - both callers have looked
        try:
            reservation = admit(
                key,
                model,
                lambda needs_tokens: demand_of(
                    requests, model, needs_tokens=needs_tokens
                ),
                is_parallel=is_parallel,
            )
        except (TooManySequences, TooManyTokens):
            # Refused as a request with a bad body is, which counts as one.
            self.may_count = True
            raise
        self._reservation = reservation
        if self._is_over:
            # The client left while the thread was asking.
            self._loop.call_soon_threadsafe(self.settle_later, Tokens())
        return reservation.headers

    def run(self) -> None:
        """Keep its place among the parallel requests from now on, until it settles."""
        if self._reservation is not None:
            self._reservation.keep_places(for_s=settings.CONFIG.server.request_timeout)

    async def settle(self, tokens: Tokens) -> None:
        """Replace its reservations by what it used; the first call counts."""
        self._is_over = True
        reservation, self._reservation = self._reservation, None
        if reservation is not None:
            await reservation.settle(tokens)

    def settle_later(self, tokens: Tokens) -> None:
        """Settle in the background, for a request that is being cancelled."""
        task = self._loop.create_task(self.settle(tokens))
        _settling.add(task)
        task.add_done_callback(_settling.discard)
