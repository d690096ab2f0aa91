"""Prefixes on disk with the sample model: the same answers, without the prefill."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from inference.engine import EngineConfig, EngineCore, GenerationRequest, SamplingParams
from inference.engine.llama import LlamaBackend
from inference.engine.prefix_cache.disk_cache import open_disk_cache

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.model

SYSTEM = " ".join(f"Rule {n}: answer in one sentence." for n in range(40))


class Life:
    """A worker's engine from start to end."""

    def __init__(self, model: Path, folder: Path, **options: Any) -> None:
        config = EngineConfig(
            paths=(str(model),),
            cache_dir=str(folder),
            cache_bytes=10**9,
            fingerprint="f",
            **{"n_ctx": 1024, "n_seq_max": 2, **options},
        )
        self.backend = LlamaBackend(config)
        disk = open_disk_cache(config, can_cut=self.backend.can_cut)
        self.core = EngineCore(self.backend, disk=disk)

    def answer(self, question: str) -> tuple[list[int], int]:
        """Return an answer's tokens, and how many of its prompt's were there."""
        prompt = self.backend.tokenizer.tokenize(SYSTEM + question, special=True)
        params = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)
        self.core.add(GenerationRequest(question, prompt, params))
        answer: list[int] = []
        cached = 0
        while self.core.has_work:
            for output in self.core.step():
                answer += output.tokens
                cached = output.num_cached
        self.core.check_integrity()
        return answer, cached

    def end(self) -> None:
        """Be idle for a while, then stop."""
        end = time.monotonic() + 20
        while self.core.tidy() is not None:
            assert time.monotonic() < end
            # The writer has a thread of its own.
            time.sleep(0.001)
        self.core.close()


@pytest.mark.parametrize(
    "options",
    [
        {"kv_layout": "split"},
        {"kv_layout": "unified"},
        {"cache_type_k": "q8_0", "cache_type_v": "q8_0", "flash_attention": "on"},
    ],
    ids=lambda options: "-".join(options.values()),
)
def test_after_a_restart_the_answer_is_the_same_and_its_prefix_there(
    q4_0_model_path: Path, tmp_path: Path, options: dict[str, str]
) -> None:
    first = Life(q4_0_model_path, tmp_path, **options)
    cold, cached = first.answer(" Who are you?")
    assert cached == 0
    first.end()

    second = Life(q4_0_model_path, tmp_path, **options)
    warm, cached = second.answer(" Who are you?")
    assert warm == cold
    assert cached > 300
    second.end()


def test_the_state_of_another_layout_is_not_taken(
    q4_0_model_path: Path, tmp_path: Path
) -> None:
    first = Life(q4_0_model_path, tmp_path, kv_layout="split")
    cold, _ = first.answer(" Who are you?")
    first.end()
    second = Life(q4_0_model_path, tmp_path, kv_layout="unified")
    answer, cached = second.answer(" Who are you?")
    assert (answer, cached) == (cold, 0)
    second.end()


@pytest.mark.parametrize("kind", ["recurrent", "hybrid", "sliding window"])
def test_models_whose_states_cannot_be_cut_answer_the_same(
    tiny_model_path: Callable[[str], Path], tmp_path: Path, kind: str
) -> None:
    model = tiny_model_path(kind)
    options = {"n_ctx": 2048, "n_batch": 256}
    alone = Life(model, tmp_path / "alone", **options)
    expected = alone.answer(" Who are you? Tell more.")[0]
    alone.end()
    first = Life(model, tmp_path / "shared", **options)
    first.answer(" Who are you?")
    first.end()
    second = Life(model, tmp_path / "shared", **options)
    assert second.answer(" Who are you? Tell more.")[0] == expected
    second.end()
