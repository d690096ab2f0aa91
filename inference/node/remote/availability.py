"""Whether the RPC servers of a model can be used for a load. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from inference.node.remote.server_watch import ServerState


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why not. ``is_final``: waiting does not help."""

    reason: str
    is_final: bool = False


def why_unavailable(
    states: Sequence[ServerState], held_here: Collection[str]
) -> Unavailable | None:
    """Return why a model's servers cannot be used now, None if they can.

    ``held_here`` are the servers of this node's workers: which of them makes room is
    for the placement to decide.
    """
    for state in states:
        if state.error:
            return Unavailable(state.error, state.is_refused)
    for state in states:
        if state.offer.holder and state.address not in held_here:
            return Unavailable(
                f"The RPC server {state.address} serves {state.offer.holder}, and one "
                "model at a time."
            )
    return None
