"""The log in files, as `llm-manager logs` reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from llm_manager import cli
from llm_manager.command_line import log_reading
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


def append(file: Path, text: str) -> None:
    with file.open("a") as stream:
        stream.write(text)


def test_what_comes_while_the_last_lines_are_read_is_shown_once(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def older_files(file: Path) -> list[Path]:
        append(file, "meanwhile\n")
        return [file.with_name(f"{file.name}.1"), file]

    monkeypatch.setattr(log_reading, "_oldest_first", older_files)
    lines = follow_log(log, 2, None)
    assert [next(lines), next(lines)] == [OTHER, "meanwhile"]
    append(log, "later\n")
    assert next(lines) == "later"


def test_a_file_that_is_renamed_while_it_is_read_is_shown_once(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def older_files(file: Path) -> list[Path]:
        older = file.rename(file.with_name(f"{file.name}.1"))
        file.write_text("new\n")
        return [older, file]

    monkeypatch.setattr(log_reading, "_oldest_first", older_files)
    lines = follow_log(log, 100, None)
    assert [next(lines) for _ in range(4)] == [
        DIED,
        "ggml: out of memory",
        OTHER,
        "new",
    ]


def test_what_follows_a_models_line_is_about_it_also_if_it_comes_later(
    log: Path,
) -> None:
    append(log, f"{DIED}\n")
    lines = follow_log(log, 1, "tiny")
    assert next(lines) == DIED
    append(log, f"ggml: out of memory\n{OTHER}\nof another\n{LOADED}\n")
    assert [next(lines), next(lines)] == ["ggml: out of memory", LOADED]


def test_a_line_is_shown_when_its_end_is_written(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_bytes(b"On \xc3")
    # What happens between two looks at the file.
    happens = iter([b"", b"\xa9t\xc3\xa9 is", b"", b" open\n"])

    def sleep(_seconds: float) -> None:
        with log.open("ab") as stream:
            stream.write(next(happens))

    sleeping = "llm_manager.command_line.log_reading.time.sleep"
    monkeypatch.setattr(sleeping, sleep)
    assert next(follow_log(log, 0, None)) == "On \u00e9t\u00e9 is open"


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


def test_a_line_of_a_log_in_json_is_read_as_it_is() -> None:
    line = {"time": "t", "level": "info", "logger": "a", "message": "b", "model": "m"}
    assert as_object(json.dumps(line)) == line


def test_a_models_lines_in_json_are_those_that_name_it(tmp_path: Path) -> None:
    file = tmp_path / "llm-manager.log"
    about = '{"message": "ready", "model": "tiny"}'
    file.write_text(f'{about}\n{{"message": "other"}}\n')
    assert list(last_lines(file, 9, "tiny")) == [about]
