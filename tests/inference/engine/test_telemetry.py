"""What the engine measures of itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference.engine.sequence import FinishReason
from inference.engine.telemetry import Histogram, Telemetry

#: The bounds of vLLM's histograms, by ours: dashboards made for them fit.
VLLM_BOUNDS = {
    "time_to_first_token_seconds": (
        *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5),
        *(5, 7.5, 10, 20, 40, 80, 160, 640, 2560),
    ),
    "inter_token_latency_seconds": (
        *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5),
        *(7.5, 10, 20, 40, 80),
    ),
    "request_seconds": (
        *(0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240),
        *(480, 960, 1920, 7680),
    ),
    "step_tokens": (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384),
    "request_prompt_tokens": (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 100_000),
}


def finish(telemetry: Telemetry, **overrides: Any) -> None:
    """Count the end of a sequence of three tokens in two seconds."""
    fields: dict[str, Any] = {
        "reason": FinishReason.STOP,
        "e2e_s": 3.0,
        "decode_s": 2.0,
        "prompt_tokens": 10,
        "output_tokens": 3,
        "max_tokens": None,
        **overrides,
    }
    telemetry.finished(**fields)


def seen(telemetry: Telemetry, key: str) -> tuple[int, float]:
    """Return how many values a histogram has, and their sum."""
    data = telemetry.snapshot()["histograms"][key]
    return sum(data["counts"]), data["sum"]


@pytest.mark.parametrize(
    ("value", "counts"),
    [(0, [1, 0, 0]), (1, [1, 0, 0]), (1.5, [0, 1, 0]), (2, [0, 1, 0]), (9, [0, 0, 1])],
)
def test_a_bucket_takes_what_is_at_most_its_bound(
    value: float, counts: list[int]
) -> None:
    histogram = Histogram((1, 2))
    histogram.observe(value)
    assert histogram.data() == {"bounds": [1, 2], "counts": counts, "sum": value}


@pytest.mark.parametrize("key", VLLM_BOUNDS)
def test_the_buckets_of_vllm_are_among_ours(key: str) -> None:
    bounds = Telemetry().snapshot()["histograms"][key]["bounds"]
    assert bounds == sorted(set(bounds))
    assert set(VLLM_BOUNDS[key]) <= set(bounds)


def test_one_sequence_from_its_slot_to_its_end() -> None:
    telemetry = Telemetry()
    telemetry.started(queued_s=0.5, prompt_tokens=10, cached_tokens=4)
    telemetry.first_token(ttft_s=0.75, prefill_s=0.25)
    telemetry.token_gap(0.5)
    telemetry.token_gap(1.5)
    finish(telemetry, max_tokens=64)

    taken = telemetry.snapshot()
    assert taken["counters"]["prompt_tokens"] == 10
    assert taken["counters"]["cached_prompt_tokens"] == 4
    assert taken["counters"]["output_tokens"] == 3
    assert taken["finished"] == {"stop": 1, "length": 0, "aborted": 0, "failed": 0}
    assert taken["gauges"]["longest_sequence"] == 13
    assert seen(telemetry, "queue_seconds") == (1, 0.5)
    assert seen(telemetry, "time_to_first_token_seconds") == (1, 0.75)
    assert seen(telemetry, "prefill_seconds") == (1, 0.25)
    assert seen(telemetry, "inter_token_latency_seconds") == (2, 2.0)
    assert seen(telemetry, "time_per_output_token_seconds") == (1, 1.0)
    assert seen(telemetry, "decode_seconds") == (1, 2.0)
    assert seen(telemetry, "request_seconds") == (1, 3.0)
    assert seen(telemetry, "request_prompt_tokens") == (1, 10)
    assert seen(telemetry, "request_prefill_tokens") == (1, 6)
    assert seen(telemetry, "request_output_tokens") == (1, 3)
    assert seen(telemetry, "request_max_tokens") == (1, 64)


def test_times_that_a_sequence_did_not_have_are_not_counted_as_zero() -> None:
    telemetry = Telemetry()
    finish(telemetry, output_tokens=0, decode_s=0.0, reason=FinishReason.ABORTED)
    assert seen(telemetry, "decode_seconds") == (0, 0)
    finish(telemetry, output_tokens=1, decode_s=0.0)
    assert seen(telemetry, "decode_seconds") == (1, 0)
    assert seen(telemetry, "time_per_output_token_seconds") == (0, 0)
    assert seen(telemetry, "request_max_tokens") == (0, 0)
    assert seen(telemetry, "request_seconds") == (2, 6.0)


def test_tokens_that_come_in_one_step_share_its_time() -> None:
    telemetry = Telemetry()
    telemetry.token_gap(0.375, tokens=3)
    assert seen(telemetry, "inter_token_latency_seconds") == (3, 0.375)
    data = telemetry.snapshot()["histograms"]["inter_token_latency_seconds"]
    assert data["counts"][data["bounds"].index(0.15)] == 3


def test_steps_are_counted_with_what_they_carried() -> None:
    telemetry = Telemetry()
    telemetry.step(seconds=0.25, num_decodes=3, num_prefill=0, batch_tokens=3)
    telemetry.step(seconds=0.5, num_decodes=3, num_prefill=1, batch_tokens=67)
    assert seen(telemetry, "step_seconds") == (2, 0.75)
    assert seen(telemetry, "step_tokens") == (2, 70)
    assert seen(telemetry, "step_sequences") == (2, 7)
    counters = telemetry.snapshot()["counters"]
    assert (counters["steps"], counters["prefill_step_seconds"]) == (2, 0.5)


def test_the_cache_waits_drafts_and_the_context_are_counted() -> None:
    telemetry = Telemetry(n_ctx=512, n_ctx_max=2048)
    telemetry.prefix_lookup(queried=100, hit=60)
    telemetry.preempted()
    telemetry.waited(0.25)
    telemetry.evicted(40)
    telemetry.drafted(5, 3)
    telemetry.context_resized(1024)
    taken = telemetry.snapshot()
    assert taken["gauges"]["n_ctx"] == 1024
    assert taken["gauges"]["n_ctx_max"] == 2048
    counted = {key: count for key, count in taken["counters"].items() if count}
    assert counted == {
        "prefix_cache_queries": 100,
        "prefix_cache_hits": 60,
        "preemptions": 1,
        "wait_seconds": 0.25,
        "evictions": 1,
        "evicted_cells": 40,
        "drafts": 1,
        "draft_tokens": 5,
        "accepted_draft_tokens": 3,
        "context_resizes": 1,
    }


def test_a_snapshot_is_json_and_does_not_change_any_more() -> None:
    telemetry = Telemetry()
    finish(telemetry)
    taken = telemetry.snapshot()
    text = json.dumps(taken)
    finish(telemetry)
    telemetry.preempted()
    assert json.loads(text) == taken
    assert json.dumps(telemetry.snapshot()) != text
