"""LLM Manager: an inference platform for GGUF models, and its Python API.

``from llm_manager import LLMManager`` is the Python API. This package is also the
Django project that ties registry, accounts and inference; importing it starts nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference.local.manager import LLMManager as LLMManager
    from llm_manager.lib.errors import LLMManagerError as LLMManagerError

__version__ = "0.1.0"

__all__ = ["LLMManager", "LLMManagerError", "__version__"]

#: Where the public names are. Most of this package's users need none of them.
_LAZY = {
    "LLMManager": "inference.local.manager",
    "LLMManagerError": "llm_manager.lib.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
