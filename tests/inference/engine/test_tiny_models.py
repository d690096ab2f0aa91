"""The engine on models of every kind that llama.cpp keeps a memory for.

Full attention, mixtures of experts, latent attention, sliding windows, recurrent
states and hybrids of them: each forgets, cuts and copies in its own way, and none
may ever give a wrong answer for it.

The tiny models' KV cells are F32 and flash attention is off: then the most
likely token leads by thousands of times what rounding changes with the shape of a
batch, and tokens can be compared one by one.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from inference.engine import (
    EngineConfig,
    EngineCore,
    GenerationRequest,
    SamplingParams,
    SequenceOutput,
)
from inference.engine.llama import LlamaBackend
from tests.inference.engine.driver import Driver
from tests.tiny_models import KINDS, SPECIAL_TOKENS, WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.model

N_VOCAB = len(SPECIAL_TOKENS) + 256
#: Those that forget what has left a window, or keep one state of all that was.
SLIDING = {"sliding window"}
RECURRENT = {name for name in KINDS if name.startswith(("recurrent", "hybrid"))}
LAYOUTS = ("split", "unified")


def load(path: Path, **options: Any) -> LlamaBackend:
    return LlamaBackend(
        EngineConfig(
            paths=(str(path),),
            cache_type_k="f32",
            cache_type_v="f32",
            flash_attention="off",
            n_threads=1,
            **{"n_ctx": 512, "n_seq_max": 8, "n_batch": 128, **options},
        )
    )


def words(seed: object, length: int) -> list[int]:
    """Return a text without meaning, always the same for a seed."""
    rng = random.Random(str(seed))
    return [rng.randrange(len(SPECIAL_TOKENS), N_VOCAB) for _ in range(length)]


class Alone:
    """What a model says when nothing else was ever in its cache."""

    def __init__(self, path: Path) -> None:
        self.backend = load(path, n_seq_max=1, n_batch=512)
        self._known: dict[tuple[int, ...], list[int]] = {}

    def __call__(self, prompt: list[int], limit: int = 16) -> list[int]:
        known = self._known.get(tuple(prompt), [])
        if len(known) < limit:
            driver = Driver(self.backend, ignores_end=True)
            known = driver.answer("alone", prompt, limit)
            self._known[tuple(prompt)] = known
        return known[:limit]


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def alone(kind: str, tiny_model_path: Callable[[str], Path]) -> Iterator[Alone]:
    alone = Alone(tiny_model_path(kind))
    yield alone
    alone.backend.close()


@pytest.fixture(scope="module", params=LAYOUTS)
def backend(
    request: pytest.FixtureRequest,
    kind: str,
    tiny_model_path: Callable[[str], Path],
) -> Iterator[LlamaBackend]:
    backend = load(tiny_model_path(kind), kv_layout=request.param)
    yield backend
    backend.close()


@pytest.fixture
def driver(backend: LlamaBackend) -> Driver:
    return Driver(backend, ignores_end=True)


def test_an_answer_depends_on_how_its_prompt_begins(alone: Alone) -> None:
    # Without this, none of the tests below would notice a wrong prefix.
    end = words("end", WINDOW // 2)
    answers = [alone([*words(seed, 8), *end]) for seed in range(4)]
    assert len({tuple(answer) for answer in answers}) == 4
    assert all(len(set(answer)) > 8 for answer in answers)


def test_a_batch_equals_one_at_a_time(driver: Driver, alone: Alone) -> None:
    prompts = {str(n): words(n, 5 + 23 * n) for n in range(8)}
    for name, prompt in prompts.items():
        driver.add(name, prompt, 24)
    driver.run()
    assert driver.tokens == {
        name: alone(prompt, 24) for name, prompt in prompts.items()
    }


def test_each_turn_of_a_conversation_prefills_only_what_is_new(
    driver: Driver, alone: Alone
) -> None:
    conversation: list[int] = []
    for turn in range(4):
        kept = len(conversation) - 1
        conversation += words(turn, 50)
        answer = driver.answer(str(turn), conversation)
        assert answer == alone(conversation)
        conversation += answer
        # The last token of an answer was never put in, so it has no cell.
        assert driver.cached[str(turn)] == max(kept, 0)


def test_conversations_side_by_side_do_not_mix(driver: Driver, alone: Alone) -> None:
    system = words("system", 60)
    conversations = {str(n): [*system, *words(n, 10)] for n in range(4)}
    for turn in range(3):
        for name, tokens in conversations.items():
            driver.add(f"{name} {turn}", tokens, 10)
        driver.run()
        for name, tokens in conversations.items():
            answer = driver.tokens[f"{name} {turn}"]
            assert answer == alone(tokens, 10)
            tokens += [*answer, *words(name + str(turn), 20)]


def test_a_prompt_that_leaves_the_conversation_is_answered_right(
    driver: Driver, alone: Alone, kind: str
) -> None:
    conversation = words("begin", 150)
    conversation += driver.answer("first", conversation)
    for length in (160, 130, 40, 8):
        again = [*conversation[:length], *words(length, 30)]
        assert driver.answer(str(length), again) == alone(again)
    assert driver.cached["160"] == (0 if kind in RECURRENT else 160)


def test_the_same_prompt_again_is_answered_the_same(
    driver: Driver, alone: Alone
) -> None:
    prompt = words("prompt", 100)
    for n in range(3):
        assert driver.answer(str(n), prompt) == alone(prompt)


def test_requests_that_come_together_prefill_a_shared_prefix_once(
    driver: Driver, alone: Alone
) -> None:
    prefix = words("prefix", 200)
    prompts = {str(n): [*prefix, *words(n, 20)] for n in range(8)}
    for name, prompt in prompts.items():
        driver.add(name, prompt)
    driver.run()
    assert driver.tokens == {name: alone(prompt) for name, prompt in prompts.items()}
    assert list(driver.cached.values()) == [0] + [200] * 7
    assert driver.prefilled <= 200 + 8 * 20


def test_requests_one_after_the_other_are_answered_right(
    driver: Driver, alone: Alone, kind: str
) -> None:
    prefix = words("prefix", 100)
    for n in range(4):
        prompt = [*prefix, *words(n, 20)]
        assert driver.answer(str(n), prompt) == alone(prompt)
    # The first one went on, and a state cannot go back; of a window it depends on
    # what happens to be left.
    if kind not in SLIDING:
        assert driver.cached["3"] == (0 if kind in RECURRENT else 100)


def test_the_others_continue_when_one_is_aborted_at_any_moment(
    driver: Driver, alone: Alone
) -> None:
    prefix = words("prefix", 150)
    prompts = {str(n): [*prefix, *words(n, 40)] for n in range(6)}
    for name, prompt in prompts.items():
        driver.add(name, prompt)
    gone = {}
    # In its prefill, that others wait for; in the prefix's copies; in the answers.
    for name in ("0", "1", "2"):
        driver.step()
        driver.abort(name)
        gone[name] = driver.tokens.pop(name)
        driver.tokens[name] = []
    driver.run()
    for name in ("3", "4", "5"):
        assert driver.tokens[name] == alone(prompts[name])
    assert driver.core.stats().num_running == 0


def test_a_preempted_sequence_continues_as_if_never_preempted(
    driver: Driver, alone: Alone
) -> None:
    prompts = {f"A{n}": words(n, 20 + 10 * n) for n in range(8)}
    for name, prompt in prompts.items():
        driver.add(name, prompt, 30, key="A")
    driver.step(12)
    prompts |= {f"B{n}": words(f"B{n}", 30) for n in range(3)}
    for n in range(3):
        driver.add(f"B{n}", prompts[f"B{n}"], 30, key="B")
    driver.run()
    assert driver.preemptions == 3
    assert driver.tokens == {
        name: alone(prompt, 30) for name, prompt in prompts.items()
    }


def test_cells_that_run_out_fail_nobody(
    kind: str, alone: Alone, tiny_model_path: Callable[[str], Path]
) -> None:
    backend = load(
        tiny_model_path(kind), kv_layout="unified", n_ctx=256, n_cells=256, n_seq_max=6
    )
    driver = Driver(backend, ignores_end=True)
    prompts = {str(n): words(n, 50) for n in range(6)}
    for name, prompt in prompts.items():
        driver.add(name, prompt, 80)
    driver.run()
    assert driver.preemptions > 0
    assert driver.tokens == {
        name: alone(prompt, 80) for name, prompt in prompts.items()
    }
    backend.close()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_context_that_grows_meanwhile_changes_no_answer(
    kind: str, alone: Alone, tiny_model_path: Callable[[str], Path], layout: str
) -> None:
    n_cells = 256 if layout == "unified" else 0
    backend = load(
        tiny_model_path(kind),
        kv_layout=layout,
        n_ctx=256,
        n_seq_max=3,
        n_cells=n_cells,
        n_ctx_max=512,
        n_cells_max=1024,
    )
    driver = Driver(backend, ignores_end=True)
    prompts = {"short": words(1, 30), "other": words(2, 60)}
    for name, prompt in prompts.items():
        driver.add(name, prompt, 40)
    driver.step(10)
    assert driver.core.stats().n_ctx == 256
    prompts["long"] = words(3, 300)
    driver.add("long", prompts["long"], 40)
    driver.run()
    assert driver.core.stats().n_ctx == 512
    assert driver.tokens == {
        name: alone(prompt, 40) for name, prompt in prompts.items()
    }
    driver.core.rest()
    assert driver.core.stats().n_ctx == backend.layout.n_ctx == 256
    assert driver.answer("again", prompts["short"], 40) == alone(prompts["short"], 40)
    backend.close()


#: Caches that are too small for the walk below.
CRAMPED: dict[str, dict[str, Any]] = {
    "split": {"n_seq_max": 6},
    "unified": {"n_seq_max": 6, "kv_layout": "unified", "n_cells": 768},
    "growing": {"n_seq_max": 4, "n_ctx": 256, "n_ctx_max": 512, "n_cells_max": 1024},
}


@pytest.mark.parametrize("shape", CRAMPED)
def test_every_answer_is_right_whatever_else_is_asked(
    kind: str, alone: Alone, tiny_model_path: Callable[[str], Path], shape: str
) -> None:
    backend = load(tiny_model_path(kind), **CRAMPED[shape])
    driver = Driver(backend, ignores_end=True)
    rng = random.Random(shape)
    system = words("system", 120)
    beginnings = [[], system, system[:80], [*system[:60], *words("other", 50)]]
    prompts: dict[str, list[int]] = {}
    for n in range(16):
        beginning = rng.choice(beginnings)
        prompt = [*beginning, *words(n, rng.randrange(1, 50))][-450:]
        name, limit = str(n), rng.randrange(1, 20)
        prompts[name] = prompt
        key, owner = rng.choice("ABC"), rng.choice("xxy")
        driver.add(name, prompt, limit, key=key, owner=owner)
        if rng.random() < 0.2:
            driver.abort(name)
            del prompts[name]
        driver.step(rng.randrange(6))
        for done in driver.reasons.keys() & prompts.keys():
            # A conversation continues, or gets another answer.
            beginnings.append([*prompts[done], *driver.tokens[done]])
        beginnings = [*beginnings[:4], *beginnings[-4:]]
    driver.run()
    assert not driver.errors
    for name, prompt in prompts.items():
        answer = driver.tokens[name]
        assert answer == alone(prompt, len(answer)), name
    backend.close()


# Tests of one kind of model ---------------------------------------------------


@pytest.fixture(scope="module")
def alone_llama(tiny_model_path: Callable[[str], Path]) -> Iterator[Alone]:
    alone = Alone(tiny_model_path("llama"))
    yield alone
    alone.backend.close()


@pytest.fixture
def llama(tiny_model_path: Callable[[str], Path]) -> Iterator[Driver]:
    backend = load(tiny_model_path("llama"))
    yield Driver(backend, ignores_end=True)
    backend.close()


def test_a_key_that_sends_much_does_not_delay_one_that_sends_little(
    llama: Driver, alone_llama: Alone
) -> None:
    for n in range(20):
        llama.add(f"A{n}", words(n, 20), 60, key="A")
    llama.step(10)
    assert llama.core.stats().num_running == 8
    for n in range(2):
        llama.add(f"B{n}", words(f"B{n}", 20), 30, key="B")
    llama.step(3)
    assert llama.tokens["B0"]
    assert llama.tokens["B1"]
    before = sum(len(tokens) for tokens in llama.tokens.values())
    llama.step(20)
    gained = sum(len(tokens) for tokens in llama.tokens.values()) - before
    # Two of eight slots, and none of them idle.
    assert len(llama.tokens["B0"]) + len(llama.tokens["B1"]) >= 40
    assert gained == 20 * 8
    llama.run()
    assert llama.tokens["A7"] == alone_llama(words(7, 20), 60)
    assert llama.tokens["B1"] == alone_llama(words("B1", 20), 30)


def test_of_one_key_the_lower_priority_number_starts_first(llama: Driver) -> None:
    for n in range(8):
        llama.add(f"now {n}", words(n, 10), 10 + n)
    llama.step()
    for name, priority in (("late", 9), ("first", -1), ("middle", 0)):
        llama.add(name, words(name, 10), 10, priority=priority)
    llama.run()
    assert list(llama.cached)[8:] == ["first", "middle", "late"]


def test_a_prefix_is_shared_between_owners_only_if_the_model_says_so(
    tiny_model_path: Callable[[str], Path], alone_llama: Alone
) -> None:
    prompt = words("prompt", 100)
    for shares, expected in ((False, 0), (True, 99)):
        backend = load(tiny_model_path("llama"), shares_prefixes=shares)
        driver = Driver(backend, ignores_end=True)
        for owner in ("a", "b"):
            driver.add(owner, prompt, owner=owner)
            driver.run()
        assert driver.cached == {"a": 0, "b": expected}
        assert driver.tokens["b"] == alone_llama(prompt)
        backend.close()


def test_a_sequence_is_never_promised_more_cells_than_there_are(
    tiny_model_path: Callable[[str], Path],
) -> None:
    path = tiny_model_path("llama")
    shape = {"kv_layout": "unified", "n_seq_max": 2, "n_ctx_max": 1024}
    for n_ctx in (256, 1024):
        backend = load(path, n_ctx=n_ctx, n_cells=512, **shape)
        assert backend.n_ctx_max == 512
        driver = Driver(backend, ignores_end=True)
        answer = driver.answer("long", words("prompt", 400), 1000)
        assert len(answer) == 512 - 400
        backend.close()


@pytest.mark.parametrize(
    ("n_seq_max", "n_batch", "length", "more"), [(6, 64, 100, 10), (4, 128, 150, 20)]
)
def test_a_shared_prefix_that_left_the_window_is_in_nobodys_way(
    tiny_model_path: Callable[[str], Path],
    n_seq_max: int,
    n_batch: int,
    length: int,
    more: int,
) -> None:
    # Cells that several sequences share are not given to others though they have
    # left the window, so llama.cpp runs out of cells before the books do.
    path = tiny_model_path("sliding window")
    alone = Alone(path)
    backend = load(path, kv_layout="unified", n_seq_max=n_seq_max, n_batch=n_batch)
    driver = Driver(backend, ignores_end=True)
    prefix = words("prefix", length)
    prompts = {str(n): [*prefix, *words(n, 30 + more * n)] for n in range(8)}
    for name, prompt in prompts.items():
        driver.add(name, prompt, 60)
        driver.step()
    driver.run()
    assert driver.tokens == {
        name: alone(prompt, 60) for name, prompt in prompts.items()
    }
    backend.close()
    alone.backend.close()


@pytest.mark.parametrize("output", [0, 3])
def test_a_prompts_logprobs_are_returned_once_though_it_is_computed_twice(
    tiny_model_path: Callable[[str], Path], output: int
) -> None:
    # In the larger context there is one sequence less, so the cells that were saved
    # do not fit, and what ran is computed again.
    backend = load(
        tiny_model_path("llama"), n_ctx=256, n_seq_max=2, n_ctx_max=512, n_batch=64
    )
    core = EngineCore(backend)
    params = SamplingParams(temperature=0, max_tokens=8, prompt_logprobs=0)
    core.add(GenerationRequest("scored", words("prompt", 100), params))
    outputs: list[SequenceOutput] = []
    # In the middle of the prompt, or of the answer.
    while not core.telemetry.snapshot()["histograms"]["step_tokens"]["sum"] or (
        core.stats().output_tokens_total < output
    ):
        outputs += core.step()
    core.add(GenerationRequest("long", words("long", 300), params))
    while core.has_work:
        outputs += core.step()
    assert backend.layout.n_seq_max == 1
    ours = [o for o in outputs if o.request_id == "scored"]
    assert [len(o.prompt_logprobs) for o in ours if o.prompt_logprobs] == [100]
    assert [o.num_output for o in ours if o.tokens] == list(range(1, 9))
    backend.close()
