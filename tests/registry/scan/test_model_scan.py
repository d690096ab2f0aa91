"""Scans as rows: identity, settings, projectors, runs, and two scans at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.db import DatabaseError

from accounts.keys.key_access import allowed_model_ids
from registry import services
from registry.models import Alias, FileState, Kind, Model, ScanRun
from registry.services import configured_roots, model_scan
from tests.configuration import changed
from tests.factories import make_api_key
from tests.gguf_files import (
    bert_fields,
    llama_fields,
    lora_fields,
    mmproj_fields,
    write_gguf,
    write_shards,
)

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries
pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[3]


def named(name: str, folder: Path, **changes: Any) -> Path:
    """Write a model whose content is its own."""
    fields = llama_fields({"general.name": f"{folder}/{name}", **changes})
    return write_gguf(folder / f"{name}.gguf", fields)


def states() -> dict[str, str]:
    return dict(Model.objects.values_list("name", "state"))


# Rows -------------------------------------------------------------------------


def test_a_new_file_becomes_a_model_with_what_its_header_says(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny-Q4_0.gguf")
    report = model_scan(roots=[tmp_path])
    model = Model.objects.get()
    assert (model.name, model.file_name) == ("tiny-Q4_0", "tiny-Q4_0.gguf")
    assert (model.path, model.shards, model.paths) == (str(path), [], [path])
    assert (model.kind, model.state) == (Kind.CHAT, FileState.FOUND)
    assert model.file_size == path.stat().st_size
    assert model.mtime_ns == path.stat().st_mtime_ns
    assert (model.quantization, model.kv_elements_per_token) == ("Q4_0", 128)
    assert model.metadata["eos_token"] == "</s>"
    assert model.is_enabled
    model.full_clean()
    assert report.counts()["new"] == 1
    assert report.entries[0].summary == "chat llama, 4,672, Q4_0"


def test_what_decides_a_models_memory_is_kept(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny-Q4_0.gguf")
    model_scan(roots=[tmp_path])
    shape = Model.objects.get().shape
    assert shape is not None
    assert [(block.k, block.v) for block in shape.blocks] == [(16, 16)] * 4
    assert shape.blocks[0].weights.total == 64 * 64 // 32 * 18


def test_a_row_of_an_earlier_release_is_read_again(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny-Q4_0.gguf")
    model_scan(roots=[tmp_path])
    Model.objects.update(description_version=1, memory_shape=None, n_ctx=512)
    report = model_scan(roots=[tmp_path])
    assert [entry.reason for entry in report.entries] == [
        "read again: this release reads more of the header"
    ]
    model = Model.objects.get()
    assert model.memory_shape is not None
    assert model.n_ctx == 512
    assert model_scan(roots=[tmp_path]).unchanged == 1


def test_a_set_of_shards_is_one_row_with_all_paths(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, "big", 3)
    model_scan(roots=[tmp_path])
    model = Model.objects.get()
    assert (model.name, model.path) == ("big", str(paths[0]))
    assert model.paths == paths
    assert model.file_size == sum(path.stat().st_size for path in paths)


def test_every_kind_of_file_is_recognized(tmp_path: Path) -> None:
    write_gguf(tmp_path / "chat.gguf")
    no_template = llama_fields({"tokenizer.chat_template": None})
    write_gguf(tmp_path / "completion.gguf", no_template)
    write_gguf(tmp_path / "embedding.gguf", bert_fields())
    write_gguf(tmp_path / "reranker.gguf", bert_fields({"bert.pooling_type": 4}))
    write_gguf(tmp_path / "lora.gguf", lora_fields())
    write_gguf(tmp_path / "projector.gguf", mmproj_fields())
    model_scan(roots=[tmp_path])
    assert all(model.name == model.kind for model in Model.objects.all())
    assert Model.objects.count() == 6
    servable = Model.objects.servable().values_list("name", flat=True)
    assert set(servable) == {"chat", "completion", "embedding", "reranker"}


def test_the_same_file_name_in_two_folders_makes_two_models(tmp_path: Path) -> None:
    for folder in ("a", "b", "c/b"):
        named("m", tmp_path / folder)
    model_scan(roots=[tmp_path])
    names = {Path(model.path).parent.name: model.name for model in Model.objects.all()}
    assert set(Model.objects.values_list("name", flat=True)) == {"m", "b/m", "c/b/m"}
    assert names["a"] == "m"


def test_a_name_that_is_an_alias_is_taken(tmp_path: Path) -> None:
    named("one", tmp_path / "a")
    model_scan(roots=[tmp_path])
    Alias.objects.create(name="two", model=Model.objects.get())
    named("two", tmp_path / "a")
    model_scan(roots=[tmp_path])
    assert set(states()) == {"one", "a/two"}


def test_a_changed_file_keeps_its_row_and_its_settings(tmp_path: Path) -> None:
    named("m", tmp_path)
    model_scan(roots=[tmp_path])
    Model.objects.update(n_ctx=512, is_enabled=False, temperature=0.2)
    before = Model.objects.get()
    Alias.objects.create(name="short", model=before)
    named("m", tmp_path, **{"llama.context_length": 4096})
    report = model_scan(roots=[tmp_path])
    after = Model.objects.get()
    assert (after.pk, after.context_length) == (before.pk, 4096)
    assert (after.n_ctx, after.is_enabled, after.temperature) == (512, False, 0.2)
    assert after.checked_at > before.checked_at
    assert after.found_at == before.found_at
    assert after.fingerprint != before.fingerprint
    assert [entry.reason for entry in report.entries] == ["the content changed"]


def test_a_file_that_goes_and_comes_back_is_the_same_row(tmp_path: Path) -> None:
    path = named("m", tmp_path)
    model_scan(roots=[tmp_path])
    pk = Model.objects.get().pk
    path.rename(tmp_path / "aside")
    assert model_scan(roots=[tmp_path]).counts()["missing"] == 1
    assert states() == {"m": FileState.MISSING}
    (tmp_path / "aside").rename(path)
    assert model_scan(roots=[tmp_path]).counts()["changed"] == 1
    assert states() == {"m": FileState.FOUND}
    assert Model.objects.get().pk == pk


def test_a_file_that_moved_is_the_same_row_under_its_old_name(tmp_path: Path) -> None:
    path = named("m", tmp_path)
    model_scan(roots=[tmp_path])
    Model.objects.update(n_ctx=512)
    pk = Model.objects.get().pk
    (tmp_path / "sub").mkdir()
    moved = path.rename(tmp_path / "sub" / "renamed.gguf")
    model_scan(roots=[tmp_path])
    model = Model.objects.get()
    assert (model.pk, model.name, model.n_ctx) == (pk, "m", 512)
    assert (model.path, model.file_name) == (str(moved), "renamed.gguf")


def test_a_broken_file_keeps_its_row_and_is_not_served(tmp_path: Path) -> None:
    path = named("m", tmp_path)
    model_scan(roots=[tmp_path])
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    report = model_scan(roots=[tmp_path], prune=True)
    assert states() == {"m": FileState.UNREADABLE}
    assert not Model.objects.servable().exists()
    (entry,) = report.entries
    assert entry.name == "m"
    assert entry.reason.startswith("truncated: the header says")
    path.write_bytes(whole)
    model_scan(roots=[tmp_path])
    assert states() == {"m": FileState.FOUND}


def test_only_rows_under_the_scanned_folder_become_missing(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        named(folder, tmp_path / folder)
    model_scan(roots=[tmp_path])
    for path in tmp_path.rglob("*.gguf"):
        path.unlink()
    model_scan(roots=[tmp_path / "one"])
    assert states() == {"one": FileState.MISSING, "two": FileState.FOUND}


def test_prune_deletes_missing_rows_and_no_others(tmp_path: Path) -> None:
    paths = {name: named(name, tmp_path) for name in ("gone", "kept", "broken")}
    model_scan(roots=[tmp_path])
    paths["gone"].unlink()
    os.truncate(paths["broken"], 50)
    report = model_scan(roots=[tmp_path], prune=True)
    assert set(states()) == {"kept", "broken"}
    assert report.pruned == 1
    assert report.counts()["missing"] == 1


def test_pruning_a_keys_last_model_does_not_widen_the_key(tmp_path: Path) -> None:
    path = named("gone", tmp_path)
    model_scan(roots=[tmp_path])
    key, _ = make_api_key(models=[Model.objects.get()])
    path.unlink()
    assert model_scan(roots=[tmp_path], prune=True).pruned == 1
    assert states() == {}
    key.refresh_from_db()
    assert allowed_model_ids(key) == frozenset()


def test_rows_that_have_been_missing_for_long_are_pruned(tmp_path: Path) -> None:
    named("m", tmp_path)
    model_scan(roots=[tmp_path])
    (tmp_path / "m.gguf").unlink()
    model_scan(roots=[tmp_path])
    assert model_scan(roots=[tmp_path], prune=True).pruned == 1
    assert states() == {}


def test_one_bad_file_stops_nothing(tmp_path: Path) -> None:
    named("good", tmp_path)
    (tmp_path / "bad.gguf").write_bytes(b"nonsense")
    (tmp_path / "huge.gguf").write_bytes(b"GGUF\x03\0\0\0" + b"\xff" * 100)
    write_shards(tmp_path, "set", 3, leave_out=[2])
    report = model_scan(roots=[tmp_path])
    assert list(states()) == ["good"]
    assert report.counts()["unreadable"] == 3
    assert all(entry.reason for entry in report.entries[1:])


def test_a_dry_run_reports_and_writes_nothing(tmp_path: Path) -> None:
    paths = {name: named(name, tmp_path) for name in ("changed", "gone", "same")}
    model_scan(roots=[tmp_path])
    named("new", tmp_path)
    named("changed", tmp_path, **{"llama.context_length": 4096})
    paths["gone"].unlink()
    before = list(Model.objects.values())
    report = model_scan(roots=[tmp_path], dry_run=True, prune=True)
    assert list(Model.objects.values()) == before
    assert ScanRun.objects.count() == 1
    assert report.is_dry_run
    assert report.counts() == {
        "new": 1,
        "changed": 1,
        "unchanged": 1,
        "missing": 1,
        "unreadable": 0,
    }


def test_a_folder_whose_name_is_not_utf_8_is_reported_and_recorded(
    tmp_path: Path,
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff"))
    write_gguf(folder / "m.gguf")
    report = model_scan(roots=[folder])
    assert [entry.reason for entry in report.entries] == ["the name is not UTF-8"]
    assert ScanRun.objects.get().roots == [f"{tmp_path}/bad\\xff"]


# Projectors -----------------------------------------------------------------------


def test_a_projector_is_paired_with_the_models_of_its_folder(tmp_path: Path) -> None:
    for folder in ("vision", "text"):
        named(f"{folder}-3-4b-it-Q4_K_M", tmp_path / folder)
    write_gguf(tmp_path / "vision" / "mmproj-vision-3-4b-it-f16.gguf", mmproj_fields())
    model_scan(roots=[tmp_path])
    paired = Model.objects.exclude(projector=None)
    assert [model.name for model in paired] == ["vision-3-4b-it-Q4_K_M"]


def test_a_projector_that_comes_later_is_paired(tmp_path: Path) -> None:
    named("seer-4b-Q4_K_M", tmp_path)
    model_scan(roots=[tmp_path])
    write_gguf(tmp_path / "mmproj-f16.gguf", mmproj_fields())
    model_scan(roots=[tmp_path])
    model = Model.objects.get(kind=Kind.CHAT)
    assert model.projector is not None
    assert model.projector.name == "mmproj-f16"


def test_a_choice_made_by_hand_stays(tmp_path: Path) -> None:
    named("seer-4b-Q4_K_M", tmp_path)
    for precision in ("f16", "f32"):
        name = f"mmproj-{precision}"
        fields = mmproj_fields({"general.name": name})
        write_gguf(tmp_path / f"{name}.gguf", fields)
    model_scan(roots=[tmp_path])
    chat = Model.objects.filter(kind=Kind.CHAT)
    for chosen in (Model.objects.get(name="mmproj-f32"), None):
        chat.update(projector=chosen)
        model_scan(roots=[tmp_path])
        assert chat.get().projector == chosen
    named("seer-4b-Q4_K_M", tmp_path, **{"llama.context_length": 4096})
    chat.update(projector=Model.objects.get(name="mmproj-f32"))
    model_scan(roots=[tmp_path])
    assert str(chat.get().projector) == "mmproj-f32"


def test_a_projector_that_is_gone_makes_room_for_another(tmp_path: Path) -> None:
    named("seer-4b-Q4_K_M", tmp_path)
    old = write_gguf(tmp_path / "mmproj-f16.gguf", mmproj_fields())
    model_scan(roots=[tmp_path])
    old.unlink()
    fields = mmproj_fields({"general.name": "better"})
    write_gguf(tmp_path / "mmproj-bf16.gguf", fields)
    model_scan(roots=[tmp_path])
    assert str(Model.objects.get(kind=Kind.CHAT).projector) == "mmproj-bf16"


# Runs ---------------------------------------------------------------------------


def test_a_run_is_recorded_with_counts_and_entries(tmp_path: Path) -> None:
    path = named("m", tmp_path)
    (tmp_path / "bad.gguf").write_bytes(b"nonsense")
    model_scan(roots=[tmp_path])
    run = ScanRun.objects.get()
    assert run.finished_at is not None
    assert run.roots == [str(tmp_path)]
    assert run.counts() == {
        "new": 1,
        "changed": 0,
        "unchanged": 0,
        "missing": 0,
        "unreadable": 1,
    }
    assert run.entries == [
        {
            "path": str(path),
            "outcome": "new",
            "name": "m",
            "summary": "chat llama, 4,672, Q4_0",
        },
        {
            "path": str(tmp_path / "bad.gguf"),
            "outcome": "unreadable",
            "reason": "not a GGUF file: it begins with b'nons'",
        },
    ]


def test_a_scan_that_is_interrupted_leaves_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    named("m", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        model_scan(roots=[tmp_path], progress=interrupt)
    assert not ScanRun.objects.exists()
    assert not Model.objects.exists()


def test_the_configured_roots_are_scanned_unless_others_are_given(
    tmp_path: Path, settings: Any
) -> None:
    settings.MODELS_DIR = tmp_path / "main"
    settings.CONFIG = changed(
        settings.CONFIG, models__extra_dirs=[tmp_path / "extra", "~/models"]
    )
    assert configured_roots() == [
        tmp_path / "main",
        tmp_path / "extra",
        Path.home() / "models",
    ]
    settings.CONFIG = changed(settings.CONFIG, models__extra_dirs=[tmp_path / "extra"])
    for folder in ("main", "extra"):
        named(folder, tmp_path / folder)
    model_scan()
    assert set(states()) == {"main", "extra"}


# Cost ---------------------------------------------------------------------------


def test_a_thousand_unchanged_files_are_not_read_again(
    tmp_path: Path,
    django_assert_num_queries: DjangoAssertNumQueries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    template = write_gguf(tmp_path / "0" / "model-0.gguf").read_bytes()
    for number in range(1, 1000):
        folder = tmp_path / str(number % 10)
        folder.mkdir(exist_ok=True)
        (folder / f"model-{number}.gguf").write_bytes(template)
    assert model_scan(roots=[tmp_path]).counts()["new"] == 1000
    monkeypatch.setattr("registry.scan.scanner.read_model", pytest.fail)
    # The run; models as they were; savepoint; the lock; models as they are now; names,
    # of those without a file too; aliases; two batches of unchanged models; the run
    # again; savepoint.
    with django_assert_num_queries(13):
        report = model_scan(roots=[tmp_path])
    assert report.counts()["unchanged"] == 1000


# Two scans at once ----------------------------------------------------------------


def test_a_scan_that_cannot_be_recorded_leaves_neither_run_nor_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DatabaseError("the disk is full")

    named("m", tmp_path)
    monkeypatch.setattr(services, "_pair_projectors", fail)
    with pytest.raises(DatabaseError):
        model_scan(roots=[tmp_path])
    assert not ScanRun.objects.exists()
    assert not Model.objects.exists()


def test_scans_at_the_same_time_do_not_collide(tmp_path: Path) -> None:
    # Processes with a database file: tests' own database is in memory, where
    # SQLite does not wait.
    models = tmp_path / "models"
    for number in range(50):
        named(f"m{number}", models)
    environment = {
        **os.environ,
        "LLM_MANAGER_DATA_DIR": str(tmp_path / "data"),
        "LLM_MANAGER_MODELS_DIR": str(models),
    }

    manage = [sys.executable, str(ROOT / "manage.py")]
    migrate = [*manage, "migrate", "--verbosity=0"]
    subprocess.run(migrate, env=environment, check=True)
    command = [*manage, "scan_models", "--json"]
    scans = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    reports = [json.loads(scan.communicate()[0]) for scan in scans]
    assert [scan.returncode for scan in scans] == [0, 0, 0]
    assert sum(report["counts"]["new"] for report in reports) == 50
    assert sum(report["counts"]["unchanged"] for report in reports) == 100
