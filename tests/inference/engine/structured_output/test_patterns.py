from __future__ import annotations

import pytest

from inference.engine.structured_output import grammars
from inference.engine.structured_output.json_schema.patterns import rust_pattern
from tests.inference.engine.structured_output.recogniser import allows


@pytest.mark.parametrize(
    ("pattern", "spelt"),
    [
        ("^[a-z]+$", "^[a-z]+$"),
        ("^[[]$", r"^[\[]$"),
        ("[a&&b]", r"[a\&\&b]"),
        ("[+--]", r"[+-\-]"),
        ("[~~-]", r"[\~\~-]"),
        (r"[\[\]\\]", r"[\[\]\\]"),
        (r"\[a&&b]", r"\[a&&b]"),
        ("[]", r"[^\s\S]"),
        ("a[^]b", r"a[\s\S]b"),
        ("[^]]", r"[\s\S]]"),
    ],
)
def test_what_means_something_else_in_rust_is_escaped(pattern: str, spelt: str) -> None:
    assert rust_pattern(pattern) == spelt


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("^[+--]$", ["+", ",", "-"], [".", "*"]),
        (r"^\d\w\/\-$", ["1_/-"], ["٣a/-", "1é/-", "🯸a/-"]),
        (r"^\s$", [" ", "\\t", "\\n"], ["\xa0", "\u2003", "\u3000"]),
        (r"^\D\W\S$", ["٣éa", "xé\u3000"], ["1éa", "xaa", "xé "]),
        (r"^[\d.]{2}[^\w][\s\S]$", ["1.-x", ".1é\u3000"], ["٣.-x", "1._x"]),
        (r"^[\w.-]+@[\w-.]+$", ["a.b-c@d-e.f"], ["é@d", "a@"]),
        (r"^\<\@\!\>$", ["<@!>"], ["@!"]),
        ("^.$", ["é", "😀"], ["\\n"]),
        ("^[^]$", ["x", "\\n"], [""]),
    ],
)
def test_patterns_mean_what_they_do_in_javascript(
    pattern: str, good: list[str], bad: list[str]
) -> None:
    grammar = grammars.json_schema({"type": "string", "pattern": pattern})

    assert [text for text in good if not allows(grammar, f'"{text}"')] == []
    assert [text for text in bad if allows(grammar, f'"{text}"')] == []
