"""The engine: continuous batching on llama.cpp, in plain Python.

It knows no web framework. ``EngineRunner`` is the whole of it on a thread of its
own; ``EngineCore`` is one engine without a thread; ``llama`` is left out here, so
that a process without llama.cpp may import the rest.
"""

from inference.engine.config.engine_config import EngineConfig
from inference.engine.core import EngineCore
from inference.engine.errors import EngineError, ModelLoadError
from inference.engine.output import EngineStats, SequenceOutput
from inference.engine.request import GenerationRequest
from inference.engine.request_checks import check_request
from inference.engine.runner import Add, Cancel, EngineRunner
from inference.engine.sampling.params import SamplingParams
from inference.engine.sequence import FinishReason

__all__ = [
    "Add",
    "Cancel",
    "EngineConfig",
    "EngineCore",
    "EngineError",
    "EngineRunner",
    "EngineStats",
    "FinishReason",
    "GenerationRequest",
    "ModelLoadError",
    "SamplingParams",
    "SequenceOutput",
    "check_request",
]
