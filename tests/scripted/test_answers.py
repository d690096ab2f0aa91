"""What the scripted model says to the prompts of a real chat template."""

from __future__ import annotations

from tests.scripted.backend import ELSE, answer_to

SCRIPT = {"Count.": ["one", "two"], "Spell.": ["a"]}
TOOLS = "<|im_start|>system\n# Tools\n\n<tools>…</tools><|im_end|>\n"


def user(text: str) -> str:
    return f"<|im_start|>user\n{text}<|im_end|>\n"


def assistant(text: str) -> str:
    return f"<|im_start|>assistant\n{text}<|im_end|>\n"


RESULT = user("<tool_response>\nCount.\n</tool_response>")


def test_each_result_of_a_tool_leads_to_the_next_answer() -> None:
    assert answer_to(TOOLS + user("Count."), SCRIPT) == "one"
    assert answer_to(TOOLS + user("Count.") + RESULT, SCRIPT) == "two"
    assert answer_to(TOOLS + user("Count.") + RESULT * 2, SCRIPT) == "two"


def test_the_task_is_the_one_that_the_user_named_last() -> None:
    prompt = TOOLS + user("Count.") + RESULT + assistant("Spell.") + user("x")
    assert answer_to(prompt, SCRIPT) == "two"
    assert answer_to(prompt + user("Please: Spell. Now."), SCRIPT) == "a"


def test_without_tools_or_a_task_nothing_scripted_is_said() -> None:
    assert answer_to(user("Count."), SCRIPT) == ELSE
    assert answer_to(TOOLS + user("What?"), SCRIPT) == ELSE
