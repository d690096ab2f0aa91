"""Fleets in simulated time: nothing is lost, and what is overloaded is seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.fleet.costs import MACHINES, Costs
from benchmarks.fleet.server import Server
from benchmarks.fleet.simulation import Fleet, Outcome, Simulation

_REQUESTS = 150
FLEET = Fleet(nodes=4, replicas=4, webs=2, redis=1, machine=MACHINES["cpu"], per_s=8.0)


def run(fleet: Fleet = FLEET, seed: int = 1) -> Outcome:
    return Simulation(fleet, requests=_REQUESTS, seed=seed).run()


@pytest.fixture(scope="module")
def usual() -> Outcome:
    return run()


def test_every_request_has_its_first_token_and_its_end(usual: Outcome) -> None:
    assert usual.requests == len(usual.began_s) == _REQUESTS
    # The first token of each has no gap before it.
    assert usual.tokens == len(usual.gaps_s) + _REQUESTS


def test_time_goes_on_between_the_tokens_of_an_answer(usual: Outcome) -> None:
    assert min(usual.gaps_s) >= 0
    assert min(usual.began_s) > FLEET.costs.web_begin_s + FLEET.machine.step_s


def test_the_same_seed_is_the_same_run(usual: Outcome) -> None:
    assert run() == usual
    assert run(seed=2) != usual


def test_replicas_with_the_prefix_spare_prompts(usual: Outcome) -> None:
    anywhere = run(replace(FLEET, bound=0))
    assert usual.cached_share > anywhere.cached_share


def test_a_part_that_is_too_slow_is_busy_and_waited_for(usual: Outcome) -> None:
    # A frame takes as long as some hundred steps.
    slow = run(replace(FLEET, costs=Costs(redis_frame_s=1.0)))
    assert slow.redis > 0.9 > usual.redis
    assert max(slow.began_s) > max(usual.began_s)
    shards = run(replace(FLEET, nodes=8, replicas=1, redis=8, costs=Costs()))
    assert shards.redis < usual.redis


def test_a_server_does_one_thing_after_the_other() -> None:
    server = Server()
    assert server.work(1.0, 2.0) == 3.0
    assert server.work(2.0, 1.0) == 4.0
    assert server.work(9.0, 1.0) == 10.0
    assert server.busy_s == 4.0


def test_a_server_takes_what_comes_in_the_order_of_time() -> None:
    server = Server()
    server.work(5.0, 1.0)
    with pytest.raises(ValueError, match="comes after"):
        server.work(4.0, 1.0)
