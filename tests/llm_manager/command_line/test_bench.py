"""`llm-manager bench`: what it makes of what it sees."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from inference.benchmark.figures import (
    BenchmarkResult,
    MeasuredStream,
    PromptResult,
    prompt_result,
    streams_result,
)
from llm_manager import cli
from llm_manager.command_line.bench import measuring

if TYPE_CHECKING:
    from llm_manager.command_line.remote.connection import Connection


def stream(
    asked_at: float, first_at: float, last_at: float, tokens: int
) -> MeasuredStream:
    return MeasuredStream(
        asked_at, first_at, last_at, prompt_tokens=1000, tokens=tokens
    )


def test_streams_at_once_count_from_the_first_request_to_the_last_token() -> None:
    result = streams_result(
        [stream(0.0, 1.0, 5.0, 41), stream(0.0, 2.0, 10.0, 41), stream(1, 2, 6, 18)]
    )
    assert (result.streams, result.tokens) == (3, 100)
    assert result.tokens_per_second == pytest.approx(10.0)
    # 40 tokens in 4 s, 40 in 8 s, 17 in 4 s.
    assert result.tokens_per_second_each == pytest.approx(5.0)
    assert result.first_token_median == pytest.approx(1.0)
    assert result.first_token_worst == pytest.approx(2.0)


def test_long_prompts_count_by_their_median() -> None:
    waits = (3.0, 2.0, 9.0)
    result = prompt_result([stream(1.0, 1.0 + wait, 20.0, 2) for wait in waits])
    assert (result.prompt_tokens, result.first_token_median) == (1000, 3.0)
    assert result.prompt_tokens_per_second == pytest.approx(1000 / 3)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is measured, with a result that is made up."""
    calls: list[dict[str, Any]] = []

    def run(_connection: Connection, model: str, **options: Any) -> BenchmarkResult:
        calls.append({"model": model, **options})
        several = [
            streams_result([stream(0.0, 0.5, 2.0, 4)] * n) for n in options["streams"]
        ]
        return BenchmarkResult(model, several, PromptResult(1024, 0.5, 2048.0))

    monkeypatch.setattr(measuring, "run_benchmark", run)
    return calls


def test_a_table_has_a_line_for_each_number_of_streams(
    asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["bench", "tiny"]) == 0
    _, one, eight, sixteen, _, prompt = capsys.readouterr().out.splitlines()
    assert one.split() == ["1", "2.0", "2.0", "0.50", "s", "0.50", "s"]
    assert [eight.split()[0], sixteen.split()[0]] == ["8", "16"]
    assert "1024 tokens of prompt: first token after 0.50 s, 2048 tokens/s" in prompt
    assert asked[0]["tokens"] == 128


def test_options_choose_what_is_measured(
    asked: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--streams", "2,4", "--tokens", "16", "--prompt-tokens", "64", "--json"]
    assert cli.run(["bench", "tiny", *options]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [each["streams"] for each in printed["streams"]] == [2, 4]
    assert printed["long_prompt"]["prompt_tokens_per_second"] == 2048.0
    assert (asked[0]["tokens"], asked[0]["prompt_tokens"]) == (16, 64)


@pytest.mark.parametrize("streams", ["0", "a", "1,,2", ""])
def test_what_is_no_number_of_streams_is_refused(
    streams: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["bench", "tiny", "--streams", streams]) == 2
    assert "is no list of numbers" in capsys.readouterr().err
