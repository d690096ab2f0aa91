"""Requests that can never run on a model, refused before they are queued.

All of it is pure, so that it can run on any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.engine.errors import ContextExceeded, InvalidRequest, ModelReplaced
from inference.engine.media.spans import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.engine.sampling.params import SamplingParams


def check_request(
    *,
    prompt: list[int],
    params: SamplingParams,
    n_ctx: int,
    n_vocab: int,
    resume: tuple[int, ...] = (),
    has_media: bool = False,
) -> None:
    """Raise InvalidRequest if the request can never run on this model.

    ``n_ctx`` is the most positions that a sequence may get. With ``has_media`` some
    tokens of the prompt stand for pieces of images.
    """
    if not prompt:
        raise InvalidRequest("The prompt has no tokens.", param="prompt")
    count = len(prompt) + len(resume)
    # An answer needs a position of its own.
    if count >= n_ctx:
        detail = f" and {len(resume)} of the answer so far" if resume else ""
        raise ContextExceeded(
            too_long(n_ctx, "the prompt", len(prompt), detail=detail), param="prompt"
        )
    text = words(prompt) if has_media else prompt
    _check_vocabulary("The prompt", text, n_vocab, "prompt")
    params.check_tokens(n_vocab)


def check_begun_here(resume: tuple[int, ...], begun_by: str, loaded: str) -> None:
    """Raise ModelReplaced if another model than the loaded one began the answer.

    ``begun_by`` and ``loaded`` are fingerprints, "" where it is unknown.
    """
    if resume and begun_by not in ("", loaded):
        raise ModelReplaced(
            "The model's file was replaced while it answered this request, so the "
            "answer cannot go on. Send the request again."
        )


def check_inputs(
    inputs: Sequence[list[int]],
    paths: Sequence[str],
    *,
    n_ctx: int,
    n_vocab: int,
    with_query: bool = False,
) -> None:
    """Raise InvalidRequest if an input can never be computed; its path is named.

    ``with_query`` says that a query is a part of each.
    """
    for tokens, path in zip(inputs, paths, strict=True):
        if not tokens:
            raise InvalidRequest(f"'{path}' has no tokens.", param=path)
        if len(tokens) > n_ctx:
            raise ContextExceeded(
                too_long(
                    n_ctx,
                    f"'{path}'",
                    len(tokens),
                    detail=" with the query" if with_query else "",
                    advice="Shorten it, or split it.",
                ),
                param=path,
            )
        _check_vocabulary(f"'{path}'", tokens, n_vocab, path)


def too_long(
    n_ctx: int,
    what: str,
    count: int,
    *,
    is_estimate: bool = False,
    detail: str = "",
    advice: str = "Shorten it.",
) -> str:
    """Return the message of ContextExceeded: ``what`` has ``count`` tokens.

    It begins with OpenAI's words, by which LiteLLM and others recognise it.
    """
    about = "about " if is_estimate else ""
    return (
        f"This model's maximum context length is {n_ctx} tokens, but {what} has "
        f"{about}{count} tokens{detail}. {advice}"
    )


def _check_vocabulary(
    what: str, tokens: Sequence[int], n_vocab: int, param: str
) -> None:
    strange = next((token for token in tokens if not 0 <= token < n_vocab), None)
    if strange is not None:
        raise InvalidRequest(
            f"{what} has the token id {strange}; this model's are 0 to {n_vocab - 1}.",
            param=param,
        )
