"""What a web process counts of requests to models with several replicas."""

from __future__ import annotations

from enum import StrEnum

from prometheus_client import Counter


class Routing(StrEnum):
    """What became of a request: sent to the replica with its prefix or not, and why."""

    SENT = "sent"
    BUSY = "busy"
    UNKNOWN = "unknown"


ROUTED = Counter(
    "llm_affinity_requests",
    "Requests to models with several replicas: 'sent' to the one with their prefix, or "
    "to any, as those that have it are 'busy' or it is 'unknown' who has.",
    ["model", "result"],
)
SAVED_TOKENS = Counter(
    "llm_affinity_saved_tokens",
    "Prompt tokens that were in the cache of the replica that a request was sent to "
    "for its prefix.",
    ["model"],
)
AFFINITY_METRICS = (ROUTED, SAVED_TOKENS)
