"""/v1/admin/requests: what runs and waits now, and how to end it."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from accounts.audit.actor import acting
from accounts.audit.log import note_cancelled
from inference.api.administration import descriptions as about
from inference.api.administration.bodies import RunningQuery
from inference.api.administration.view import AdminView, query_of
from inference.api.errors import RowNotFound
from inference.api.responses import json_response
from inference.api.view import actor_of
from inference.transport.running.now import cancel_running, running_now
from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from django.http import HttpResponse
    from rest_framework.request import Request

    from inference.api.administration.objects import (
        AdminCancelled,
        AdminRequest,
        AdminRequestList,
    )
    from inference.transport.running.now import Placed, RunningNow

_MAX_LISTED = 1000


class RunningView(AdminView):
    """What runs and waits."""

    on = {"GET": lambda request: query_of(request, RunningQuery)}

    @about.list_requests
    async def get(self, request: Request, query: RunningQuery) -> HttpResponse:
        """Ask all processes."""
        return json_response(requests_list(await running_now(), query))


class CancelView(AdminView):
    """A request ends."""

    on = {"POST": lambda request, id_: id_}

    @about.cancel_request
    async def post(self, request: Request, id_: str) -> HttpResponse:
        """End a request, wherever it is. Raises RowNotFound."""
        actor = actor_of(request)
        if not await cancel_running(id_, by=actor.by):
            raise RowNotFound("running request", id_)
        with acting(lambda: actor):
            await in_thread(partial(note_cancelled, id_))
        cancelled: AdminCancelled = {"id": id_, "cancelled": True}
        return json_response(cancelled)


def requests_list(now: RunningNow, query: RunningQuery) -> AdminRequestList:
    """Return the requests that a query asks for, the oldest first."""
    limit = min(int(query.limit), _MAX_LISTED)
    chosen = [
        placed
        for placed in now.requests
        if query.model in (None, placed.request.model)
        and query.key in (None, placed.request.key_prefix)
        and query.state in (None, placed.request.state)
        and query.endpoint in (None, placed.request.endpoint)
        and query.node in (None, placed.request.node)
    ]
    return {
        "object": "list",
        "data": [request_object(placed, now.at) for placed in chosen[:limit]],
        "has_more": bool(now.more) or len(chosen) > limit,
        "silent_processes": now.silent,
    }


def request_object(placed: Placed, now: float) -> AdminRequest:
    """Return a request's object."""
    request = placed.request
    return {
        "object": "admin.request",
        "id": request.id,
        "request_id": request.request_id,
        "endpoint": request.endpoint,
        "model": request.model,
        "key": request.key_prefix or None,
        "key_name": request.key_name or None,
        "owner": request.owner or None,
        "team": request.team or None,
        "client_address": request.client_address,
        "state": request.state.value,
        "place": placed.place or None,
        "prefill_progress": (
            None if placed.prefill is None else round(placed.prefill, 3)
        ),
        "node": request.node or None,
        "replica": None if request.replica < 0 else request.replica,
        "stream": request.is_stream,
        "sequences": request.sequences,
        "prompt_tokens": request.prompt_tokens or None,
        "cached_tokens": request.cached_tokens,
        "completion_tokens": request.completion_tokens,
        "tokens_per_second": request.tokens_per_second,
        "arrived_at": datetime.fromtimestamp(request.arrived_at, UTC).isoformat(),
        "age_seconds": round(max(now - request.arrived_at, 0), 1),
    }
