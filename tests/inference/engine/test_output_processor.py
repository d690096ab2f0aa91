from __future__ import annotations

from itertools import count
from typing import Any

from inference.engine import FinishReason, GenerationRequest, SamplingParams
from inference.engine.errors import DecodeError
from inference.engine.output_processor import OutputProcessor
from inference.engine.scheduling.scheduler import NewTokens
from inference.engine.sequence import Sequence
from inference.engine.telemetry import Telemetry
from tests.inference.engine.fakes import END, FakeTokenizer


class Desk:
    """A processor of one sequence's tokens, which are characters."""

    def __init__(self, resume: str = "", **params: Any) -> None:
        self.telemetry = Telemetry()
        seconds = count()
        self.outputs = OutputProcessor(
            FakeTokenizer(), self.telemetry, lambda: float(next(seconds))
        )
        request = GenerationRequest(
            "a",
            [ord("?")],
            SamplingParams(**params),
            resume=tuple(map(ord, resume)),
        )
        self.sequence = Sequence(
            request=request,
            tokens=[*request.prompt_token_ids, *request.resume],
            detokenizer=self.outputs.detokenizer(request),
            arrival=0,
            queued_at=0.0,
        )

    def text(self, tokens: str, reason: FinishReason | None = None) -> str:
        """Return what these tokens add; the sequence ends with them for a reason."""
        self.sequence.tokens += map(ord, tokens)
        if reason is not None:
            self.sequence.finish(reason)
        return self.outputs.process(NewTokens(self.sequence, len(tokens))).text


def test_text_that_may_begin_a_stop_string_is_held_back() -> None:
    desk = Desk(stop=("ENOUGH",))
    assert desk.text("well EN") == "well "
    assert desk.text("D") == "END"
    assert desk.text("ENOUGH") == ""
    assert desk.sequence.finish_reason is FinishReason.STOP


def test_an_end_gives_out_what_was_held_back() -> None:
    desk = Desk(stop=("ENOUGH",))
    assert desk.text("ENO", FinishReason.LENGTH) == "ENO"


def test_the_end_token_is_no_part_of_the_text_unless_it_is_asked_for() -> None:
    end = chr(END)
    assert Desk().text(f"no{end}", FinishReason.STOP) == "no"
    marked = Desk(control_tokens=("<end>",))
    assert marked.text(f"no{end}", FinishReason.STOP) == "no<end>"


def test_what_an_earlier_worker_delivered_is_not_returned_again() -> None:
    desk = Desk(resume="so far", stop=("far, so",))
    assert desk.text(", so good") == ""
    assert desk.sequence.finish_reason is FinishReason.STOP


def test_a_failed_sequence_returns_its_error_and_no_text() -> None:
    desk = Desk(stop=("ENOUGH",))
    desk.text("EN")
    desk.sequence.fail(DecodeError("out of luck"))
    output = desk.outputs.ended(desk.sequence)
    assert (output.text, output.error, output.code) == (
        "",
        "out of luck",
        "decode_failed",
    )
    assert output.finish_reason is FinishReason.FAILED


def test_the_first_token_counts_from_the_arrival_and_others_from_the_last() -> None:
    desk = Desk()
    desk.text("a")
    desk.text("bc")
    histograms = desk.telemetry.snapshot()["histograms"]
    assert sum(histograms["time_to_first_token_seconds"]["counts"]) == 1
    # Two tokens of a step share the time since the last one: a second.
    gaps = histograms["inter_token_latency_seconds"]
    assert (sum(gaps["counts"]), gaps["sum"]) == (2, 1.0)
