"""Probabilities, echoes and the best of several answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from inference.api.streaming import collecting
from inference.api.streaming.logprobs import (
    chat_logprobs,
    joined,
    mean_logprob,
    text_logprobs,
)
from inference.engine.sampling.logprobs import TokenLogprob, TokenLogprobs
from tests.fakes import begun, finished, tokens
from tests.inference.api.conftest import events_of, read_stream

if TYPE_CHECKING:
    from inference.engine.output import SequenceOutput
    from tests.fakes import FakeEngineClient
    from tests.inference.api.conftest import Api


def token_logprobs(piece: str | bytes, logprob: float, **top: float) -> TokenLogprobs:
    """Return a token's probability, and those of others by their names."""
    data = piece.encode() if isinstance(piece, str) else piece
    others = tuple(TokenLogprob(1, name.encode(), p) for name, p in top.items())
    return TokenLogprobs(TokenLogprob(0, data, logprob), others)


def sampled(*chosen: TokenLogprobs, text: str | None = None) -> SequenceOutput:
    """Return the event of tokens with their probabilities."""
    own = b"".join(token.chosen.piece for token in chosen).decode()
    text = own if text is None else text
    return tokens(text, len(chosen), logprobs=chosen)


def ended(*sampled: TokenLogprobs) -> SequenceOutput:
    """Return the event of an end that came with these tokens."""
    return finished("length", logprobs=sampled)


def scored(*prompt: TokenLogprobs) -> SequenceOutput:
    """Return the event of a prompt's probabilities."""
    return tokens("", 0, prompt_logprobs=prompt)


HELLO = token_logprobs("Hello", -0.5, Hello=-0.5, Hi=-1.5)
WORLD = token_logprobs(" world", -0.25)
END = token_logprobs("<|im_end|>", -0.125)


# Objects ----------------------------------------------------------------------


def test_a_chat_has_each_token_with_its_bytes_and_the_most_likely() -> None:
    assert chat_logprobs([HELLO]) == {
        "content": [
            {
                "token": "Hello",
                "logprob": -0.5,
                "bytes": [72, 101, 108, 108, 111],
                "top_logprobs": [
                    {
                        "token": "Hello",
                        "logprob": -0.5,
                        "bytes": [72, 101, 108, 108, 111],
                    },
                    {"token": "Hi", "logprob": -1.5, "bytes": [72, 105]},
                ],
            }
        ],
        "refusal": None,
    }


def test_a_token_that_is_no_whole_character_is_shown_as_bytes() -> None:
    part = token_logprobs(b"\xf0\x9f", -1.0)

    (chat,) = chat_logprobs([part])["content"]
    assert (chat["token"], chat["bytes"]) == ("\\xf0\\x9f", [0xF0, 0x9F])
    assert text_logprobs([part], start=0)["tokens"] == ["bytes:\\xf0\\x9f"]


def test_a_text_has_lists_side_by_side() -> None:
    assert text_logprobs([HELLO, WORLD], start=4) == {
        "tokens": ["Hello", " world"],
        "token_logprobs": [-0.5, -0.25],
        "top_logprobs": [{"Hello": -0.5, "Hi": -1.5}, {" world": -0.25}],
        "text_offset": [4, 9],
    }


def test_the_sampled_token_is_among_the_most_likely_of_a_text() -> None:
    rare = token_logprobs("Ho", -5.0, Hello=-0.5)

    (top,) = text_logprobs([rare], start=0)["top_logprobs"]
    assert top == {"Hello": -0.5, "Ho": -5.0}


def test_of_tokens_with_one_name_the_most_likely_is_reported() -> None:
    token = TokenLogprobs(
        TokenLogprob(7, b"a", -2.0),
        (TokenLogprob(5, b"a", -1.0), TokenLogprob(7, b"a", -2.0)),
    )

    assert text_logprobs([token], start=0)["top_logprobs"] == [{"a": -1.0}]


