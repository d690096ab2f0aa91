"""A draft model beside the real one: the same answers in fewer steps."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from inference.engine import (
    EngineConfig,
    EngineCore,
    GenerationRequest,
    ModelLoadError,
    SamplingParams,
)
from inference.engine.llama import LlamaBackend
from inference.engine.llama.draft_model import LlamaDraftModel
from tests.inference.engine.llama.test_llama import CHAT, QUESTIONS
from tests.inference.engine.test_core import run, run_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.model

#: The 99.9th percentile of chi-square by degrees of freedom.
LIMITS = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47}


@pytest.fixture
def engine(
    sample_model_path: Path, q4_0_model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., EngineCore]]:
    """Make engines that draft as told, as if guesses cost next to nothing."""
    cores = []

    def make(draft: str = "model", **more: Any) -> EngineCore:
        config = EngineConfig(
            paths=(str(sample_model_path),),
            draft=draft,
            draft_paths=(str(q4_0_model_path),) if draft == "model" else (),
            **more,
        )
        core = EngineCore(LlamaBackend(config))
        core.times.calibrate(1, 0.010)
        core.times.calibrate(16, 0.011)
        monkeypatch.setattr(core.times, "observe", lambda *_: None)
        monkeypatch.setattr(LlamaDraftModel, "pass_s", lambda *_: 0.0)
        cores.append(core)
        return core

    yield make
    for core in cores:
        core.close()


def prompts(core: EngineCore, count: int) -> list[list[int]]:
    tokenize = core._backend.tokenizer.tokenize
    return [
        tokenize(CHAT.format(question), special=True) for question in QUESTIONS[:count]
    ]


def answers(
    core: EngineCore, count: int, length: int
) -> tuple[dict[str, list[int]], int]:
    """Return what is answered to questions asked at once, and the accepted tokens."""
    params = SamplingParams(temperature=0, max_tokens=length, ignore_eos=True)
    for number, prompt in enumerate(prompts(core, count)):
        core.add(GenerationRequest(str(number), prompt, params))
    told: dict[str, list[int]] = {}
    accepted = 0
    while core.has_work:
        for output in core.step():
            told.setdefault(output.request_id, []).extend(output.tokens)
            if output.finish_reason is not None:
                assert not output.error
                accepted += output.num_accepted
        core.check_integrity()
    return told, accepted


@pytest.mark.parametrize(
    "shape",
    [
        {"n_ctx": 256, "n_seq_max": 4},
        # The context is made anew, twice as long, while they run.
        pytest.param(
            {"n_ctx": 64, "n_seq_max": 4, "n_ctx_max": 256}, marks=pytest.mark.long
        ),
    ],
    ids=["split", "growing"],
)
def test_a_draft_model_changes_the_speed_and_not_the_answers(
    engine: Callable[..., EngineCore], shape: dict[str, Any]
) -> None:
    alone, none = answers(engine("off", **shape), 4, 64)
    drafted, accepted = answers(engine(**shape), 4, 64)
    assert drafted == alone
    assert none == 0
    assert accepted > 60


@pytest.mark.long
def test_sequences_that_are_preempted_and_come_back_are_drafted_for(
    engine: Callable[..., EngineCore],
) -> None:
    """Each token is the likeliest behind those before it, or next to it.

    Where cells are shared, what they are computed to depends a little on the batch.
    """
    core = engine(n_ctx=256, n_seq_max=4, kv_layout="unified", n_cells=256)
    told, accepted = answers(core, 4, 96)
    assert core.telemetry.snapshot()["counters"]["preemptions"] > 0
    assert accepted > 30
    ask = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=4)
    for number, prompt in enumerate(prompts(core, 4)):
        core.add(GenerationRequest("check", [*prompt, *told[str(number)]], ask))
        (logprobs,) = [
            o.prompt_logprobs for o in run_outputs(core) if o.prompt_logprobs
        ]
        for each in logprobs[len(prompt) :]:
            # The ends were banned.
            best = next(
                one for one in each.top if not core._backend.tokenizer.is_end(one.token)
            )
            # Without drafts it is up to 0.4.
            assert best.logprob - each.chosen.logprob < 0.6


def test_a_prompt_that_is_longer_than_a_batch_is_read_in_pieces(
    engine: Callable[..., EngineCore],
) -> None:
    texts = {}
    for draft in ("off", "model"):
        core = engine(draft, n_ctx=512, n_seq_max=2, n_batch=64)
        text = "The quick brown fox jumps over the lazy dog. " * 30
        prompt = core._backend.tokenizer.tokenize(text, special=True)
        params = SamplingParams(temperature=0, max_tokens=40)
        core.add(GenerationRequest("a", prompt, params))
        outputs = run_outputs(core)
        texts[draft] = "".join(output.text for output in outputs)
    assert texts["model"] == texts["off"]
    assert outputs[-1].num_accepted > 20


def test_its_time_is_known_before_the_first_request(
    engine: Callable[..., EngineCore], monkeypatch: pytest.MonkeyPatch
) -> None:
    core = engine(n_ctx=256, n_seq_max=4)
    monkeypatch.undo()
    core.warm_up()
    drafter = core._backend.drafter
    assert drafter is not None
    assert 0 < drafter.pass_s(1) <= drafter.pass_s(4)


def test_a_draft_model_of_another_vocabulary_is_refused(
    sample_model_path: Path, tiny_model_path: Callable[[str], Path]
) -> None:
    config = EngineConfig(
        paths=(str(sample_model_path),),
        n_ctx=256,
        n_seq_max=1,
        draft="model",
        draft_paths=(str(tiny_model_path("llama")),),
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


@pytest.mark.long
def test_what_is_drawn_behind_a_draft_has_the_models_distribution(
    engine: Callable[..., EngineCore],
) -> None:
    """Chi-square of the tokens at the first drafted places, over many seeds."""
    # Cells of all sequences together: guesses of any lengths are one micro-batch.
    core = engine("off", n_ctx=64, n_seq_max=16, kv_layout="unified")
    prompt = core._backend.tokenizer.tokenize(
        "Once upon a time, there was a", special=True
    )
    greedy = SamplingParams(temperature=0, max_tokens=2)
    core.add(GenerationRequest("greedy", prompt, greedy))
    prediction = tuple(t for output in run_outputs(core) for t in output.tokens)
    kept = 4
    for seed in range(400):
        core.add(
            GenerationRequest(
                f"seed {seed}",
                prompt,
                SamplingParams(temperature=1, top_k=kept, max_tokens=3, seed=seed),
                prediction_token_ids=prediction,
            )
        )
    told: dict[str, list[int]] = {}
    accepted = 0
    for output in run_outputs(core, steps=10_000):
        told.setdefault(output.request_id, []).extend(output.tokens)
        accepted += output.num_accepted if output.finish_reason else 0
    assert accepted > 60
    for place in (1, 2):
        # The model's own opinion behind the same tokens, asked without any draft.
        context = [*prompt, *prediction[:place]]
        ask = SamplingParams(temperature=0, max_tokens=1, logprobs=kept)
        core.add(GenerationRequest("ask", context, ask))
        (logprobs,) = [o.logprobs[0] for o in run_outputs(core) if o.logprobs]
        weights = {each.token: math.exp(each.logprob) for each in logprobs.top}
        seen = Counter(
            tokens[place]
            for tokens in told.values()
            if tuple(tokens[:place]) == prediction[:place] and len(tokens) > place
        )
        total = seen.total()
        assert total > 50
        assert set(seen) <= set(weights)
        deviation = sum(
            (seen[token] - total * share) ** 2 / (total * share)
            for token, share in (
                (token, weight / sum(weights.values()))
                for token, weight in weights.items()
            )
        )
        assert deviation < LIMITS[kept - 1], place
    assert run(core) == {}
