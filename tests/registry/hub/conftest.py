"""A hub, and a fetcher for its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from registry.hub.disk import Room
from registry.hub.fetching import Fetcher
from registry.hub.network import NetworkPolicy, checked_client
from tests.hub_fixtures import hub as hub

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1024**3
PRIVATE = NetworkPolicy(is_private_permitted=True)


@dataclass
class FakeDisk:
    """A fetcher's folder, how much is free there, and what the fetcher said."""

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
def download(tmp_path: Path) -> FakeDisk:
    return FakeDisk(tmp_path)
