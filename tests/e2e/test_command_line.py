"""The command line with a real server and a real model."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from llm_manager import cli
from tests.e2e.conftest import Q4_0
from tests.llm_manager.conftest import clean_environment
from tests.llm_manager.waiting import wait_until
from tests.terminal import Terminal, on_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx

    from tests.whole_server import Server

pytestmark = pytest.mark.e2e


@pytest.fixture
def llm(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run a verb against the server; return what it prints."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ["LLM_MANAGER_URL"] = f"http://{server.host}:{server.port}/v1"
    os.environ["LLM_MANAGER_KEY"] = server.key

    def run(*arguments: str) -> str:
        capsys.readouterr()
        status = cli.run(arguments)
        printed, said = capsys.readouterr()
        assert status == 0, said
        return printed

    return run


def test_a_model_is_listed_loaded_shown_used_measured_and_unloaded(
    llm: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Q4_0 in llm("list")
    assert llm("load", Q4_0) == f"{Q4_0}: ready\n"
    assert json.loads(llm("show", Q4_0, "--json"))["state"] == "ready"
    [row] = [line for line in llm("ps").splitlines() if line.startswith(Q4_0)]
    assert "ready" in row

    settings = ["--set", "temperature=0", "--set", "max_tokens=8"]
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    whole = json.loads(llm("run", Q4_0, "Hello!", *settings, "--json"))
    streamed = llm("run", Q4_0, "Hello!", *settings)
    assert streamed.rstrip("\n") == whole["choices"][0]["message"]["content"]

    options = ["--streams", "1,2", "--tokens", "4", "--prompt-tokens", "64", "--json"]
    measured = json.loads(llm("bench", Q4_0, *options))
    assert [each["tokens"] for each in measured["streams"]] == [4, 8]
    assert measured["long_prompt"]["prompt_tokens"] == 64

    llm("stop", Q4_0)
    wait_until(lambda: json.loads(llm("show", Q4_0, "--json"))["state"] == "unloaded")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A user's environment, with a home of its own and nothing set."""
    return clean_environment(HOME=str(tmp_path), LANG="C.UTF-8")


def program(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "llm_manager", *arguments]


@pytest.mark.long
@pytest.mark.usefixtures("server")
def test_the_data_directory_is_all_that_must_be_known(
    data_dir: Path, environment: dict[str, str]
) -> None:
    def run(*arguments: str, piped: str = "") -> str:
        done = subprocess.run(
            program(*arguments, "--data-dir", str(data_dir)),
            env=environment,
            input=piped,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert "the database of" not in done.stderr, "the server was not asked"
        return done.stdout

    keys = json.loads(run("key", "list", "--json"))["data"]
    assert "quickstart" in {key["name"] for key in keys}
    run("team", "create", "e2e", "--all-models")
    assert "e2e" in run("team", "list")
    run("team", "delete", "e2e")
    assert "administrator" in run("user", "list")
    assert "total" in json.loads(run("usage", "--json"))
    secret = run("key", "create", "--name", "e2e").strip()
    listed = json.loads(run("list", "--json", "--key", secret))
    assert Q4_0 in {model["id"] for model in listed["data"]}
    run("key", "revoke", "e2e")
    settings = ["--set", "max_tokens=4", "--set", "ignore_eos=true"]
    assert run("run", Q4_0, *settings, piped="Once upon a time").strip()
    assert f"Loading {Q4_0}" in run("logs", "--model", Q4_0, "--lines", "1000")


@pytest.mark.long
def test_without_a_server_the_model_runs_in_the_program(
    data_dir: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    models = ["--models-dir", str(data_dir / "models"), "--port", "1"]
    settings = ["--set", "ignore_eos=true", "--set", "max_tokens=8"]
    done = subprocess.run(
        program(*models, "run", Q4_0, "Hello!", *settings, "--json"),
        env=environment,
        stdin=subprocess.DEVNULL,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
        check=True,
    )
    assert "no server runs" in done.stderr
    answer = json.loads(done.stdout)
    assert answer["usage"]["completion_tokens"] == 8


@pytest.fixture
def chat(
    server: Server, data_dir: Path, environment: dict[str, str]
) -> Iterator[Terminal]:
    """`llm-manager run` on a terminal."""
    command = program("run", Q4_0, "--data-dir", str(data_dir), "--set", "seed=1")
    with on_terminal(command, environment) as terminal:
        terminal.wait_for(">>> ")
        yield terminal


def running(api: httpx.Client) -> int:
    """Return how many requests run."""
    workers: list[dict[str, Any]] = api.get("/health/detailed").json()["workers"]
    return sum(worker["running"] for worker in workers)


def test_a_conversation_on_a_terminal(chat: Terminal, api: httpx.Client) -> None:
    chat.type("/set max_tokens 6\n")
    chat.wait_for(">>> ")
    chat.type('"""Say\nhi."""\n')
    chat.wait_for(r"\.\.\. ")
    assert chat.wait_for(">>> ").strip()

    # Ctrl-C stops the answer, and not the program.
    for line in ("/set max_tokens 1500", "/set ignore_eos true", "/set verbose"):
        chat.type(f"{line}\n")
        chat.wait_for(">>> ")
    chat.type("Count to a thousand.\n")
    chat.wait_for(r"thousand\.[^>]*?(\w+\W+){3}")
    chat.type("\x03")
    chat.wait_for(">>> ")
    wait_until(lambda: running(api) == 0)
    chat.type("/show\n")
    assert "4 messages" in chat.wait_for(">>> ")

    chat.type("\x04")
    assert chat.wait() == 0
