"""When the thread that stores requests looks: soon after each, seldom without any."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from django.db import OperationalError

from accounts.usage import ingester
from accounts.usage.ingester import Ingester
from accounts.usage.recorder import UsageRecorder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Looks:
    """In the place of ``Ingester.look``; fails as often as a test wants."""

    def __init__(self) -> None:
        self._looked = threading.Semaphore(0)
        self.failures = 0

    def __call__(self, _ingester: Ingester) -> None:
        self._looked.release()
        if self.failures:
            self.failures -= 1
            raise OperationalError("database is locked")

    def wait(self) -> None:
        assert self._looked.acquire(timeout=30)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    looks = Looks()
    monkeypatch.setattr(Ingester, "look", lambda self: looks(self))
    monkeypatch.setattr(ingester, "_LOOK_EVERY_S", 0.01)
    # Nothing is looked for but what is announced.
    monkeypatch.setattr(ingester, "_REST_S", 3600)
    return looks


@pytest.fixture
def recorder(looks: Looks, tmp_path: Path) -> Iterator[UsageRecorder]:
    recorder = UsageRecorder()
    recorder.open(tmp_path)
    # What a process before this one has left is looked for at the start.
    looks.wait()
    yield recorder
    recorder.close()


def test_each_request_that_is_over_is_looked_for(
    recorder: UsageRecorder, looks: Looks
) -> None:
    for number in range(3):
        recorder.end(str(number), {"status": 200})
        looks.wait()


def test_a_look_that_fails_is_followed_by_another_one(
    recorder: UsageRecorder, looks: Looks
) -> None:
    looks.failures = 2
    recorder.end("first", {"status": 200})
    for _ in range(3):
        looks.wait()
