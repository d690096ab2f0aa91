"""Ollama's own package for JavaScript, unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.client import Client
from tests.clients.node_scripts import proofs, run_script, versions

if TYPE_CHECKING:
    from tests.whole_server import Server

CLIENT = Client(
    "ollama for JavaScript",
    ("ollama",),
    """
    import { Ollama } from 'ollama';

    const client = new Ollama({
      host: 'http://localhost:8000', headers: { Authorization: 'Bearer YOUR_KEY' },
    });
    """,
    language="js",
    note="The server's configuration needs `api.ollama`.",
    versions=versions("ollama"),
)


@pytest.mark.parametrize("name", proofs("ollama"))
def test_script(name: str, server: Server, request: pytest.FixtureRequest) -> None:
    if "embed" in name:
        request.getfixturevalue("embedder")
    run_script("ollama", name, server)
