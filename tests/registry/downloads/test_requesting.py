"""Asking for downloads, cancelling them, trying them again."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from auditlog.models import LogEntry
from django.utils import timezone

from accounts.audit.export import as_object
from registry.downloads.requesting import (
    download_cancel,
    download_request,
    download_retry,
    source_of,
)
from registry.hub.errors import AddressRefused, DownloadFailed, NoSuchFile
from registry.models import Download
from tests.configuration import changed
from tests.hub_fixtures import REPO, make_download
from tests.registry.hub.hub_server import COMMIT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.registry.hub.hub_server import FakeHub

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("models_dir")]

State = Download.State


def ask(text: str) -> tuple[Download, bool]:
    return download_request(source=source_of(text), by="ada")


def test_a_request_knows_its_files_and_where_they_come_to(
    tiny_repo: dict[str, bytes],
) -> None:
    found, is_new = ask(REPO)
    assert is_new
    assert found.state == State.REQUESTED
    assert (found.source, found.commit) == (f"{REPO}:tiny-Q4_K_M.gguf", COMMIT)
    assert [file["target"] for file in found.wanted()] == [
        "org/tiny/tiny-Q4_K_M.gguf",
        "org/tiny/mmproj-tiny-F16.gguf",
    ]
    sizes = [len(tiny_repo[file["source"]]) for file in found.wanted()]
    assert found.bytes_total == sum(sizes)


def test_files_of_modelscope_have_addresses_and_checksums(
    tiny_repo: dict[str, bytes], hub: FakeHub
) -> None:
    found, _ = ask(f"modelscope.cn/{REPO}:Q8_0")
    assert (found.source, found.repo) == (f"modelscope.cn/{REPO}:tiny-Q8_0.gguf", "")
    file = found.wanted()[0]
    assert file["source"] == f"{hub.url}/models/{REPO}/resolve/master/tiny-Q8_0.gguf"
    data = tiny_repo["tiny-Q8_0.gguf"]
    assert file["target"] == f"{REPO}/tiny-Q8_0.gguf"
    assert (file["size"], file["sha256"]) == (
        len(data),
        hashlib.sha256(data).hexdigest(),
    )


@pytest.mark.usefixtures("tiny_repo")
def test_a_projector_comes_into_the_folder_of_its_model(hub: FakeHub) -> None:
    files = hub.repos[REPO]
    files["Q5_K_M/tiny-Q5_K_M.gguf"] = files.pop("tiny-Q4_K_M.gguf")
    found, _ = ask(f"{REPO}:Q5_K_M")
    assert [file["target"] for file in found.wanted()] == [
        "org/tiny/Q5_K_M/tiny-Q5_K_M.gguf",
        "org/tiny/Q5_K_M/mmproj-tiny-F16.gguf",
    ]


@pytest.mark.usefixtures("tiny_repo")
def test_the_same_model_is_requested_once_while_it_is_open() -> None:
    first, _ = ask(REPO)
    assert ask(f"{REPO}:Q4_K_M") == (first, False)
    assert ask(f"{REPO}:Q8_0")[1]
    Download.objects.update(state=State.FAILED)
    assert ask(REPO)[1]


@pytest.mark.usefixtures("tiny_repo")
def test_what_the_repository_lacks_makes_no_row() -> None:
    with pytest.raises(NoSuchFile, match="it has: Q4_K_M, Q8_0"):
        ask(f"{REPO}:Q9_0")
    assert not Download.objects.exists()


def test_an_address_that_is_not_permitted_makes_no_row(settings: Any) -> None:
    settings.CONFIG = changed(settings.CONFIG, downloads__hosts=["huggingface.co"])
    with pytest.raises(AddressRefused, match=r"downloads\.hosts"):
        ask("https://elsewhere.test/m.gguf")
    assert not Download.objects.exists()


def test_one_that_waits_is_cancelled_at_once() -> None:
    download = make_download()
    assert download_cancel(download, by="ada")
    assert (download.state, download.error) == (State.CANCELLED, "Cancelled by ada.")
    assert not download_cancel(download, by="ada")


def test_parts_of_one_that_waits_go_with_it_unless_another_needs_them(
    models_dir: Path,
) -> None:
    folder = models_dir / ".downloads"
    folder.mkdir()

    def waiting(*names: str) -> Download:
        return make_download(
            files=[
                {"source": name, "target": name, "size": 9, "sha256": name * 8}
                for name in names
            ]
        )

    download = waiting("a", "b")
    waiting("b", "c")
    for name in "abc":
        (folder / f"{name * 8}.part").touch()
    (folder / "aaaaaaaa.json").touch()
    download_cancel(download, by="ada")
    assert sorted(path.name for path in folder.iterdir()) == [
        "bbbbbbbb.part",
        "cccccccc.part",
    ]


def test_one_that_runs_is_asked_to_stop() -> None:
    download = make_download(state=State.RUNNING, seen_at=timezone.now())
    assert download_cancel(download, by="ada")
    assert (download.state, download.is_cancelled) == (State.RUNNING, True)


def test_one_of_a_machine_that_is_gone_is_cancelled_at_once() -> None:
    long_ago = timezone.now() - timedelta(minutes=5)
    download = make_download(state=State.RUNNING, seen_at=long_ago, node="gone")
    assert download_cancel(download, by="ada")
    assert download.state == State.CANCELLED


def test_one_that_failed_is_tried_again() -> None:
    download = make_download(state=State.FAILED, error="The disk is full.")
    assert download_retry(download)
    assert (download.state, download.error) == (State.REQUESTED, "")
    assert not download_retry(download)


def test_one_is_not_tried_again_beside_another_of_the_same_files() -> None:
    make_download()
    with pytest.raises(DownloadFailed, match="already"):
        download_retry(make_download(state=State.FAILED))


def test_what_people_do_is_in_the_audit_log() -> None:
    download = make_download()
    download_cancel(download, by="ada")
    entries = [as_object(entry) for entry in LogEntry.objects.order_by("pk")]
    assert [entry["event"] for entry in entries] == ["created", "changed"]
    assert entries[1]["changes"]["state"] == ["requested", "cancelled"]
    assert "bytes_done" not in entries[0]["changes"]


def test_how_far_it_is(models_dir: Path) -> None:
    running = make_download(state=State.RUNNING, bytes_done=25, speed=5.0)
    assert (running.share, running.seconds_left) == (0.25, 15.0)
    unknown = make_download(state=State.RUNNING, bytes_total=None)
    assert (unknown.share, unknown.seconds_left) == (None, None)
