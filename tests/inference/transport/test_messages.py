from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine import SamplingParams
from inference.engine.sampling.logprobs import TokenLogprob, TokenLogprobs
from inference.engine.structured_output.grammar import Grammar
from inference.transport.messages import (
    VERSION,
    Abort,
    Accepted,
    Detokenize,
    Detokenized,
    Embed,
    Embedded,
    Failed,
    Finished,
    Frame,
    Generate,
    Hungry,
    Message,
    Present,
    PromptScored,
    ProtocolError,
    Released,
    Renew,
    Resend,
    Started,
    Tokenize,
    Tokenized,
    TokensGenerated,
    Usage,
    from_wire,
    queue_name,
    to_wire,
)

_texts = st.text(max_size=20)
_ids = st.integers(0, 2**31)
_params = st.builds(
    SamplingParams,
    temperature=st.floats(0, 2),
    seed=st.none() | st.integers(0, 2**63),
    max_tokens=st.none() | st.integers(1, 99),
    stop=st.lists(_texts, max_size=3).map(tuple),
    logit_bias=st.lists(st.tuples(_ids, st.floats(-100, 100)), max_size=3).map(tuple),
    logit_bias_text=st.just((("x", float("-inf")),)) | st.just(()),
    logprobs=st.none() | st.integers(0, 20),
    grammar=st.none() | st.builds(Grammar, _texts, _texts, st.just((("x", "y"),))),
    control_tokens=st.lists(_texts, max_size=3).map(tuple),
)
_logprob = st.builds(
    TokenLogprob, _ids, st.binary(max_size=5), st.floats(max_value=0, allow_nan=False)
)
_logprobs = st.lists(
    st.builds(TokenLogprobs, _logprob, st.lists(_logprob, max_size=2).map(tuple)),
    max_size=2,
).map(tuple)
_tokens = st.lists(_ids, max_size=5).map(tuple)
_bytes = st.lists(st.binary(max_size=5), max_size=3).map(tuple)
_events = st.one_of(
    st.builds(Accepted, _texts, _ids, _ids),
    st.builds(Started, _texts, _ids),
    st.builds(Released, _texts),
    st.builds(PromptScored, _texts, _logprobs),
    st.builds(TokensGenerated, _texts, _tokens, _texts, _logprobs),
    st.builds(Embedded, _texts, _bytes),
    st.builds(Tokenized, _texts, _tokens, _bytes),
    st.builds(Detokenized, _texts, _texts),
    st.builds(
        Finished, _texts, _texts, _texts, st.builds(Usage, _ids, _ids, _ids), _logprobs
    ),
    st.builds(Failed, _texts, _texts, _texts, st.none() | _texts),
)
_messages = st.one_of(
    st.builds(
        Generate,
        request_id=_texts,
        reply_to=_texts,
        prompt=_texts | st.lists(_ids, max_size=5),
        params=_params,
        deadline=st.floats(0, 1e10),
        special=st.booleans(),
        resume=_tokens,
        tenant=_texts,
        key=_texts,
        weight=st.floats(0.01, 100),
        priority=st.integers(-100, 100),
    ),
    st.builds(
        Embed,
        request_id=_texts,
        reply_to=_texts,
        inputs=st.lists(_texts | st.lists(_ids, max_size=3), max_size=3).map(tuple),
        paths=st.lists(_texts, max_size=3).map(tuple),
        deadline=st.floats(0, 1e10),
        query=st.none() | _texts,
        key=_texts,
        weight=st.floats(0.01, 100),
        priority=st.integers(-100, 100),
    ),
    st.builds(
        Tokenize,
        _texts,
        _texts,
        _texts,
        st.floats(0, 1e10),
        st.booleans(),
        st.booleans(),
    ),
    st.builds(Detokenize, _texts, _texts, _tokens, _texts, st.floats(0, 1e10)),
    st.builds(Abort, st.lists(_texts, max_size=3).map(tuple)),
    st.builds(Renew, _texts),
    st.builds(Resend, _texts, _ids),
    st.builds(Present, _texts, _ids),
    st.builds(Hungry, _ids),
    st.builds(Frame, _texts, _texts, _ids, st.lists(_events, max_size=4).map(tuple)),
    _events,
)


@given(_messages)
def test_every_message_survives_the_wire(message: Message) -> None:
    packed = msgpack.packb(to_wire(message))
    assert from_wire(msgpack.unpackb(packed)) == message


@pytest.mark.parametrize(
    "wire",
    [
        {},
        {"type": "engine.unknown", "v": VERSION},
        {"type": "engine.abort", "v": VERSION - 1, "request_ids": []},
        {"type": "engine.abort", "v": VERSION},
        {"type": "engine.generate", "v": VERSION, "params": [1]},
        {"type": "engine.frame", "v": VERSION, "events": [["engine.nothing"]]},
    ],
)
def test_what_is_no_message_is_refused(wire: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        from_wire(wire)


def test_queue_names_are_valid_for_a_channel_layer() -> None:
    assert queue_name(12) == "queue.12"
