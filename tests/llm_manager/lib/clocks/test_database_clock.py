from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from llm_manager.lib.clocks.database_clock import DatabaseClock, database_now
from tests.fakes import Clock


def test_the_time_is_the_databases_and_is_read_once_a_minute() -> None:
    reads = []

    def read_slow_clock() -> object:
        reads.append(1)
        return timezone.now() - timedelta(seconds=15)

    real = Clock()
    now = DatabaseClock(read_slow_clock, clock=real)  # type: ignore[arg-type]
    for _ in range(3):
        behind = timezone.now() - now()
        assert abs(behind - timedelta(seconds=15)) < timedelta(seconds=1)
    assert len(reads) == 1
    real.now += 61
    now()
    assert len(reads) == 2


@pytest.mark.django_db
def test_the_projects_database_has_a_clock() -> None:
    assert abs(database_now() - timezone.now()) < timedelta(seconds=5)
