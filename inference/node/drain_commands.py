"""What a worker is commanded when an administrator ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.errors import ModelDisabled
from inference.models import StopOrder
from inference.placing.drains import can_go_elsewhere, is_served_elsewhere
from inference.stops import ERRORS, disabled_message, ended_message, stop_order_of
from inference.worker.node_pipe import Drain

if TYPE_CHECKING:
    from inference.models import NodeDrain, Worker


def ordered_drain(row: Worker) -> Drain | None:
    """Return the drain that was ordered for a worker since it was claimed, if any."""
    order = stop_order_of(row.model)
    is_new = order is not None and order.number > row.stop_number
    if order is not None and is_new and order.action in ERRORS:
        code = ERRORS[order.action].code
        return Drain(is_now=order.is_now, code=code, message=ended_message(order))
    if not row.model.is_enabled:
        return Drain(code=ModelDisabled.code, message=disabled_message(row.model))
    return Drain(is_now=order.is_now) if order is not None and is_new else None


def is_reload(row: Worker) -> bool:
    """Whether a worker is only ended to be loaded again with other settings."""
    order = stop_order_of(row.model)
    is_ordered = order is not None and order.action == StopOrder.Action.RELOAD
    return is_ordered and row.model.is_enabled


def overdue(command: Drain, timeout_s: float) -> Drain:
    """Return the drain that follows when running requests took too long to finish."""
    late = f" It did not finish within {timeout_s:g} s (engine.drain_timeout)."
    message = command.message + late if command.message else ""
    return Drain(is_now=True, code=command.code, message=message)


def drain_of_node(row: Worker, drain: NodeDrain) -> Drain | None:
    """Return the command for a worker of a drained node; None if it has to stay yet.

    While others serve its model its running requests end here; else they move at once,
    and wait for the load. One that no other node can take stays, unless it is drained
    now. Reads the row's node.
    """
    assert row.node is not None  # noqa: S101 - it has a process
    served = is_served_elsewhere(row.model, row.node)
    if drain.is_now or served or can_go_elsewhere(row.model, row.node):
        return Drain(is_now=drain.is_now or not served)
    return None
