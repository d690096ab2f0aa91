"""The estimate of tokens, held against a real tokenizer."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from inference.engine.llama.vocabulary import Vocabularies
from inference.prompts.token_estimate import estimate_tokens
from tests.token_corpus import TEXTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_SMOLLM2 = 49_152
_LARGE = 151_936


@pytest.fixture(scope="module")
def count(sample_model_path: Path) -> Iterator[Callable[[str], int]]:
    """Counts the tokens of a text as the sample model does."""
    with closing(Vocabularies()) as vocabularies:
        tokenizer = vocabularies.of([str(sample_model_path)])
        yield lambda text: len(tokenizer.tokenize(text, special=False))


@pytest.mark.model
@pytest.mark.parametrize("kind", TEXTS)
def test_it_is_within_a_quarter_of_what_the_model_counts(
    kind: str, count: Callable[[str], int]
) -> None:
    counted = count(TEXTS[kind])

    assert estimate_tokens(TEXTS[kind], _SMOLLM2) == pytest.approx(counted, rel=0.25)


def test_other_scripts_take_fewer_tokens_of_a_large_vocabulary() -> None:
    large, small = (estimate_tokens(TEXTS["chinese"], n) for n in (_LARGE, _SMOLLM2))

    assert large < 0.6 * small
    assert estimate_tokens(TEXTS["chinese"]) == large


@pytest.mark.model
@pytest.mark.parametrize(
    "text", ["a" * 10_000, " " * 10_000, "\n" * 10_000, "=" * 10_000, "0" * 5_000]
)
def test_what_repeats_itself_is_never_taken_for_far_more_than_it_is(
    text: str, count: Callable[[str], int]
) -> None:
    assert estimate_tokens(text, _SMOLLM2) <= 1.25 * count(text)


def test_no_text_has_no_tokens() -> None:
    assert estimate_tokens("") == 0
