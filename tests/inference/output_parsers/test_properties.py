"""What holds for every output parser and any text."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from inference.output_parsers.deltas import ContentDelta, ReasoningDelta
from inference.output_parsers.families import OUTPUT_PARSERS
from tests.inference.output_parsers.answers import (
    answer_of,
    deltas_of,
    joined,
)
from tests.inference.output_parsers.transcripts import TRANSCRIPTS, Transcript

TAGS = sorted(
    {tag for parser in OUTPUT_PARSERS.values() for tag in parser.preserved_tokens}
)
# What formats are made of besides tags, and what trips parsers.
PIECES = [
    *TAGS, "<parameter=city>", "</parameter>", "[", "]", "{", "}", '{"name": "',
    '"arguments": ', '"parameters"', '"', "\\", ",", ":", ";", "\n", " ", "```json\n",
    "```", "all", "now", "get", "to=functions.now", "assistant", "analysis", "final",
    "function", "null", "12", "é", "😀", "\ud800", "\x00", "\u2028", "<", "</", "<|",
]  # fmt: skip
#: Those that are part of a tag where they follow or precede one.
HEADERS = {
    "harmony": {"<|start|>", "<|channel|>", "<|constrain|>", "assistant"}
    | {"to=functions.now"},
    "functionary_v32": {"all"},
}
QUIET = settings(suppress_health_check=[HealthCheck.too_slow])
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30)
CUTS = st.lists(st.integers(0, 400), max_size=6)

_STRINGS = st.text(max_size=8) | st.sampled_from([*TAGS, '"', "\\", "{}", ">>>all\n"])
_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | _FLOATS | _STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_STRINGS, inner),
    max_leaves=6,
)
# Values whose types the schemas in TOOLS tell apart.
ARGUMENTS = st.tuples(
    st.just("save"),
    st.fixed_dictionaries(
        {"note": st.dictionaries(_STRINGS, _VALUES, max_size=3)},
        optional={
            "tags": st.lists(_STRINGS, max_size=3),
            "rating": st.none() | _FLOATS,
        },
    ),
) | st.tuples(
    st.just("get_weather"),
    st.fixed_dictionaries(
        {"city": st.text(st.characters(exclude_characters="\n<"))},
        optional={"days": st.integers(), "hourly": st.booleans()},
    ),
)
# Values that are the same with and without quotes, under keys that are names.
_NAMES = st.text("abcdefgh_", min_size=1, max_size=6)
_PLAIN_VALUES = st.recursive(
    st.booleans() | st.integers() | _FLOATS | _NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner),
    max_leaves=6,
)
PLAIN_ARGUMENTS = st.tuples(
    st.just("save"),
    st.fixed_dictionaries(
        {"note": st.dictionaries(_NAMES, _PLAIN_VALUES, max_size=3)},
        optional={"tags": st.lists(_NAMES, max_size=3), "rating": _FLOATS},
    ),
)
#: Families that write text without quotes, also inside of lists and objects.
WITHOUT_QUOTES = {"minimax_m3"}


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
@QUIET
@given(data=st.data())
def test_calls_written_as_the_framing_says_are_read_back(
    family: str, data: st.DataObject
) -> None:
    one = PLAIN_ARGUMENTS if family in WITHOUT_QUOTES else ARGUMENTS
    calls: list[tuple[str, dict[str, Any]]]
    calls = data.draw(st.lists(one, min_size=1, max_size=3))
    framing = OUTPUT_PARSERS[family].framing
    if framing.separator is None:
        calls = calls[:1]
    answer = answer_of(deltas_of(family, [framing.write(calls)]))
    assert [(name, json.loads(text)) for name, text in answer.calls] == calls
    assert answer.content == ""


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
def test_no_tag_begins_another(family: str) -> None:
    for one, other in itertools.permutations(
        OUTPUT_PARSERS[family].preserved_tokens, 2
    ):
        assert not other.startswith(one)


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
@QUIET
@given(pieces=TEXTS)
@example(pieces=["before", "<|think|>", "behind"])
@example(pieces=["<think>", "behind"])
def test_text_without_calls_is_complete(family: str, pieces: list[str]) -> None:
    text = "".join(piece for piece in pieces if piece not in HEADERS.get(family, ()))
    deltas = deltas_of(family, [text], tools={"nobody": {}})
    assert answer_of(deltas).calls == []
    # A thought may come after content.
    texts = [d.text for d in deltas if isinstance(d, ContentDelta | ReasoningDelta)]
    assert _essence(family, "".join(texts)) == _essence(family, text)


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
@QUIET
@given(pieces=TEXTS, cuts=CUTS, in_reasoning=st.booleans())
def test_any_text_cut_anywhere_gives_the_same_deltas(
    family: str, pieces: list[str], cuts: list[int], in_reasoning: bool
) -> None:
    _assert_same_deltas(family, "".join(pieces), cuts, in_reasoning=in_reasoning)


@QUIET
@given(
    transcript=st.sampled_from(TRANSCRIPTS),
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(["", *PIECES])),
        min_size=1,
        max_size=3,
    ),
    cuts=CUTS,
)
def test_a_mangled_transcript_cut_anywhere_gives_the_same_deltas(
    transcript: Transcript, edits: list[tuple[float, int, str]], cuts: list[int]
) -> None:
    text = transcript.text
    for where, length, instead in edits:
        at = int(where * len(text))
        text = text[:at] + instead + text[at + length :]
    _assert_same_deltas(
        transcript.family, text, cuts, in_reasoning=transcript.in_reasoning
    )


def _assert_same_deltas(
    family: str, text: str, cuts: list[int], *, in_reasoning: bool
) -> None:
    whole = deltas_of(family, [text], in_reasoning=in_reasoning)
    answer_of(whole)
    borders = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[a:b] for a, b in itertools.pairwise(borders)]
    for cut_up in (pieces, text):
        deltas = deltas_of(family, cut_up, in_reasoning=in_reasoning)
        assert joined(deltas) == joined(whole)


def _essence(family: str, text: str) -> str:
    """Return the text without tags and white space."""
    parser = OUTPUT_PARSERS[family]
    thought = (*parser.reasoning.begin, *parser.reasoning.end)
    tags = sorted({*parser.preserved_tokens, *thought}, key=len, reverse=True)
    return re.sub("|".join([*map(re.escape, tags), r"[ \t\r\n]"]), "", text)
