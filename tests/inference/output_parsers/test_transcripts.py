"""Each output parser reads what its models write, wherever the text was cut."""

from __future__ import annotations

import itertools
import json

import pytest

from inference.output_parsers.families import OUTPUT_PARSERS
from tests.inference.output_parsers.answers import answer_of, deltas_of, joined, parse
from tests.inference.output_parsers.transcripts import TEXT, TRANSCRIPTS, Transcript


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=str)
def test_a_transcript_becomes_content_reasoning_and_calls(
    transcript: Transcript,
) -> None:
    answer = parse(
        transcript.family, transcript.text, in_reasoning=transcript.in_reasoning
    )
    assert answer.content == transcript.content
    assert answer.reasoning == transcript.reasoning
    calls = tuple((name, json.loads(arguments)) for name, arguments in answer.calls)
    assert calls == transcript.calls


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=str)
def test_where_a_text_is_cut_makes_no_difference(transcript: Transcript) -> None:
    _assert_cuts_make_no_difference(transcript, cuts=1)


@pytest.mark.parametrize("name", ["now", "nobody"])
@pytest.mark.parametrize("family", OUTPUT_PARSERS)
def test_no_two_cuts_make_a_difference(family: str, name: str) -> None:
    framing = OUTPUT_PARSERS[family].framing
    call = framing.call.fill(name, "" if framing.parameter else "{}")
    _assert_cuts_make_no_difference(Transcript(family, f"Hi {call}\n Bye"), cuts=2)


def _assert_cuts_make_no_difference(transcript: Transcript, *, cuts: int) -> None:
    family, text = transcript.family, transcript.text
    in_reasoning = transcript.in_reasoning
    whole = joined(deltas_of(family, [text], in_reasoning=in_reasoning))
    for places in itertools.combinations(range(1, len(text)), cuts):
        borders = itertools.pairwise((0, *places, len(text)))
        pieces = [text[start:end] for start, end in borders]
        assert joined(deltas_of(family, pieces, in_reasoning=in_reasoning)) == whole


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
def test_text_without_calls_is_content_to_the_letter(family: str) -> None:
    assert parse(family, TEXT).content == TEXT
    assert answer_of(deltas_of(family, TEXT, tools={})).content == TEXT


@pytest.mark.parametrize("family", OUTPUT_PARSERS)
def test_text_is_held_back_only_while_it_may_become_a_tag(family: str) -> None:
    parser = OUTPUT_PARSERS[family].for_answer({"now": {}})
    parser.push("all\n")  # a message's recipient, to one of them
    assert parser.push("Hello < [ world! ")
    assert parser.push("More") != []
