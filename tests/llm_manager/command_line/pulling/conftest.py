"""A hub, and a configuration that permits it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.gguf_files import llama_fields, write_gguf
from tests.hub_fixtures import REPO
from tests.hub_fixtures import hub as hub

if TYPE_CHECKING:
    from pathlib import Path

    from tests.registry.hub.hub_server import FakeHub


@pytest.fixture
def tiny(folder: Path, hub: FakeHub) -> bytes:
    """A repository of one model of some MiB; the bytes of its file."""
    path = write_gguf(folder / "tiny.gguf", llama_fields())
    data = path.read_bytes() + bytes(range(256)) * 12_288
    path.unlink()
    hub.repos[REPO] = {"tiny-Q4_K_M.gguf": data, "tiny-Q8_0.gguf": data + b"more"}
    return data


@pytest.fixture
def models(folder: Path) -> Path:
    """The models directory of a data directory without a server."""
    os.environ["LLM_MANAGER_DATA_DIR"] = str(folder / "data")
    os.environ["LLM_MANAGER_DOWNLOADS_PRIVATE_ADDRESSES"] = "true"
    # Nothing listens there.
    os.environ["LLM_MANAGER_SERVER_PORT"] = "9"
    return folder / "data" / "models"
