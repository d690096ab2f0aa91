from __future__ import annotations

from typing import Any

import pytest

from inference.engine import SamplingParams
from inference.engine.errors import InvalidRequest
from inference.engine.sampling.chain import SamplerStep, sampler_steps

EVERYTHING = SamplingParams(
    temperature=0.7,
    top_k=40,
    top_p=0.9,
    min_p=0.05,
    typical_p=0.95,
    top_n_sigma=1.5,
    xtc_probability=0.5,
    dry_multiplier=0.8,
    repeat_penalty=1.1,
    presence_penalty=0.5,
    seed=1,
)


def steps(n_ctx: int = 4096, **params: Any) -> list[SamplerStep]:
    asked = SamplingParams(**params)
    return sampler_steps(asked, n_vocab=100, n_ctx=n_ctx)


def names(**params: Any) -> list[str]:
    return [step.name for step in steps(**params)]


def test_neutral_samplers_are_left_out() -> None:
    assert names() == ["dist"]


def test_the_chain_has_llama_cpps_order() -> None:
    chain = [step.name for step in sampler_steps(EVERYTHING, n_vocab=100, n_ctx=64)]
    assert chain == [
        "penalties",
        "penalties",
        "dry",
        "top_n_sigma",
        "top_k",
        "min_p",
        "typical",
        "top_p",
        "min_p",
        "xtc",
        "temp",
        "dist",
    ]


def test_an_order_is_kept_and_what_it_does_not_name_is_left_out() -> None:
    order = ("temperature", "min_p", "top_k")
    chain = names(samplers=order, temperature=0.5, top_k=9, min_p=0.1, top_p=0.5)
    assert chain == ["temp", "min_p", "top_k", "dist"]


@pytest.mark.parametrize(
    ("params", "step"),
    [
        ({"top_k": 40}, SamplerStep("top_k", (40,))),
        ({"top_p": 0.9}, SamplerStep("top_p", (0.9, 1))),
        ({"min_p": 0.1, "min_keep": 3}, SamplerStep("min_p", (0.1, 3))),
        ({"top_n_sigma": 1.0}, SamplerStep("top_n_sigma", (1.0,))),
        ({"temperature": 0.5}, SamplerStep("temp", (0.5,))),
        (
            {"temperature": 0.5, "dynatemp_range": 0.2, "dynatemp_exponent": 2.0},
            SamplerStep("temp_ext", (0.5, 0.2, 2.0)),
        ),
        (
            {"xtc_probability": 0.5, "xtc_threshold": 0.2, "seed": 7},
            SamplerStep("xtc", (0.5, 0.2, 1, 7), draws=True),
        ),
        (
            {"dry_multiplier": 0.8, "dry_sequence_breakers": ("\n",)},
            SamplerStep(
                "dry", (0.8, 1.75, 2, 64, ("\n",)), window=64, sees_prompt=True
            ),
        ),
    ],
)
def test_each_sampler_gets_its_arguments(
    params: dict[str, Any], step: SamplerStep
) -> None:
    assert steps(**params)[0] == step


def test_penalties_hold_for_greedy_decoding_too() -> None:
    assert names(temperature=0, frequency_penalty=1.0) == ["penalties", "greedy"]
    assert names(temperature=0, dry_multiplier=1.0) == ["dry", "greedy"]


def test_greedy_decoding_leaves_out_samplers_that_only_remove_unlikely_tokens() -> None:
    assert names(temperature=0, top_p=0.5, top_k=3, min_p=0.1, top_n_sigma=1.0) == [
        "greedy"
    ]


def test_greedy_decoding_keeps_samplers_that_remove_the_most_likely_token() -> None:
    assert names(temperature=0, top_k=3, xtc_probability=1.0) == [
        "top_k",
        "xtc",
        "greedy",
    ]
    assert names(temperature=0, top_k=3, typical_p=0.5) == [
        "top_k",
        "min_p",
        "typical",
        "greedy",
    ]


