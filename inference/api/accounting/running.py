"""A request that runs or waits, as administrators see it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from inference.transport.messages.running import CurrentRequest, RunState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inference.api.streaming.token_counts import TokenCounts
    from inference.transport.running.tracking import RunningStream


def running_request(
    id_: str,
    about: Mapping[str, Any],
    streams: Sequence[RunningStream],
    counts: TokenCounts,
    first_token_at: float | None,
) -> CurrentRequest:
    """Return what a request does now.

    ``about`` is what is known of it, by the names of columns; ``first_token_at`` is by
    ``time.perf_counter``.
    """
    waiting = [each for each in streams if not each.is_started and not each.is_done]
    at_worker = next((each for each in streams if each.worker), None)
    state = RunState.WAITS
    prompt = counts.prompt or max((each.prompt_tokens for each in streams), default=0)
    tokens = max(counts.completion, sum(len(each.tokens) for each in streams))
    if any(each.is_started or each.is_done for each in streams):
        state = RunState.DECODES if tokens else RunState.PREFILLS
    rate = None
    if state == RunState.DECODES and first_token_at is not None:
        elapsed = time.perf_counter() - first_token_at
        rate = round((tokens - 1) / elapsed, 2) if elapsed > 0 else None
    return CurrentRequest(
        id=id_,
        request_id=about["request_id"],
        endpoint=about["endpoint"],
        model_id=about.get("model_id", 0),
        model=about.get("model_name", ""),
        key_prefix=about.get("key_prefix", ""),
        key_name=about.get("key_name", ""),
        owner=about.get("owner_name", ""),
        team=about.get("team_name", ""),
        client_address=about["client_address"],
        arrived_at=about["time"],
        queued_at=min((each.queued_at for each in streams), default=about["time"]),
        is_stream=about.get("is_stream", False),
        state=state,
        sequences=len(streams),
        waiting=tuple(each.request_id for each in waiting),
        prefilling=tuple(
            each.request_id
            for each in streams
            if each.is_started and not each.is_done and not each.tokens
        ),
        in_line=at_worker is not None,
        node=at_worker.node if at_worker else "",
        replica=at_worker.replica if at_worker else -1,
        prompt_tokens=prompt,
        cached_tokens=counts.cached,
        completion_tokens=tokens,
        tokens_per_second=rate,
    )
