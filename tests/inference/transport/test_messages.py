from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.engine import SamplingParams
from inference.engine.media.inputs import ImageInput, SoundInput
from inference.engine.output import PoolingOutput, PrefillProgress, SequenceOutput
from inference.engine.request import (
    DetokenizationRequest,
    GenerationRequest,
    PoolingRequest,
    TokenizationRequest,
)
from inference.engine.sampling.logprobs import TokenLogprob, TokenLogprobs
from inference.engine.sampling.thinking_budget import ThinkingBudget
from inference.engine.sequence import FinishReason
from inference.engine.structured_output.grammar import Grammar
from inference.transport.codec import (
    OLDEST,
    VERSION,
    ProtocolError,
    WireMessage,
    from_wire,
    to_wire,
)
from inference.transport.messages.commands import Abort, Renew, Resend
from inference.transport.messages.events import (
    Accepted,
    Detokenized,
    Frame,
    LineState,
    Refused,
    Released,
    Tokenized,
)
from inference.transport.messages.peers import Beat, StealRequests, WorkerHeartbeat
from inference.transport.messages.requests import QueuedRequest
from inference.transport.messages.running import (
    AskRunning,
    CancelAnswer,
    CancelRequest,
    CurrentRequest,
    LineOfWorker,
    RunningOfWeb,
    RunState,
)
from inference.transport.queue import queue_name

_texts = st.text(max_size=20)
_ids = st.integers(0, 2**31)
_times = st.floats(0, 1e10)
#: The whole numbers of a request that runs.
_COUNTS = (
    "model_id",
    "sequences",
    "replica",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
)
_names = st.lists(_texts, max_size=3).map(tuple)
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
    thinking=st.none() | st.builds(ThinkingBudget, _ids, _names, _names, _texts),
    control_tokens=_names,
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
_ends = st.none() | st.sampled_from(FinishReason)
_events = st.one_of(
    st.builds(
        SequenceOutput,
        _texts,
        *[_ids] * 5,
        tokens=_tokens,
        text=_texts,
        logprobs=_logprobs,
        prompt_logprobs=_logprobs,
        is_start=st.booleans(),
        finish_reason=_ends,
        error=_texts,
        code=_texts,
    ),
    st.builds(PoolingOutput, _texts, _ids, _bytes, finish_reason=_ends),
    st.builds(Accepted, _texts, _ids, _ids),
    st.builds(Released, _texts),
    st.builds(Refused, _texts, _texts, _texts, st.none() | _texts),
    st.builds(Tokenized, _texts, _tokens, _bytes),
    st.builds(Detokenized, _texts, _texts),
)
_weights, _priorities = st.floats(0.01, 100), st.integers(-100, 100)
_token_ids = st.lists(_ids, max_size=5)
_requests = st.one_of(
    st.builds(
        GenerationRequest,
        _texts,
        _token_ids,
        _params,
        resume=_tokens,
        prediction_token_ids=_tokens,
        adapters=st.lists(st.tuples(_texts, _weights), max_size=2).map(tuple),
        media=st.lists(
            st.builds(ImageInput, _ids, _ids, st.binary(), _texts), max_size=2
        ).map(tuple),
        media_marker=_texts,
        sounds=st.lists(
            st.builds(SoundInput, _ids, _ids, st.binary(), _texts), max_size=2
        ).map(tuple),
        sound_marker=_texts,
        owner=_texts,
        key=_texts,
        weight=_weights,
        priority=_priorities,
        prompt=_texts,
        suffix=_texts,
        prediction=_texts,
        add_special_tokens=st.booleans(),
    ),
    st.builds(
        PoolingRequest,
        _texts,
        st.lists(_token_ids, max_size=3).map(tuple),
        key=_texts,
        weight=_weights,
        priority=_priorities,
        inputs=st.lists(_texts | _token_ids, max_size=3).map(tuple),
        paths=_names,
        query=st.none() | _texts,
    ),
    st.builds(TokenizationRequest, _texts, _texts, st.booleans(), st.booleans()),
    st.builds(DetokenizationRequest, _texts, _tokens, _texts),
)
_messages = st.one_of(
    st.builds(QueuedRequest, _requests, _texts, _times),
    st.builds(Abort, _names),
    st.builds(Renew, _texts),
    st.builds(Resend, _texts, _ids),
    st.builds(WorkerHeartbeat, _texts, _texts, _texts, _ids),
    st.builds(Beat, _texts),
    st.builds(StealRequests, _ids),
    st.builds(AskRunning, _texts),
    st.builds(CancelRequest, _texts, _texts, _texts),
    st.builds(
        RunningOfWeb,
        st.lists(
            st.builds(
                CurrentRequest,
                arrived_at=_times,
                queued_at=_times,
                waiting=_names,
                prefilling=_names,
                **dict.fromkeys(_COUNTS, _ids),
                state=st.sampled_from(RunState),
                tokens_per_second=st.none() | st.floats(0, 1e6),
            ),
            max_size=2,
        ).map(tuple),
        _ids,
    ),
    st.builds(
        LineOfWorker,
        _texts,
        _names,
        st.lists(st.builds(PrefillProgress, _texts, _ids, _ids)).map(tuple),
    ),
    st.builds(CancelAnswer, st.booleans()),
    st.builds(
        Frame, _texts, _texts, _ids, _ids, st.lists(_events, max_size=4).map(tuple)
    ),
    st.builds(LineState, _texts, _texts, _ids, _ids, _ids, _names),
)


@given(_messages)
def test_every_message_survives_the_wire(message: WireMessage) -> None:
    packed = msgpack.packb(to_wire(message))
    assert from_wire(msgpack.unpackb(packed)) == message


@pytest.mark.parametrize(
    "wire",
    [
        {},
        {"type": "engine.unknown", "v": VERSION},
        {"type": "engine.abort", "v": OLDEST - 1, "request_ids": []},
        {"type": "engine.abort", "v": VERSION},
        {"type": "engine.request", "v": VERSION, "request": ["generate", 1]},
        {
            "type": "engine.request",
            "v": VERSION,
            "request": ["generate", 1],
            "reply_to": "",
            "deadline": 0,
        },
        {"type": "engine.frame", "v": VERSION, "events": [["nothing"]]},
    ],
)
def test_invalid_messages_are_refused(wire: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        from_wire(wire)


def test_queue_names_are_valid_for_a_channel_layer() -> None:
    assert queue_name(12) == "queue.12"
