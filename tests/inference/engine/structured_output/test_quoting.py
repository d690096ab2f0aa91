"""Grammars of texts that stand in a JSON string."""

from __future__ import annotations

import json

import pytest

from inference.engine.structured_output import grammars
from inference.engine.structured_output.compiling import InvalidGrammar
from inference.engine.structured_output.quoting.letter_case import without_case
from tests.inference.engine.structured_output.recogniser import allows

#: The grammar of Codex CLI's tool apply_patch.
PATCH = r"""
start: begin_patch hunk+ end_patch
begin_patch: "*** Begin Patch" LF
end_patch: "*** End Patch" LF?

hunk: add_hunk | delete_hunk | update_hunk
add_hunk: "*** Add File: " filename LF add_line+
delete_hunk: "*** Delete File: " filename LF
update_hunk: "*** Update File: " filename LF change_move? change?

filename: /(.+)/
add_line: "+" /(.*)/ LF -> line

change_move: "*** Move to: " filename LF
change: (change_context | change_line)+ eof_line?
change_context: ("@@" | "@@ " /(.+)/) LF
change_line: ("+" | "-" | " ") /(.*)/ LF
eof_line: "*** End of File" LF

%import common.LF
"""
GOOD_PATCH = (
    '*** Begin Patch\n*** Update File: src/a "b".py\n@@ def f():\n'
    '-\tprint("x\\n")\n+\tprint("é \x07")\n*** End Patch'
)
#: Grammars, texts of theirs, and others.
CASES: dict[str, tuple[list[str], list[str]]] = {
    PATCH: (
        [GOOD_PATCH, f"{GOOD_PATCH}\n"],
        [GOOD_PATCH.replace("\n", ""), f"{GOOD_PATCH}\n\n", "*** Begin Patch\n"],
    ),
    'start: "say \\"hi\\"\\n" | /[^"\\\\]+/': (['say "hi"\n', "a\tb\x00"], ['"', "\\"]),
    'start: "a".."f" ("x" | "\\t".."\\r")~2': (["axx", "f\t\n", "bx\r"], ["gxx", "ax"]),
    'start: "Yes\\n"i': (["YES\n", "yes\n"], ["yes", "YES\\N"]),
    r"start: /a[ \t\D]b/": (["a b", "a\tb"], ["a1b", "ab"]),
    r"start: /(?i:q\/[^x\n])./s": (["Q/y\n", 'q/""'], ["q/X\n", "q/\nx"]),
    "start: WORD (/\\\\d/ | /\\x2d\\u{1F600}[\\x{22}]/)\n%import common.WORD": (
        ["ab\\d", 'ab-😀"'],
        ["ab\\", "1\\d"],
    ),
    # Case is Unicode's, and classes of characters are ASCII.
    "start: /k[à-ÿ]σß/i": (
        ["kéσß", "\u212aÉς\u1e9e", "KŸΣß"],
        ["kaσß", "késß", "kéσss"],
    ),
    r"start: /\d\w\s/": (["1a ", "1K\t"], ["\u0661a ", "1é ", "1a\u2003"]),
    # A question mark before the name of a terminal is no part of it.
    'start: "-"?INT\n%import common.INT': (["-5", "5"], ["-", "--5"]),
    'start: "x" root | "y"\nroot: "a"': (["xa", "y"], ["x", "a"]),
    "start: INT /[^0-9]/ QUOTED\n%import common (INT)\n"
    "%import common.ESCAPED_STRING -> QUOTED": (
        ['12\n"a \\" b"', '1x""'],
        ['12"a', '12\n"a', "x"],
    ),
}


@pytest.mark.parametrize("source", CASES)
def test_json_writes_what_the_grammar_allows_and_nothing_else(source: str) -> None:
    good, bad = CASES[source]
    plain, quoted = grammars.lark(source), grammars.text_in_json(source)
    for text in (*good, *bad):
        assert allows(plain, text) == (text in good), text
        written = json.dumps(text, ensure_ascii=False)[1:]
        assert allows(quoted, written) == (text in good), written


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("start: <think>", "'<think>' is not supported"),
        ("start: @other", "unknown grammar @other"),
        ('start: %json {"type": "string"}', "'%json' is not supported"),
        ('start: "a"\n%ignore / /', "'%ignore' is not supported"),
        ("start: A\nA: ~/a/ & /./", "'~' is not supported"),
        (r"start: /a\b/", "lookarounds"),
        (r"start: /[!--b]/", "classes within classes"),
        ("start: /(?x:a b)/", "flags other than i and s"),
        ("start: /a/m", "'/a/m' is not supported"),
        ("start: nothing", "nothing"),
        ("start: /[a/", ""),
        ("", "it is empty"),
    ],
)
def test_what_is_no_text_is_refused_by_name(source: str, reason: str) -> None:
    with pytest.raises(InvalidGrammar) as caught:
        grammars.text_in_json(source)
    if reason and source:
        assert reason in caught.value.message


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("start: " + "/a?/ " * 4000 + "/b/", "it is larger than 16384 bytes"),
        ("start: " + "(" * 5000 + '"a"' + ")" * 5000, ""),
        (
            "start: a20\na0: /./\n"
            + "\n".join(f"a{i + 1}: a{i} a{i}" for i in range(20)),
            "too big",
        ),
    ],
)
def test_a_grammar_that_costs_too_much_is_refused(source: str, reason: str) -> None:
    with pytest.raises(InvalidGrammar) as caught:
        grammars.text_in_json(source)
    assert reason in caught.value.message


def test_a_class_gains_only_characters_that_it_has_not() -> None:
    everything = [(0, 0x10FFFF)]

    assert without_case(everything) == everything
    # The sign of Kelvin and the long s.
    letters = [(0x41, 0x7A)]
    assert set(without_case(letters)) == {*letters, (0x212A,) * 2, (0x17F,) * 2}
