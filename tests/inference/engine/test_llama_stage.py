"""Long prompts computed apart: the sample model says the same, the books agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from inference.engine import EngineConfig, SamplingParams
from inference.engine.core import EngineCore
from inference.engine.errors import DecodeError
from inference.engine.llama import LlamaBackend
from inference.engine.llama.stage import _TABLES, converted
from inference.engine.request import Request
from tests.inference.engine.driver import Driver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.model

_BF16, _F16 = 30, 1


def load(path: Path, **options: Any) -> LlamaBackend:
    return LlamaBackend(
        EngineConfig(paths=(str(path),), **{"n_ctx": 1024, "n_seq_max": 4, **options})
    )


@pytest.fixture(scope="module")
def staged(sample_model_path: Path) -> Iterator[LlamaBackend]:
    backend = load(sample_model_path)
    yield backend
    backend.close()


def long_prompt(backend: LlamaBackend, salt: str, sentences: int = 16) -> list[int]:
    text = f"{salt}. " + " ".join(
        f"On day {n} the ship sailed {n * 3} miles and the crew was content."
        for n in range(sentences)
    )
    return backend.tokenizer.tokenize(text, special=True)


def test_it_is_used_where_it_is_faster(staged: LlamaBackend) -> None:
    assert staged.prefill_tile == 64
    assert staged._stage is not None


def test_a_type_that_is_named_is_what_one_gets(sample_model_path: Path) -> None:
    backend = load(sample_model_path, cache_type_v="f16")
    try:
        assert backend._stage is None
    finally:
        backend.close()


def test_few_sequences_are_not_worth_its_memory(sample_model_path: Path) -> None:
    backend = load(sample_model_path, n_ctx_max=4096, n_cells_max=4096)
    try:
        assert backend._stage is not None
        driver = Driver(backend)
        driver.add("short", long_prompt(backend, "short", sentences=6), 4)
        driver.run()
        driver.add("long", long_prompt(backend, "long", sentences=70), 4)
        driver.run()
        assert backend.layout.n_seq_max < 4
        assert backend._stage is None
        assert len(driver.tokens["long"]) == 4
    finally:
        backend.close()


def test_probabilities_are_those_of_a_cache_of_one_type(
    staged: LlamaBackend, sample_model_path: Path
) -> None:
    plain = load(sample_model_path, cache_type_v="f16")
    try:
        first, second = (
            [told.chosen.logprob for told in prompt_logprobs(backend)]
            for backend in (plain, staged)
        )
    finally:
        plain.close()
    assert np.abs(np.subtract(first, second)).max() < 0.1


def prompt_logprobs(backend: LlamaBackend) -> list[Any]:
    """Return what the last tokens of a prompt of several chunks and an answer say."""
    core = EngineCore(backend)
    params = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True, logprobs=0)
    core.add(Request("a", long_prompt(backend, "one"), params))
    told: list[Any] = []
    while core.has_work:
        for output in core.step():
            told += output.logprobs
    return told


def test_prompts_that_take_turns_in_the_stage_get_their_own_answers(
    staged: LlamaBackend,
) -> None:
    prompts = {salt: long_prompt(staged, salt) for salt in ("red", "green", "blue")}
    alone: dict[str, list[int]] = {}
    for salt, prompt in prompts.items():
        driver = Driver(staged)
        driver.add(salt, prompt, 12)
        driver.run()
        alone |= driver.tokens
    together = Driver(staged)
    for salt, prompt in prompts.items():
        together.add(salt, prompt, 12)
        together.step()
    together.run()
    assert together.tokens == alone


def test_a_prompt_that_is_cancelled_in_the_stage_leaves_it_to_the_next(
    staged: LlamaBackend,
) -> None:
    driver = Driver(staged)
    driver.add("gone", long_prompt(staged, "gone", sentences=20), 12)
    assert staged._stage is not None
    while staged._stage.slot is None:
        driver.step()
    driver.core.abort(["gone"])
    driver.add("next", long_prompt(staged, "next"), 12)
    driver.run()
    other = Driver(staged)
    other.add("next", long_prompt(staged, "next"), 12)
    other.run()
    assert driver.tokens["next"] == other.tokens["next"]


def test_a_prefix_that_was_computed_in_the_stage_is_reused(
    staged: LlamaBackend,
) -> None:
    prompt = long_prompt(staged, "again")
    driver = Driver(staged)
    driver.add("first", prompt, 4)
    driver.run()
    driver.add("second", [*prompt, *long_prompt(staged, "more", sentences=6)], 4)
    driver.run()
    assert driver.cached["second"] >= len(prompt)


def test_a_conversion_there_and_back_changes_nothing(staged: LlamaBackend) -> None:
    driver = Driver(staged)
    driver.add("a", staged.tokenizer.tokenize("The sea is", special=True), 4)
    driver.run()
    state = staged.save(0)
    # What was rounded to bf16 once is an f16 exactly, unless it is tiny.
    there = converted(state, n_streams=1, to_type=_F16)
    back = converted(there, n_streams=4, to_type=_BF16)
    assert len(back) == len(state)
    different = np.count_nonzero(
        np.frombuffer(back, np.uint8) != np.frombuffer(state, np.uint8)
    )
    assert different < len(state) / 1000


def test_values_are_rounded_to_the_nearest() -> None:
    values = np.array([1.0, -2.5, 0.1, 65504.0, 1e-3], np.float16)
    as_bf16 = _TABLES[_BF16][values.view(np.uint16)].astype(np.uint32) << 16
    assert as_bf16.view(np.float32) == pytest.approx(values.astype(float), rel=2**-8)
    huge = np.array([0x7F00], np.uint16)  # 1.7e38 as bf16
    assert _TABLES[_F16][huge].view(np.float16) == np.float16(65504)


def test_what_is_no_saved_sequence_is_an_error() -> None:
    with pytest.raises(DecodeError):
        converted(bytes(12 + 16), n_streams=1, to_type=_F16)
