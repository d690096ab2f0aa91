"""What a step gives to the outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.engine.sequence import FinishReason


@dataclass(frozen=True, slots=True)
class SequenceOutput:
    """New tokens of a sequence, the text that became certain, and its end.

    ``finish_reason`` is None while it runs. ``num_prompt`` and ``num_output``
    count tokens; ``error`` is the reason of a failed one.
    """

    request_id: str
    tokens: tuple[int, ...]
    text: str
    finish_reason: FinishReason | None
    num_prompt: int
    num_output: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """The engine's state and totals at one moment, all of them counts."""

    num_running: int = 0
    num_waiting: int = 0
    kv_cells_used: int = 0
    kv_cells_total: int = 0
    requests_total: int = 0
    prompt_tokens_total: int = 0
    output_tokens_total: int = 0
