"""Constrained answers of the real model, over the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from inference.engine import (
    EngineConfig,
    EngineCore,
    FinishReason,
    GenerationRequest,
    SamplingParams,
)
from inference.engine.errors import InvalidRequest
from inference.engine.llama import LlamaBackend
from inference.engine.llama.sampling.grammar_compiler import grammar_compiler
from inference.engine.structured_output import grammars
from inference.engine.structured_output.grammar import Grammar
from tests.inference.engine.structured_output.schemas import SCHEMAS
from tests.inference.engine.structured_output.values import is_value_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from inference.engine import SequenceOutput

pytestmark = pytest.mark.model

QUESTION = "<|im_start|>user\nAnswer in JSON: {}.<|im_end|>\n<|im_start|>assistant\n"
#: Grammars that no limit lets pass once they run.
TOO_COMPLEX = Grammar("start: /((a{1000}){1000}){1000}/")
COLOUR = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["red", "green", "blue"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 999},
        "names": {
            "type": "array",
            "items": {"type": "string", "maxLength": 8},
            "minItems": 1,
            "maxItems": 2,
        },
    },
    "required": ["colour", "count", "names"],
    "additionalProperties": False,
}
SHORT = grammars.json_schema(COLOUR)
SAMPLERS: list[dict[str, Any]] = [
    {"temperature": 0},
    {"temperature": 0, "logprobs": 2},
    {"temperature": 1},
    {"top_p": 0.9},
    {"top_k": 40, "min_p": 0.05},
    {"typical_p": 0.5},
    {"top_n_sigma": 1.0},
    {"mirostat": 1},
    {"mirostat": 2},
    {"xtc_probability": 1.0, "xtc_threshold": 0.01},
    {"adaptive_target": 0.5},
    {"dynatemp_range": 0.5},
    {"repeat_penalty": 1.5, "presence_penalty": 2.0, "frequency_penalty": 2.0},
    {"dry_multiplier": 2.0},
    {"logit_bias": ((2, 50.0),)},
]


@pytest.fixture(scope="module")
def backend(sample_model_path: Path) -> Iterator[LlamaBackend]:
    backend = LlamaBackend(
        EngineConfig(paths=(str(sample_model_path),), n_ctx=512, n_seq_max=8)
    )
    yield backend
    backend.close()


@pytest.fixture
def core(backend: LlamaBackend) -> Iterator[EngineCore]:
    core = EngineCore(backend)
    yield core
    core.check_integrity()


def ask(
    core: EngineCore,
    backend: LlamaBackend,
    requests: dict[str, SamplingParams],
    resume: tuple[int, ...] = (),
) -> None:
    for name, params in requests.items():
        text = QUESTION.format(name.split("/")[0])
        prompt = backend.tokenizer.tokenize(text, special=True)
        core.add(GenerationRequest(name, prompt, params, resume))


def outputs(core: EngineCore) -> dict[str, list[SequenceOutput]]:
    """Run until nothing is left to do; return the output of each request."""
    by_request: dict[str, list[SequenceOutput]] = {}
    while core.has_work:
        for output in core.step():
            by_request.setdefault(output.request_id, []).append(output)
    return by_request


def text_of(outputs: list[SequenceOutput]) -> str:
    return "".join(output.text for output in outputs)


def test_answers_that_end_by_themselves_are_values_of_their_schemas(
    core: EngineCore, backend: LlamaBackend
) -> None:
    names = ["tree", "oneOf of references", "steps", "object in object"]
    requests = {
        f"{name}/{seed}": SamplingParams(
            temperature=1.0,
            seed=seed,
            max_tokens=80,
            grammar=grammars.json_schema(SCHEMAS[name]),
        )
        for name in names
        for seed in range(2)
    }
    ask(core, backend, requests)
    answers = outputs(core)

    ended = 0
    for name, answer in answers.items():
        if answer[-1].finish_reason is FinishReason.STOP:
            ended += 1
            is_value_of(SCHEMAS[name.split("/")[0]], text_of(answer))
        else:
            assert answer[-1].finish_reason is FinishReason.LENGTH
    assert ended >= len(answers) // 2


def test_every_sampler_keeps_to_the_grammar(
    core: EngineCore, backend: LlamaBackend
) -> None:
    requests = {
        f"a colour/{sampling}": SamplingParams(
            seed=1, max_tokens=150, grammar=SHORT, **sampling
        )
        for sampling in SAMPLERS
    }
    ask(core, backend, requests)
    for name, answer in outputs(core).items():
        assert answer[-1].finish_reason is FinishReason.STOP, (name, text_of(answer))
        is_value_of(COLOUR, text_of(answer))


def test_a_sequence_resumed_elsewhere_keeps_to_its_grammar(
    core: EngineCore, backend: LlamaBackend
) -> None:
    params = SamplingParams(temperature=0, max_tokens=150, grammar=SHORT)
    ask(core, backend, {"a": params})
    whole = [output for output in outputs(core)["a"] if output.tokens]
    first = whole[: len(whole) // 2]
    ask(core, backend, {"a": params}, tuple(t for o in first for t in o.tokens))
    rest = outputs(core)["a"]

    assert text_of(first) + text_of(rest) == text_of(whole)


def test_a_grammar_that_fails_ends_its_own_sequence_alone(
    core: EngineCore, backend: LlamaBackend
) -> None:
    (token,) = backend.tokenizer.tokenize("!", special=False)
    banned = ((token, float("-inf")),)
    ask(
        core,
        backend,
        {
            "complex": SamplingParams(grammar=TOO_COMPLEX),
            "banned": SamplingParams(grammar=grammars.choice(["!"]), logit_bias=banned),
            "unknown": SamplingParams(grammar=Grammar("start: <|nope|>")),
            "good": SamplingParams(seed=1, max_tokens=150, grammar=SHORT),
        },
    )
    last = {name: answer[-1] for name, answer in outputs(core).items()}

    assert last["good"].finish_reason is FinishReason.STOP
    assert last["complex"].finish_reason is FinishReason.FAILED
    assert last["complex"].code == "constraint_failed"
    assert "grammar cannot go on" in last["complex"].error
    assert last["banned"].error == "Every token that may come next is banned."
    assert "unknown special token" in last["unknown"].error


def test_an_unsupported_grammar_is_refused_before_it_runs(
    backend: LlamaBackend,
) -> None:
    grammar = Grammar("start: <|nope|>", "guided_grammar")
    with pytest.raises(InvalidRequest) as caught:
        backend.prepare("r", SamplingParams(grammar=grammar))

    assert caught.value.param == "guided_grammar"


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"seed": 3}], ids=str)
def test_tokens_without_a_choice_take_no_steps_and_change_nothing(
    core: EngineCore, backend: LlamaBackend, sampling: dict[str, Any]
) -> None:
    schema = {
        "type": "object",
        "properties": {
            "customer_identifier": {"enum": [12, 34]},
            "subscription_status": {"enum": ["active", "expired"]},
        },
        "required": ["customer_identifier", "subscription_status"],
        "additionalProperties": False,
    }
    grammar = grammars.json_schema(schema)
    tokens: dict[int | None, list[int]] = {}
    steps: dict[int | None, int] = {}
    # Where probabilities are returned, each token is sampled.
    for logprobs in (0, None):
        params = SamplingParams(
            max_tokens=64, grammar=grammar, logprobs=logprobs, **sampling
        )
        ask(core, backend, {"a": params})
        answer = outputs(core)["a"]
        tokens[logprobs] = [token for output in answer for token in output.tokens]
        steps[logprobs] = sum(bool(output.tokens) for output in answer)
    assert tokens[0] == tokens[None]
    assert steps[0] == len(tokens[0])
    # Each token that was sampled takes a step, and with it come those that it forces.
    matcher = grammar_compiler(backend.tokenizer).matcher(grammar)
    sampled, forced = [], []
    rest = tokens[None]
    while rest:
        sampled.append(rest[0])
        follow = matcher.accept_with_forced(rest[0])
        assert rest[1 : 1 + len(follow)] == follow
        forced += follow
        rest = rest[1 + len(follow) :]
    assert forced
    assert steps[None] == len(sampled)
