"""Tags in grammars, on vocabularies that have them as control tokens, or not."""

from __future__ import annotations

import json

import pytest
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from inference.engine.errors import GrammarError
from inference.engine.structured_output.control_tokens import resolve_control_tokens
from inference.engine.structured_output.grammar import Grammar
from inference.engine.structured_output.matcher import GrammarCompiler

#: Control tokens follow the bytes; None ends a generation.
CONTROLS = {"<end>": None, "<call>": 257, "<think>": 258, "</think>": 259}


class _Bytes:
    """Tokens are bytes, and the control tokens."""

    eos_token_id = 256
    bos_token_id = None
    tokens = [*(bytes([byte]) for byte in range(256)), *(n.encode() for n in CONTROLS)]
    special_token_ids = list(range(256, 256 + len(CONTROLS)))

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


TOKENS = LLTokenizer(TokenizerWrapper(_Bytes()), eos_token=[256])
GRAMMAR = 'start: (control_0 until_1)? control_2 "x" control_3\n'
CONTROL_TOKENS = (("<think>",), ("</think>", "[/THINK]"), ("<call>",), ("<end>",))


def ids(*parts: str) -> list[int]:
    """Return the tokens of texts; a control token's name is that token."""
    named = {name: 256 + number for number, name in enumerate(CONTROLS)}
    return [
        token
        for part in parts
        for token in ([named[part]] if part in named else part.encode())
    ]


