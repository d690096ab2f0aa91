"""Checks whether upstreams answer: those in use every so often, and when asked."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import httpx2
from django.db import DatabaseError
from django.utils import timezone

from inference.errors import UpstreamFailed
from inference.upstreams.connections import Links, links
from llm_manager.config.in_force import config
from llm_manager.lib.threads import in_thread
from registry.errors import RegistryError
from registry.models import Upstream, UpstreamModel

if TYPE_CHECKING:
    from datetime import datetime

    from inference.upstreams.connections import Link

logger = logging.getLogger(__name__)

_MAX_BYTES = 4 * 1024 * 1024
#: A check may take so long beside the connection's time: an administrator waits for it.
_MOST_S = 30.0


def check_soon(upstream: Upstream, link: Link, *, has_failed: bool = False) -> None:
    """Check an upstream in the background, unless that was done a moment ago.

    One that has failed is checked at once: its state is what pages show of it.
    """
    now = time.monotonic()
    every_s = config().upstreams.check_every
    is_fresh = link.checked_at is not None and now - link.checked_at < every_s
    if link.is_retired or link.is_checking or (is_fresh and not has_failed):
        return
    link.is_checking, link.checked_at = True, now
    link.running += 1

    async def run() -> None:
        try:
            fault = await fault_of(upstream, link)
            if not link.is_retired:
                await in_thread(note, upstream.pk, fault)
        except Exception:
            logger.exception("The upstream '%s' could not be checked", upstream)
        finally:
            link.is_checking = False
            await link.leave()

    links().run(run())


def note_pause_soon(upstream: Upstream, link: Link) -> None:
    """Write down in the background that no requests are sent to it for a while."""
    until = timezone.now() + timedelta(seconds=float(config().upstreams.pause))
    link.running += 1

    async def run() -> None:
        try:
            if not link.is_retired:
                await in_thread(_note_pause, upstream.pk, until)
        except DatabaseError:
            logger.exception("The pause of the upstream '%s' is not written", upstream)
        finally:
            await link.leave()

    links().run(run())


def _note_pause(pk: int, until: datetime) -> None:
    Upstream.objects.filter(pk=pk).update(paused_until=until)


async def fault_of(upstream: Upstream, link: Link) -> str:
    """Return what is wrong with an upstream, as a sentence; "" if it answers."""
    try:
        found = await names_of(upstream, link)
    except UpstreamFailed as error:
        return str(error)
    if found is None:
        return ""
    missing = await in_thread(_missing, upstream, found)
    if missing:
        return f"It does not list the model '{missing}'."
    return ""


def _missing(upstream: Upstream, found: frozenset[str]) -> str:
    """Return a model of ours that the upstream does not list."""
    rows = UpstreamModel.objects.filter(upstream=upstream, is_enabled=True)
    models = cast("list[UpstreamModel]", list(rows.order_by("name")))
    missing = (each for each in models if each.remote_name not in found)
    return next((model.remote_name for model in missing), "")


async def names_of(upstream: Upstream, link: Link) -> frozenset[str] | None:
    """Return the models that an upstream lists; None if it has no list.

    Raises UpstreamFailed.
    """
    try:
        async with (
            asyncio.timeout(upstream.connect_timeout_s + _MOST_S),
            link.client.stream(
                "GET", upstream.url("/models"), headers=link.headers_for(upstream)
            ) as response,
        ):
            status = response.status_code
            data = bytearray()
            async for piece in response.aiter_raw():
                data += piece
                if len(data) > _MAX_BYTES:
                    raise UpstreamFailed("Its list of models does not end.")
    except TimeoutError:
        raise UpstreamFailed("It does not answer in time.") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, RegistryError) as error:
        if isinstance(error, RegistryError):
            raise UpstreamFailed(str(error)) from None
        kind = "in time" if isinstance(error, httpx2.TimeoutException) else "at all"
        raise UpstreamFailed(f"It does not answer {kind}.") from None
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        # It answers, and lists nothing.
        return None
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise UpstreamFailed(f"It refuses the key (status {status}).")
    if status != HTTPStatus.OK:
        raise UpstreamFailed(f"It answers /models with the status {status}.")
    return _listed(bytes(data))


def _listed(data: bytes) -> frozenset[str] | None:
    """Return the ids of a list of models; None if it is none."""
    try:
        value: Any = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        return None
    return frozenset(
        each["id"]
        for each in value["data"]
        if isinstance(each, dict) and isinstance(each.get("id"), str)
    )


def note(pk: int, fault: str) -> None:
    """Write down what a check has found; no other column changes."""
    found = Upstream.objects.filter(pk=pk)
    before = found.values_list("fault", flat=True).first()
    found.update(checked_at=timezone.now(), fault=fault)
    if before is not None and before != fault and fault:
        logger.warning("The upstream number %s: %s", pk, fault)


async def check_now(upstream: Upstream) -> str:
    """Check an upstream and write it down; return what is wrong, "" if nothing."""
    apart = Links()
    link = apart.to(upstream)
    try:
        fault = await fault_of(upstream, link)
    finally:
        await link.client.aclose()
    await in_thread(note, upstream.pk, fault)
    return fault
