from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine.structured_output import grammars
from inference.engine.structured_output.gbnf.lexemes import to_lark
from inference.engine.structured_output.gbnf.parser import (
    GrammarSyntaxError,
    parse_gbnf,
)
from tests.inference.engine.structured_output.recogniser import allows, matches

JSON = r"""
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws   # no comma at the end
string ::=
  "\"" (
    [^"\\\x7F\x00-\x1F] |
    "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) # escapes
  )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9]+)? ws
ws ::= | " " | "\n" [ \t]{0,20}
"""
ARITHMETIC = r"""
root  ::= (expr "=" ws term "\n")+
expr  ::= term ([-+*/] term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= ([ \t\n] ws)?
"""


def lark(source: str) -> str:
    return to_lark(parse_gbnf(source))


@pytest.mark.parametrize(
    ("source", "good", "bad"),
    [
        ('root ::= "yes" | "no"', ["yes", "no"], ["", "y", "yesno"]),
        ("root ::= [a-c]+ [^a-c]", ["ab!", "c\n", "aé"], ["ab", "!", "ad!"]),
        ("root ::= .", ["a", "\n", "😀"], ["", "ab"]),
        ('root ::= "a"{2} "b"{1,2} "c"{1,}', ["aabc", "aabbccc"], ["abc", "aab"]),
        (r'root ::= "\x41\u00e9\U0001F600\n\"\\"', ['Aé😀\n"\\'], ["A"]),
        (r"root ::= [\]\[^-]", ["]", "[", "^", "-"], ["a", "\\"]),
        ("root ::= x-y2\nx-y2 ::= (\n  [0-9] # a digit\n)?", ["", "7"], ["77"]),
        ('root ::= "a" |\n "b"\r\n\r\n# the end', ["a", "b"], ["ab"]),
        ("root ::= [0-9] root | [0-9]", ["1", "123"], ["", "a"]),
        ('root ::= root "a" | "b"', ["b", "baa"], ["a", "ab"]),
        ('root ::= "(" root ")" | ""', ["", "()", "((()))"], ["(", "())"]),
        # Lexemes would swallow the beginning of what follows.
        ("root ::= word [s]\nword ::= [a-z]+", ["cats", "ss"], ["cat", "s"]),
        ('root ::= ("true" | [a-z]+) "x"', ["truex", "trx", "xx"], ["true", "x"]),
        (
            'root ::= "(" root ")" | n " " n | n\nn ::= [0-9]+ " "?',
            ["1 2", "(1  2 )", "1 "],
            ["1  2  ", "()"],
        ),
        # A way that never ends is left out.
        ('root ::= "a" | "b" x\nx ::= "c" x', ["a"], ["b", "bc"]),
        (JSON, ['{"a": [1, -2.5e3, true, {"b":"\\u0041"}]}', "{}\n  "], ["{", "[1]"]),
        (
            ARITHMETIC,
            ["a=1\n", "a +(b*3)=2\n\n", "x1=y\nz= 2\n"],
            ["a=1", "=1\n", "a=(1\n"],
        ),
    ],
)
def test_a_grammar_means_what_it_does_in_llama_cpp(
    source: str, good: list[str], bad: list[str]
) -> None:
    rules, grammar = parse_gbnf(source), lark(source)

    assert [text for text in good if not matches(rules, text)] == []
    assert [text for text in bad if matches(rules, text)] == []
    assert [text for text in good if not allows(grammar, text)] == []
    assert [text for text in bad if allows(grammar, text)] == []


_elements = st.sampled_from(['"a"', '"b"', '"ab"', "[ab]", "[^a]", "root", "x", "y"])
_expressions = st.recursive(
    _elements,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda e: f"({' '.join(e)})"),
        st.lists(inner, min_size=2, max_size=3).map(lambda e: f"({' | '.join(e)})"),
        st.tuples(inner, st.sampled_from("*+?")).map(lambda e: f"({e[0]}){e[1]}"),
    ),
    max_leaves=5,
)
_TEXTS = [
    "".join(letters) for n in range(5) for letters in itertools.product("ab", repeat=n)
]


@given(st.tuples(_expressions, _expressions, _expressions))
def test_any_grammar_means_the_same_in_lark(bodies: tuple[str, str, str]) -> None:
    names = ("root", "x", "y")
    rules = parse_gbnf("\n".join(map(" ::= ".join, zip(names, bodies, strict=True))))
    wanted = [text for text in _TEXTS if matches(rules, text)]

    try:
        grammar = to_lark(rules)
    except GrammarSyntaxError:
        # It matches no text that ends.
        found = []
    else:
        found = [text for text in _TEXTS if allows(grammar, text)]

    assert found == wanted


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "no rule 'root', at line 1, column 1"),
        ('x ::= "a"', "no rule 'root'"),
        ("root ::= x", "no rule 'x', at line 1, column 10"),
        ('root = "a"', "expected ::=, at line 1, column 6"),
        ('root ::= "a', "unexpected end"),
        ("root ::= [a", "unexpected end"),
        ("root ::= []", "class of characters is empty"),
        ("root ::= [b-a]", "upside down"),
        ('root ::= ("a"', "expected )"),
        ('root ::= "a")', "expected a line break or the end"),
        ("root ::= *", "nothing to repeat"),
        ('root ::= "a"{x}', "expected {m}, {m,} or {m,n}"),
        ('root ::= "a"{2,1}', "upside down"),
        ('root ::= "a"{10001}', "more than 10000 repetitions"),
        (r'root ::= "\q"', "unknown escape"),
        (r'root ::= "\ud800"', "no Unicode character"),
        ("root ::= <think>", "tokens are not supported"),
        ("root ::= root", "matches no text that ends"),
        (f"root ::= {'(' * 26}{')' * 26}", "nested deeper than 25"),
        ("\n".join(f'r{n} ::= "a"' for n in range(301)), "more than 300 rules"),
        (
            "root ::= "
            + " | ".join(f'"a{n}" root "b{n}"' for n in range(200))
            + ' | ""',
            "too large or too ambiguous",
        ),
    ],
)
def test_an_invalid_grammar_is_refused_with_its_place(source: str, reason: str) -> None:
    with pytest.raises(GrammarSyntaxError) as caught:
        lark(source)

    assert reason in str(caught.value)


def test_rules_that_lead_far_are_refused_and_do_not_overflow() -> None:
    chain = "\n".join(f'r{n} ::= r{n + 1} "x"' for n in range(298))
    with pytest.raises(GrammarSyntaxError, match="nested too deep"):
        lark(f'root ::= r0\n{chain}\nr298 ::= "y"')


def test_groups_as_deep_as_they_may_be_are_compiled() -> None:
    deep = "(" * 25 + '"a" | "b"' + ' "c")+' * 25

    grammars.gbnf(f'root ::= "x" root "y" | {deep}')
    grammars.gbnf(f"root ::= {deep}")
