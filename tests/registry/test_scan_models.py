"""manage.py scan_models: arguments, exit codes, and what is printed."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command

from registry.models import Model, ScanRun
from tests.configuration import changed
from tests.gguf_files import llama_fields, write_gguf, write_shards

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db


class Terminal(io.StringIO):
    """An output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def run(*arguments: str | Path, **options: Any) -> str:
    output = io.StringIO()
    call_command("scan_models", *map(str, arguments), stdout=output, **options)
    return output.getvalue()


def folder_of_everything(path: Path) -> Path:
    write_gguf(path / "good.gguf")
    (path / "bad.gguf").write_bytes(b"nonsense")
    write_shards(path / "sets", "whole", 2)
    write_shards(path / "sets", "torn", 3, leave_out=[2])
    return path


def test_the_report_names_every_model_and_every_reason(tmp_path: Path) -> None:
    output = run(folder_of_everything(tmp_path)).splitlines()
    words = [line.split() for line in output]
    assert words[0] == ["Model", "Details"]
    assert words[1] == ["new", "good", "chat", "llama,", "4,672,", "Q4_0"]
    assert words[2] == ["new", "whole", "chat", "llama,", "8,192,", "Q4_0"]
    assert words[3][:2] == ["unreadable", "bad.gguf"]
    assert "it begins with b'nons'" in output[3]
    assert words[4][:2] == ["unreadable", "sets/torn-00001-of-00003.gguf"]
    assert "shard 2 of 3 is missing: torn-00002-of-00003.gguf" in output[4]
    assert output[5].startswith(
        "2 new, 0 changed, 0 unchanged, 0 missing, 2 unreadable; 0."
    )


def test_lines_in_a_file_end_where_their_text_ends(tmp_path: Path) -> None:
    output = run(folder_of_everything(tmp_path))
    assert all(line == line.rstrip() for line in output.splitlines())
    assert "\x1b" not in output


def test_changed_and_missing_models_are_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_gguf(tmp_path / f"{name}.gguf", llama_fields({"general.name": name}))
    run(tmp_path)
    write_gguf(tmp_path / "a.gguf")
    (tmp_path / "b.gguf").unlink()
    lines = [line.split() for line in run(tmp_path).splitlines()]
    assert " ".join(lines[1]) == (
        "changed a chat llama, 4,672, Q4_0; the content changed"
    )
    assert lines[2] == ["missing", "b", "b.gguf"]


def test_an_unchanged_folder_prints_only_counts(tmp_path: Path) -> None:
    write_gguf(tmp_path / "a.gguf")
    run(tmp_path)
    (line,) = run(tmp_path).splitlines()
    assert line.startswith("0 new, 0 changed, 1 unchanged, 0 missing, 0 unreadable")


def test_an_empty_folder_is_reported_as_empty(tmp_path: Path) -> None:
    assert run(tmp_path).startswith(f"No GGUF files in {tmp_path}; ")


def test_json_is_one_document_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = json.loads(run(folder_of_everything(tmp_path), "--json"))
    assert report["counts"] == {
        "new": 2,
        "changed": 0,
        "unchanged": 0,
        "missing": 0,
        "unreadable": 2,
    }
    assert [entry["outcome"] for entry in report["entries"]] == (
        ["new", "new", "unreadable", "unreadable"]
    )
    assert capsys.readouterr().err == ""


def test_a_dry_run_says_that_it_wrote_nothing_and_writes_nothing(
    tmp_path: Path,
) -> None:
    write_gguf(tmp_path / "a.gguf")
    assert run(tmp_path, "--dry-run").endswith("dry run: nothing was written.\n")
    assert not Model.objects.exists()
    assert not ScanRun.objects.exists()


def test_prune_says_how_many_it_deleted(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf")
    run(tmp_path)
    path.unlink()
    assert "; 1 to delete; " in run(tmp_path, "--prune", "--dry-run")
    output = run(tmp_path, "--prune")
    assert "a.gguf; deleted from the registry" in output
    assert "; 1 deleted; " in output
    assert not Model.objects.exists()


def test_a_path_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    write_gguf(tmp_path / "a.gguf")
    with pytest.raises(CommandError, match="no does not exist"):
        run(tmp_path, tmp_path / "no")
    assert not Model.objects.exists()


def test_without_any_configured_folder_the_error_says_what_to_do(
    tmp_path: Path, settings: Any
) -> None:
    settings.MODELS_DIR = tmp_path / "no"
    settings.CONFIG = changed(settings.CONFIG, models__extra_dirs=())
    with pytest.raises(CommandError, match="Create it, or set"):
        run()


def test_a_configured_folder_that_is_not_there_is_in_the_report(
    tmp_path: Path, settings: Any
) -> None:
    write_gguf(tmp_path / "models" / "a.gguf")
    settings.MODELS_DIR = tmp_path / "models"
    settings.CONFIG = changed(settings.CONFIG, models__extra_dirs=[tmp_path / "no"])
    output = run()
    assert "no such file or directory" in output
    assert Model.objects.count() == 1


def test_a_path_that_is_there_but_cannot_be_read_is_in_the_report(
    tmp_path: Path,
) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert "too many levels of symbolic links" in run(loop)


def test_one_file_can_be_named(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf")
    write_gguf(tmp_path / "b.gguf")
    run(path)
    assert Model.objects.get().name == "a"


# Terminals ------------------------------------------------------------------------


def on_terminal(
    monkeypatch: pytest.MonkeyPatch, *arguments: str | Path, columns: int = 80
) -> tuple[str, str]:
    """Run on a terminal and return what went to its two outputs."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm-256color")
    output, errors = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stderr", errors)
    call_command("scan_models", *map(str, arguments), stdout=output)
    return output.getvalue(), errors.getvalue()


def test_a_terminal_shows_a_bar_and_colours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, errors = on_terminal(monkeypatch, folder_of_everything(tmp_path))
    assert "\x1b[32mnew" in output
    assert "\x1b[31munreadable" in output
    assert "Scanning" in errors
    assert "3/3" in errors


def test_the_table_fits_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of_everything(tmp_path)
    write_gguf(folder / f"{'long-name-' * 20}.gguf")
    output, _ = on_terminal(monkeypatch, folder, "--no-color")
    lines = output.splitlines()
    assert len(lines) > 8
    assert max(len(line) for line in lines[:-1]) <= 80


def test_a_file_name_cannot_steer_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gguf(tmp_path / "a\x1b[2J[red]b\n.gguf")
    (tmp_path / "c\x1b]0;title\x07.gguf").write_bytes(b"x\x1b[31m")
    output, errors = on_terminal(monkeypatch, tmp_path, "--no-color", columns=200)
    for text in (output, errors):
        assert "\x1b[2J" not in text
        assert "\x1b]0;" not in text
        assert "\x07" not in text
    assert "a\\x1b[2J[red]b\\n" in output


def test_json_on_a_terminal_shows_no_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, errors = on_terminal(monkeypatch, tmp_path, "--json")
    assert json.loads(output)["entries"] == []
    assert errors == ""
