from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine import SamplingParams
from inference.protocol import (
    Abort,
    Accepted,
    Failed,
    Finished,
    Frame,
    Generate,
    Message,
    ProtocolError,
    Renew,
    Resend,
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
)
_tokens = st.lists(_ids, max_size=5).map(tuple)
_events = st.one_of(
    st.builds(Accepted, _texts, _ids),
    st.builds(TokensGenerated, _texts, _tokens, _texts),
    st.builds(Finished, _texts, _texts, _texts, st.builds(Usage, _ids, _ids, _ids)),
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
    ),
    st.builds(Abort, st.lists(_texts, max_size=3).map(tuple)),
    st.builds(Renew, _texts),
    st.builds(Resend, _texts, _ids),
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
        {"type": "engine.unknown", "v": 1},
        {"type": "engine.abort", "v": 0, "request_ids": []},
        {"type": "engine.abort", "v": 1},
        {"type": "engine.generate", "v": 1, "params": [1]},
        {"type": "engine.frame", "v": 1, "events": [["engine.nothing"]]},
    ],
)
def test_what_is_no_message_is_refused(wire: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        from_wire(wire)


def test_queue_names_are_valid_for_a_channel_layer() -> None:
    assert queue_name(12) == "queue.12"
