"""The thinking budget: reasoning is counted, and closed where the budget is spent."""

from __future__ import annotations

import re

import pytest

from inference.engine.sampling.thinking_budget import ThinkingBudget, ThinkingWatch

THINK = ("<think>",), ("</think>",)
HARMONY = {
    "begin": ("<|channel|>analysis<|message|>",),
    "end": ("<|end|>", "<|start|>"),
    "closing": "<|end|><|start|>assistant",
    "last_closing": "<|end|><|start|>assistant<|channel|>final<|message|>",
}


def written(budget: ThinkingBudget, pieces: list[str]) -> list[str]:
    """Return what comes of an answer that would be these pieces.

    A word, a tag or a line break is a token of its own.
    """
    names: list[str] = []

    def tokenize(text: str) -> list[int]:
        parts = re.findall(r"<[^>]*>|\w+|\s", text)
        names.extend(parts)
        return list(range(len(names) - len(parts), len(names)))

    watch = ThinkingWatch(budget, tokenize)
    wanted, out = list(pieces), []
    while watch.forced is not None or wanted:
        forced = watch.forced
        out.append(wanted.pop(0) if forced is None else names[forced])
        watch.accept(out[-1].encode("utf-8", "surrogateescape"))
    return out


def budget(max_tokens: int, *, is_begun: bool = False) -> ThinkingBudget:
    return ThinkingBudget(max_tokens, *THINK, "\n</think>\n\n", is_begun=is_begun)


CLOSING = ["\n", "</think>", "\n", "\n"]


def test_reasoning_within_its_budget_is_left_alone() -> None:
    answer = ["<think>", "a", "b", "</think>", "Yes", "and", "so", "on"]

    assert written(budget(3), answer) == answer


@pytest.mark.parametrize("space", [[], ["\n"]])
def test_reasoning_over_its_budget_is_closed_and_the_answer_continues(
    space: list[str],
) -> None:
    answer = [*space, "<think>", "a", "b", "Yes", "and", "so", "on"]

    assert written(budget(2), answer) == [
        *space, "<think>", "a", "b", *CLOSING, "Yes", "and", "so", "on",
    ]  # fmt: skip


def test_reasoning_that_the_prompt_has_begun_counts_from_the_first_token() -> None:
    assert written(budget(1, is_begun=True), ["a", "Yes"]) == ["a", *CLOSING, "Yes"]


def test_a_budget_of_zero_allows_no_reasoning() -> None:
    assert written(budget(0, is_begun=True), ["Yes"]) == [*CLOSING, "Yes"]
    assert written(budget(0), ["<think>", "Yes"]) == ["<think>", *CLOSING, "Yes"]


def test_a_tag_in_the_answer_begins_no_reasoning() -> None:
    answer = ["Yes", "<think>", "a", "b", "c"]

    assert written(budget(1), answer) == answer


def test_tags_are_found_however_they_are_cut() -> None:
    begun = ["<th", "ink>", "a", "</", "think>", "b", "c", "d"]

    assert written(budget(3), begun) == begun


def test_a_character_is_not_cut() -> None:
    smile = "😀".encode()
    halves = [smile[:2], smile[2:]]
    pieces = [half.decode("utf-8", "surrogateescape") for half in halves]

    assert written(budget(1, is_begun=True), [*pieces, "Yes"]) == [
        *pieces, *CLOSING, "Yes",
    ]  # fmt: skip


def test_bytes_that_never_become_a_character_do_not_stretch_the_budget() -> None:
    broken = b"\xf0".decode("utf-8", "surrogateescape")

    out = written(budget(1, is_begun=True), [broken] * 50)

    assert out.index("</think>") < 6


def test_repeated_reasoning_shares_a_budget_and_ends_in_the_answer() -> None:
    analysis = ["<|channel|>", "analysis", "<|message|>"]
    again = [*analysis, "a", "b", *analysis, *analysis, "Yes"]

    out = written(ThinkingBudget(2, **HARMONY), again)  # type: ignore[arg-type]

    first = ["<|end|>", "<|start|>", "assistant"]
    last = [*first, "<|channel|>", "final", "<|message|>"]
    assert out == [
        *analysis, "a", "b", *first, *analysis, *last, *analysis, *last, "Yes",
    ]  # fmt: skip
