"""The objects of the routes below /v1/batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

from accounts.models import Batch

if TYPE_CHECKING:
    from datetime import datetime


class BatchFault(TypedDict):
    """What is wrong with a line of the input file."""

    code: str
    message: str
    param: str | None
    line: int | None


class BatchFaults(TypedDict):
    """Why a batch was not begun."""

    object: Literal["list"]
    data: list[BatchFault]


class RequestCounts(TypedDict):
    """How many requests a batch has, and what became of them."""

    total: int
    completed: int
    failed: int


class BatchObject(TypedDict):
    """A batch. Times that have not come are left out."""

    id: str
    object: Literal["batch"]
    endpoint: str
    model: NotRequired[str]
    errors: NotRequired[BatchFaults]
    input_file_id: str
    completion_window: str
    status: Literal[
        "validating",
        "failed",
        "in_progress",
        "finalizing",
        "completed",
        "expired",
        "cancelling",
        "cancelled",
    ]
    output_file_id: NotRequired[str]
    error_file_id: NotRequired[str]
    created_at: int
    in_progress_at: NotRequired[int]
    expires_at: int
    finalizing_at: NotRequired[int]
    completed_at: NotRequired[int]
    failed_at: NotRequired[int]
    expired_at: NotRequired[int]
    cancelling_at: NotRequired[int]
    cancelled_at: NotRequired[int]
    request_counts: RequestCounts
    usage: NotRequired[dict[str, Any]]
    metadata: dict[str, str]


class BatchList(TypedDict):
    """A page of batches."""

    object: Literal["list"]
    data: list[BatchObject]
    first_id: str
    last_id: str
    has_more: bool


ANSWERS: dict[str, type] = {"Batch": BatchObject, "BatchList": BatchList}

_TIMES = (
    "in_progress_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
)
#: The states of a batch whose files are complete.
_WRITTEN = (Batch.Status.COMPLETED, Batch.Status.EXPIRED, Batch.Status.CANCELLED)


def batch_object(row: Batch) -> dict[str, Any]:
    """Return OpenAI's object of a batch."""
    times: dict[str, datetime | None] = {name: getattr(row, name) for name in _TIMES}
    found: dict[str, Any] = {
        "id": row.pk,
        "object": "batch",
        "endpoint": row.endpoint,
        "input_file_id": row.input_file_id,
        "completion_window": "24h",
        "status": row.status,
        "created_at": int(row.created_at.timestamp()),
        "expires_at": int(row.expires_at.timestamp()),
        **{name: int(at.timestamp()) for name, at in times.items() if at is not None},
        "request_counts": {
            "total": row.total,
            "completed": row.completed,
            "failed": row.failed,
        },
        "metadata": row.metadata,
    }
    if row.model_name:
        found["model"] = row.model_name
    if row.errors:
        found["errors"] = {"object": "list", "data": row.errors}
    if row.usage:
        found["usage"] = row.usage
    if row.status in _WRITTEN:
        if row.completed:
            found["output_file_id"] = row.output_id
        if row.failed:
            found["error_file_id"] = row.error_id
    return found
