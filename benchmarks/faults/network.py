"""Machines on one machine: network namespaces with host names of their own.

Each has an interface for clients, one for Redis and one for PostgreSQL. Those of all
machines meet in bridges of this machine, as cables do in a switch: a port that is down
loses packets in silence, and nobody is refused.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Names of bridges, and the networks behind them.
_NETWORKS = {"client": "10.231.1", "redis": "10.231.2", "database": "10.231.3"}
#: What a machine that is cut off is without.
SERVICES = ("redis", "database")
_PREFIX = "llmm"
#: Where this machine is reached by the others.
REDIS_HOST, DATABASE_HOST = (f"{_NETWORKS[service]}.1" for service in SERVICES)


class NotPermitted(Exception):
    """Namespaces cannot be made here; the message says why."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine, by its number from 1."""

    number: int

    @property
    def name(self) -> str:
        """Its host name, and that of its namespace."""
        return f"{_PREFIX}-{self.number}"

    @property
    def host(self) -> str:
        """Where clients reach it."""
        return f"{_NETWORKS['client']}.{self.number + 1}"

    def port(self, network: str) -> str:
        """Return the port of a bridge that it is at."""
        return f"{_PREFIX}-{network}{self.number}"

    def command(self, *words: str) -> list[str]:
        """Return the command line that runs one on this machine."""
        rename = f'echo {self.name} > /proc/sys/kernel/hostname; exec "$@"'
        enter = ["ip", "netns", "exec", self.name, "unshare", "--uts"]
        return [*enter, "sh", "-c", rename, "-", *words]


@contextmanager
def machines(count: int) -> Iterator[list[Machine]]:
    """Make the machines; remove them at the end. Raises NotPermitted.

    The names are the same each time: who comes second waits for the first.
    """
    with ExitStack() as made:
        lock = made.enter_context(
            (Path(tempfile.gettempdir()) / f"{_PREFIX}-machines").open("w")
        )
        fcntl.flock(lock, fcntl.LOCK_EX)
        for network, address in _NETWORKS.items():
            bridge = f"{_PREFIX}-{network}"
            _ip("link", "add", bridge, "type", "bridge")
            made.callback(_ip, "link", "del", bridge)
            _ip("addr", "add", f"{address}.1/24", "dev", bridge)
            _ip("link", "set", "dev", bridge, "up")
        found = [Machine(number) for number in range(1, count + 1)]
        for machine in found:
            _ip("netns", "add", machine.name)
            made.callback(_ip, "netns", "del", machine.name)
            _ip("-n", machine.name, "link", "set", "dev", "lo", "up")
            for network, address in _NETWORKS.items():
                _plug(machine, network, f"{address}.{machine.number + 1}/24")
        yield found


def _plug(machine: Machine, network: str, address: str) -> None:
    port, inside = machine.port(network), ("-n", machine.name)
    end = ("peer", "name", network, "netns", machine.name)
    _ip("link", "add", port, "type", "veth", *end)
    _ip("link", "set", "dev", port, "master", f"{_PREFIX}-{network}", "up")
    _ip(*inside, "addr", "add", address, "dev", network)
    _ip(*inside, "link", "set", "dev", network, "up")


@contextmanager
def cut_off(machine: Machine, services: Iterable[str] = SERVICES) -> Iterator[None]:
    """Lose all packets between a machine and some of SERVICES."""
    ports = [machine.port(service) for service in services]
    for port in ports:
        _ip("link", "set", "dev", port, "down")
    try:
        yield
    finally:
        for port in ports:
            _ip("link", "set", "dev", port, "up")


def _ip(*words: str) -> None:
    program = shutil.which("ip")
    if program is None:
        raise NotPermitted("there is no ip: apt install iproute2")
    try:
        subprocess.run([program, *words], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        problem = error.stderr.strip()
        raise NotPermitted(f"ip {' '.join(words)}: {problem}") from None
