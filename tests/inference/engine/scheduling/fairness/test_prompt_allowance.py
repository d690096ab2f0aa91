from __future__ import annotations

from inference.engine.scheduling.fairness.prompt_allowance import PromptAllowance


def test_without_light_keys_any_prompts_are_computed() -> None:
    allowance = PromptAllowance()
    allowance.begin(has_light=False)
    assert allowance.is_open


def test_the_first_step_of_a_light_key_has_none_each_time_that_it_comes() -> None:
    allowance = PromptAllowance()
    for _ in range(2):
        allowance.begin(has_light=True)
        assert not allowance.is_open
        allowance.count(1.0, 0.0)
        allowance.begin(has_light=True)
        assert allowance.is_open
        allowance.begin(has_light=False)


def test_a_long_piece_is_paid_back_by_the_steps_after_it() -> None:
    allowance = PromptAllowance()
    allowance.begin(has_light=True)
    allowance.count(1.0, 0.0)
    allowance.count(1.0, 4.0)
    steps = 0
    while not allowance.is_open:
        allowance.count(1.0, 0.0)
        steps += 1
    assert steps == 3


def test_nothing_is_saved_up() -> None:
    allowance = PromptAllowance()
    allowance.begin(has_light=True)
    for _ in range(100):
        allowance.count(1.0, 0.0)
    allowance.count(1.0, 2.5)
    assert not allowance.is_open
