"""The real model, made to think: its reasoning ends where the budget does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from inference.engine import EngineConfig, EngineCore, GenerationRequest, SamplingParams
from inference.engine.llama import LlamaBackend
from inference.engine.sampling.thinking_budget import ThinkingBudget
from inference.engine.structured_output.grammar import Grammar
from inference.output_parsers.families import OUTPUT_PARSERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.model

PROMPT = (
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n"
)
CLOSING = "\n</think>\n\n"
#: Reasoning, and then JSON.
THEN_JSON = Grammar(
    'start: until_0 /[ \\n]*/ %json {"type": "object", "properties": {"city": '
    '{"type": "string", "maxLength": 20}}, "required": ["city"], '
    '"additionalProperties": false}',
    control_tokens=(("</think>",),),
)


@pytest.fixture(scope="module")
def backend(sample_model_path: Path) -> Iterator[LlamaBackend]:
    config = EngineConfig(paths=(str(sample_model_path),), n_ctx=512, n_seq_max=4)
    backend = LlamaBackend(config)
    yield backend
    backend.close()


def think(
    backend: LlamaBackend, max_tokens: int, *, resume: int = 0, **more: Any
) -> str:
    """Return what the model writes; ``resume`` lets another worker begin it."""
    budget = ThinkingBudget(
        max_tokens, ("<think>",), ("</think>",), CLOSING, is_begun=True
    )
    params = SamplingParams(
        max_tokens=40, thinking=budget, **{"temperature": 0.0, **more}
    )
    prompt = backend.tokenizer.tokenize(PROMPT, special=True)
    output: list[int] = []
    text = ""
    core = EngineCore(backend)
    core.add(GenerationRequest("first", prompt, params))
    while core.has_work:
        for event in core.step():
            output += event.tokens
            text += event.text
    core.check_integrity()
    if not resume:
        return text
    core.add(GenerationRequest("second", prompt, params, resume=tuple(output[:resume])))
    text = backend.tokenizer.detokenize(output[:resume])
    while core.has_work:
        for event in core.step():
            text += event.text
    return text


@pytest.mark.parametrize("budget", [0, 1, 6])
def test_reasoning_is_as_long_as_its_budget(backend: LlamaBackend, budget: int) -> None:
    reasoning, closing, answer = think(backend, budget).partition(CLOSING)

    assert closing
    assert answer.strip()
    count = (
        len(backend.tokenizer.tokenize(reasoning, special=False)) if reasoning else 0
    )
    assert count == budget


@pytest.mark.parametrize("more", [{"temperature": 1.0, "seed": 7}, {"logprobs": 1}])
def test_sampling_and_probabilities_continue_after_closed_reasoning(
    backend: LlamaBackend, more: dict[str, Any]
) -> None:
    assert CLOSING in think(backend, 5, **more)


@pytest.mark.parametrize("resume", [3, 6, 7, 12])
def test_another_worker_continues_after_closed_reasoning(
    backend: LlamaBackend, resume: int
) -> None:
    more: dict[str, Any] = {"temperature": 1.0, "seed": 3}

    assert think(backend, 5, resume=resume, **more) == think(backend, 5, **more)


def test_a_schema_applies_to_the_answer_and_not_to_the_reasoning(
    backend: LlamaBackend,
) -> None:
    text = think(backend, 5, grammar=THEN_JSON)
    parser = OUTPUT_PARSERS["hermes"].for_answer({}, starts_in_reasoning=True)
    deltas = [*parser.push(text), *parser.finish()]

    answer = text.partition("</think>")[2]
    assert list(json.loads(answer)) == ["city"]
    assert len(deltas) == 2
