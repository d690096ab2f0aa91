"""With the setting deterministic an answer depends on its request only, bit by bit.

docs/api.md says so. Log-probabilities are compared, which show any other rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from inference.engine import EngineConfig, EngineCore, GenerationRequest, SamplingParams
from inference.engine.llama import LlamaBackend

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.model

SYSTEM = "You are a helpful AI assistant. " * 20
CHAT = (
    f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n{{}}<|im_end|>\n"
    "<|im_start|>assistant\n"
)
QUESTIONS = [
    "What is the capital of France?",
    "Tell me about the sea.",
    "How do birds fly?",
    "Tell me a story. " * 40,
]
NUM_OUTPUT = 16

#: Tokens and their log-probabilities.
Answer = list[tuple[int, float]]


@pytest.fixture(scope="module")
def backend(sample_model_path: Path) -> Iterator[LlamaBackend]:
    backend = LlamaBackend(
        EngineConfig(
            paths=(str(sample_model_path),),
            n_ctx=1024,
            n_seq_max=4,
            n_batch=128,
            n_ubatch=128,
            flash_attention="off",
            deterministic=True,
        )
    )
    yield backend
    backend.close()


def requests(backend: LlamaBackend) -> list[GenerationRequest]:
    params = SamplingParams(
        temperature=0, max_tokens=NUM_OUTPUT, logprobs=0, ignore_eos=True
    )
    return [
        GenerationRequest(
            str(number),
            backend.tokenizer.tokenize(CHAT.format(question), special=True),
            params,
            owner="one",
        )
        for number, question in enumerate(QUESTIONS)
    ]


def answers(core: EngineCore, asked: Sequence[GenerationRequest]) -> list[Answer]:
    for request in asked:
        core.add(request)
    found: dict[str, Answer] = {request.request_id: [] for request in asked}
    while core.has_work:
        for output in core.step():
            pairs = zip(output.tokens, output.logprobs, strict=True)
            found[output.request_id] += [
                (token, entry.chosen.logprob) for token, entry in pairs
            ]
    core.check_integrity()
    return list(found.values())


@pytest.fixture(scope="module")
def alone(backend: LlamaBackend) -> list[Answer]:
    """Return each request's answer from an engine that has seen no other."""
    return [answers(EngineCore(backend), [each])[0] for each in requests(backend)]


def test_a_second_time_is_the_same(backend: LlamaBackend, alone: list[Answer]) -> None:
    core = EngineCore(backend)
    first = requests(backend)[0]
    assert answers(core, [first]) == alone[:1]
    assert answers(core, [first]) == alone[:1]


def test_beside_shorter_and_longer_ones_is_the_same(
    backend: LlamaBackend, alone: list[Answer]
) -> None:
    assert answers(EngineCore(backend), requests(backend)) == alone


def test_going_on_after_a_workers_death_is_the_same(
    backend: LlamaBackend, alone: list[Answer]
) -> None:
    request = requests(backend)[1]
    begun = alone[1][:7]
    resumed = GenerationRequest(
        request.request_id,
        request.prompt_token_ids,
        request.params,
        tuple(token for token, _ in begun),
    )
    assert begun + answers(EngineCore(backend), [resumed])[0] == alone[1]


def test_a_prediction_changes_nothing(
    backend: LlamaBackend, alone: list[Answer]
) -> None:
    request = requests(backend)[2]
    predicted = GenerationRequest(
        request.request_id,
        request.prompt_token_ids,
        request.params,
        prediction_token_ids=tuple(token for token, _ in alone[2]),
    )
    assert answers(EngineCore(backend), [predicted]) == [alone[2]]
