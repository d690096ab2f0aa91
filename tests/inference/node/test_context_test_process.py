"""The process that runs the requested context tests of a node."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.core.management import call_command

from inference.context_test import journal
from inference.node.children.command_process import CommandProcess
from registry.models import ContextTest
from tests.factories import make_context_test
from tests.inference.context_test.machine import tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_django.fixtures import Settings

State = ContextTest.State


class Spawner:
    """Starts fakes, and tells the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.made: list[Any] = []

    async def __call__(self) -> Any:
        async def wait() -> None:
            made.returncode = 0

        made = SimpleNamespace(returncode=None, wait=wait, signals=[])
        made.send_signal = made.signals.append
        self.made.append(made)
        return made


@pytest.fixture
def spawner() -> Spawner:
    return Spawner()


@pytest.fixture
def process(spawner: Spawner) -> CommandProcess:
    return CommandProcess(
        "run_context_tests",
        ContextTest.objects.wait_for_engines,
        spawn=spawner,
        clock=lambda: spawner.now,
    )


requested = sync_to_async(
    lambda: make_context_test(state=State.REQUESTED, is_for_engine=True)
)


@pytest.mark.django_db(transaction=True)
async def test_it_is_started_once_while_tests_wait(
    process: CommandProcess, spawner: Spawner
) -> None:
    await process.look_after()
    assert spawner.made == []
    await requested()
    await process.look_after()
    await process.look_after()
    assert len(spawner.made) == 1


@pytest.mark.django_db(transaction=True)
async def test_the_tests_of_a_command_are_its_own(
    process: CommandProcess, spawner: Spawner
) -> None:
    await sync_to_async(make_context_test)(state=State.RUNNING)
    await process.look_after()
    assert spawner.made == []


@pytest.mark.django_db(transaction=True)
async def test_one_that_fails_is_started_again_after_a_while(
    process: CommandProcess, spawner: Spawner
) -> None:
    await requested()
    await process.look_after()
    spawner.made[0].returncode = 1
    await process.look_after()
    assert len(spawner.made) == 1
    spawner.now += 11
    await process.look_after()
    assert len(spawner.made) == 2


@pytest.mark.django_db(transaction=True)
async def test_it_is_asked_to_end_with_its_engine(
    process: CommandProcess, spawner: Spawner
) -> None:
    await process.close()
    await requested()
    await process.look_after()
    await process.close()
    assert spawner.made[0].signals == [signal.SIGTERM]
    assert spawner.made[0].returncode == 0


@pytest.fixture
def _own_signals() -> Iterator[None]:
    before = [
        (number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)
    ]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.django_db
@pytest.mark.usefixtures("_own_signals")
def test_a_requested_test_is_run_on_a_real_model(
    tmp_path: Path, settings: Settings
) -> None:
    settings.DATA_DIR = tmp_path
    model = tiny_model(tmp_path)
    test, _ = journal.context_test_request(
        model=model, cache_type_k="f16", cache_type_v="f16", max_ctx=512
    )
    call_command("run_context_tests")
    test.refresh_from_db()
    assert (test.state, test.tested_ctx) == (State.DONE, 512)
    assert test.measurements.get().memory[0] > 2**20
