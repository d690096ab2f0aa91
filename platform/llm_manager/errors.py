"""The errors of the Python API. All are LLMManagerError, so one ``except`` gets them.

They are the HTTP API's: ``error.code``, ``error.type``, ``error.param`` and
``error.message`` are what its answers have. docs/python-api.md lists them.
"""

from __future__ import annotations

from inference.api.errors import BadRequest
from inference.errors import (
    ContextLengthExceeded,
    EngineUnavailable,
    InferenceError,
    ModelLoadFailed,
    ModelUnloaded,
    QueueFull,
    RequestRejected,
    WorkerCrashed,
)
from inference.local.errors import LeftOutWarning, ManagerClosed
from inference.prompts.chat import NoChatTemplate
from inference.prompts.rendering.errors import ChatTemplateError
from llm_manager.config.reading import ConfigError
from llm_manager.lib.errors import LLMManagerError
from registry.errors import InvalidLoadSetting, ModelNotFound, ModelNotServed

__all__ = [
    "BadRequest",
    "ChatTemplateError",
    "ConfigError",
    "ContextLengthExceeded",
    "EngineUnavailable",
    "InferenceError",
    "InvalidLoadSetting",
    "LLMManagerError",
    "LeftOutWarning",
    "ManagerClosed",
    "ModelLoadFailed",
    "ModelNotFound",
    "ModelNotServed",
    "ModelUnloaded",
    "NoChatTemplate",
    "QueueFull",
    "RequestRejected",
    "WorkerCrashed",
]
