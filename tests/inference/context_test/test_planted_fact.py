"""The text with a fact in it."""

from __future__ import annotations

import pytest

from inference.context_test.planted_fact import (
    ANSWER,
    FACT,
    QUESTION,
    knows_fact,
    planted_text,
)


def letters(text: str) -> list[int]:
    return [ord(letter) for letter in text]


def words(tokens: tuple[int, ...]) -> str:
    return "".join(map(chr, tokens))


@pytest.mark.parametrize("n_tokens", [200, 1000, 20_000])
def test_the_text_has_the_length_that_was_asked_for(n_tokens: int) -> None:
    planted = planted_text(n_tokens, letters)
    assert len(planted) == n_tokens
    assert words(planted.question) == QUESTION


def test_the_fact_is_in_the_text_once_far_from_the_question() -> None:
    text = words(planted_text(10_000, letters).text)
    assert text.count(ANSWER) == 1
    assert text.count(FACT) == 1
    assert 900 < text.index(FACT) < 1100


def test_the_text_hardly_repeats_itself() -> None:
    sentences = words(planted_text(20_000, letters).text).split(".")
    assert len(set(sentences)) > 0.95 * len(sentences)


def test_the_question_does_not_give_the_fact_away() -> None:
    assert not knows_fact(QUESTION)


@pytest.mark.parametrize("answer", [" 48213. The baker", "48,213!", " 4 8 2 1 3"])
def test_the_fact_is_recognised(answer: str) -> None:
    assert knows_fact(answer)


@pytest.mark.parametrize("answer", ["", " 48", " 12345.", " blue"])
def test_another_answer_is_not(answer: str) -> None:
    assert not knows_fact(answer)


def test_a_text_without_room_for_the_fact_is_refused() -> None:
    with pytest.raises(ValueError, match="no room"):
        planted_text(50, letters)
