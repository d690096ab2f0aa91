"""Forced calls that are cut: whatever the length, the finish reason tells the truth."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inference.api.streaming.answer_assembler import AnswerAssembler, ParserSettings
from inference.output_parsers.families import OUTPUT_PARSERS
from tests.fakes import finished, tokens
from tests.inference.output_parsers.answers import TOOLS, Answer, answer_of

#: How calls are forced, as the settings of the parser.
MODES: dict[str, dict[str, Any]] = {
    "named": {"max_calls": 1, "only_calls": True},
    "required": {"only_calls": True},
    "required, not parallel": {"max_calls": 1, "only_calls": True},
    "strict auto": {"names_first": True},
    "strict auto, not parallel": {"max_calls": 1, "names_first": True},
}
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "with arguments": ("get_weather", {"city": "Paris", "days": 3}),
    "without arguments": ("now", {}),
}


def settings_of(family: str, mode: str) -> ParserSettings:
    return ParserSettings(OUTPUT_PARSERS[family], TOOLS, **MODES[mode])


def read(
    settings: ParserSettings, text: str, reason: str, size: int
) -> tuple[Answer, str | None]:
    """Return an answer of tokens of this size, and its finish reason."""
    assembler = AnswerAssembler(settings)
    deltas = []
    for at in range(0, len(text), size):
        deltas += assembler.take(tokens(text[at : at + size]), 1)
    deltas += assembler.take(finished(reason), 0)
    return answer_of(deltas), assembler.finish_reason


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("family", OUTPUT_PARSERS)
def test_a_call_is_cut_at_every_length(
    family: str, mode: str, call: tuple[str, dict[str, Any]]
) -> None:
    settings = settings_of(family, mode)
    name, arguments = call
    text = OUTPUT_PARSERS[family].framing.write([call])
    for length in range(1, len(text) + 1):
        for size in (1, length):
            answer, reason = read(settings, text[:length], "length", size)
            is_whole = [name for name, _ in answer.calls] == [name] and (
                answer.calls[0][1] == json.dumps(arguments)
            )
            if reason == "tool_calls":
                assert is_whole, text[:length]
                assert settings.max_calls == 1
            else:
                assert reason == "length", text[:length]
    if settings.max_calls == 1:
        assert read(settings, text, "length", 1)[1] == "tool_calls"
    assert read(settings, text, "stop", 1) == (
        Answer(calls=[(name, json.dumps(arguments))]),
        "tool_calls",
    )


PARIS = ("get_weather", {"city": "Paris"})
ROME = ("get_weather", {"city": "Rome"})
NOW: tuple[str, dict[str, Any]] = ("now", {})
SEVERAL = sorted(
    name
    for name, parser in OUTPUT_PARSERS.items()
    if parser.framing.separator is not None
)


def as_text(*calls: tuple[str, dict[str, Any]]) -> list[tuple[str, str]]:
    return [(name, json.dumps(arguments)) for name, arguments in calls]


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("family", SEVERAL)
@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ([PARIS, PARIS, PARIS], [PARIS]),
        ([NOW, NOW], [NOW]),
        ([PARIS, ROME, ROME, NOW], [PARIS, ROME]),
        ([PARIS, ROME, PARIS], [PARIS, ROME]),
    ],
)
def test_a_required_call_that_repeats_another_ends_the_answer(
    family: str,
    size: int,
    written: list[tuple[str, dict[str, Any]]],
    kept: list[tuple[str, dict[str, Any]]],
) -> None:
    text = OUTPUT_PARSERS[family].framing.write(written)

    answer, reason = read(settings_of(family, "required"), text, "length", size)

    assert (answer.calls, answer.content, reason) == (as_text(*kept), "", "tool_calls")


@pytest.mark.parametrize("family", SEVERAL)
@pytest.mark.parametrize("mode", ["required", "strict auto"])
def test_several_different_calls_are_all_there(family: str, mode: str) -> None:
    text = OUTPUT_PARSERS[family].framing.write([PARIS, ROME, NOW])

    answer, reason = read(settings_of(family, mode), text, "stop", 1)

    assert (answer.calls, reason) == (as_text(PARIS, ROME, NOW), "tool_calls")


@pytest.mark.parametrize("family", SEVERAL)
def test_a_call_that_is_cut_where_it_repeats_another_is_shown_as_far_as_it_came(
    family: str,
) -> None:
    write = OUTPUT_PARSERS[family].framing.write
    both = write([PARIS, PARIS])
    cut = both[: both.rindex("Paris") + 2]

    answer, reason = read(settings_of(family, "required"), cut, "length", 1)

    assert reason == "length"
    assert answer.calls[0] == as_text(PARIS)[0]
    assert len(answer.calls) == 2


def test_a_text_after_required_calls_ends_the_answer_and_is_not_shown() -> None:
    text = OUTPUT_PARSERS["hermes"].framing.write([PARIS]) + "\nI have asked."

    answer, reason = read(settings_of("hermes", "required"), text, "length", 3)

    assert answer == Answer(calls=as_text(PARIS))
    assert reason == "tool_calls"
