"""Probabilities from the engine, on the real model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from inference.engine import (
    EngineConfig,
    EngineCore,
    FinishReason,
    GenerationRequest,
    SamplingParams,
    SequenceOutput,
)
from inference.engine.llama import LlamaBackend
from tests.inference.engine.test_core import run_outputs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from inference.engine.sampling.logprobs import TokenLogprobs

pytestmark = pytest.mark.model

TALE = "Once upon a time, there was a little girl who lived by the sea. " * 12
GREEDY = SamplingParams(temperature=0, max_tokens=6)
SCORE = SamplingParams(temperature=0, max_tokens=0, prompt_logprobs=1)
#: Batches of other sizes round differently.
NEAR = 0.2


@pytest.fixture(scope="module")
def backend(sample_model_path: Path) -> Iterator[LlamaBackend]:
    backend = LlamaBackend(
        EngineConfig(paths=(str(sample_model_path),), n_ctx=512, n_seq_max=4)
    )
    yield backend
    backend.close()


@pytest.fixture
def core(backend: LlamaBackend) -> EngineCore:
    return EngineCore(backend)


def run_one(
    core: EngineCore, prompt: list[int], params: SamplingParams
) -> list[SequenceOutput]:
    core.add(GenerationRequest("a", prompt, params))
    return [output for output in run_outputs(core) if not output.is_start]


def sampled(outputs: list[SequenceOutput]) -> list[TokenLogprobs]:
    return [each for output in outputs for each in output.logprobs]


def scored(outputs: list[SequenceOutput]) -> list[TokenLogprobs]:
    return [each for output in outputs for each in output.prompt_logprobs]


def test_every_sampled_token_has_its_probability(
    core: EngineCore, backend: LlamaBackend
) -> None:
    prompt = backend.tokenizer.tokenize(TALE, special=True)
    outputs = run_one(core, prompt, replace(GREEDY, logprobs=2))
    tokens = [token for output in outputs for token in output.tokens]
    logprobs = sampled(outputs)
    assert [each.chosen.token for each in logprobs] == tokens
    # Greedy sampling takes the most likely token.
    assert [each.top[0] for each in logprobs] == [each.chosen for each in logprobs]
    assert all(len(each.top) == 2 for each in logprobs)


def test_logprobs_that_are_not_requested_are_not_returned(
    core: EngineCore, backend: LlamaBackend
) -> None:
    prompt = backend.tokenizer.tokenize(TALE, special=True)
    outputs = run_one(core, prompt, GREEDY)
    assert sampled(outputs) == scored(outputs) == []


def test_a_prompt_is_scored_as_its_tokens_were_when_they_were_sampled(
    core: EngineCore, backend: LlamaBackend
) -> None:
    # More than fits into the outputs of one step, and in the cache from before.
    prompt = backend.tokenizer.tokenize(TALE, special=True)
    assert len(prompt) > backend.n_outputs_max
    outputs = run_one(core, prompt, replace(GREEDY, logprobs=1))
    answer = [token for output in outputs for token in output.tokens]

    ended = run_one(core, prompt + answer, SCORE)

    logprobs = scored(ended)
    assert [each.chosen.token for each in logprobs] == prompt + answer
    assert logprobs[0].chosen.logprob == 0.0
    again = [each.chosen.logprob for each in logprobs[len(prompt) :]]
    assert again == pytest.approx(
        [s.chosen.logprob for s in sampled(outputs)], abs=NEAR
    )
    (last,) = ended
    assert (last.tokens, last.num_output) == ((), 0)
    assert last.finish_reason is FinishReason.LENGTH


def test_prompts_are_scored_beside_others_as_they_are_alone(
    core: EngineCore, backend: LlamaBackend
) -> None:
    prompt = backend.tokenizer.tokenize(TALE[:130], special=True)
    alone = [each.chosen.logprob for each in scored(run_one(core, prompt, SCORE))]
    for name in "bcd":
        core.add(GenerationRequest(name, prompt, replace(SCORE, max_tokens=2)))
    outputs = run_outputs(core)
    for name in "bcd":
        logprobs = scored([output for output in outputs if output.request_id == name])
        together = [each.chosen.logprob for each in logprobs]
        assert together == pytest.approx(alone, abs=NEAR)
