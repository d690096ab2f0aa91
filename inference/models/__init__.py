"""Rows of this app: nodes, workers, what happened to models, and benchmarks."""

from inference.models.benchmark import Benchmark
from inference.models.history import EvictionRecord, ModelLoad, ScalingEvent
from inference.models.node import EngineNode, NodeDrain, RpcServer
from inference.models.running_request import RunningRequest
from inference.models.worker import (
    PendingOfKey,
    StopOrder,
    Worker,
    WorkerState,
    WorkerTotals,
)

__all__ = [
    "Benchmark",
    "EngineNode",
    "EvictionRecord",
    "ModelLoad",
    "NodeDrain",
    "PendingOfKey",
    "RpcServer",
    "RunningRequest",
    "ScalingEvent",
    "StopOrder",
    "Worker",
    "WorkerState",
    "WorkerTotals",
]
