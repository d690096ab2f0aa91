"""The log in files, as `llm-manager logs` reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from llm_manager import cli
from llm_manager.command_line.log_reading import as_object, follow_log, last_lines

if TYPE_CHECKING:
    from pathlib import Path

AT = "2026-11-29 14:39:31,783"
LOADED = f"{AT} INFO inference.node.worker_watcher: tiny is ready after 0.4 s"
DIED = f"{AT} ERROR inference.node.worker_watcher: Worker of tiny died: exit code 1."
ACCESS = f"{AT} INFO llm_manager.access: GET /health 200 2 ms id=a"
OTHER = f"{AT} INFO inference.node.worker_process: worker tiny.Q4_0: hello"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of two files."""
    (tmp_path / "llm-manager.log.1").write_text(f"{LOADED}\n{ACCESS}\n")
    file = tmp_path / "llm-manager.log"
    file.write_text(f"{DIED}\nggml: out of memory\n{OTHER}\n")
    return file


def test_the_last_lines_come_from_older_files_too(log: Path) -> None:
    assert list(last_lines(log, 4, None)) == [
        ACCESS,
        DIED,
        "ggml: out of memory",
        OTHER,
    ]


def test_a_models_lines_are_those_that_name_it_and_what_follows_them(log: Path) -> None:
    found = list(last_lines(log, 100, "tiny"))
    assert found == [LOADED, DIED, "ggml: out of memory"]
    assert list(last_lines(log, 100, "tiny.Q4_0")) == [OTHER]


def test_what_is_written_later_follows_also_in_a_new_file(log: Path) -> None:
    lines = follow_log(log, 1, None)
    assert next(lines) == OTHER
    with log.open("a") as stream:
        stream.write("one\n")
    assert next(lines) == "one"
    with log.open("a") as stream:
        stream.write("two\n")
    log.rename(log.with_name("llm-manager.log.2"))
    log.write_text("three\n")
    assert [next(lines), next(lines)] == ["two", "three"]


def test_a_line_as_json_has_its_parts() -> None:
    assert as_object(ACCESS) == {
        "time": "2026-11-29T14:39:31.783Z",
        "level": "info",
        "logger": "llm_manager.access",
        "message": "GET /health 200 2 ms id=a",
    }
    assert as_object("Killed")["message"] == "Killed"


def test_the_verb_reads_the_log_of_the_data_directory(
    folder: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.joinpath("there").mkdir()
    log.parent.joinpath("there", "logs").symlink_to(log.parent)
    arguments = ["logs", "--data-dir", "there", "--model", "tiny.Q4_0", "--json"]
    assert cli.run(arguments) == 0
    assert json.loads(capsys.readouterr().out)["message"] == "worker tiny.Q4_0: hello"


def test_without_a_log_it_says_where_it_looked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["logs"]) == 5
    assert "data/logs" in capsys.readouterr().err
