"""A long text with one fact in it, and the question whether a model still knows it.

The text is plain prose, so that models without a chat template can read it as well. The
question is left open at its end: the model completes it with the fact.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    #: Returns the tokens of a text; the first text begins with the model's BOS.
    Tokenize = Callable[[str], list[int]]

#: The place of the fact in the text: far from the question, and not at its beginning,
#: which some models remember better than the rest.
PLANTED_AT = 0.1
#: What a model says if it knows the fact.
ANSWER = "48213"
FACT = f" Note that the code of the blue door is {ANSWER}."
QUESTION = " Remember the note: the code of the blue door is"

_WHO = (
    "The baker",
    "My neighbour",
    "A young teacher",
    "The old sailor",
    "Her brother",
    "The gardener",
    "A tired doctor",
    "Their daughter",
    "The clerk",
    "A quiet painter",
)
_DOES = (
    "walked to",
    "looked at",
    "waited near",
    "talked about",
    "came back from",
    "wrote a letter about",
    "drew a picture of",
    "sat in front of",
    "told a story about",
    "took the road to",
)
_WHAT = (
    "the harbour",
    "the market",
    "the small library",
    "the wooden bridge",
    "the railway station",
    "the empty theatre",
    "the village school",
    "the stone church",
    "the river bank",
    "the apple orchard",
)
_WHEN = (
    "in the morning",
    "before the rain",
    "after a long winter",
    "on a warm evening",
    "without a word",
    "as the bells rang",
    "with two friends",
    "while the others slept",
    "for the second time",
    "at the end of the week",
)


@dataclass(frozen=True, slots=True)
class PlantedText:
    """The tokens of a text with the fact in it, and those of the open question."""

    text: tuple[int, ...]
    question: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.text) + len(self.question)


def planted_text(n_tokens: int, tokenize: Tokenize) -> PlantedText:
    """Return a text that has this many tokens together with its question.

    It is always the same one for a vocabulary. Raises ValueError if there is no room
    for the fact.
    """
    fact = tokenize(FACT)
    question = tokenize(QUESTION)
    room = n_tokens - len(fact) - len(question)
    if room < 0:
        raise ValueError(f"{n_tokens} tokens have no room for the fact and a question")
    before = int(n_tokens * PLANTED_AT)
    filler = _filler(room, tokenize)
    text = [*filler[:before], *fact, *filler[before:]]
    return PlantedText(tuple(text), tuple(question))


def knows_fact(answer: str) -> bool:
    """Return whether a model's answer has the fact."""
    return ANSWER in answer.replace(",", "").replace(" ", "")


def _filler(n_tokens: int, tokenize: Tokenize) -> list[int]:
    tokens: list[int] = []
    for sentence in _sentences():
        if len(tokens) >= n_tokens:
            break
        tokens += tokenize(sentence)
    return tokens[:n_tokens]


def _sentences() -> Iterator[str]:
    chance = random.Random(1)  # noqa: S311 - a text, not a secret
    while True:
        who, does, what, when = map(chance.choice, (_WHO, _DOES, _WHAT, _WHEN))
        yield f" {who} {does} {what} {when}."
