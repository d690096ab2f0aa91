"""Prepares a request for the engine, or answers it if it needs none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.engine.errors import EngineError, InvalidRequest
from inference.engine.request import (
    DetokenizationRequest,
    GenerationRequest,
    TokenizationRequest,
)
from inference.engine.request_checks import check_begun_here
from inference.transport.messages.events import Refused
from inference.worker.preparation import ENCODING_LIMIT_S, LIMIT_S
from inference.worker.tokenization import counted, tokenized
from inference.worker.tokenizer_requests import answer_now

if TYPE_CHECKING:
    from inference.engine.config.engine_config import EngineConfig
    from inference.engine.request import ComputeRequest, ModelRequest
    from inference.transport.messages.events import Detokenized, Tokenized

#: Up to this many characters or tokens, tokenizing takes milliseconds.
_SHORT = 20_000


def prepare_request(
    request: ModelRequest, backend: Any, engine: EngineConfig
) -> ComputeRequest | Tokenized | Detokenized | Refused:
    """Return the request with token ids, or the answer. Any thread may call it.

    What its sampler needs is prepared and held by the backend.
    """
    try:
        if isinstance(request, TokenizationRequest | DetokenizationRequest):
            if isinstance(request, TokenizationRequest) and has_media(request):
                return counted(request, backend)
            return answer_now(request, backend.tokenizer)
        if isinstance(request, GenerationRequest):
            check_begun_here(request.resume, request.fingerprint, engine.fingerprint)
        prepared: ComputeRequest = tokenized(request, backend, task=engine.task)
    except EngineError as error:
        return Refused(request.request_id, error.code, error.message, error.param)
    return prepared


def too_slow(request: ModelRequest) -> Refused:
    """Return the refusal of a request that takes longer than is allowed to prepare."""
    if has_media(request):
        return Refused(
            request.request_id,
            InvalidRequest.code,
            f"The images and sounds take longer than {ENCODING_LIMIT_S:.0f} s to "
            "encode. Send fewer, smaller or shorter ones.",
        )
    return Refused(
        request.request_id,
        InvalidRequest.code,
        f"The request takes longer than {LIMIT_S:.0f} s to prepare. Shorten its text, "
        "its grammar or JSON schema, or its 'dry_sequence_breakers'.",
    )


def is_quick(request: ModelRequest) -> bool:
    """Whether preparing a request takes milliseconds at most."""
    return _length(request) <= _SHORT and not holds_much(request)


def holds_much(request: ModelRequest) -> bool:
    """Whether a prepared request holds much memory until it runs."""
    return has_slow_sampler(request) or has_media(request)


def has_media(request: ModelRequest) -> bool:
    """Whether a request has images or sounds to read."""
    kinds = GenerationRequest | TokenizationRequest
    return isinstance(request, kinds) and bool(request.media or request.sounds)


def has_slow_sampler(request: ModelRequest) -> bool:
    """Whether a request's sampler is prepared ahead."""
    return isinstance(request, GenerationRequest) and request.params.needs_preparation


def _length(request: ModelRequest) -> int:
    match request:
        case TokenizationRequest():
            return len(request.text)
        case DetokenizationRequest():
            return len(request.tokens)
        case GenerationRequest():
            return len(request.prompt) + len(request.suffix) + len(request.prediction)
    query = len(request.query or "") * len(request.inputs)
    return sum(map(len, request.inputs)) + query
