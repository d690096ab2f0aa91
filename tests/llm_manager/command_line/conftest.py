"""An environment of its own for every test: verbs set variables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

_OURS = ("LLM_MANAGER_", "OPENAI_")


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The working directory, without a configuration or variables of the outside."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(_OURS)}
    monkeypatch.setattr(os, "environ", kept)
    monkeypatch.chdir(tmp_path)
    return tmp_path
