"""Probabilities on their way from a worker to the web, over a real Redis."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from inference.engine import SamplingParams
from inference.engine.output import SequenceOutput
from inference.engine.sampling.logprobs import TokenLogprob, TokenLogprobs
from inference.engine.sequence import FinishReason
from tests.inference.engine.fakes import FakeBackend
from tests.inference.world import collect

if TYPE_CHECKING:
    from inference.engine.step import Sampled, StepPlan
    from tests.inference.world import World

#: Only so that the client may query; the results are scripted.
pytestmark = pytest.mark.django_db(transaction=True)


def token_logprobs(token: int) -> TokenLogprobs:
    """Return a probability by which a test recognizes the token."""
    return TokenLogprobs(TokenLogprob(token, chr(token).encode(), -float(token)))


class LogprobsBackend(FakeBackend):
    """A scripted model that returns probabilities where they are asked for."""

    def decode(self, plan: StepPlan) -> dict[int, Sampled]:
        sampled = super().decode(plan)
        for item in plan.items:
            params, slot = item.sequence.params, item.sequence.slot or 0
            result = sampled.get(slot)
            if result is not None and params.logprobs is not None:
                logprobs = tuple(map(token_logprobs, result.tokens))
                sampled[slot] = result = replace(result, logprobs=logprobs)
            if result is not None and item.wants_prompt_logprobs:
                prompt = tuple(map(token_logprobs, item.tokens))
                sampled[slot] = replace(result, prompt_logprobs=prompt)
        return sampled


async def test_tokens_come_with_their_probabilities(world: World) -> None:
    backend = LogprobsBackend()
    backend.script("go", "abc")
    world.start_worker(backend)

    events = await collect(await world.submit("go", params=SamplingParams(logprobs=0)))

    chosen = [
        (each.chosen.piece, each.chosen.logprob)
        for event in events
        if isinstance(event, SequenceOutput)
        for each in event.logprobs
    ]
    # The end token is one of them.
    assert chosen == [(b"a", -97.0), (b"b", -98.0), (b"c", -99.0), (b"\x00", 0.0)]


async def test_a_prompts_probabilities_come_before_the_answer(world: World) -> None:
    backend = LogprobsBackend()
    backend.script("go", "abc")
    world.start_worker(backend)

    params = SamplingParams(prompt_logprobs=0, max_tokens=0)
    events = await collect(await world.submit("go", params=params))

    last = events[-1]
    assert isinstance(last, SequenceOutput)
    assert [each.chosen.piece for each in last.prompt_logprobs] == [b"g", b"o"]
    assert (last.finish_reason, last.num_output) == (FinishReason.LENGTH, 0)


async def test_what_takes_long_is_prepared_before_the_engine_has_the_request(
    world: World,
) -> None:
    backend = FakeBackend()
    backend.script("go", "abc")
    world.start_worker(backend)
    params = SamplingParams(dry_multiplier=0.8)

    await collect(await world.submit("go", params=params))
    await collect(await world.submit("go"))

    assert backend.prepared == [params]
