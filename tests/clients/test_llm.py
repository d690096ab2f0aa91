"""Simon Willison's `llm`, on the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.clients.client import Client
from tests.clients.subjects import CAPITAL, PERSON, Person

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.whole_server import Server

CLIENT = Client(
    "llm",
    ("llm",),
    """
    - model_id: local
      model_name: SmolLM2-135M-Instruct.Q4_1
      api_base: http://localhost:8000/v1
      api_key_name: local
      supports_schema: true
      supports_tools: true
    """,
    language="yaml",
    note="This is `extra-openai-models.yaml` in the folder that `dirname $(llm logs "
    "path)` prints; `llm keys set local` asks for the key.",
)


@pytest.fixture
def llm(tmp_path: Path, server: Server) -> Callable[..., str]:
    """Run `llm` with arguments and return what it prints."""
    (tmp_path / "extra-openai-models.yaml").write_text(CLIENT.at(server))
    environment = {**os.environ, "LLM_USER_PATH": str(tmp_path)}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [Path(sys.executable).with_name("llm"), *arguments],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("keys", "set", "local", "--value", server.key)
    return run


@pytest.mark.parametrize("option", [[], ["--no-stream"]], ids=["streamed", "whole"])
def test_a_prompt_is_answered(llm: Callable[..., str], option: list[str]) -> None:
    assert "Paris" in llm("-m", "local", "-o", "temperature", "0", *option, CAPITAL)


def test_a_system_prompt_and_the_logged_usage(llm: Callable[..., str]) -> None:
    llm("-m", "local", "-s", "Be brief.", "-o", "max_tokens", "8", CAPITAL)
    (logged,) = json.loads(llm("logs", "--json"))
    assert logged["output_tokens"] == 8
    assert logged["input_tokens"] > 0


def test_a_conversation_goes_on(llm: Callable[..., str]) -> None:
    llm("-m", "local", "-o", "temperature", "0", CAPITAL)
    assert llm("-c", "And of Italy?").strip()


def test_a_schema_is_kept_to(llm: Callable[..., str]) -> None:
    schema = json.dumps(Person.model_json_schema())
    text = llm("-m", "local", "-o", "temperature", "0", "--schema", schema, PERSON)
    Person.model_validate_json(text)


def test_tools_may_be_offered(llm: Callable[..., str]) -> None:
    assert llm("-m", "local", "-o", "temperature", "0", "-T", "llm_version", "Hello!")
