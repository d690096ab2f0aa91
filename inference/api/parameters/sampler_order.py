"""The members ``samplers`` and ``dry_sequence_breakers``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from inference.api.body.validation_errors import broken_rule
from inference.engine.sampling.params import DEFAULT_ORDER
from llm_manager.lib.quoting import quote

#: The samplers by llama.cpp's names and by llama-server's other names.
_SAMPLERS = {
    **{name.replace("_", ""): name for name in (*DEFAULT_ORDER, "adaptive_p")},
    "nucleus": "top_p",
    "temp": "temperature",
    "typ": "typical_p",
    "typp": "typical_p",
}
#: llama.cpp truncates longer breakers.
_MAX_BREAKER_BYTES = 40


def _sampler(name: str) -> str:
    """Return a sampler by its name in SamplingParams."""
    sampler = _SAMPLERS.get(re.sub("[-_]", "", name.lower()))
    if sampler is None:
        known = ", ".join((*DEFAULT_ORDER, "adaptive_p"))
        raise broken_rule(f"'{quote(name)}' is none of {known}")
    return sampler


def _each_once(order: list[str]) -> list[str]:
    if len(set(order)) < len(order):
        raise broken_rule("a sampler comes twice")
    return order


def _breaker(text: str) -> str:
    if len(text.encode()) > _MAX_BREAKER_BYTES or "\0" in text:
        raise broken_rule(
            f"it must have at most {_MAX_BREAKER_BYTES} bytes, and no NUL"
        )
    return text


#: The enabled samplers, in their order.
SamplerOrder = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=32), AfterValidator(_sampler)]],
    Field(max_length=len(set(_SAMPLERS.values()))),
    AfterValidator(_each_once),
]
#: Texts after which DRY starts a new repetition.
SequenceBreakers = Annotated[
    list[
        Annotated[
            str,
            Field(min_length=1, max_length=_MAX_BREAKER_BYTES),
            AfterValidator(_breaker),
        ]
    ],
    Field(min_length=1, max_length=8),
]
