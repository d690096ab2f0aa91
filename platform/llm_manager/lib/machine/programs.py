"""The versions of what runs here."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

#: What a checkout calls itself, which is not installed.
UNKNOWN = "checkout"
_DISTRIBUTIONS = {"llama-cpp-python": "llama_cpp_python", "Django": "django"}


def product_version() -> str:
    """Return the version of LLM Manager."""
    return _version("llm-manager") or UNKNOWN


def program_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide most, by name."""
    found = {name: _version(package) for name, package in _DISTRIBUTIONS.items()}
    return {"Python": platform.python_version()} | {
        name: text for name, text in found.items() if text
    }


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
