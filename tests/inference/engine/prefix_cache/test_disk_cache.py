"""Prefixes on disk: kept when they make room or nothing runs, found after a restart."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from inference.engine import EngineConfig, EngineCore
from inference.engine.prefix_cache.disk_cache import MIN_TOKENS, DiskCache, cells_digest
from inference.engine.prefix_cache.prefix_files import PrefixFolder
from tests.inference.engine.fakes import FakeBackend
from tests.inference.engine.scheduling.test_sharing import add, cached, run_texts
from tests.inference.engine.test_core import run_outputs
from tests.inference.engine.test_walk import written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SYSTEM = "S" * MIN_TOKENS
PIRATE = (("pirate", 1.0),)


class Machine:
    """Starts engines on one folder, one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cores: list[EngineCore] = []

    def start(
        self, adapters: dict[str, str] | None = None, **options: Any
    ) -> tuple[EngineCore, FakeBackend]:
        backend = FakeBackend(
            **{"n_ctx": 1024, "n_batch": 512, "n_seq_max": 2, **options}
        )
        folder = PrefixFolder(self.path, model=b"m" * 32, max_bytes=10**8)
        disk = DiskCache(folder, can_cut=backend.can_cut, adapters=adapters)
        core = EngineCore(backend, disk=disk)
        self.cores.append(core)
        return core, backend

    def files(self) -> list[Path]:
        return sorted(self.path.glob("*.kvprefix"))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    for core in machine.cores:
        core.close()


def tidy(core: EngineCore) -> None:
    """Be idle until there is nothing left to do."""
    end = time.monotonic() + 20
    while core.tidy() is not None:
        assert time.monotonic() < end, "it never comes to an end"
        # The writer has a thread of its own.
        time.sleep(0.001)


def counters(core: EngineCore) -> dict[str, float]:
    return core.telemetry.snapshot()["counters"]


