"""The journal that requests of a test are written to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from accounts.usage.journal import Journal
from accounts.usage.journal_reader import JournalReader
from accounts.usage.recorder import usage_recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Entries = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Entries]:
    """Return what the journal says by now of the requests that are over."""
    journal = Journal(tmp_path)
    monkeypatch.setattr(usage_recorder, "_journal", journal)

    def read() -> list[dict[str, Any]]:
        assert journal.current is not None
        reader = JournalReader(journal.current)
        reader.read()
        return reader.ready

    yield read
    assert usage_recorder._running == {}
    journal.close()
