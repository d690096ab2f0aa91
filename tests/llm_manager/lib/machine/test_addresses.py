"""The addresses that this machine answers to."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil

from llm_manager.lib.machine.addresses import own_addresses

if TYPE_CHECKING:
    import pytest


def interface(family: int, *addresses: str) -> list[Any]:
    return [SimpleNamespace(family=family, address=each) for each in addresses]


def test_addresses_are_as_urls_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "lo": interface(socket.AF_INET, "127.0.0.1"),
        "eth0": [
            *interface(socket.AF_INET, "10.0.0.5"),
            *interface(socket.AF_INET6, "fd00::5", "fe80::1%eth0"),
            *interface(socket.AF_PACKET, "02:00:00:00:00:01"),
        ],
    }
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: found)

    assert own_addresses() == ["10.0.0.5", "127.0.0.1", "[fd00::5]"]


def test_a_scraper_that_knows_only_the_address_is_served() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from llm_manager.settings import ALLOWED_HOSTS as a; print(*a)",
        ],
        env=os.environ | {"LLM_MANAGER_SERVER_ALLOWED_HOSTS": "llm.example.org"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"llm.example.org", "127.0.0.1"} <= set(done.stdout.split())
    assert "*" not in done.stdout.split()
