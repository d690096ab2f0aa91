"""Anthropic's own package for JavaScript and TypeScript."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients.client import Client
from tests.clients.node_scripts import proofs, run_script, versions

if TYPE_CHECKING:
    from tests.whole_server import Server

CLIENT = Client(
    "anthropic for JavaScript",
    ("@anthropic-ai/sdk",),
    """
    import Anthropic from '@anthropic-ai/sdk';

    const client = new Anthropic({
      baseURL: 'http://localhost:8000', apiKey: 'YOUR_KEY',
    });
    """,
    language="js",
    versions=versions("@anthropic-ai/sdk"),
)


@pytest.mark.parametrize("name", proofs("anthropic"))
def test_script(name: str, server: Server) -> None:
    run_script("anthropic", name, server)
