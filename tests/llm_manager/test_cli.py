"""The command line: help, options over environment over file, one-sentence errors."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest
from django.core.management import get_commands

import llm_manager
from llm_manager import cli
from llm_manager.command_line.environment import set_environment
from llm_manager.command_line.program import program, verb_modules
from llm_manager.command_line.words import (
    ALIASES,
    MANAGEMENT,
    MEANINGS,
    unknown_command,
)
from llm_manager.config.reading import load_config
from tests.checkout import ROOT
from tests.llm_manager.conftest import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

    from llm_manager.config.schema import Config


def run(
    *arguments: str, cwd: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `llm-manager` in a folder without a checkout around it."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "llm_manager", *arguments],
        cwd=cwd,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Config, bool]]:
    """What the launcher was started with, instead of a server."""
    starts: list[tuple[Config, bool]] = []

    def serve(config: Config, *, quickstart: bool) -> int:
        starts.append((config, quickstart))
        return 0

    monkeypatch.setattr("llm_manager.launcher.server.serve", serve)
    # Options set the environment, which the test gives back.
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return starts


def test_no_command_starts_the_server(served: list[tuple[Config, bool]]) -> None:
    assert cli.run([]) == 0
    assert served == [(load_config(), False)]


def test_the_server_takes_its_options_without_its_name(
    served: list[tuple[Config, bool]], tmp_path: Path
) -> None:
    places = ["--models-dir", str(tmp_path), "--quickstart"]
    assert cli.run(["--port", "8123", "--host", "0.0.0.0", *places]) == 0  # noqa: S104
    [(config, quickstart)] = served
    assert (config.server.port, config.server.host) == (8123, "0.0.0.0")  # noqa: S104
    assert config.models_dir == tmp_path
    assert quickstart


def test_quickstart_is_refused_with_another_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["--quickstart", "help"]) == 2
    assert "--quickstart is an option of the server only" in capsys.readouterr().err


def test_help_is_at_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("-h", "--help"):
        assert cli.run([option]) == 0
        printed = capsys.readouterr().out
        for command in ("server", "engine", "scan", "key", "migrate"):
            assert command in printed


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"llm-manager {llm_manager.__version__}\n"


@pytest.mark.parametrize("arguments", [["server", "--help"], ["web", "--help"]])
def test_commands_have_help(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert cli.run(arguments) == 0
    assert f"Usage: llm-manager {arguments[0]}" in capsys.readouterr().out


def test_every_verb_says_what_it_does() -> None:
    context = click.Context(program)
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str()


@pytest.mark.parametrize(
    ("alias", "command"),
    [("engine", "run_engine"), ("scan", "scan_models")],
)
def test_short_words_run_management_commands(
    tmp_path: Path, alias: str, command: str
) -> None:
    done = run(alias, "--help", cwd=tmp_path, LLM_MANAGER_DATA_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert f"usage: llm-manager {command}" in done.stdout


def test_any_django_command_runs(tmp_path: Path) -> None:
    done = run("--data-dir", "there", "check", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there" / "secret_key").exists()


def test_unknown_command_fails(tmp_path: Path) -> None:
    done = run("scna", cwd=tmp_path)
    assert done.returncode == 2
    assert "Unknown command: 'scna'" in done.stderr


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("serve", "Did you mean `llm-manager server`?"),
        ("start", "Did you mean `llm-manager server`?"),
        ("chat", "Did you mean `llm-manager run`?"),
        ("download", "Did you mean `llm-manager pull`?"),
        ("scna", "Did you mean `llm-manager scan`?"),
        ("engin", "Did you mean `llm-manager engine`?"),
        ("migrat", "Did you mean `llm-manager migrate`?"),
        ("xyzzy", "`llm-manager help` lists the commands."),
    ],
)
def test_an_unknown_word_suggests_ours_before_djangos(word: str, answer: str) -> None:
    others = ["runserver", "startapp", "loaddata", "migrate", "sendtestemail"]
    ours = program.list_commands(click.Context(program))
    sentence = unknown_command(word, ours, others)
    assert sentence.startswith(f"Unknown command: '{word}'. {answer}")
    assert not any(name in sentence for name in others if name != "migrate")


def test_every_suggested_command_exists() -> None:
    known = {*verb_modules(), *ALIASES, *MANAGEMENT, *get_commands(), "--version"}
    suggested = {
        command
        for word in MEANINGS
        for command in re.findall(
            r"`llm-manager (\S+?)[ `]", unknown_command(word, [], [])
        )
    }
    assert {"server", "engine", "scan", "key"} <= suggested <= known


def test_help_lists_our_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["help"]) == 0
    printed = capsys.readouterr().out
    assert "Start Redis, engine and web server" in printed
    assert "loaddata" not in printed


def test_help_of_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["help", "server"]) == 0
    assert "Usage: llm-manager server" in capsys.readouterr().out
    done = run("help", "scan", cwd=tmp_path, LLM_MANAGER_DATA_DIR=str(tmp_path))
    assert "usage: llm-manager scan_models" in done.stdout


def test_manage_py_says_which_python_it_needs(tmp_path: Path) -> None:
    bare = [sys.executable, "-I", "-S", str(ROOT / "manage.py"), "check"]
    done = subprocess.run(bare, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Use .venv/bin/python" in done.stderr
    assert "Traceback" not in done.stderr


def test_option_beats_environment_beats_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("server: {host: 127.0.0.3, port: 1, workers: 3}", encoding="utf-8")
    monkeypatch.setenv("LLM_MANAGER_CONFIG", str(file))
    monkeypatch.setenv("LLM_MANAGER_SERVER_HOST", "127.0.0.2")
    monkeypatch.setenv("LLM_MANAGER_SERVER_PORT", "2")
    set_environment(port="3", host=None)
    config = load_config()
    assert config.server.port == 3
    assert config.server.host == "127.0.0.2"
    assert config.server.workers == 3


@pytest.mark.parametrize("command", [["server"], ["check"], ["run_engine"], ["web"]])
def test_bad_file_is_one_sentence(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "llm_manager.yaml").write_text("server: {prot: 1}", encoding="utf-8")
    done = run(*command, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "llm-manager: llm_manager.yaml, line 1: unknown key server.prot; did you mean "
        "server.port?\n"
    )
    assert done.stdout == ""


@pytest.mark.parametrize("option", [["--port", "99999"], ["--port=99999"]])
def test_bad_option_is_named_as_it_was_given(tmp_path: Path, option: list[str]) -> None:
    done = run("server", *option, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == ("llm-manager: --port: server.port must be at most 65535.\n")


def test_unusable_database_url_is_one_sentence(tmp_path: Path) -> None:
    done = run("check", cwd=tmp_path, DATABASE_URL="nosql://somewhere")
    assert done.returncode == 2
    assert done.stderr.startswith("llm-manager: database.url: Scheme 'nosql://'")
    assert done.stderr.count("\n") == 1


def test_missing_tables_are_one_sentence(tmp_path: Path) -> None:
    done = run("createsuperuser", "--noinput", "--username", "x", "--email", "x@x.org",
               cwd=tmp_path)  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == (
        "llm-manager: The database is not set up (no such table: auth_user); run "
        "`llm-manager migrate` first.\n"
    )


def test_taken_port_of_a_lone_web_process_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run("web", "--port", str(port), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"llm-manager: Port {port} on 127.0.0.1 is in use")
    assert done.stderr.count("\n") == 1


def test_traceback_is_there_when_asked_for(tmp_path: Path) -> None:
    done = run("clearsessions", "--traceback", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "no such table" in done.stderr
