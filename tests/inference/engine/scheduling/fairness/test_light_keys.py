"""What a key with much to compute costs one with little, in simulated seconds."""

from __future__ import annotations

from itertools import count, cycle

import pytest

from tests.inference.engine.timed import Timetable


def ask_at_once(
    times: Timetable, key: str, *, number: int, after_s: float = 0.0
) -> list[str]:
    return [
        times.ask(key, prompt=34, tokens=48, after_s=after_s) for _ in range(number)
    ]


def keep_asking(
    times: Timetable, key: str, *, prompt: int, tokens: int, pause_s: float
) -> list[str]:
    """Let a client ask one question after the other; return the list of them."""
    asked: list[str] = []

    def ask() -> None:
        asked.append(
            times.ask(key, prompt=prompt, tokens=tokens, after_s=pause_s, then=ask)
        )

    ask()
    return asked


def longest(times: Timetable, asked: list[str]) -> float:
    return max(times.latencies[name] for name in asked if name in times.latencies)


@pytest.mark.parametrize("after_s", [0.0, 0.03, 0.1, 0.4])
def test_four_requests_beside_sixty_four_of_another_key_take_twice_as_long(
    after_s: float,
) -> None:
    times = Timetable()
    few = ask_at_once(times, "few", number=4)
    times.run()
    alone = times.mean_latency(few)
    ask_at_once(times, "many", number=64)
    few = ask_at_once(times, "few", number=4, after_s=after_s)
    times.run()
    assert times.mean_latency(few) <= 2.2 * alone


def test_the_many_go_on_at_once_when_the_few_have_ended() -> None:
    seconds = {}
    for keys in (("many",), ("few", "many")):
        times = Timetable()
        for key in keys:
            ask_at_once(times, key, number=4 if key == "few" else 64)
        times.run()
        start = times.now
        ask_at_once(times, "many", number=64)
        if "few" in keys:
            ask_at_once(times, "few", number=4, after_s=0.1)
        times.run()
        seconds[keys] = times.now - start
    # Four more requests are a sixteenth of the work; steps beside them are shorter.
    assert seconds["few", "many"] <= 1.2 * seconds[("many",)]


def test_one_token_again_and_again_waits_for_short_pieces_of_long_prompts() -> None:
    times = Timetable()
    quiet = keep_asking(times, "quiet", prompt=20, tokens=1, pause_s=0.05)
    times.run(2.0)
    # Its first prompt begins with nothing that was computed before.
    alone = longest(times, quiet[1:])
    for _ in range(16):
        keep_asking(times, "attacker", prompt=1200, tokens=1, pause_s=0.005)
    # It is expected from the first of them on, though nobody else was here before.
    del quiet[:-1]
    before = times.prefilled
    times.run(6.0)
    # A piece that was under way, and its own prompt without another one beside it.
    assert longest(times, quiet[:-1]) <= 2 * alone
    # Alone they get 900 a second.
    assert times.prefilled - before >= 450 * 6


def test_a_regular_client_hardly_waits_for_the_steps_of_others() -> None:
    """It asks 50 ms after each answer, give or take 5."""
    times = Timetable()
    pauses = cycle([0.05, 0.053, 0.045, 0.055, 0.047])
    asked: list[str] = []

    def ask() -> None:
        after_s = next(pauses)
        asked.append(times.ask("quiet", prompt=20, tokens=1, after_s=after_s, then=ask))

    ask()
    times.run(2.0)
    alone = longest(times, asked[1:])
    for _ in range(16):
        keep_asking(times, "attacker", prompt=1200, tokens=1, pause_s=0.005)
    times.run(1.0)
    asked.clear()
    before = times.prefilled
    times.run(6.0)
    found = sorted(times.latencies[name] for name in asked[:-1])
    # It may wait for half as long as its own request takes.
    assert found[int(0.95 * len(found))] <= 1.5 * alone
    # The engine stands still for a part of the time between its requests.
    assert times.prefilled - before >= 400 * 6


def test_a_key_whose_requests_wait_to_be_prepared_is_heavy() -> None:
    """Its requests come one at a time, as often as they can be prepared."""
    times = Timetable()
    quiet = keep_asking(times, "quiet", prompt=20, tokens=1, pause_s=0.05)
    times.run(2.0)
    alone = longest(times, quiet[1:])
    attacks: list[str] = []

    def attack() -> None:
        request = {"prompt": 20, "tokens": 1, "num_behind": 59}
        attacks.append(times.ask("attacker", **request, after_s=0.02, then=attack))

    attack()
    times.run(1.0)
    quiet.clear()
    attacks.clear()
    times.run(6.0)
    found = sorted(times.latencies[name] for name in quiet[:-1])
    assert found[int(0.95 * len(found))] <= 1.5 * alone
    # Alone it gets 21 a second. The quiet one takes a third of the time, and the
    # engine waits for it for at most half of the rest.
    assert len(attacks) >= 6 * 21 / 3


def test_an_answer_beside_long_prompts_takes_twice_as_long_after_a_step() -> None:
    times = Timetable()
    quiet = keep_asking(times, "quiet", prompt=60, tokens=48, pause_s=1.0)
    times.run(6.0)
    alone = longest(times, quiet)
    for _ in range(16):
        keep_asking(times, "attacker", prompt=1200, tokens=1, pause_s=0.005)
    times.run(2.0)
    quiet.clear()
    before = times.prefilled
    times.run(20.0)
    # It comes in a step that is four times as long as beside a stream.
    assert longest(times, quiet[:-1]) <= 0.25 + 2 * alone
    assert times.prefilled - before >= 400 * 20


def test_many_light_keys_do_not_keep_a_heavy_one_from_its_prompts() -> None:
    times = Timetable()
    for number in range(12):
        keep_asking(times, f"light {number}", prompt=40, tokens=20, pause_s=0.05)
    times.run(3.0)
    heavy = [times.ask("heavy", prompt=600, tokens=1) for _ in range(4)]
    counter = count()
    while not all(name in times.latencies for name in heavy):
        times.run(1.0)
        assert next(counter) < 20
