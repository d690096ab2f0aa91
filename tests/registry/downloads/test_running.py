"""The runner of downloads, on a real hub's protocol: resumed, cancelled, registered."""

from __future__ import annotations

import os
import platform
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.utils import timezone

from registry.downloads import parts, running
from registry.downloads.progress import SpeedWindow
from registry.downloads.requesting import (
    download_cancel,
    download_request,
    source_of,
)
from registry.downloads.running import DownloadRunner, in_daemon_thread
from registry.hub.placing import wanted_files
from registry.models import Download, Kind, Model
from tests.configuration import unchecked
from tests.hub_fixtures import REPO, make_download

if TYPE_CHECKING:
    from pathlib import Path

    from tests.registry.hub.hub_server import FakeHub

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("models_dir", "tiny_repo"),
]

State = Download.State


def runner(**more: Any) -> DownloadRunner:
    """Return a runner that does one after the other, in the thread of the test."""
    given = {"start": lambda work: work(), "linger_s": 0, "beat_s": 0.02, **more}
    return DownloadRunner(platform.node(), **given)


def ask(text: str = REPO) -> Download:
    return download_request(source=source_of(text), by="ada")[0]


class InThread:
    """A runner in a thread, until it ends or is stopped."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self.runner = runner(is_stopping=self._stop.is_set, start=in_daemon_thread)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.runner.run()
        finally:
            connection.close()

    def stop(self) -> None:
        self._stop.set()
        self.join()

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()


def test_a_download_becomes_a_model_with_its_projector(models_dir: Path) -> None:
    download = ask()
    runner().run()
    download.refresh_from_db()
    assert (download.state, download.error) == (State.DONE, "")
    assert download.bytes_done == download.bytes_total
    model, projector = Model.objects.order_by("kind")
    assert download.became == [model.name, projector.name]
    assert model.path == str(models_dir / "org/tiny/tiny-Q4_K_M.gguf")
    assert projector.kind == Kind.PROJECTOR
    assert model.projector == projector
    assert list((models_dir / ".downloads").iterdir()) == []


def test_two_that_share_a_projector_run_at_once() -> None:
    ask(f"{REPO}:Q4_K_M")
    ask(f"{REPO}:Q8_0")
    runner().run()
    assert set(Download.objects.values_list("state", flat=True)) == {State.DONE}
    assert Model.objects.exclude(projector=None).count() == 2


def test_one_that_a_killed_process_left_goes_on(hub: FakeHub, models_dir: Path) -> None:
    download = ask()
    data = hub.repos[REPO]["tiny-Q4_K_M.gguf"]
    file = download.wanted()[0]
    parts = models_dir / ".downloads"
    parts.mkdir()
    (parts / f"{file['sha256']}.part").write_bytes(data[:5000])
    Download.objects.update(state=State.RUNNING, node=platform.node())
    runner().run()
    download.refresh_from_db()
    assert download.state == State.DONE
    assert hub.requests("store")[0].headers["Range"] == "bytes=5000-"
    assert (models_dir / file["target"]).read_bytes() == data


def test_one_of_another_machine_is_left_to_it() -> None:
    make_download(state=State.RUNNING, node="another")
    assert not Download.objects.wait_for_engines()
    runner().run()
    assert Download.objects.get().state == State.RUNNING


@pytest.mark.django_db(transaction=True)
def test_a_runner_that_is_stopped_leaves_it_for_the_next_engine(
    hub: FakeHub, models_dir: Path
) -> None:
    download = ask()
    hub.holds = [5000]
    running_now = InThread()
    assert hub.held.acquire(timeout=30)
    stopping = threading.Thread(target=running_now.stop)
    stopping.start()
    (run,) = running_now.runner._runs.values()
    assert run.stop.wait(30)
    # The next bytes tell the thread.
    hub.go_on.set()
    stopping.join(30)
    download.refresh_from_db()
    assert download.state == State.REQUESTED
    assert [each.suffix for each in (models_dir / ".downloads").iterdir()] == [".part"]
    runner().run()
    download.refresh_from_db()
    assert download.state == State.DONE


@pytest.mark.django_db(transaction=True)
def test_a_cancelled_one_ends_and_leaves_nothing(
    hub: FakeHub, models_dir: Path
) -> None:
    download = ask()
    hub.holds = [5000]
    running_now = InThread()
    assert hub.held.acquire(timeout=30)
    download.refresh_from_db()
    assert download.state == State.RUNNING
    assert download_cancel(download, by="ada")
    (run,) = running_now.runner._runs.values()
    assert run.stop.wait(30)
    hub.go_on.set()
    running_now.join()
    download.refresh_from_db()
    assert (download.state, download.error) == (State.CANCELLED, "Cancelled by ada.")
    assert list((models_dir / ".downloads").iterdir()) == []
    assert not Model.objects.exists()


def test_a_wrong_checksum_fails_with_the_reason(hub: FakeHub) -> None:
    data = hub.repos[REPO]["tiny-Q4_K_M.gguf"]
    hub.corrupted["tiny-Q4_K_M.gguf"] = data[:-1] + b"!"
    download = ask()
    runner().run()
    download.refresh_from_db()
    assert download.state == State.FAILED
    assert "its sha256 is" in download.error
    assert not Model.objects.exists()


def test_a_disk_without_room_fails_with_the_numbers(settings: Any) -> None:
    settings.CONFIG = unchecked(settings.CONFIG, downloads__keep_free_mb=10**12)
    download = ask()
    runner().run()
    download.refresh_from_db()
    assert download.state == State.FAILED
    assert "The disk has no room" in download.error


def test_a_file_that_is_no_model_fails_after_it_came(hub: FakeHub) -> None:
    hub.repos[REPO] = {"odd.gguf": b"GGUF but nothing after it"}
    download = ask()
    runner().run()
    download.refresh_from_db()
    assert download.state == State.FAILED
    assert "'odd.gguf' cannot be read" in download.error


def test_an_address_is_downloaded_and_its_size_becomes_known(
    hub: FakeHub, models_dir: Path
) -> None:
    download = ask(f"{hub.store_url}/{REPO}/tiny-Q8_0.gguf")
    assert download.bytes_total is None
    runner().run()
    download.refresh_from_db()
    assert (download.state, download.error) == (State.DONE, "")
    assert download.bytes_total == len(hub.repos[REPO]["tiny-Q8_0.gguf"])
    assert download.became == ["tiny-Q8_0"]
    assert (models_dir / "tiny-Q8_0.gguf").exists()


def test_a_row_is_believed_no_more_than_the_hub(models_dir: Path) -> None:
    file = {"source": "a.gguf", "target": "../a.gguf", "size": 4, "sha256": ""}
    download = make_download(files=[file])
    runner().run()
    download.refresh_from_db()
    assert download.state == State.FAILED
    assert "leads out of the folder" in download.error


def test_an_error_that_nobody_expects_fails_the_download(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_run: object) -> None:
        raise RuntimeError("oops")

    monkeypatch.setattr(running, "_run_one", fail)
    download = ask()
    runner().run()
    download.refresh_from_db()
    assert download.state == State.FAILED
    assert "oops" not in download.error


def test_parts_of_a_cancelled_download_go_without_waiting_to_grow_old(
    models_dir: Path,
) -> None:
    folder = models_dir / ".downloads"
    folder.mkdir()
    _, _, shared = (
        make_download(
            state=state,
            finished_at=timezone.now() + timedelta(seconds=1),
            files=[
                {"source": name, "target": name, "size": 9, "sha256": name * 8}
                for name in names
            ],
        )
        for state, names in (
            (State.CANCELLED, "ab"),
            (State.FAILED, "bc"),
            (State.CANCELLED, "d"),
        )
    )
    for name in "abcd":
        (folder / f"{name * 8}.part").touch()
    # Whoever gets a file without a row goes on with it.
    assert shared.finished_at is not None
    later = shared.finished_at.timestamp() + 60
    os.utime(folder / f"{'d' * 8}.part", (later, later))
    runner().run()
    assert sorted(path.name for path in folder.iterdir()) == [
        f"{name * 8}.part" for name in "bcd"
    ]


def test_old_parts_of_files_without_a_checksum_are_kept_for_their_row(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_FORGOTTEN_S", -1)
    folder = models_dir / ".downloads"
    folder.mkdir()
    file = {"source": "a.gguf", "target": "a.gguf", "size": None, "sha256": ""}
    keys = []
    for more in ({}, {"repo": "", "commit": ""}):
        source = file["source"] if not more else "https://x.test/a.gguf"
        row = make_download(
            state=State.FAILED, files=[{**file, "source": source}], **more
        )
        (wanted,) = wanted_files(
            row.wanted(), repo=row.repo, commit=row.commit, root=models_dir
        )
        keys.append(wanted.key)
        (folder / f"{wanted.key}.part").touch()
    (folder / "forgotten.part").touch()
    runner().run()
    assert {path.stem for path in folder.iterdir()} == set(keys)


def test_old_parts_that_no_row_knows_are_deleted(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = ask()
    Download.objects.update(state=State.FAILED)
    folder = models_dir / ".downloads"
    folder.mkdir()
    kept = folder / f"{known.wanted()[0]['sha256']}.part"
    for path in (kept, folder / "forgotten.part", folder / "forgotten.json"):
        path.touch()
    runner().run()
    assert len(list(folder.iterdir())) == 3
    monkeypatch.setattr(parts, "_FORGOTTEN_S", -1)
    runner().run()
    assert list(folder.iterdir()) == [kept]


def test_the_speed_is_that_of_the_last_seconds() -> None:
    speed = SpeedWindow()
    assert speed.add(0, 1000) == 0
    assert speed.add(1, 1100) == 100
    for second in range(2, 30):
        found = speed.add(second, 1100 + 50 * (second - 1))
    assert found == 50
    # It began again.
    assert speed.add(30, 0) == 0
