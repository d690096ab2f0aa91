"""DRY breakers cost no more than a bound, and what is prepared is made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from inference.engine import EngineConfig, SamplingParams
from inference.engine.errors import InvalidRequest
from inference.engine.llama import LlamaBackend
from inference.engine.llama.sampling import dry
from inference.engine.llama.sampling.breaker_cost import BreakerCost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORDS = ("apple", "evening", "story")


@pytest.fixture(scope="module")
def backend(sample_model_path: Path) -> Iterator[LlamaBackend]:
    config = EngineConfig(paths=(str(sample_model_path),), n_ctx=512, n_seq_max=2)
    backend = LlamaBackend(config)
    yield backend
    backend.close()


def test_a_breaker_costs_a_tokenization_for_every_token_that_overlaps_with_it() -> None:
    cost = BreakerCost([b"a", b"ba", b"xab", b"abc", b"b", b"", "é".encode()])

    assert cost.of(b"abz") == 3  # "a" and "ba" end with "a", "xab" with "ab"
    assert cost.of(b"a") == 0
    assert cost.of(b"zz") == 0
    assert cost.of("éa".encode()) == 1


def test_breakers_that_cost_too_much_are_refused_by_name(
    backend: LlamaBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry, "MAX_BREAKER_COST", 1000)
    dear = SamplingParams(dry_multiplier=0.5, dry_sequence_breakers=WORDS)
    cheap = SamplingParams(dry_multiplier=0.5, dry_sequence_breakers=("\n", "User:"))

    with pytest.raises(InvalidRequest, match="at most 1,000 may") as refusal:
        backend.prepare("dear", dear)
    backend.prepare("cheap", cheap)
    backend.release("cheap")

    assert refusal.value.param == "dry_sequence_breakers"


def test_what_is_prepared_for_a_request_is_still_there_after_many_others(
    backend: LlamaBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = SamplingParams(dry_multiplier=0.5, dry_base=1.5)
    backend.prepare("waits", params)
    for number in range(20):
        other = SamplingParams(dry_multiplier=0.5, dry_base=2 + number)
        backend.prepare("other", other)
        backend.release("other")

    def fail(*_: object) -> None:
        raise AssertionError("the engine thread makes a DRY sampler")

    with monkeypatch.context() as patch:
        patch.setattr(dry.DrySamplers, "_make", fail)
        backend.open("waits", params, prompt=[1], output=[])
    backend.close_sequence("waits")
    backend.release("waits")
