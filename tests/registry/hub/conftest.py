"""A hub, and a fetcher for its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from registry.hub.disk import Room
from registry.hub.fetching import Fetcher
from registry.hub.network import NetworkPolicy, checked_client
from tests.registry.hub.hub_server import FakeHub, hub_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GIB = 1024**3
PRIVATE = NetworkPolicy(is_private_permitted=True)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub that the library talks to."""
    # Not before registry.hub, which sets the library's environment.
    from huggingface_hub import constants

    with hub_server() as running:
        monkeypatch.setattr(constants, "ENDPOINT", running.url)
        template = running.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield running


@dataclass
class Download:
    """A fetcher, and what it said of itself."""

    folder: Path
    policy: NetworkPolicy = PRIVATE
    free: int = 100 * GIB
    keep_free: int = GIB
    moves: list[int] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def fetcher(self) -> Fetcher:
        return Fetcher(
            checked_client(self.policy),
            self.folder / ".downloads",
            Room(self.folder, self.keep_free, lambda _folder: self.free),
            moved=self.moves.append,
            pause=self.pauses.append,
        )

    def left(self) -> list[str]:
        """Return the names of what is kept beside the models."""
        return sorted(each.name for each in (self.folder / ".downloads").iterdir())


@pytest.fixture
def download(tmp_path: Path) -> Download:
    return Download(tmp_path)
