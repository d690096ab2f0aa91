"""Patterns that begin with look-ahead: the same texts match, or they are refused."""

from __future__ import annotations

import itertools
import json
import re

import pytest

from inference.engine.structured_output import grammars
from inference.engine.structured_output.compiling import InvalidGrammar
from inference.engine.structured_output.json_schema.lookahead import without_lookahead
from tests.growth import is_in_proportion
from tests.inference.engine.structured_output.recogniser import allows

TEXTS = [
    *("1.5", "-", "+.", "0", "a@b.co", ".a@b.co", "a..b@c.de", "a.b@c.de"),
    *("Passw0rd1", "password1", "con", "nul", "none", " a", "12a", "x\ny", "é🙂", "/"),
    *("".join(each) for n in range(4) for each in itertools.product("ab1 ", repeat=n)),
]


@pytest.mark.parametrize(
    "pattern",
    [
        # What pydantic writes for a Decimal, and zod for an e-mail
        r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$",
        r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@"
        r"([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$",
        r"^(?=.*[A-Z])(?=.*\d).{8,}$",
        r"^(?=a|b).*1$",
        r"^(?!(?:a|b)1|d$)\w+$",
        r"^(?!con$|nul$)[a-z]+$",
        r"^(?!\s*$).+",
        r"(?!^\d+$)^.+$",
        r"^(?!a{2,3})[ab]*",
        r"^(?!a?b+1)[ab1]{3}$",
        r"^(?![^ab])(?!.*[\s\x31]).*$",
        r"^(?!x[\s\S]y)(?!\/).+",
        r"^(?!é\u{1f642})(?!1[0-4-]).",
    ],
)
def test_the_same_texts_match(pattern: str) -> None:
    grammar = grammars.json_schema({"type": "string", "pattern": pattern})
    python = re.compile(pattern.replace(r"\u{1f642}", "🙂"), re.ASCII)

    wrong = [
        text
        for text in TEXTS
        if allows(grammar, json.dumps(text, ensure_ascii=False))
        is not bool(python.search(text))
    ]

    assert wrong == []


@pytest.mark.parametrize(
    "pattern",
    [
        # Not at the beginning of the text, or not for all of it
        "(?=a)",
        "a(?=b)",
        "^(?!a)b|c$",
        "^(?:(?!a).)*$",
        "^(?<!a)b$",
        # More than an automaton of a few states
        r"^(?!(a)\1)b",
        r"^(?!a\b)b",
        r"^(?!.*a.{20})b*$",
        r"^(?!(a{100}){100})b*$",
        "^(?!(?:(?=a)b))c$",
        "^(?=a$|b$)c",
        "^(?!" + "(" * 50,
    ],
)
def test_what_cannot_be_rewritten_is_refused(pattern: str) -> None:
    assert without_lookahead(pattern) is None
    with pytest.raises(InvalidGrammar):
        grammars.json_schema({"type": "string", "pattern": pattern})


@pytest.mark.no_cover  # It measures processor time.
def test_a_hostile_look_ahead_takes_no_time() -> None:
    def work(size: int) -> None:
        for pattern in (
            "^(?!" + "(a|b)*" * (size // 50) + ")c",
            "^(?!" + "(" * (size // 150) + "a" + ")*" * (size // 150) + ")c",
            "^(?!" + ".*a.{9}" * (size // 333) + ")c",
            "^(?!" + "(?:" * size,
            "^" + "(?!a)" * size + "b",
        ):
            without_lookahead(pattern)

    assert is_in_proportion(work, 3_000)