def accepts(grammar: Grammar, tokens: list[int], **controls: int | None) -> bool:
    """Whether the tokens match as a whole."""
    matcher = LLMatcher(TOKENS, resolve_control_tokens(grammar, controls), log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    is_all = matcher.try_consume_tokens(tokens) == len(tokens)
    return is_all and matcher.is_accepting()


@pytest.mark.parametrize(
    ("parts", "is_match"),
    [
        (("<call>", "x"), True),
        (("<think>", "a </think", "</think>", "<call>", "x"), True),
        (("<think>", "a[/THINK]", "<call>", "x"), True),
        (("<think>", "a[/THINK]b", "</think>", "<call>", "x"), False),
        (("<think>", "a", "<call>", "x"), False),
        (("<call>", "x", "<call>"), False),
    ],
)
def test_a_tag_is_the_control_token_of_its_name(
    parts: tuple[str, ...], is_match: bool
) -> None:
    grammar = Grammar(GRAMMAR, control_tokens=CONTROL_TOKENS)

    assert accepts(grammar, ids(*parts), **CONTROLS) is is_match


@pytest.mark.parametrize(
    ("text", "is_match"),
    [
        ("<call>x<end>", True),
        ("<think>a</think><call>x<end>", True),
        ("<think>a[/THINK]<call>x<end>", True),
        ("<think>a</think>b[/THINK]<call>x<end>", False),
        ("<call>x", False),
    ],
)
def test_a_tag_that_is_not_in_the_vocabulary_is_text(text: str, is_match: bool) -> None:
    grammar = Grammar(GRAMMAR, control_tokens=CONTROL_TOKENS)

    assert accepts(grammar, list(text.encode())) is is_match


def test_text_can_be_without_a_tag() -> None:
    grammar = Grammar("start: without_0\n", control_tokens=(("<a>", "/b\n"),))

    assert accepts(grammar, ids("<a <b> /b b\n"))
    assert not accepts(grammar, ids("text <a> text"))
    assert not accepts(grammar, ids("/b\n"))
    assert accepts(grammar, ids("<a>"), **{"<a>": 257, "/b\n": 258})


@pytest.mark.parametrize(
    ("parts", "is_match"),
    [
        (("text",), True),
        (("a ", "<call>", "x", " b"), True),
        (("<call>", "x", "<call>", "x"), True),
        (("a ", "<call>", "y"), False),
        (("a [CALL]",), False),
    ],
)
@pytest.mark.parametrize("has_control", [True, False])
def test_a_tag_opens_what_the_grammar_says(
    parts: tuple[str, ...], *, is_match: bool, has_control: bool
) -> None:
    source = 'start: (open_0 "x")* without_0\n'
    grammar = Grammar(source, control_tokens=(("<call>", "[CALL]"),))

    if has_control:
        assert accepts(grammar, ids(*parts), **CONTROLS) is is_match
    else:
        assert accepts(grammar, list("".join(parts).encode())) is is_match


@pytest.mark.parametrize(
    "parts",
    [
        ("</a", "<call>", "b>"),
        ("<call>", "b"),
        ("a", "<call>"),
        ("<call>", "<think>"),
        ("a", "<call>", "b", "</think>", "c"),
    ],
)
def test_a_tag_may_have_control_tokens_in_it(parts: tuple[str, ...]) -> None:
    mark = "".join(parts)
    entry = ((mark, "[CALL]"),)
    control, until, without, opened = (
        Grammar(source, control_tokens=entry)
        for source in (
            "start: control_0\n",
            "start: until_0\n",
            "start: without_0\n",
            'start: (open_0 "x")* without_0\n',
        )
    )

    assert accepts(control, ids(*parts), **CONTROLS)
    assert accepts(until, ids("<a </a ", *parts), **CONTROLS)
    assert accepts(until, ids("a[CALL]"), **CONTROLS)
    assert not accepts(until, ids("a[CALL]", *parts), **CONTROLS)
    assert not accepts(until, ids("a", *parts, "b"), **CONTROLS)
    assert accepts(without, ids("a </a b>"), **CONTROLS)
    assert not accepts(without, ids(*parts), **CONTROLS)
    assert not accepts(without, ids("[CALL]"), **CONTROLS)
    assert accepts(opened, ids("a ", *parts, "x", *parts, "x a"), **CONTROLS)
    assert not accepts(opened, ids("a ", *parts, "y"), **CONTROLS)


def test_a_tag_may_have_several_control_tokens_in_it() -> None:
    mark = "<think>end</think>!"
    grammar = Grammar("start: until_0 control_0\n", control_tokens=((mark,),))
    controls = {"<think>": 258, "</think>": 259}
    once = ids("<think>", "end", "</think>", "!")
    assert accepts(grammar, [*ids("a end "), *once, *once], **controls)
    assert not accepts(grammar, [*once, *ids("<think>", "x", "</think>")], **controls)
    assert not accepts(grammar, ids(mark, mark), **controls)
    assert accepts(grammar, [*b"a ", *mark.encode(), *mark.encode()])


def test_the_tags_of_a_grammar_around_another_are_spelt_too() -> None:
    grammars = [
        {"lark_grammar": "start: until_0 @answer\n"},
        {"name": "answer", "json_schema": {"type": "integer"}},
    ]
    document = json.dumps({"grammars": grammars})
    grammar = Grammar(document, control_tokens=(("</think>",),))

    assert accepts(grammar, ids("hm", "</think>", "12"), **CONTROLS)
    assert not accepts(grammar, ids("hm", "</think>", "x"), **CONTROLS)


def test_a_grammar_without_control_tokens_stays_as_it_is() -> None:
    assert (
        resolve_control_tokens(Grammar("start: control_0"), CONTROLS)
        == "start: control_0"
    )


def test_a_matcher_knows_the_control_tokens_of_its_vocabulary() -> None:
    compiler = GrammarCompiler(TOKENS, CONTROLS)
    grammar = Grammar("start: control_0 /[a-z]/\n", control_tokens=(("<call>",),))
    as_text = Grammar(grammar.source, control_tokens=(("[CALL]",),))

    matcher = compiler.matcher(grammar)
    for token in ids("<call>", "a"):
        matcher.accept(token)
    other = compiler.matcher(as_text)
    other.accept(ord("["))
    with pytest.raises(GrammarError):
        compiler.matcher(as_text).accept(257)
    matcher.close()
    other.close()
