"""OpenAI's own package for JavaScript and TypeScript."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.client import Client
from tests.clients.node_scripts import proofs, run_script, versions

if TYPE_CHECKING:
    from tests.whole_server import Server

CLIENT = Client(
    "openai for JavaScript",
    ("openai",),
    """
    import OpenAI from 'openai';

    const client = new OpenAI({
      baseURL: 'http://localhost:8000/v1', apiKey: 'YOUR_KEY',
    });
    """,
    language="js",
    versions=versions("openai"),
)


@pytest.mark.parametrize("name", proofs("openai"))
def test_script(name: str, server: Server, request: pytest.FixtureRequest) -> None:
    if "embed" in name:
        request.getfixturevalue("embedder")
    run_script("openai", name, server)
