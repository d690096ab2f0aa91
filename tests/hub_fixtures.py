"""A hub on this machine, for the tests of everything that downloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registry.models import Download
from tests.configuration import changed
from tests.gguf_files import llama_fields, mmproj_fields, write_gguf
from tests.registry.hub.hub_server import FakeHub, hub_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REPO = "org/tiny"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub that the library talks to."""
    # Not before registry.hub, which sets the library's environment.
    from huggingface_hub import constants

    with hub_server() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", running.url)
        yield running


@pytest.fixture
def models_dir(tmp_path: Path, settings: Any) -> Path:
    """An empty models directory, where downloads from this machine are permitted."""
    folder = tmp_path / "models"
    folder.mkdir()
    settings.MODELS_DIR = folder
    settings.CONFIG = changed(
        settings.CONFIG, downloads__private_addresses=True, models__watch=False
    )
    return folder


@pytest.fixture
def tiny_repo(hub: FakeHub, tmp_path: Path) -> dict[str, bytes]:
    """A repository of a model in two quantizations with a projector."""
    files = {"README.md": b"# tiny"}
    for name, fields in (
        ("tiny-Q4_K_M.gguf", llama_fields({"general.name": "four"})),
        ("tiny-Q8_0.gguf", llama_fields({"general.name": "eight"})),
        ("mmproj-tiny-F16.gguf", mmproj_fields()),
    ):
        path = write_gguf(tmp_path / name, fields)
        # Data of many chunks, so that connections can break in the middle of it.
        files[name] = path.read_bytes() + bytes(1024 * 1024)
        path.unlink()
    hub.repos[REPO] = files
    return files


def make_download(**columns: Any) -> Download:
    """Save a download of a file of the repository."""
    file = {"source": "a.gguf", "target": f"{REPO}/a.gguf", "size": 100, "sha256": ""}
    given: dict[str, Any] = {
        "source": f"{REPO}:a.gguf",
        "repo": REPO,
        "commit": "main",
        "files": [file],
        "bytes_total": 100,
        **columns,
    }
    return Download.objects.create(**given)
