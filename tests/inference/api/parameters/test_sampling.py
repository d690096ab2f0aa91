"""From a request's sampling members to the engine's parameters."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from inference.api.chat.request import ChatCompletionRequest
from inference.api.errors import BadRequest
from inference.api.parameters.effective_sampling import sampling_params
from inference.api.parameters.sampling import SamplingParameters
from registry.models import Model
from tests.inference.api.conftest import chat_body

if TYPE_CHECKING:
    from inference.engine.sampling.params import SamplingParams

#: A value of each parameter that is not its neutral one, and fits the others.
PROPER: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.5,
    "presence_penalty": -2,
    "frequency_penalty": 2,
    "logit_bias": {"17": -100},
    "seed": 3,
    "stop": ["END"],
    "stop_token_ids": [5],
    "include_stop_str_in_output": True,
    "min_tokens": 7,
    "ignore_eos": True,
    "top_k": 40,
    "min_p": 0.05,
    "typical_p": 0.9,
    "top_n_sigma": 1,
    "min_keep": 2,
    "dynatemp_range": 0.3,
    "dynatemp_exponent": 2,
    "xtc_probability": 0.5,
    "xtc_threshold": 0.2,
    "dry_multiplier": 0.8,
    "dry_base": 2,
    "dry_allowed_length": 3,
    "dry_penalty_last_n": -1,
    "dry_sequence_breakers": ["\n", "User:"],
    "mirostat": 2,
    "mirostat_tau": 4,
    "mirostat_eta": 0.2,
    "adaptive_target": 0.5,
    "adaptive_decay": 0.8,
    "repeat_penalty": 1.1,
    "repetition_penalty": 1.2,
    "repeat_last_n": 10,
    "samplers": ["temperature", "min_p"],
}


def asked(model: Model | None = None, choice: int = 0, **body: Any) -> SamplingParams:
    """Return what the engine is asked for by a chat request."""
    given = ChatCompletionRequest.parse(chat_body(**body)).sampling()
    return sampling_params(given, model=model or Model(), max_tokens=100, choice=choice)


def refused(**body: Any) -> str | None:
    """Return the parameter that a chat request is refused for."""
    with pytest.raises(BadRequest) as refusal:
        asked(**body)
    return refusal.value.param


@pytest.mark.parametrize("name", SamplingParameters.model_fields)
def test_each_parameter_reaches_the_engine(name: str) -> None:
    expected = PROPER[name]
    if isinstance(expected, list):
        expected = tuple(expected)
    if name == "logit_bias":
        expected = ((17, -100.0),)

    assert getattr(asked(**{name: PROPER[name]}), name) == expected


def test_each_parameter_is_explained() -> None:
    fields = SamplingParameters.model_fields
    explained = {name: field.description or "" for name, field in fields.items()}

    assert set(fields) == set(PROPER)
    assert all(explained.values())
    assert "Not in OpenAI's API" in explained["xtc_threshold"]
    assert "Not in OpenAI's API" not in explained["temperature"]


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("temperature", 0, 2),
        ("top_k", -1, 1_000_000),
        ("min_p", 0, 1),
        ("top_n_sigma", -1, 100),
        ("min_keep", 0, 1_000_000),
        ("dynatemp_range", 0, 2),
        ("dynatemp_exponent", 0, 10),
        ("xtc_probability", 0, 1),
        ("xtc_threshold", 0, 1),
        ("dry_multiplier", 0, 100),
        ("dry_base", 1, 100),
        ("dry_allowed_length", 0, 1_000_000),
        ("dry_penalty_last_n", -1, 1_000_000),
        ("mirostat", 0, 2),
        ("mirostat_tau", 0, 20),
        ("mirostat_eta", 0, 1),
        ("adaptive_target", -1, 1),
        ("adaptive_decay", 0, 0.99),
        ("repeat_last_n", -1, 1_000_000),
        ("top_p", 0, 1),
        ("presence_penalty", -2, 2),
        ("frequency_penalty", -2, 2),
    ],
)
def test_each_number_has_its_bounds(name: str, least: float, most: float) -> None:
    for value in (least, most):
        body: dict[str, Any] = {name: value}
        asked(**body)
    for value in (least - 1, most + 1):
        assert refused(**{name: value}) == name


@pytest.mark.parametrize("name", ["typical_p", "repeat_penalty", "repetition_penalty"])
def test_a_share_or_a_divisor_is_above_zero(name: str) -> None:
    assert refused(**{name: 0}) == name
    body: dict[str, Any] = {name: 0.001}
    asked(**body)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"stop_token_ids": [-1]}, "stop_token_ids[0]"),
        ({"stop_token_ids": ["a"]}, "stop_token_ids[0]"),
        ({"stop_token_ids": list(range(129))}, "stop_token_ids"),
        ({"ignore_eos": 1}, "ignore_eos"),
        ({"dry_sequence_breakers": []}, "dry_sequence_breakers"),
        ({"dry_sequence_breakers": "x"}, "dry_sequence_breakers"),
        ({"dry_sequence_breakers": ["x"] * 9}, "dry_sequence_breakers"),
        ({"dry_sequence_breakers": ["\n", "é" * 21]}, "dry_sequence_breakers[1]"),
        ({"dry_sequence_breakers": ["\x00"]}, "dry_sequence_breakers[0]"),
        ({"dry_sequence_breakers": [""]}, "dry_sequence_breakers[0]"),
        ({"samplers": "top_k"}, "samplers"),
        ({"samplers": ["top_k", "infill"]}, "samplers[1]"),
        ({"samplers": ["top_k", "topk"]}, "samplers"),
        ({"samplers": [7]}, "samplers[0]"),
    ],
)
def test_invalid_parameters_are_refused_by_their_path(
    body: dict[str, Any], param: str
) -> None:
    assert refused(**body) == param


# Biases -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "biases",
    [
        {"17": -1, " Paris": 2.5, "3": False},
        [[17, -1], [" Paris", 2.5], [3, False]],
    ],
)
def test_biases_come_as_openais_object_or_as_llama_servers_pairs(biases: Any) -> None:
    params = asked(logit_bias=biases)

    assert params.logit_bias == ((17, -1.0), (3, -math.inf))
    assert params.logit_bias_text == ((" Paris", 2.5),)


@pytest.mark.parametrize(
    ("biases", "param"),
    [
        (7, "logit_bias"),
        ({"1": 101}, "logit_bias.1"),
        ({"1": True}, "logit_bias.1"),
        ({"1": None}, "logit_bias.1"),
        ({"-1": 1}, "logit_bias.-1"),
        ({"9999999999": 1}, "logit_bias.9999999999"),
        ({"": 1}, "logit_bias."),
        ({"x" * 101: 1}, "logit_bias." + "x" * 100 + "…"),
        ([17], "logit_bias[0]"),
        ([[17, 1], [18]], "logit_bias[1]"),
        ([[17, 1, 1]], "logit_bias[0]"),
        ([[1.5, 1]], "logit_bias[0][0]"),
        ([[-1, 1]], "logit_bias[0][0]"),
        ([[True, 1]], "logit_bias[0][0]"),
        ([[17, "much"]], "logit_bias[0][1]"),
        ({str(token): 1 for token in range(1025)}, "logit_bias"),
        ([[17, 1]] * 1025, "logit_bias"),
    ],
)
def test_a_bad_bias_is_refused_by_its_path(biases: Any, param: str) -> None:
    assert refused(logit_bias=biases) == param


# One way to say off -----------------------------------------------------------


@pytest.mark.parametrize(
    "off",
    [
        {"top_k": -1},
        {"top_n_sigma": -1},
        {"adaptive_target": -0.5},
        {"min_keep": 0},
        {"seed": -1},
        {"xtc_probability": 0, "dry_multiplier": 0, "mirostat": 0, "typical_p": 1},
    ],
    ids=str,
)
def test_values_that_turn_a_sampler_off_equal_the_defaults(off: dict[str, Any]) -> None:
    assert asked(**off) == asked()


def test_answer_i_of_several_has_the_seed_plus_i() -> None:
    assert [asked(seed=7, choice=choice).seed for choice in range(3)] == [7, 8, 9]
    assert asked(choice=3).seed is None
    assert asked(seed=2**63 - 1, choice=1).seed == 2**63 % (2**32 - 1)


# Orders -----------------------------------------------------------------------


def test_samplers_have_llama_servers_other_names() -> None:
    names = ["top-k", "typ_p", "minp", "nucleus", "temp", "XTC", "adaptive-p"]
    expected = ("top_k", "typical_p", "min_p", "top_p", "temperature", "xtc")

    assert asked(samplers=names).samplers == (*expected, "adaptive_p")


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("top_k", ["temperature"]),
        ("temperature", ["top_k"]),
        ("dynatemp_range", ["top_k"]),
        ("presence_penalty", ["temperature"]),
        ("dry_multiplier", ["temperature"]),
        ("xtc_probability", ["temperature"]),
        ("adaptive_target", ["temperature"]),
    ],
)
def test_a_parameter_whose_sampler_is_left_out_is_refused(
    name: str, order: list[str]
) -> None:
    assert refused(samplers=order, **{name: PROPER[name]}) == name


def test_an_order_may_leave_out_what_is_off_and_what_is_a_default() -> None:
    model = Model(top_k=40)

    params = asked(model, samplers=["temperature"], top_p=1, min_p=0, mirostat=0)

    assert params.samplers == ("temperature",)


@pytest.mark.parametrize(
    "name", ["top_k", "top_p", "min_p", "typical_p", "top_n_sigma", "xtc_probability"]
)
def test_what_mirostat_takes_the_place_of_is_refused(name: str) -> None:
    assert refused(mirostat=2, **{name: PROPER[name]}) == name


def test_mirostat_has_an_order_of_its_own_and_chooses_alone() -> None:
    assert refused(mirostat=1, samplers=["temperature"]) == "samplers"
    assert refused(mirostat=1, adaptive_target=0.5) == "adaptive_target"
    asked(mirostat=1, temperature=0.5, presence_penalty=1, dry_multiplier=1)


@pytest.mark.parametrize(
    "chooses", [{"mirostat": 1}, {"mirostat": 2}, {"adaptive_target": 0.5}]
)
def test_nothing_steers_a_greedy_choice(chooses: dict[str, Any]) -> None:
    (name,) = chooses

    assert refused(temperature=0, **chooses) == name
    with pytest.raises(BadRequest):
        asked(Model(temperature=0.0), **chooses)
    asked(temperature=0, dynatemp_range=0.5, **chooses)


def test_two_penalties_of_the_same_kind_are_refused() -> None:
    assert refused(repeat_penalty=1.1, repetition_penalty=1.1) == "repetition_penalty"
    asked(repeat_penalty=1, repetition_penalty=1.1)


def test_a_requests_repetition_penalty_replaces_the_models_own() -> None:
    params = asked(Model(repeat_penalty=1.3), repetition_penalty=1.1)

    assert (params.repeat_penalty, params.repetition_penalty) == (1.0, 1.1)


def test_an_answer_cannot_be_longer_than_it_may_be() -> None:
    assert refused(min_tokens=101) == "min_tokens"
    asked(min_tokens=100)


def test_the_models_row_comes_before_the_configuration() -> None:
    model = Model(temperature=0.1, top_k=5, min_p=0.2)

    params = asked(model, min_p=0.3)

    assert (params.temperature, params.top_p) == (0.1, 0.9)
    assert (params.top_k, params.min_p) == (5, 0.3)


def test_the_page_in_the_docs_has_an_example_of_each() -> None:
    page = (Path(__file__).resolve().parents[4] / "docs" / "api.md").read_text("utf-8")
    section = page.split("\n## Sampling\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines()]
    examples = {row[0].strip("`"): row[-1].strip("`") for row in rows if len(row) == 4}
    del examples["member"]

    assert set(examples) == set(SamplingParameters.model_fields)
    for name, example in examples.items():
        assert getattr(asked(**{name: json.loads(example)}), name) is not None
