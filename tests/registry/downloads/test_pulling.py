"""A node fetches a model that it lacks, from another node or from its hub."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from inference.models import EngineNode
from llm_manager.lib.tunnel import closing
from registry.downloads.pulling import hub_record, pull_request
from registry.downloads.requesting import download_cancel, download_retry
from registry.hub import fetching
from registry.hub.parts import Part
from registry.models import Download, Model, ModelCopy
from registry.services import model_scan
from registry.sharing.messages import shared_secret
from tests.configuration import changed
from tests.factories import make_node
from tests.gguf_files import llama_fields, write_gguf
from tests.registry.downloads.test_running import ask, runner
from tests.registry.sharing.file_server import file_server, shared

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.registry.sharing.file_server import RunningServer

pytestmark = pytest.mark.django_db

State = Download.State


def permit(settings: Any, where: str) -> None:
    settings.CONFIG = changed(settings.CONFIG, nodes__pull_models=where)


@pytest.fixture
def far(models_dir: Path, tmp_path: Path, settings: Any) -> Iterator[RunningServer]:
    """Another machine with a model of this registry, which this one lacks."""
    permit(settings, "nodes")
    there = tmp_path / "there"
    there.mkdir()
    path = write_gguf(there / "m.gguf", llama_fields({"general.name": "far"}))
    with path.open("ab") as file:
        file.write(bytes(3 * 1024 * 1024))
    model_scan(roots=[there])
    with file_server(there, shared_secret(settings.SECRET_KEY)) as running:
        model = Model.objects.get()
        running.files[model.fingerprint] = shared([path])
        ModelCopy.objects.create(
            node=make_node("far", files_address=running.address),
            path=str(path),
            place="org/m.gguf",
            size=model.file_size,
            mtime_ns=model.mtime_ns,
            fingerprint=model.fingerprint,
        )
        yield running


def pull() -> Download:
    """Let this machine fetch the model of the registry."""
    return pull_request(model=Model.objects.get(), node=platform.node(), by="ada")


def files_of(folder: Path) -> list[str]:
    """Return all files below a folder: whole ones, parts and notes of parts."""
    return [path.name for path in folder.rglob("*") if path.is_file()]


def run(download: Download, **more: Any) -> Download:
    runner(**more).run()
    download.refresh_from_db()
    return download


def test_a_model_comes_from_another_node_to_the_same_place(
    far: RunningServer, models_dir: Path, tmp_path: Path
) -> None:
    seen: list[bool] = []
    here = models_dir / "org" / "m.gguf"
    download = run(pull(), fetched=lambda: seen.append(here.exists()))
    assert (download.state, download.error) == (State.DONE, "")
    assert here.read_bytes() == (tmp_path / "there" / "m.gguf").read_bytes()
    assert download.became == ["m"]
    assert download.bytes_done == download.bytes_total == here.stat().st_size
    assert seen == [True]
    assert Model.objects.get().path == str(tmp_path / "there" / "m.gguf")


def test_a_pull_is_for_its_node_alone(far: RunningServer, models_dir: Path) -> None:
    download = pull_request(model=Model.objects.get(), node="other", by="ada")
    assert run(download).state == State.ASSIGNED
    assert list(models_dir.rglob("*.gguf")) == []


def test_one_node_has_one_row_for_a_model(far: RunningServer) -> None:
    first = pull()
    assert pull() == first
    assert run(first).state == State.DONE
    again = pull()
    assert (again.pk, again.state) == (first.pk, State.ASSIGNED)
    # What is there already is seen by its checksum.
    assert run(again).state == State.DONE


def test_a_pull_goes_on_with_what_has_come(
    far: RunningServer, models_dir: Path, tmp_path: Path
) -> None:
    source = tmp_path / "there" / "m.gguf"
    download = pull()
    sent: list[int] = []
    original = Part.write

    def cut(part: Any, chunk: bytes) -> None:
        sent.append(len(chunk))
        original(part, chunk)
        if part.size > 1024 * 1024 and len(sent) < 100:
            sent.extend([0] * 100)
            raise fetching._TryAgain("cut")

    fetching_part = pytest.MonkeyPatch()
    with fetching_part.context() as patch:
        patch.setattr(Part, "write", cut)
        patch.setattr(fetching, "_PAUSES_S", (0.0,) * 5)
        assert run(download).state == State.DONE
    assert sum(sent) == source.stat().st_size
    assert (models_dir / "org" / "m.gguf").read_bytes() == source.read_bytes()


def test_another_node_goes_on_when_the_first_one_dies(
    far: RunningServer,
    models_dir: Path,
    tmp_path: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tmp_path / "there" / "m.gguf"
    copy = ModelCopy.objects.get()
    sizes: list[int] = []
    original = Part.write

    def write(part: Any, chunk: bytes) -> None:
        original(part, chunk)
        sizes.append(len(chunk))
        if part.size > 1024 * 1024:
            far.stop()

    monkeypatch.setattr(closing, "_CLOSES_WITHIN_S", 0.1)
    monkeypatch.setattr(Part, "write", write)
    monkeypatch.setattr(fetching, "_PAUSES_S", (0.0,) * 5)
    with file_server(tmp_path / "there", shared_secret(settings.SECRET_KEY)) as other:
        other.files = far.files
        copy.pk = None
        copy.node = make_node("later", files_address=other.address)
        copy.save()
        assert run(pull()).state == State.DONE
    # Nothing came twice.
    assert sum(sizes) == source.stat().st_size
    assert (models_dir / "org" / "m.gguf").read_bytes() == source.read_bytes()


def test_a_file_that_is_not_what_was_said_is_deleted(
    far: RunningServer, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(far.server, "_hash", lambda path: (shared_size(path), "0" * 64))
    download = run(pull())
    assert download.state == State.FAILED
    assert "far: 'm.gguf' is not what its source says" in download.error
    assert files_of(models_dir) == []


def shared_size(path: str) -> int:
    return Path(path).stat().st_size


def test_another_model_under_the_fingerprint_is_deleted(
    far: RunningServer, models_dir: Path, tmp_path: Path
) -> None:
    other = write_gguf(tmp_path / "there" / "other.gguf")
    far.files[Model.objects.get().fingerprint] = shared([other])
    download = run(pull())
    assert download.state == State.FAILED
    assert "its fingerprint is another one" in download.error
    assert files_of(models_dir) == []


def test_a_source_that_is_gone_is_said_and_the_pull_can_be_tried_again(
    far: RunningServer, models_dir: Path
) -> None:
    address = far.address
    EngineNode.objects.update(files_address="127.0.0.1:9")
    download = run(pull())
    assert download.state == State.FAILED
    assert "far: 127.0.0.1:9 cannot be asked" in download.error
    EngineNode.objects.update(files_address=address)
    assert download_retry(download)
    assert download.state == State.ASSIGNED
    assert run(download).state == State.DONE


def test_without_a_source_the_pull_says_what_is_missing(
    far: RunningServer, settings: Any
) -> None:
    permit(settings, "hub")
    download = run(pull())
    assert download.state == State.FAILED
    assert "No other machine sends 'm' (nodes.listen)" in download.error


def test_a_full_disk_is_said(far: RunningServer, settings: Any) -> None:
    settings.CONFIG = changed(settings.CONFIG, downloads__keep_free_mb=2**40)
    download = run(pull())
    assert download.state == State.FAILED
    assert "The disk has no room" in download.error


def test_one_that_waits_is_cancelled_at_once(far: RunningServer) -> None:
    download = pull()
    assert download_cancel(download, by="ada")
    assert download.state == State.CANCELLED


def test_a_name_that_leads_out_of_the_models_directory_is_refused(
    far: RunningServer, models_dir: Path
) -> None:
    ModelCopy.objects.update(place="../m.gguf")
    download = run(pull())
    assert download.state == State.FAILED
    assert "leads out of the folder" in download.error


@pytest.mark.usefixtures("tiny_repo")
def test_a_model_comes_again_from_where_it_was_downloaded(
    models_dir: Path, settings: Any
) -> None:
    first = ask()
    assert run(first).state == State.DONE
    model = Model.objects.exclude(kind="projector").get()
    assert hub_record(model) == first
    path = model.paths[0]
    data = path.read_bytes()
    shutil.rmtree(models_dir / "org")
    permit(settings, "both")
    download = run(pull_request(model=model, node=platform.node(), by="ada"))
    assert (download.state, download.error) == (State.DONE, "")
    assert path.read_bytes() == data
    assert Model.objects.count() == 2
