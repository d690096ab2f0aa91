"""A draft model beside the real one: the same answers in fewer steps.

The models are tiny ones with F32 cells and without flash attention. Then what a token
is computed to hardly depends on the shape of its batch, and answers can be compared
token by token: see test_tiny_models. It is not so for the sample model. Of the same 86
tokens its four most likely next ones differ by up to 0.43 in log-probability between
one batch of all and batches of one, with nothing but llama.cpp: flash attention on a
CPU computes 64 and more tokens in tiles and fewer one by one, and the rounding of the
activations to eight bits multiplies what little differs.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from inference.engine import (
    EngineConfig,
    EngineCore,
    GenerationRequest,
    ModelLoadError,
    SamplingParams,
)
from inference.engine.llama import LlamaBackend, quantize
from inference.engine.llama.draft_model import LlamaDraftModel
from tests.inference.engine.test_core import run, run_outputs
from tests.inference.engine.test_tiny_models import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.model

#: The 99.9th percentile of chi-square by degrees of freedom.
LIMITS = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47}
#: Expected counts below this make chi-square's distribution another one (Cochran).
LEAST_EXPECTED = 5
#: llama_ftype of Q4_0.
Q4_0 = 2


@pytest.fixture(scope="module")
def target(tiny_model_path: Callable[[str], Path]) -> Path:
    return tiny_model_path("llama")


@pytest.fixture(scope="module")
def rough(target: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the target in four bits: it agrees with the target now and then."""
    path = tmp_path_factory.mktemp("draft") / "rough.gguf"
    quantize(str(target), str(path), Q4_0)
    return path


@pytest.fixture
def engine(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., EngineCore]]:
    """Make engines with a draft model or without, as if drafts cost next to nothing."""
    cores = []

    def make(draft: Path | None = None, **more: Any) -> EngineCore:
        config = EngineConfig(
            paths=(str(target),),
            draft="off" if draft is None else "model",
            draft_paths=() if draft is None else (str(draft),),
            cache_type_k="f32",
            cache_type_v="f32",
            flash_attention="off",
            n_threads=1,
            **more,
        )
        core = EngineCore(LlamaBackend(config))
        core.times.calibrate(1, 0.010)
        core.times.calibrate(16, 0.011)
        monkeypatch.setattr(core.times, "observe", lambda *_, **__: None)
        monkeypatch.setattr(LlamaDraftModel, "pass_s", lambda *_: 0.0)
        cores.append(core)
        return core

    yield make
    for core in cores:
        core.close()


@dataclass
class Answers:
    """The answers to simultaneous questions, and their cost."""

    tokens: dict[str, list[int]]
    steps: int = 0
    drafted: int = 0
    accepted: int = 0


def answers(core: EngineCore, count: int = 4, *, prompt: int = 20) -> Answers:
    params = SamplingParams(temperature=0, max_tokens=64, ignore_eos=True)
    answers = Answers({str(number): [] for number in range(count)})
    for name in answers.tokens:
        core.add(GenerationRequest(name, words(name, prompt), params))
    while core.has_work:
        outputs = core.step()
        answers.steps += any(output.tokens for output in outputs)
        for output in outputs:
            assert not output.error
            answers.tokens[output.request_id] += output.tokens
            if output.finish_reason is not None:
                answers.drafted += output.num_drafted
                answers.accepted += output.num_accepted
        core.check_integrity()
    return answers


