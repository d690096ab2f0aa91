"""The limiter that programs set."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from django.core.cache import cache

from accounts.limits.default_limit import default_limit, set_default_limit
from llm_manager.server.rate_limiter import get_rate_limiter

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _unset() -> Iterator[None]:
    cache.clear()
    yield
    set_default_limit(None)


def test_without_a_number_it_has_the_configurations_limit() -> None:
    limiter = get_rate_limiter()

    assert (limiter.requests, limiter.window_s) == (60, 60)


def test_a_number_sets_the_default_of_this_process() -> None:
    limiter = get_rate_limiter(requests_per_minute=100)

    assert (limiter.requests, limiter.window_s) == (100, 60)
    assert default_limit().requests == 100
    assert get_rate_limiter() == limiter


def test_each_client_has_a_bucket_and_the_burst_is_the_minutes_number() -> None:
    limiter = get_rate_limiter(requests_per_minute=3)

    answers = [limiter.allow("ann") for _ in range(5)]

    assert answers == [True, True, True, False, False]
    assert limiter.allow("bob")
    assert get_rate_limiter(requests_per_minute=0).allow("ann")


def test_it_works_in_a_script_of_its_own() -> None:
    code = (
        "from llm_manager.server.rate_limiter import get_rate_limiter\n"
        "limiter = get_rate_limiter(requests_per_minute=100)\n"
        "print(limiter.requests, limiter.allow('script'))"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert said.stdout.split() == ["100", "True"]
