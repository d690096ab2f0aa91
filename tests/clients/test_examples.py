"""The examples of agents, which need the packages of clients."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.checkout import ROOT
from tests.clients.client import MODEL

if TYPE_CHECKING:
    from tests.whole_server import Server


@pytest.mark.parametrize(
    ("example", "said"),
    [
        ("13_autogen_two_agents.py", "In Paris it is sunny, 22 degrees."),
        ("14_langchain_agent.py", "42"),
    ],
)
def test_an_agents_example_runs(server: Server, example: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / example)],
        env={
            **os.environ,
            "OPENAI_BASE_URL": f"http://{server.host}:{server.port}/v1",
            "OPENAI_API_KEY": server.key,
            "MODEL": MODEL,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