SHAPES: dict[str, dict[str, Any]] = {
    "split": {"n_ctx": 256, "n_seq_max": 4},
    # The context is resized to twice its length while they run.
    "growing": {"n_ctx": 64, "n_seq_max": 4, "n_ctx_max": 256},
    # Two of the four are preempted, and come back.
    "scarce": {"n_ctx": 256, "n_seq_max": 4, "kv_layout": "unified", "n_cells": 192},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_draft_model_changes_the_speed_and_not_the_answers(
    engine: Callable[..., EngineCore], rough: Path, shape: str
) -> None:
    alone = answers(engine(**SHAPES[shape]))
    core = engine(rough, **SHAPES[shape])
    drafted = answers(core)
    assert drafted.tokens == alone.tokens
    assert drafted.steps < alone.steps
    # Of right drafts and of wrong ones.
    assert 0 < drafted.accepted < drafted.drafted
    counters = core.telemetry.snapshot()["counters"]
    assert bool(counters["preemptions"]) == (shape == "scarce")
    assert bool(counters["context_resizes"]) == (shape == "growing")


@pytest.mark.parametrize("shape", SHAPES)
def test_a_draft_model_that_says_the_same_is_always_right(
    engine: Callable[..., EngineCore], target: Path, shape: str
) -> None:
    """Its cells follow the larger model's, whatever happens to those.

    It may draft an end, which is banned in the answers: none of these come to one.
    """
    drafted = answers(engine(target, **SHAPES[shape]))
    assert drafted.accepted == drafted.drafted > 0


def test_a_prompt_that_is_longer_than_a_batch_is_read_in_pieces(
    engine: Callable[..., EngineCore], target: Path
) -> None:
    shape: dict[str, Any] = {"n_ctx": 512, "n_seq_max": 2, "n_batch": 64}
    alone = answers(engine(**shape), 1, prompt=250)
    drafted = answers(engine(target, **shape), 1, prompt=250)
    assert drafted.tokens == alone.tokens
    assert drafted.accepted == drafted.drafted > 0


def test_its_time_is_known_before_the_first_request(
    engine: Callable[..., EngineCore], rough: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = engine(rough, n_ctx=256, n_seq_max=4)
    monkeypatch.undo()
    core.warm_up()
    drafter = core._backend.drafter
    assert drafter is not None
    assert 0 < drafter.pass_s(1) <= drafter.pass_s(4)


def test_a_draft_model_of_another_vocabulary_is_refused(
    sample_model_path: Path, target: Path
) -> None:
    config = EngineConfig(
        paths=(str(sample_model_path),),
        n_ctx=256,
        n_seq_max=1,
        draft="model",
        draft_paths=(str(target),),
    )
    with pytest.raises(ModelLoadError, match="another vocabulary"):
        LlamaBackend(config)


@pytest.mark.parametrize("kind", ["recurrent", "sliding window"])
def test_models_that_cannot_go_back_neither_draft_nor_are_drafted_for(
    sample_model_path: Path, tiny_model_path: Callable[[str], Path], kind: str
) -> None:
    tiny = str(tiny_model_path(kind))
    for target, draft in ((tiny, tiny), (str(sample_model_path), tiny)):
        config = EngineConfig(
            paths=(target,), n_ctx=256, n_seq_max=1, draft="model", draft_paths=(draft,)
        )
        with pytest.raises(ModelLoadError, match="cannot take back"):
            LlamaBackend(config)


# The distribution -------------------------------------------------------------


def test_what_is_drawn_behind_a_draft_has_the_models_distribution(
    engine: Callable[..., EngineCore],
) -> None:
    """Chi-square of the tokens at the first drafted places, over many seeds."""
    # Cells of all sequences together: drafts of any lengths are one micro-batch.
    core = engine(n_ctx=64, n_seq_max=16, kv_layout="unified")
    prompt = words("prompt", 20)
    greedy = SamplingParams(temperature=0, max_tokens=2, ignore_eos=True)
    core.add(GenerationRequest("greedy", prompt, greedy))
    prediction = tuple(t for output in run_outputs(core) for t in output.tokens)
    kept = 4
    for seed in range(1000):
        core.add(
            GenerationRequest(
                f"seed {seed}",
                prompt,
                SamplingParams(temperature=1, top_k=kept, max_tokens=3, seed=seed),
                prediction_token_ids=prediction,
            )
        )
    said: dict[str, list[int]] = {}
    accepted: dict[str, int] = {}
    for output in run_outputs(core, steps=10_000):
        said.setdefault(output.request_id, []).extend(output.tokens)
        if output.finish_reason is not None and output.num_drafted:
            accepted[output.request_id] = output.num_accepted
    # The prediction's second token is drafted behind its first.
    drafted = [tuple(said[name]) for name in accepted]
    assert all(tokens[0] == prediction[0] for tokens in drafted)
    assert list(accepted.values()) == [
        int(tokens[1] == prediction[1]) for tokens in drafted
    ]
    for place in (1, 2):
        # The model's own distribution after the same tokens, without any draft.
        context = [*prompt, *prediction[:place]]
        ask = SamplingParams(temperature=0, max_tokens=1, logprobs=kept)
        core.add(GenerationRequest("ask", context, ask))
        (logprobs,) = [o.logprobs[0] for o in run_outputs(core) if o.logprobs]
        weights = {each.token: math.exp(each.logprob) for each in logprobs.top}
        seen = Counter(
            tokens[place]
            for tokens in drafted
            if tokens[:place] == prediction[:place] and len(tokens) > place
        )
        assert set(seen) <= set(weights)
        expected = {
            token: seen.total() * weight / sum(weights.values())
            for token, weight in weights.items()
        }
        assert min(expected.values()) >= LEAST_EXPECTED
        deviation = sum(
            (seen[token] - count) ** 2 / count for token, count in expected.items()
        )
        assert deviation < LIMITS[kept - 1], place
    assert run(core) == {}
