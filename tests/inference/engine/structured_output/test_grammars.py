from __future__ import annotations

import json
import subprocess
import sys

import pytest

from inference.engine.structured_output import compiling, grammars
from inference.engine.structured_output.compiling import InvalidGrammar
from tests.inference.engine.structured_output.recogniser import allows


def refused(make: object, source: object) -> str:
    with pytest.raises(InvalidGrammar) as caught:
        make(source)  # type: ignore[operator]
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_grammar_says_where_it_comes_from() -> None:
    assert grammars.regex("a", "guided_regex").param == "guided_regex"


def test_a_grammar_that_compiles_is_not_validated_besides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def validate(source: str) -> list[str]:
        raise AssertionError(source)

    monkeypatch.setattr(compiling, "validate", validate)
    # Nothing else has asked for it: what was checked is kept.
    assert grammars.regex("validated[0-9]once").source


def test_any_json_object_is_an_object() -> None:
    grammar = grammars.json_object()

    assert allows(grammar, '{"a": [1, {"b": null}], "c": "é"}')
    assert not any(allows(grammar, text) for text in ("[]", "1", "", "{} "))


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"[a-z]+@[a-z]+\.com", ["me@here.com"], ["me@here.org", "x me@here.com"]),
        ("^ab$", ["ab"], ["ab\n", "xab"]),
        ("a/b\n", ["a/b\n"], ["a/b"]),
        ("(?i)yes|no", ["Yes", "NO"], ["maybe"]),
        ("é{2}", ["éé"], ["é"]),
        # Classes are ASCII: no digits of other scripts.
        (r"\d{3}-\d{4}", ["555-0123"], ["🯸🯸🯸-🯸🯸🯸🯸", "٣٣٣-٣٣٣٣"]),
        (r"\w+\s[^\d]", ["a_1 x", "b\t٣"], ["é x", "a\u3000x", "a 1"]),
        (r"\D\W\S", ["٣é\u3000", "a- "[:2] + "b"], ["1é\u3000", "aab", "a- "]),
        (r"(?x) \d \s \d  # two digits", ["1 2"], ["12", "٣ 2"]),
        (r"\\d", [r"\d"], ["1"]),
    ],
)
def test_a_regular_expression_matches_the_whole(
    pattern: str, good: list[str], bad: list[str]
) -> None:
    grammar = grammars.regex(pattern)

    assert [text for text in good if not allows(grammar, text)] == []
    assert [text for text in bad if allows(grammar, text)] == []


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "unclosed group"),
        ("a(?=b)", "look-around"),
        (r"(a)\1", "backreferences"),
        ("[^\\s\\S]", "no text matches it"),
        ("x" * 40_000, "larger than 32768 bytes"),
    ],
)
def test_an_unsupported_regular_expression_is_refused(
    pattern: str, reason: str
) -> None:
    assert reason in refused(grammars.regex, pattern)


def test_a_choice_is_of_the_texts_as_they_are() -> None:
    texts = ["yes", "yes, please", 'a"b\\c\n\x7f', "é😀", "a|b"]
    grammar = grammars.choice(texts)

    assert all(allows(grammar, text) for text in texts)
    assert not any(allows(grammar, text) for text in ("ye", "yes,", "a", ""))


def test_a_grammar_in_lark() -> None:
    grammar = grammars.lark(
        'start: "The answer is " NUMBER | "None" // %json is no directive here\n'
        "NUMBER: /[0-9]+/"
    )

    assert allows(grammar, "The answer is 42")
    assert allows(grammar, "None")
    assert not allows(grammar, "The answer is ")


def test_classes_in_lark_are_ascii_too() -> None:
    grammar = grammars.lark(r'start: "d" NUMBER /[\w]/' + "\nNUMBER: /\\d+/")

    assert allows(grammar, "d12a")
    assert not allows(grammar, "d٣a")
    assert not allows(grammar, "d12é")


def test_schemas_inside_of_lark_are_as_strict_as_others() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    grammar = grammars.lark(
        f'start: "call " arguments\narguments: %json {json.dumps(schema)}\n'
    )

    assert allows(grammar, 'call {"a": 1}')
    assert not allows(grammar, 'call {"a": ""}')
    assert not allows(grammar, 'call {"a":     1}')
    reason = refused(
        grammars.lark, 'start: %json {"properties": {"a": {"minLenght": 1}}}'
    )
    assert (
        reason == "%json at 'properties.a.minLenght': this keyword cannot be enforced"
    )


def test_schemas_inside_of_lark_have_a_size_of_their_own() -> None:
    schema = json.dumps({"enum": ["x" * 1_000] * 100})

    grammars.lark(f"start: %json {schema} %json {schema}")

    reason = refused(grammars.lark, "start: " + f"%json {schema} " * 6)
    assert reason == "what its schemas have is larger than 524288 bytes"


def test_special_tokens_wait_for_the_models_own_vocabulary() -> None:
    grammars.lark('start: <|im_start|> "a" <[5]>')


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (" ", "Empty grammar"),
        ("start: foo", 'unknown name: "foo"'),
        ("start: start", "no text matches it"),
        ("start: /a(?=b)/", "look-around"),
        ("start: a\na[temperature=0.5]: /x/", "'temperature=' is not supported"),
        ('%llguidance {"lenient": true}\nstart: "a"', "options of %llguidance are"),
        ("%llguidance [}\nstart: /a/", "no JSON object at line 1"),
        ("start: %json {", "no JSON object at line 1"),
        ("start: %json " + '{"items":' * 9_000, "no JSON object"),
        ('{"grammars": [{"json_schema": {"foo": 1}}]}', "it is no Lark"),
        ("start: " + '"a" ' * 9_000, "larger than 32768 bytes"),
    ],
)
def test_unsupported_lark_is_refused(source: str, reason: str) -> None:
    assert reason in refused(grammars.lark, source)


def test_a_grammar_in_gbnf() -> None:
    grammar = grammars.gbnf('root ::= "(" root ")" | [0-9]+')

    assert allows(grammar, "((12))")
    assert not allows(grammar, "((12)")
    assert "no rule 'x'" in refused(grammars.gbnf, "root ::= x")
    assert "larger than" in refused(grammars.gbnf, f'root ::= "{"x" * 33_000}"')


_DEEP = """
from inference.engine.structured_output import grammars
rules = "\\n".join(f"r{n}: " + "(" * 20 + f"r{n + 1}" + ")" * 20 for n in range(600))
grammars.lark(f"start: r0\\n{rules}\\nr600: /a/")
terminals = "\\n".join(f"R{n}: R{n + 1}" for n in range(2300))
grammars.lark(f"start: R0\\n{terminals}\\nR2300: /a/")
"""


def test_grammars_that_would_overflow_a_stack_do_not() -> None:
    # In its own process: an overflow kills it.
    done = subprocess.run([sys.executable, "-c", _DEEP], capture_output=True)

    assert done.returncode == 0, done.stderr