@pytest.mark.parametrize(
    "params", [{"typical_p": 0.5}, {"mirostat": 1}, {"mirostat": 2}]
)
def test_what_is_impossible_is_gone_before_its_logarithm_is_taken(
    params: dict[str, Any],
) -> None:
    before = steps(dry_multiplier=1.0, **params)[1]
    assert (before.name, before.arguments) == ("min_p", (1e-30, 1))


def test_a_dynamic_temperature_around_zero_is_not_greedy() -> None:
    assert names(temperature=0, dynatemp_range=0.5) == ["temp_ext", "dist"]


def test_temperature_zero_is_greedy_only_where_the_temperature_applies() -> None:
    assert names(temperature=0, samplers=("top_k",), top_k=3) == ["top_k", "dist"]


@pytest.mark.parametrize(
    ("version", "choice"),
    [
        (1, SamplerStep("mirostat", (100, 7, 5.0, 0.1, 100))),
        (2, SamplerStep("mirostat_v2", (7, 5.0, 0.1))),
    ],
)
def test_mirostat_takes_the_place_of_truncation(
    version: int, choice: SamplerStep
) -> None:
    chain = steps(
        mirostat=version,
        seed=7,
        temperature=0.5,
        top_k=3,
        top_p=0.5,
        dry_multiplier=1.0,
    )
    assert [step.name for step in chain[:-1]] == ["dry", "temp", "min_p"]
    assert chain[-1] == choice


def test_adaptive_p_chooses_last() -> None:
    chain = steps(adaptive_target=0.5, min_p=0.1, seed=7)
    assert chain[0].name == "min_p"
    assert chain[-1] == SamplerStep("adaptive_p", (0.5, 0.9, 7))


def test_each_penalty_looks_back_as_it_does_where_its_name_comes_from() -> None:
    def seen(**params: Any) -> tuple[int, bool]:
        step = steps(n_ctx=4096, **params)[0]
        assert step.window == step.arguments[1]
        return step.window, step.sees_prompt

    assert seen(repeat_penalty=1.1) == (64, True)
    assert seen(repetition_penalty=1.1) == (4096, True)
    assert seen(presence_penalty=1.0) == (4096, False)
    assert seen(frequency_penalty=1.0) == (4096, False)


def test_one_window_holds_for_all_penalties_that_have_one() -> None:
    asked: dict[str, Any] = {"repeat_penalty": 1.1, "presence_penalty": 1.0}
    assert [s.window for s in steps(**asked, repeat_last_n=7)[:2]] == [7, 7]
    assert [s.window for s in steps(**asked, repeat_last_n=-1)[:2]] == [4096, 4096]


def test_no_window_is_larger_than_the_context() -> None:
    """llama.cpp allocates a window at once, whatever its size."""
    asked: dict[str, Any] = {
        "repeat_penalty": 1.1,
        "presence_penalty": 1.0,
        "repeat_last_n": 2**31 - 1,
        "dry_multiplier": 1.0,
        "dry_penalty_last_n": 2**31 - 1,
    }
    chain = steps(n_ctx=512, **asked)
    assert [step.window for step in chain[:3]] == [512, 512, 512]
    assert chain[2].arguments[3] == 512


def test_any_seed_fits_llama_cpps_32_bits_and_is_never_its_random_one() -> None:
    for seed in (0, 1, 2**32 - 1, 2**32 + 5, 2**63):
        (used,) = steps(seed=seed)[-1].arguments
        assert used == seed % (2**32 - 1)


def test_without_a_seed_every_request_draws_its_own() -> None:
    assert len({steps()[-1].arguments for _ in range(20)}) > 15


@pytest.mark.parametrize("param", ["logit_bias", "stop_token_ids"])
@pytest.mark.parametrize("token", [-1, 100])
def test_a_token_that_is_not_in_the_vocabulary_is_refused_by_its_parameter(
    param: str, token: int
) -> None:
    value = ((token, 1.0),) if param == "logit_bias" else (token,)
    params = SamplingParams(**{param: value})  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="0 to 99") as refusal:
        params.check_tokens(100)
    assert refusal.value.param == param
