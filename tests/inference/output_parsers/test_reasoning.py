"""Reasoning is the text between its tags before the answer, and nothing else."""

from __future__ import annotations

import pytest

from inference.output_parsers.families import OUTPUT_PARSERS
from tests.inference.output_parsers.answers import Answer, parse

CALL = '<tool_call>{"name": "now"}</tool_call>'


def test_a_call_in_reasoning_is_reasoning() -> None:
    answer = parse("hermes", f"<think>{CALL}</think>{CALL}")
    assert answer == Answer(reasoning=CALL, calls=[("now", "{}")])


def test_a_text_that_ends_in_reasoning_is_all_reasoning() -> None:
    assert parse("hermes", "<think>Hm <tool_call> ").reasoning == "Hm <tool_call> "
    assert parse("hermes", "Hm", in_reasoning=True) == Answer(reasoning="Hm")


def test_empty_reasoning_is_none() -> None:
    assert parse("hermes", "<think>\n\n</think>\n\nHi") == Answer("Hi")


def test_white_space_around_reasoning_belongs_to_the_tags() -> None:
    answer = parse("hermes", " <think>\n a\n\n b \n</think>\n\n  Hi\n")
    assert answer == Answer("Hi\n", reasoning="a\n\n b")


def test_a_prompt_and_a_model_that_both_begin_think_once() -> None:
    answer = parse("hermes", "\n<think>\na</think>b", in_reasoning=True)
    assert answer == Answer("b", reasoning="a")


def test_tags_further_down_are_prose() -> None:
    text = "HTML has no <think> and no </think>."
    assert parse("hermes", text) == Answer(text)


def test_reasoning_that_was_not_begun_may_be_closed() -> None:
    assert parse("hermes", "</think>\n\nHi") == Answer("Hi")
    assert parse("hermes", f"\n</think>{CALL}") == Answer(calls=[("now", "{}")])


def test_reasoning_about_the_tag_ends_at_the_first() -> None:
    answer = parse("hermes", "<think>a</think></think>b</think>c")
    assert answer == Answer("b</think>c", reasoning="a")


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("mistral_v11", "[THINK]a[/THINK]b"),
        ("mistral", "<think>a</think>b"),
        ("command_r", "<|START_THINKING|>a<|END_THINKING|><|START_TEXT|>b<|END_TEXT|>"),
        ("seed_oss", "<seed:think>a</seed:think>b"),
        ("gemma4", "<|channel>thought\na\n<channel|>b"),
        ("gemma4", "<|channel>thought<channel|><|channel>thought\na<channel|>b"),
        ("minimax_m3", "<mm:think>a</mm:think>b"),
        ("apertus", "<|inner_prefix|>a<|inner_suffix|>b"),
        ("granite", "Here's my thought process: a Here's my response: b"),
        ("granite", "<think>a</think><response>b</response>"),
        (
            "harmony",
            "<|channel|>analysis<|message|>a<|end|><|channel|>final<|message|>b",
        ),
    ],
)
def test_every_family_has_its_tags(family: str, text: str) -> None:
    assert parse(family, text) == Answer("b", reasoning="a")


@pytest.mark.parametrize(
    ("family", "prompt", "is_begun"),
    [
        ("hermes", "<|im_start|>assistant\n<think>\n", True),
        ("hermes", "<|im_start|>assistant\n", False),
        ("hermes", "<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("command_r", "<|CHATBOT_TOKEN|><|START_THINKING|>", True),
        ("command_r", "<|CHATBOT_TOKEN|><|START_THINKING|><|END_THINKING|>", False),
        ("gemma4", "<|turn>model\n<|channel>thought\n", True),
        ("gemma4", "<|turn>model\n<|channel>thought\n<channel|>", False),
        ("harmony", "<|start|>assistant", False),
        ("harmony", "<|start|>assistant<|channel|>analysis<|message|>", True),
    ],
)
def test_a_prompt_shows_whether_it_has_begun_the_reasoning(
    family: str, prompt: str, is_begun: bool
) -> None:
    assert OUTPUT_PARSERS[family].reasoning.is_begun_by(prompt) is is_begun