def test_a_prompts_first_token_has_no_probability() -> None:
    prompt = text_logprobs([HELLO, WORLD], start=0, is_prompt=True)

    assert prompt["token_logprobs"] == [None, -0.25]
    assert prompt["top_logprobs"] == [None, {" world": -0.25}]
    answer = joined(prompt, text_logprobs([END], start=11))
    assert answer["tokens"] == ["Hello", " world", "<|im_end|>"]
    assert answer["text_offset"] == [0, 5, 11]


def test_offsets_count_characters_and_not_bytes() -> None:
    halves = [
        token_logprobs("é".encode()[:1], -1.0),
        token_logprobs("é".encode()[1:], -1.0),
    ]

    offsets = text_logprobs([*halves, HELLO], start=0)["text_offset"]
    assert offsets == [0, 1, 1]


@pytest.mark.parametrize("logprob", [float("-inf"), float("nan"), -10_000.0])
def test_the_impossible_has_openais_number(logprob: float) -> None:
    (token,) = chat_logprobs([token_logprobs("x", logprob)])["content"]

    assert token["logprob"] == -9999.0


def test_the_mean_is_over_tokens() -> None:
    assert mean_logprob([HELLO, WORLD]) == -0.375
    assert mean_logprob([]) == 0.0


# Chats ------------------------------------------------------------------------


async def test_a_chat_without_logprobs_asks_for_none(
    api: Api, engine: FakeEngineClient
) -> None:
    body = (await api.chat(logprobs=False, top_logprobs=0)).json()

    assert body["choices"][0]["logprobs"] is None
    assert engine.requests[0].params.logprobs is None


async def test_a_chat_with_logprobs_reports_every_token(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [sampled(HELLO)], [sampled(WORLD), ended(END)])

    body = (await api.chat(logprobs=True, top_logprobs=2)).json()

    content = body["choices"][0]["logprobs"]["content"]
    assert [each["token"] for each in content] == ["Hello", " world", "<|im_end|>"]
    assert [each["token"] for each in content[0]["top_logprobs"]] == ["Hello", "Hi"]
    assert engine.requests[0].params.logprobs == 2


async def test_a_chat_stream_reports_tokens_as_they_come(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [sampled(HELLO, text="")], [sampled(WORLD), ended(END)])

    response = await api.chat(logprobs=True, stream=True)
    *chunks, _ = events_of(await read_stream(response))

    choices = [chunk["choices"][0] for chunk in chunks]
    parts = [
        (choice["delta"].get("content"), [t["token"] for t in logprobs["content"]])
        for choice in choices
        if (logprobs := choice["logprobs"]) is not None
    ]
    # Text that is held back does not hold back its tokens.
    assert parts == [("", ["Hello"]), (" world", [" world", "<|im_end|>"])]
    assert choices[-1]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"top_logprobs": 1}, "top_logprobs"),
        ({"logprobs": False, "top_logprobs": 1}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
        ({"logprobs": 1}, "logprobs"),
        ({"echo": True}, "echo"),
        ({"best_of": 2}, "best_of"),
    ],
)
async def test_bad_logprobs_in_a_chat_are_refused(
    api: Api, body: dict[str, Any], param: str
) -> None:
    response = await api.chat(**body)

    assert response.status_code == 400
    assert response.json()["error"]["param"] == param


# Texts ------------------------------------------------------------------------


async def test_a_text_with_logprobs_reports_every_token(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [sampled(HELLO, WORLD), ended()])

    body = (await api.complete(logprobs=0)).json()

    logprobs = body["choices"][0]["logprobs"]
    assert logprobs["tokens"] == ["Hello", " world"]
    assert logprobs["text_offset"] == [0, 5]
    params = engine.requests[0].params
    assert (params.logprobs, params.prompt_logprobs) == (0, None)


