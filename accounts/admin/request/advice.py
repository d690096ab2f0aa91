"""What to do about a request that failed, by its error. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accounts.models import UsageRecord

_CLIENT = "Nothing is wrong here: "
_BODY = (
    f"{_CLIENT}the body of the request breaks a rule of the API. The client's error "
    "says which member is at fault."
)
_KEY = "The key ended while the request was running. Give its owner another one."
_MEMORY = "The page of the model has the reason, in llama.cpp's own words, and the log."
_QUEUE = (
    "More came than the model can answer. Look at Running for who uses it; more "
    "replicas or sequences on the model's page, another node, or limits of keys help."
)

_BY_CODE = {
    "request_cancelled": "An administrator cancelled it; the audit log says who.",
    "queue_full": _QUEUE,
    "queue_timeout": _QUEUE,
    "request_timeout": (
        "The answer took longer than server.request_timeout. Ask for fewer tokens, or "
        "look at whether the model is too slow for its load."
    ),
    "request_too_slow": (
        f"{_CLIENT}the client sent its request too slowly (server.receive_timeout)."
    ),
    "engine_unavailable": "Look at Engine: a node or its workers are away.",
    "worker_crashed": _MEMORY,
    "model_load_failed": _MEMORY,
    "model_replaced": "The model's file changed under way. The next request is fine.",
    "model_unloaded": "An administrator unloaded the model. The next one loads it.",
    "model_disabled": "Enable the model on its page if it is to be used.",
    "model_deleted": "The model's file is gone. A scan finds it when it is back.",
    "model_not_found": (
        "There is no model of this name, or the key may not know it: compare the name "
        "that was asked for with Models, add it there as an alias, or allow the model "
        "on the key's page."
    ),
    "model_not_allowed": "Allow the model on the key's page, and in its team.",
    "model_not_served": "The file is a part of a model, or llama.cpp cannot run it.",
    "insufficient_scope": "Give the key the scope on its page, if it is to have it.",
    "ip_not_authorized": "The key's page has the networks that it is allowed from.",
    "rate_limit_exceeded": "The key's page has its limits, and what is used of them.",
    "insufficient_quota": (
        "The budget of the day or the month is spent. Raise it under Limits, or wait."
    ),
    "too_many_sequences": "It counts as more requests than a limit has in all.",
    "too_many_tokens": "Its prompt is longer than a limit has in all.",
    "context_length_exceeded": (
        "Prompt and answer do not fit into the context. A larger one on the model's "
        "page takes more memory; that page says how much."
    ),
    "blocked_pattern": "It has a text that limits.blocked_patterns refuses.",
    "constraint_failed": "The answer could not go on within the grammar it had to.",
    "database_unavailable": "The database was away; its own log says why.",
    "redis_unavailable": "Redis was away; its own log says why.",
    "server_busy": "Too many large bodies came at once (limits.max_bodies_mb).",
    "server_stopping": "The web process was being stopped. Another try is fine.",
    "internal_error": "A fault of the server: search its log for the request's id.",
    **dict.fromkeys(
        (
            "key_revoked",
            "key_expired",
            "key_deleted",
            "key_owner_inactive",
            "key_owner_left_team",
            "key_restricted",
        ),
        _KEY,
    ),
}
_CLIENT_GONE = 499
_BAD_REQUEST = 400
_SERVER_ERROR = 500


def advice(record: UsageRecord) -> str:
    """Return what an administrator can do about a failure; "" if it did not fail."""
    if not record.failed:
        return ""
    if record.error_code in _BY_CODE:
        return _BY_CODE[record.error_code]
    if record.status == _CLIENT_GONE:
        return (
            "The client closed the connection before the end. If that happens often, "
            "its timeout is shorter than its answers take."
        )
    if not record.completed and not record.error_code:
        return "The web process ended under way. Its log says why."
    if record.status >= _SERVER_ERROR:
        return _BY_CODE["internal_error"]
    return _BODY if record.status == _BAD_REQUEST else ""
