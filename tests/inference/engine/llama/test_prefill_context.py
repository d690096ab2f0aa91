"""Pieces of prompts computed apart: the sample model says the same, the books agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from inference.engine import EngineConfig, SamplingParams
from inference.engine.errors import DecodeError, ModelLoadError
from inference.engine.llama import LlamaBackend, prefill_context
from inference.engine.llama.prefill_context import (
    CellsWithPrefillContext,
    PrefillContext,
)
from inference.engine.llama.transposed_state import transposed
from inference.engine.request import GenerationRequest
from inference.engine.scheduling.pacing.prefill_room import PrefillRoom
from tests.inference.engine.driver import Driver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.model

#: Tokens of a prompt in a step beside streams: less than a tile.
_PIECE = 16


def load(path: Path, *, is_rehearsed: bool = False, **options: Any) -> LlamaBackend:
    return LlamaBackend(
        EngineConfig(paths=(str(path),), **{"n_ctx": 1024, "n_seq_max": 4, **options}),
        is_rehearsed=is_rehearsed,
    )


@pytest.fixture(scope="module")
def backend(sample_model_path: Path) -> Iterator[LlamaBackend]:
    backend = load(sample_model_path)
    yield backend
    backend.close()


def long_prompt(backend: LlamaBackend, salt: str, sentences: int = 16) -> list[int]:
    text = f"{salt}. " + " ".join(
        f"On day {n} the ship sailed {n * 3} miles and the crew was content."
        for n in range(sentences)
    )
    return backend.tokenizer.tokenize(text, special=True)


def running(backend: LlamaBackend) -> Driver:
    """Return a driver with a stream that goes on: only beside one is it used.

    Pieces are short, however long steps take on this machine.
    """
    driver = Driver(backend, ignores_end=True)

    def room(num_decodes: int, tokens: int, *, waiting: int = 1) -> PrefillRoom:
        most = min(tokens, _PIECE) if num_decodes else tokens
        return PrefillRoom(most, tile=backend.prefill_tile)

    cast("Any", driver.core.times).room = room
    driver.add("stream", backend.tokenizer.tokenize("The sea is", special=True), 600)
    while not driver.tokens["stream"]:
        driver.step()
    return driver


def prefill_of(backend: LlamaBackend) -> PrefillContext | None:
    cells = backend._cells
    return cells.prefill if isinstance(cells, CellsWithPrefillContext) else None


def until_apart(driver: Driver, backend: LlamaBackend) -> None:
    """Step until the second context is in use."""
    prefill = prefill_of(backend)
    assert prefill is not None
    for _ in range(200):
        if prefill.slot is not None:
            return
        driver.step()
    raise AssertionError("the second context is not used")


def test_a_long_prompt_beside_a_stream_is_computed_there(backend: LlamaBackend) -> None:
    driver = running(backend)
    driver.add("long", long_prompt(backend, "long", sentences=30), 4)
    until_apart(driver, backend)
    while len(driver.tokens["long"]) < 4:
        driver.step()
    prefill = prefill_of(backend)
    assert prefill is not None
    assert prefill.slot is None


def test_a_model_that_was_loaded_before_makes_it_when_a_prompt_needs_it(
    sample_model_path: Path,
) -> None:
    backend = load(sample_model_path, is_rehearsed=True)
    try:
        prefill = prefill_of(backend)
        assert prefill is not None
        assert prefill.context is None
        driver = running(backend)
        driver.add("long", long_prompt(backend, "long", sentences=30), 4)
        until_apart(driver, backend)
        assert prefill.context is not None
        while len(driver.tokens["long"]) < 4:
            driver.step()
    finally:
        backend.close()


def test_without_memory_for_it_prompts_are_computed_beside_the_streams(
    sample_model_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: Any) -> None:
        raise ModelLoadError("There is no memory.")

    monkeypatch.setattr(prefill_context, "make_context", fail)
    backend = load(sample_model_path, is_rehearsed=True)
    try:
        driver = running(backend)
        driver.add("long", long_prompt(backend, "long", sentences=30), 4)
        while len(driver.tokens["long"]) < 4:
            driver.step()
        assert caplog.messages == ["No prompts are computed apart: There is no memory."]
        assert backend.compact()
    finally:
        backend.close()


def test_so_is_a_long_prompt_between_the_requests_of_another_key(
    backend: LlamaBackend,
) -> None:
    driver = Driver(backend, ignores_end=True)

    def room(_: int, tokens: int, **_more: Any) -> PrefillRoom:
        return PrefillRoom(min(tokens, _PIECE), tile=backend.prefill_tile)

    cast("Any", driver.core.times).room = room
    driver.add("long", long_prompt(backend, "between", sentences=30), 4)
    until_apart(driver, backend)
    driver.run()
    alone = Driver(backend, ignores_end=True)
    answer = alone.answer("again", long_prompt(backend, "between", sentences=30), 4)
    assert driver.tokens["long"] == answer


@pytest.mark.long
def test_a_long_prompt_alone_is_not(backend: LlamaBackend) -> None:
    driver = Driver(backend)
    driver.add("long", long_prompt(backend, "alone", sentences=30), 4)
    prefill = prefill_of(backend)
    assert prefill is not None
    while not driver.tokens["long"]:
        driver.step()
        assert prefill.slot is None


@pytest.mark.parametrize(
    "options", [{"cache_type_v": "bf16"}, {"flash_attention": "off"}]
)
def test_other_caches_have_none(
    sample_model_path: Path, options: dict[str, Any]
) -> None:
    backend = load(sample_model_path, **options)
    try:
        assert prefill_of(backend) is None
    finally:
        backend.close()


@pytest.mark.long
def test_few_sequences_are_not_worth_its_memory(sample_model_path: Path) -> None:
    backend = load(sample_model_path, n_ctx_max=4096, n_cells_max=4096)
    try:
        assert prefill_of(backend) is not None
        driver = Driver(backend)
        driver.add("short", long_prompt(backend, "short", sentences=6), 4)
        driver.run()
        driver.add("long", long_prompt(backend, "long", sentences=70), 4)
        driver.run()
        assert backend.layout.n_seq_max < 4
        assert prefill_of(backend) is None
        assert len(driver.tokens["long"]) == 4
    finally:
        backend.close()


@pytest.mark.long
def test_probabilities_are_those_of_the_same_prompt_alone(
    backend: LlamaBackend,
) -> None:
    alone = logprobs_after(backend, Driver(backend))
    beside = logprobs_after(backend, running(backend))
    assert np.abs(np.subtract(alone, beside)).max() < 0.1


def logprobs_after(backend: LlamaBackend, driver: Driver) -> list[float]:
    """Return the log-probabilities of the most likely tokens after a long prompt."""
    core = driver.core
    params = SamplingParams(temperature=0, max_tokens=8, ignore_eos=True, logprobs=0)
    core.add(GenerationRequest("a", long_prompt(backend, "one", sentences=24), params))
    found: list[float] = []
    while len(found) < 8:
        for output in core.step():
            found += [each.chosen.logprob for each in output.logprobs]
    core.abort(["stream"])
    return found


@pytest.mark.long
def test_of_two_prompts_one_is_computed_there_and_both_get_their_own_answers(
    backend: LlamaBackend,
) -> None:
    prompts = {
        salt: long_prompt(backend, salt, sentences=22) for salt in ("red", "green")
    }
    alone: dict[str, list[int]] = {}
    for salt, prompt in prompts.items():
        driver = Driver(backend)
        driver.add(salt, prompt, 12)
        driver.run()
        alone |= driver.tokens
    together = running(backend)
    for salt, prompt in prompts.items():
        together.add(salt, prompt, 12)
    until_apart(together, backend)
    while any(len(together.tokens[salt]) < 12 for salt in prompts):
        together.step()
    assert {salt: together.tokens[salt] for salt in prompts} == alone


@pytest.mark.long
def test_a_prompt_that_is_cancelled_in_the_second_context_leaves_it_to_the_next(
    backend: LlamaBackend,
) -> None:
    driver = running(backend)
    driver.add("gone", long_prompt(backend, "gone", sentences=30), 12)
    until_apart(driver, backend)
    driver.core.abort(["gone"])
    driver.add("next", long_prompt(backend, "next"), 12)
    while len(driver.tokens["next"]) < 12:
        driver.step()
    other = Driver(backend)
    other.add("next", long_prompt(backend, "next"), 12)
    other.run()
    assert driver.tokens["next"] == other.tokens["next"]


def test_a_prefix_that_was_computed_in_the_second_context_is_reused(
    backend: LlamaBackend,
) -> None:
    prompt = long_prompt(backend, "again", sentences=24)
    driver = running(backend)
    driver.add("first", prompt, 4)
    until_apart(driver, backend)
    while len(driver.tokens["first"]) < 4:
        driver.step()
    driver.add("second", [*prompt, *long_prompt(backend, "more", sentences=6)], 4)
    while len(driver.tokens["second"]) < 4:
        driver.step()
    assert driver.cached["second"] >= len(prompt)


def test_a_state_transposed_twice_is_unchanged(backend: LlamaBackend) -> None:
    driver = Driver(backend)
    driver.add("a", backend.tokenizer.tokenize("The sea is", special=True), 4)
    driver.run()
    state = backend.save(0)
    there = transposed(state, n_streams=1)
    assert there != state
    assert transposed(there, n_streams=4) == state


def test_data_that_is_no_saved_sequence_is_an_error() -> None:
    with pytest.raises(DecodeError):
        transposed(bytes(12 + 16), n_streams=1)


def test_the_short_rest_of_a_prompt_stays_where_it_is(backend: LlamaBackend) -> None:
    assert isinstance(backend._cells, CellsWithPrefillContext)
    apart = backend._cells.prefill
    assert apart.suits(0, start=400, count=20, rest=400)
    assert not apart.suits(0, start=400, count=20, rest=70)
    # One that began there is not moved back before its end.
    apart.slot = 0
    try:
        assert apart.suits(0, start=400, count=20, rest=20)
        assert not apart.suits(1, start=400, count=20, rest=400)
    finally:
        apart.slot = None