async def test_a_text_stream_continues_its_offsets(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [sampled(HELLO)], [sampled(WORLD)], [ended(END)])

    response = await api.complete(logprobs=1, stream=True)
    *chunks, _ = events_of(await read_stream(response))

    logprobs = [c["choices"][0]["logprobs"] for c in chunks]
    offsets = [each["text_offset"] for each in logprobs if each is not None]
    assert offsets == [[0], [5], [11]]


# Echoes -----------------------------------------------------------------------


ONCE = [token_logprobs("On", 0.0), token_logprobs("ce", -2.0)]


async def test_an_echo_is_the_prompt_before_each_of_its_answers(
    api: Api, engine: FakeEngineClient
) -> None:
    body = (await api.complete(prompt=["One ", "Two "], n=2, echo=True)).json()

    assert [choice["text"] for choice in body["choices"]] == [
        "One Hello world",
        "One Hello world",
        "Two Hello world",
        "Two Hello world",
    ]
    assert body["choices"][0]["logprobs"] is None
    assert engine.requests[0].params.prompt_logprobs is None


async def test_an_echo_with_logprobs_reports_the_prompts_tokens_first(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(
        begun(),
        [scored(*ONCE), ended(HELLO)],
    )

    body = (await api.complete(echo=True, logprobs=1, max_tokens=1)).json()

    logprobs = body["choices"][0]["logprobs"]
    assert logprobs["tokens"] == ["On", "ce", "Hello"]
    assert logprobs["token_logprobs"] == [None, -2.0, -0.5]
    assert logprobs["text_offset"] == [0, 2, 4]
    params = engine.requests[0].params
    assert (params.logprobs, params.prompt_logprobs, params.max_tokens) == (1, 1, 1)


async def test_a_prompt_can_be_scored_without_an_answer(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(
        begun(),
        [
            scored(*ONCE),
            finished("length", prompt=2, completion=0),
        ],
    )

    body = (await api.complete(echo=True, logprobs=1, max_tokens=0)).json()

    assert body["choices"][0]["text"] == "Once"
    assert body["choices"][0]["logprobs"]["tokens"] == ["On", "ce"]
    assert body["usage"]["completion_tokens"] == 0
    assert engine.requests[0].params.max_tokens == 0


async def test_token_ids_are_echoed_as_their_text(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [scored(*ONCE), tokens(" upon"), finished()])

    body = (await api.complete(prompt=[1, 2], echo=True)).json()

    assert body["choices"][0]["text"] == "Once upon"
    assert body["choices"][0]["logprobs"] is None
    assert engine.requests[0].params.prompt_logprobs == 0


async def test_a_token_before_the_text_begins_where_the_text_does(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [scored(token_logprobs("<s>", 0.0), *ONCE), ended(HELLO)])

    body = (await api.complete(echo=True, logprobs=0)).json()

    logprobs = body["choices"][0]["logprobs"]
    assert logprobs["tokens"] == ["<s>", "On", "ce", "Hello"]
    assert logprobs["text_offset"] == [0, 0, 2, 4]


async def test_a_worker_that_takes_over_reports_the_prompt_again(
    api: Api, engine: FakeEngineClient
) -> None:
    first = scored(*ONCE)
    engine.enqueue(begun(), [first], [first, ended(HELLO)])

    body = (await api.complete(echo=True, logprobs=0)).json()

    assert body["choices"][0]["logprobs"]["tokens"] == ["On", "ce", "Hello"]


async def test_a_stream_begins_with_the_echo(
    api: Api, engine: FakeEngineClient
) -> None:
    prompt = scored(*ONCE)
    engine.enqueue(begun(), [prompt], [sampled(HELLO)], [ended(END)])

    response = await api.complete(echo=True, logprobs=0, stream=True)
    *chunks, _ = events_of(await read_stream(response))

    choices = [chunk["choices"][0] for chunk in chunks]
    assert [choice["text"] for choice in choices] == ["Once", "Hello", "", ""]
    offsets = [c["logprobs"]["text_offset"] for c in choices if c["logprobs"]]
    assert offsets == [[0, 2], [4], [9]]


async def test_a_stream_does_not_echo_again_for_a_worker_that_takes_over(
    api: Api, engine: FakeEngineClient
) -> None:
    prompt = scored(*ONCE)
    engine.enqueue(begun(), [prompt], [sampled(HELLO)], [prompt, ended(END)])

    response = await api.complete(echo=True, logprobs=0, stream=True)
    *chunks, _ = events_of(await read_stream(response))

    texts = [chunk["choices"][0]["text"] for chunk in chunks]
    assert texts == ["Once", "Hello", "", ""]


async def test_an_echo_streams_without_an_answer_too(
    api: Api, engine: FakeEngineClient
) -> None:
    engine.enqueue(begun(), [finished("length", completion=0)])

    response = await api.complete(echo=True, max_tokens=0, stream=True)
    *chunks, _ = events_of(await read_stream(response))

    assert [chunk["choices"][0]["text"] for chunk in chunks] == ["Once", ""]


# The best of several ----------------------------------------------------------


async def test_the_best_of_several_are_the_most_likely_by_token(
    api: Api, engine: FakeEngineClient
) -> None:
    for text, logprobs in (("a", (-3.0,)), ("b", (-1.0, -1.0, -1.0)), ("c", (-2.0,))):
        pieces = [token_logprobs(text, logprob) for logprob in logprobs]
        engine.enqueue(begun(), [sampled(*pieces), finished(completion=len(pieces))])

    body = (await api.complete(best_of=3, n=2, seed=5)).json()

    choices = [(choice["index"], choice["text"]) for choice in body["choices"]]
    assert choices == [(0, "bbb"), (1, "c")]
    assert body["choices"][0]["logprobs"] is None
    assert body["usage"]["completion_tokens"] == 5
    assert body["usage"]["prompt_tokens"] == 5
    assert [request.params.logprobs for request in engine.requests] == [0, 0, 0]
    assert [request.params.seed for request in engine.requests] == [5, 6, 7]


async def test_each_prompt_has_its_own_best(api: Api, engine: FakeEngineClient) -> None:
    for logprob in (-1.0, -2.0, -4.0, -3.0):
        piece = token_logprobs(str(logprob), logprob)
        engine.enqueue(begun(), [sampled(piece), finished()])

    body = (await api.complete(prompt=["p", "q"], best_of=2, echo=True)).json()

    assert [choice["text"] for choice in body["choices"]] == ["p-1.0", "q-3.0"]


async def test_as_many_as_are_asked_for_need_no_probabilities(
    api: Api, engine: FakeEngineClient
) -> None:
    await api.complete(best_of=2, n=2)

    assert [request.params.logprobs for request in engine.requests] == [None, None]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": -1}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"echo": "yes"}, "echo"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -2, "echo": True}, "max_tokens"),
        ({"best_of": 0}, "best_of"),
        ({"best_of": 17}, "best_of"),
        ({"best_of": 2, "n": 3}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"best_of": 2, "prompt": ["a"] * 65}, "best_of"),
    ],
)
async def test_bad_logprobs_in_a_text_are_refused(
    api: Api, engine: FakeEngineClient, body: dict[str, Any], param: str
) -> None:
    response = await api.complete(**body)

    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert engine.requests == []


async def test_an_answer_with_more_logprobs_than_are_kept_is_refused(
    api: Api, engine: FakeEngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "MAX_UNREAD_BYTES", 10_000)
    many = [sampled(token_logprobs("x", -0.1, y=-2.0)) for _ in range(50)]
    engine.enqueue([*begun(), *many], [finished()])

    response = await api.complete(logprobs=1)

    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "too_many_logprobs"
    assert error["param"] == "logprobs"
    assert engine.streams[0].is_closed
