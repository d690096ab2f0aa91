"""Where the parts of a system run: machines of their own, or ports of this one."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from benchmarks.faults.network import (
    DATABASE_HOST,
    REDIS_HOST,
    NotPermitted,
    cut_off,
    machines,
)
from benchmarks.systems.system import free_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    from benchmarks.faults.network import Machine

_LOCALHOST = "127.0.0.1"
_PORT = 8000
#: What machines would do by their host names.
_RENAMED = (
    "import platform; platform.node = lambda: {name!r}; "
    "from llm_manager.cli import main; main()"
)


class Place(Protocol):
    """Where one part runs. Clients reach it at ``host`` and ``port``."""

    @property
    def name(self) -> str:
        """What its node is called."""

    @property
    def host(self) -> str:
        """An address."""

    @property
    def port(self) -> int:
        """The port of its web process."""

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of `llm-manager` there."""

    def cut_off(self, services: Iterable[str]) -> AbstractContextManager[None]:
        """Lose all packets to services, until the end. Raises NotPermitted."""


@dataclass(frozen=True, slots=True)
class OwnMachine:
    """A network namespace."""

    machine: Machine
    port: int = _PORT

    @property
    def name(self) -> str:
        """Its host name."""
        return self.machine.name

    @property
    def host(self) -> str:
        """Its address."""
        return self.machine.host

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of `llm-manager` there."""
        return self.machine.command(sys.executable, "-m", "llm_manager", *arguments)

    def cut_off(self, services: Iterable[str]) -> AbstractContextManager[None]:
        """Lose all packets to services, until the end."""
        return cut_off(self.machine, services)


@dataclass(frozen=True, slots=True)
class Port:
    """A port of this machine."""

    name: str
    port: int
    host: str = _LOCALHOST

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of `llm-manager` there."""
        return [sys.executable, "-c", _RENAMED.format(name=self.name), *arguments]

    def cut_off(self, services: Iterable[str]) -> AbstractContextManager[None]:
        """Raise NotPermitted."""
        raise NotPermitted(f"one machine is never cut off from {', '.join(services)}")


@dataclass(frozen=True, slots=True)
class Places:
    """Places for parts, and where they find Redis and PostgreSQL.

    ``shared`` says why they share a machine; "" if they do not.
    """

    parts: list[Place]
    redis_host: str
    database_host: str
    shared: str = ""


@contextmanager
def places(count: int) -> Iterator[Places]:
    """Make places for so many parts; remove them at the end."""
    try:
        making = machines(count)
        made = making.__enter__()
    except NotPermitted as error:
        ports = [Port(f"llmm-{number}", free_port()) for number in range(count)]
        yield Places([*ports], _LOCALHOST, _LOCALHOST, shared=str(error))
        return
    try:
        parts: list[Place] = [OwnMachine(machine) for machine in made]
        yield Places(parts, REDIS_HOST, DATABASE_HOST)
    finally:
        making.__exit__(*sys.exc_info())