SHAPES: dict[str, dict[str, Any]] = {
    "split": {},
    "unified": {"is_split": False, "n_cells": 2048},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_prefix_outlives_its_worker(machine: Machine, shape: str) -> None:
    core, _ = machine.start(**SHAPES[shape])
    add(core, "first", SYSTEM + "a question")
    run_outputs(core)
    tidy(core)
    core.close()

    again, backend = machine.start(**SHAPES[shape])
    add(again, "second", SYSTEM + "another one")
    outputs = run_outputs(again)

    # Both questions begin with an "a".
    assert cached(outputs) == {"second": len(SYSTEM) + 1}
    assert run_texts(outputs) == {"second": written(SYSTEM + "another one", 4)}
    assert backend.prefilled == len("nother one")
    counted = counters(again)
    assert counted["stored_prefix_hits"] == 1
    assert counted["stored_prefix_tokens"] == len(SYSTEM) + 1
    assert counted["stored_prefix_read_bytes"] > 0
    assert counters(core)["stored_prefix_written_bytes"] > 0


def test_an_evicted_prefix_is_kept_on_disk_and_comes_back(machine: Machine) -> None:
    core, _ = machine.start(n_seq_max=1)
    for name in "abc":
        add(core, name, name * 400)
        run_outputs(core)
        tidy(core)
    add(core, "again", "a" * 400 + "!")
    assert cached(run_outputs(core)) == {"again": 400}


def test_short_prefixes_are_not_kept(machine: Machine) -> None:
    core, _ = machine.start()
    add(core, "a", "S" * (MIN_TOKENS - 10))
    run_outputs(core)
    tidy(core)
    assert machine.files() == []


def test_a_conversation_that_goes_on_replaces_what_it_was(machine: Machine) -> None:
    core, _ = machine.start()
    add(core, "a", SYSTEM)
    run_outputs(core)
    tidy(core)
    (first,) = machine.files()
    add(core, "b", SYSTEM + written(SYSTEM, 4) + "T" * 100)
    run_outputs(core)
    tidy(core)
    (second,) = machine.files()
    assert second != first
    tidy(core)
    assert machine.files() == [second], "and is written once"


@pytest.mark.parametrize(
    ("owner", "adapters", "shares", "is_found"),
    [
        ("alice", (), False, True),
        ("bob", (), False, False),
        ("bob", (), True, True),
        ("alice", PIRATE, False, False),
    ],
)
def test_a_prefix_is_its_owners_and_its_adapters(
    machine: Machine, owner: str, adapters: Any, shares: bool, is_found: bool
) -> None:
    core, _ = machine.start(shares_prefixes=shares)
    add(core, "a", SYSTEM + "?", owner="alice")
    run_outputs(core)
    tidy(core)
    core.close()
    again, _ = machine.start(shares_prefixes=shares)
    add(again, "b", SYSTEM + "!", owner=owner, adapters=adapters)
    outputs = run_outputs(again)
    assert bool(cached(outputs)["b"]) is is_found
    assert run_texts(outputs) == {"b": written(SYSTEM + "!", 4, adapters)}


def test_an_adapter_of_the_same_name_and_another_file_finds_nothing(
    machine: Machine,
) -> None:
    core, _ = machine.start({"pirate": "version 1"})
    add(core, "a", SYSTEM + "?", adapters=PIRATE)
    run_outputs(core)
    tidy(core)
    core.close()
    for version, is_found in (("version 2", False), ("version 1", True)):
        again, _ = machine.start({"pirate": version})
        add(again, "b", SYSTEM + "!", adapters=PIRATE)
        assert bool(cached(run_outputs(again))["b"]) is is_found


def test_a_broken_file_costs_a_prefill_and_nothing_else(machine: Machine) -> None:
    core, _ = machine.start()
    add(core, "a", SYSTEM + "?")
    run_outputs(core)
    tidy(core)
    core.close()
    (file,) = machine.files()
    again, _ = machine.start()
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    add(again, "b", SYSTEM + "!")
    outputs = run_outputs(again)
    assert cached(outputs) == {"b": 0}
    assert run_texts(outputs) == {"b": written(SYSTEM + "!", 4)}
    assert machine.files() == []


def test_a_state_that_does_not_fit_is_computed_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    core, _ = machine.start()
    add(core, "a", SYSTEM + "?")
    run_outputs(core)
    tidy(core)
    core.close()
    again, backend = machine.start()
    monkeypatch.setattr(backend, "restore", lambda slot, state: False)
    add(again, "b", SYSTEM + "!")
    outputs = run_outputs(again)
    assert cached(outputs) == {"b": 0}
    assert run_texts(outputs) == {"b": written(SYSTEM + "!", 4)}


def test_what_is_in_memory_is_not_read_from_disk(machine: Machine) -> None:
    core, _ = machine.start()
    for name in "ab":
        add(core, name, SYSTEM + "a question")
        run_outputs(core)
        tidy(core)
    assert counters(core)["stored_prefix_hits"] == 0


def test_a_recurrent_model_takes_over_whole_prefixes_only(machine: Machine) -> None:
    core, _ = machine.start(can_cut=False)
    add(core, "a", SYSTEM, limit=4)
    run_outputs(core)
    tidy(core)
    core.close()
    held = SYSTEM + written(SYSTEM, 3)
    for prompt, length in ((SYSTEM + "!", 0), (held + "!", len(held))):
        again, _ = machine.start(can_cut=False)
        add(again, "b", prompt)
        assert cached(run_outputs(again)) == {"b": length}


def test_a_request_that_is_aborted_while_it_waits_for_disk_is_gone(
    machine: Machine,
) -> None:
    core, _ = machine.start()
    add(core, "a", SYSTEM + "?")
    run_outputs(core)
    tidy(core)
    core.close()
    again, backend = machine.start()
    add(again, "b", SYSTEM + "!")
    again.abort(["b"])
    assert not again.has_work
    again.check_integrity()
    assert backend.num_used == 0


def test_the_settings_that_change_cells_change_the_digest() -> None:
    plain = EngineConfig(paths=(), n_ctx=64, n_seq_max=1, fingerprint="f")
    others = [
        {"fingerprint": "g"},
        {"cache_type_k": "q8_0"},
        {"cache_type_v": "q8_0"},
        {"flash_attention": "off"},
    ]
    digests = {
        cells_digest(EngineConfig(**{**_fields(plain), **other})) for other in others
    }
    assert len(digests | {cells_digest(plain)}) == 5


def _fields(config: EngineConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in EngineConfig.__slots__}
