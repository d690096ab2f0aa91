"""What is captured has no secrets, no files, and is not too long."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.captures.answers import LONGEST_SECRET, joined
from accounts.captures.redaction import REDACTED, Redaction
from accounts.captures.writer import Captured, redacted, store
from accounts.models import CapturedBody
from llm_manager.config.sections.records import CaptureSection
from tests.growth import is_in_proportion

SECRET = "sk-llmm-0123456789ab-abcdefghijklmnopqrstuvwxyz"


def redact(body: Any, *patterns: str, max_chars: int = 10_000) -> tuple[str, bool]:
    redaction = Redaction(patterns or CaptureSection().patterns, max_chars)
    return redacted(body, redaction), redaction.is_cut


def test_secrets_are_taken_out_of_every_text_and_name() -> None:
    body = {"messages": [{"content": f"my key is {SECRET}!", SECRET: 1}], "n": 2}
    text, is_cut = redact(json.dumps(body).encode())
    assert SECRET not in text
    assert json.loads(text) == {
        "messages": [{"content": f"my key is {REDACTED}!", REDACTED: 1}],
        "n": 2,
    }
    assert not is_cut


def test_what_a_client_gives_for_its_mcp_servers_is_taken_out() -> None:
    server = {"type": "mcp", "authorization": "t0ken", "headers": {"X-Key": "t0ken"}}
    body = json.dumps({"tools": [server, {"type": "function", "headers": "kept"}]})

    text, _ = redact(body.encode())
    damaged, _ = redact(body[:-1].encode())

    assert "t0ken" not in text + damaged
    assert json.loads(text)["tools"][1]["headers"] == "kept"


def test_patterns_are_those_of_the_configuration() -> None:
    text, _ = redact({"a": "Ünal, born 1990-01-02 ✓"}, r"\d{4}-\d\d-\d\d", "(?i)ünal")
    assert json.loads(text) == {"a": "[redacted], born [redacted] ✓"}


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("data:image/png;base64," + "iVBOR" * 9, "[image/png, 67 characters]"),
        ("data:,hello", "[data, 11 characters]"),
        ("QUJD" * 300, "[base64, 1,200 characters]"),
        (("QUJD" * 19 + "\r\n") * 9 + "QQ==\n", "[base64, 707 characters]"),
        (("  " + "QUJD" * 16 + "\n") * 9 + "  QQ", "[base64, 607 characters]"),
    ],
)
def test_of_files_only_their_size_is_kept(file: str, shown: str) -> None:
    part = {"type": "image_url", "image_url": {"url": file}}
    text, _ = redact({"messages": [{"content": [part]}]})
    assert file not in text
    assert shown in text


def test_a_text_that_is_there_again_token_by_token_is_kept_once() -> None:
    tokens = [{"token": "sk-", "logprob": -0.1}, {"token": "0123456789abcdefg"}]
    text = "sk-0123456789abcdefg"
    chat = {"message": {"content": text}, "logprobs": {"content": tokens}}
    completion = {"text": text, "logprobs": {"tokens": ["sk-", "0123456789abcdefg"]}}
    pieces = {"tokens": [{"id": 1, "piece": "sk-"}, {"id": 2, "piece": text[3:]}]}
    kept = redact([chat, completion, pieces, {"logprobs": True, "tokens": 7}])[0]
    assert "0123456789" not in kept
    assert json.loads(kept) == [
        {"message": {"content": REDACTED}, "logprobs": "[tokens]"},
        {"text": REDACTED, "logprobs": "[tokens]"},
        {"tokens": "[tokens]"},
        {"logprobs": True, "tokens": 7},
    ]


@pytest.mark.parametrize(
    "prompt", [[101, 7592], [[101], [7592, 2088]], ["a text", [101]], [101, "a"]]
)
def test_prompts_of_token_ids_are_left_out(prompt: list[Any]) -> None:
    """Their text would be redacted, and anybody can read it who has the model."""
    for name in ("prompt", "input"):
        kept = redact({name: prompt, "n": 2})[0]
        assert "101" not in kept
        assert "7592" not in kept
        assert "[tokens]" in kept
        assert json.loads(kept)["n"] == 2


def test_prompts_of_texts_and_items_are_kept() -> None:
    body = {"prompt": ["a", "b"], "input": [{"role": "user", "content": [{"n": 1}]}]}
    assert json.loads(redact(body)[0]) == body


def test_a_pattern_finds_a_number_that_is_no_text() -> None:
    kept, _ = redact({"card": 4111111111111111, "n": 2, "on": True}, r"\d{16}", "True")
    assert json.loads(kept) == {"card": REDACTED, "n": 2, "on": True}


def test_an_address_of_an_image_and_words_are_no_files() -> None:
    body = {"url": "https://example.org/a.png", "text": "one two " * 100}
    assert json.loads(redact(body)[0]) == body


def test_a_body_that_is_no_json_is_kept_as_text() -> None:
    assert redact(b'{"key": "' + SECRET.encode() + b"\xff") == (
        '{"key": "[redacted]\ufffd',
        False,
    )


def test_a_secret_at_the_cut_is_not_kept_in_part() -> None:
    body = {"text": "x" * 95 + SECRET + "y" * 100}
    text, is_cut = redact(body, max_chars=110)
    assert is_cut
    assert "sk-llmm" not in text


def test_secrets_before_it_do_not_move_a_torn_one_into_what_is_kept() -> None:
    for more in range(len(SECRET)):
        body = {"text": f"{SECRET} " * 4 + "x" * more + " " + f"{SECRET} " * 4}
        text, is_cut = redact(body, max_chars=110)
        assert is_cut
        assert "sk-" not in text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=30),
        lambda inner: (
            st.lists(inner, max_size=5)
            | st.dictionaries(st.text(max_size=5), inner, max_size=5)
        ),
        max_leaves=30,
    ),
    st.integers(1, 400),
)
def test_nothing_is_much_longer_than_the_bound_whatever_it_is(
    body: Any, max_chars: int
) -> None:
    redaction = Redaction((), max_chars)
    kept = json.dumps(redaction.value(body), ensure_ascii=False)
    whole = json.dumps(body, ensure_ascii=False)
    if not redaction.is_cut:
        assert len(kept) <= len(whole)
    # Brackets and escapes are not counted exactly.
    assert len(kept) <= 8 * max_chars + 200


def test_deep_bodies_are_cut() -> None:
    body: Any = []
    for _ in range(500):
        body = [body]
    text, is_cut = redact(body)
    assert is_cut
    assert text.count("[") < 300


def test_a_hostile_text_takes_a_pattern_no_longer_than_another_one() -> None:
    # Python's own would take longer than the universe is old.
    assert is_in_proportion(
        lambda size: redact({"a": "a" * size}, "(a+)+b", max_chars=size), 100_000
    )


def event(**payload: Any) -> bytes:
    return b"data: " + json.dumps(payload).encode() + b"\n\n"


def test_a_stream_is_one_answer_in_which_words_are_whole() -> None:
    half = len(SECRET) // 2
    pieces = [
        b": keep-alive\n\n",
        event(id="c-1", choices=[{"index": 0, "delta": {"role": "assistant"}}]),
        event(choices=[{"index": 0, "delta": {"reasoning_content": "Hm"}}]),
        event(choices=[{"index": 0, "delta": {"content": SECRET[:half]}}]),
        event(choices=[{"index": 1, "delta": {"content": "other"}}]),
        event(choices=[{"index": 0, "delta": {"content": SECRET[half:]}}]),
        event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]),
        event(choices=[], usage={"total_tokens": 3}),
        b"data: [DONE]\n\n",
    ]
    answer = joined(pieces)
    assert answer["choices"][0]["message"]["content"] == SECRET
    text, _ = redact(answer)
    assert json.loads(text) == {
        "id": "c-1",
        "usage": {"total_tokens": 3},
        "choices": [
            {
                "index": 0,
                "message": {"reasoning_content": "Hm", "content": REDACTED},
                "finish_reason": "stop",
            },
            {"index": 1, "message": {"content": "other"}},
        ],
    }


@pytest.mark.parametrize("half", [1, 20, len(SECRET) - 1])
def test_a_stream_that_is_cut_keeps_no_part_of_a_secret(half: int) -> None:
    """No pattern matches the half of one: each text goes without its end."""
    text, kept = "x" * LONGEST_SECRET + SECRET[:half], "x" * half
    call = {"function": {"name": "look", "arguments": text}}
    deltas: list[dict[str, Any]] = [
        {"index": 0, "delta": {"role": "assistant", "content": text}},
        {"index": 1, "delta": {"tool_calls": [call]}},
        {"index": 2, "text": text},
    ]
    chunks = joined([event(choices=[each]) for each in deltas], is_cut=True)
    written, called, completed = chunks["choices"]
    assert written["message"] == {"content": kept}
    assert called["message"]["tool_calls"]["0"] == {"name": "look", "arguments": kept}
    assert completed["text"] == kept
    response = event(type="response.output_text.delta", output_index=0, delta=text)
    assert joined([response], is_cut=True) == {"output": [{"output_text": kept}]}
    block = {"type": "text_delta", "text": text}
    message = event(type="content_block_delta", index=0, delta=block)
    assert joined([message], is_cut=True) == {"content": [{"text": kept}]}


def test_a_captured_stream_of_which_the_end_is_missing_is_stored_without_a_torn_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: dict[str, Any] = {}
    monkeypatch.setattr(
        CapturedBody.objects, "create", lambda **columns: made.update(columns)
    )
    piece = event(choices=[{"index": 0, "delta": {"content": f"so: {SECRET[:9]}"}}])
    store(Captured("r", 1, "", False, [piece], is_stream=True, is_cut=True))
    assert "sk-" not in made["answer"]
    assert made["is_answer_cut"]


def test_a_stream_of_calls_of_completions_and_with_an_error_is_put_together() -> None:
    calls = [
        [{"index": 0, "function": {"name": "look", "arguments": '{"a"'}}],
        [{"index": 0, "function": {"arguments": ":1}"}}],
    ]
    chat = joined(
        event(choices=[{"index": 0, "delta": {"tool_calls": each}}]) for each in calls
    )
    assert chat["choices"][0]["message"]["tool_calls"] == {
        "0": {"name": "look", "arguments": '{"a":1}'}
    }
    texts = joined(event(choices=[{"index": 0, "text": text}]) for text in "ab")
    assert texts["choices"] == [{"index": 0, "text": "ab"}]
    # What was kept of it ends in the middle of an event.
    torn = joined([event(error={"code": "x"}), b'data: {"choices": [{"ind'])
    assert torn == {"error": {"code": "x"}}


def test_a_response_is_its_last_event_or_the_texts_before_it() -> None:
    begin = event(type="response.created", response={"id": "r", "output": []})
    deltas = [
        event(type="response.output_text.delta", output_index=0, delta=text)
        for text in ("Hel", "lo")
    ]
    assert joined([begin, *deltas]) == {"output": [{"output_text": "Hello"}]}
    whole = {"id": "r", "output": [{"content": "Hello"}]}
    end = event(type="response.completed", response=whole)
    assert joined([begin, *deltas, end]) == whole


def test_a_stream_of_a_message_is_its_blocks() -> None:
    def delta(index: int, **piece: str) -> bytes:
        return event(type="content_block_delta", index=index, delta=piece)

    start = {"id": "m", "type": "message", "content": [], "usage": {"input_tokens": 3}}
    call = {"type": "tool_use", "name": "look", "input": {}}
    answer = joined(
        [
            b"event: message_start\n" + event(type="message_start", message=start),
            event(type="ping"),
            event(
                type="content_block_start",
                index=0,
                content_block={"type": "text", "text": ""},
            ),
            delta(0, type="text_delta", text=SECRET[:9]),
            delta(0, type="text_delta", text=SECRET[9:]),
            event(type="content_block_stop", index=0),
            event(type="content_block_start", index=1, content_block=call),
            delta(1, type="input_json_delta", partial_json='{"a"'),
            delta(1, type="input_json_delta", partial_json=":1}"),
            event(
                type="message_delta",
                delta={"stop_reason": "tool_use"},
                usage={"output_tokens": 2},
            ),
            event(type="message_stop"),
        ]
    )
    assert answer == {
        "id": "m",
        "type": "message",
        "content": [
            {"type": "text", "text": SECRET},
            call | {"partial_json": '{"a":1}'},
        ],
        "usage": {"output_tokens": 2},
        "stop_reason": "tool_use",
    }


def test_ollamas_lines_are_put_together() -> None:
    def line(**members: Any) -> bytes:
        return json.dumps({"model": "m", **members}).encode() + b"\n"

    def said(**members: Any) -> dict[str, Any]:
        return {"role": "assistant", "content": "", **members}

    calls = [{"function": {"name": name, "arguments": {}}} for name in "ab"]
    lines = [
        line(message=said(thinking="so"), done=False),
        line(message=said(content=SECRET[:9]), done=False),
        line(message=said(content=SECRET[9:], tool_calls=calls[:1]), done=False),
        line(message=said(tool_calls=calls[1:]), done=True, eval_count=3),
    ]
    message = said(content=SECRET, thinking="so", tool_calls=calls)
    end = {"model": "m", "done": True, "eval_count": 3}
    assert joined(lines) == {**end, "message": message}

    # Cut anywhere, also within a line, it goes without its end.
    cut = joined([*lines[:2], lines[2][:-9]], is_cut=True)
    assert cut["message"]["content"] == ""
    texts = [line(response=text, done=False) for text in ("Hel", "lo")]
    assert joined(texts)["response"] == "Hello"
    assert joined([line(error="no")]) == {"model": "m", "error": "no"}


def test_a_pattern_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"\(\?=x\).*no pattern of RE2"):
        CaptureSection(patterns=("(?=x)",))
