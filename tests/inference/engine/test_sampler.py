from __future__ import annotations

from inference.engine import SamplingParams
from inference.engine.sampler import sampler_steps


def names(**params: object) -> list[str]:
    asked = SamplingParams(**params)  # type: ignore[arg-type]
    return [step.name for step in sampler_steps(asked, n_vocab=100, n_ctx=64)]


def test_temperature_zero_is_greedy_whatever_else_is_asked() -> None:
    assert names(temperature=0, top_p=0.5, top_k=3, min_p=0.1) == ["greedy"]


def test_neutral_samplers_are_left_out() -> None:
    assert names() == ["temp", "dist"]


def test_the_chain_has_llama_cpps_order() -> None:
    chain = names(
        logit_bias=((1, 5.0),),
        repeat_penalty=1.1,
        presence_penalty=0.5,
        top_k=40,
        top_p=0.9,
        min_p=0.05,
        temperature=0.7,
    )
    assert chain == [
        "logit_bias",
        "penalties",
        "penalties",
        "top_k",
        "top_p",
        "min_p",
        "temp",
        "dist",
    ]


def test_penalties_hold_for_greedy_decoding_too() -> None:
    assert names(temperature=0, frequency_penalty=1.0) == ["penalties", "greedy"]


def test_any_seed_fits_llama_cpps_32_bits() -> None:
    for seed in (0, 1, 2**32 + 5, 2**63):
        step = sampler_steps(SamplingParams(seed=seed), n_vocab=10, n_ctx=64)[-1]
        assert step.arguments == (seed % 2**32,)


def test_without_a_seed_every_request_draws_its_own() -> None:
    seeds = {
        sampler_steps(SamplingParams(), n_vocab=10, n_ctx=64)[-1].arguments
        for _ in range(20)
    }
    assert len(seeds) > 15
