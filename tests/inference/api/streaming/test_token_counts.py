"""What an earlier request counts already is not counted a second time."""

from __future__ import annotations

from inference.api.streaming.token_counts import TokenCounts


def test_counts_of_several_answers_have_tokens_of_each_kind() -> None:
    first = TokenCounts(10, 4, 7, 3, 2, 6)
    second = TokenCounts(20, 8, 9, 1, 4, 5)

    assert first + second == TokenCounts(30, 12, 16, 4, 6, 11)
    assert sum([first], TokenCounts()) == first
