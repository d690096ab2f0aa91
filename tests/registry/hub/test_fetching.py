"""Fetching files: resumed, checked, bounded by the disk. Against a real server."""

from __future__ import annotations

import errno
import hashlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

from registry.hub import fetching
from registry.hub.errors import (
    AddressRefused,
    BrokenConnection,
    DiskFull,
    DownloadFailed,
    NoSuchFile,
    WrongContent,
)
from registry.hub.hub import file_url
from registry.hub.network import NetworkPolicy
from registry.hub.parts import Part, WantedFile, delete_part
from tests.registry.hub.conftest import GIB, FakeDisk

if TYPE_CHECKING:
    from tests.registry.hub.hub_server import FakeHub

MIB = 1024 * 1024
REPO = "org/tiny"
DATA = b"GGUF" + bytes(range(256)) * 12_288  # 3 MiB and 4 bytes


def wanted(download: FakeDisk, hub: FakeHub, path: str = "a.gguf") -> WantedFile:
    """Return a file as the hub says it is."""
    data = hub.repos[REPO][path]
    return WantedFile(
        file_url(REPO, "main", path),
        download.folder / path,
        len(data),
        hashlib.sha256(data).hexdigest(),
    )


def by_address(download: FakeDisk, hub: FakeHub) -> WantedFile:
    """Return the same file by its address, of which nothing is known."""
    return WantedFile(f"{hub.store_url}/{REPO}/a.gguf", download.folder / "a.gguf")


@pytest.fixture(autouse=True)
def _files(hub: FakeHub) -> None:
    hub.repos[REPO] = {"a.gguf": DATA, "b.gguf": b"GGUF" + b"b" * MIB}


def test_a_file_comes_whole_over_the_redirect_and_nothing_is_left(
    download: FakeDisk, hub: FakeHub
) -> None:
    files = [wanted(download, hub), wanted(download, hub, "b.gguf")]
    download.fetcher().fetch(files)

    assert (download.folder / "a.gguf").read_bytes() == DATA
    assert download.left() == []
    assert download.moves == sorted(download.moves)
    assert download.moves[-1] == len(DATA) + MIB + 4
    assert [each.status for each in hub.seen] == [302, 200, 302, 200]


def test_a_token_stays_with_its_host(download: FakeDisk, hub: FakeHub) -> None:
    hub.token = "hf_secret"
    file = wanted(download, hub)
    headers = {"authorization": "Bearer hf_secret"}
    given = WantedFile(file.url, file.target, file.size, file.sha256, headers)
    download.fetcher().fetch([given])
    assert "Authorization" in {k.title() for k in hub.requests("hub")[0].headers}
    assert "Authorization" not in {k.title() for k in hub.requests("store")[0].headers}


def test_a_gated_file_is_refused_in_the_hubs_words(
    download: FakeDisk, hub: FakeHub
) -> None:
    hub.token = "hf_secret"
    with pytest.raises(NoSuchFile, match=r"403 .*Access to this model is restricted"):
        download.fetcher().fetch([wanted(download, hub)])


def test_a_broken_connection_goes_on_where_it_broke(
    download: FakeDisk, hub: FakeHub
) -> None:
    hub.cuts = [MIB, 1_000_000]
    download.fetcher().fetch([wanted(download, hub)])
    assert (download.folder / "a.gguf").read_bytes() == DATA
    ranges = [each.headers.get("Range") for each in hub.requests("store")]
    assert ranges == [None, f"bytes={MIB}-", f"bytes={MIB + 1_000_000}-"]
    assert download.pauses == [1.0, 1.0]


def test_a_connection_that_brings_nothing_is_given_up_and_the_part_kept(
    download: FakeDisk, hub: FakeHub
) -> None:
    hub.cuts = [MIB] + [0] * 6
    with pytest.raises(BrokenConnection, match="stopped at 1,048,576 bytes"):
        download.fetcher().fetch([wanted(download, hub)])
    assert download.pauses == [1.0, 1.0, 2.0, 4.0, 8.0, 16.0]
    download.fetcher().fetch([wanted(download, hub)])
    assert hub.seen[-1].headers["Range"] == f"bytes={MIB}-"
    assert (download.folder / "a.gguf").read_bytes() == DATA


def test_a_name_that_no_server_resolves_for_a_while_is_asked_again(
    download: FakeDisk, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = wanted(download, hub)
    away = [socket.gaierror(socket.EAI_AGAIN, "away")]
    look_up = socket.getaddrinfo

    def resolving(*given: Any, **more: Any) -> Any:
        if away:
            raise away.pop()
        return look_up(*given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolving)
    download.fetcher().fetch([file])
    assert (download.folder / "a.gguf").read_bytes() == DATA
    assert download.pauses == [1.0]


def test_a_busy_server_is_asked_again(download: FakeDisk, hub: FakeHub) -> None:
    hub.refusals = [503, 429]
    download.fetcher().fetch([wanted(download, hub)])
    assert (download.folder / "a.gguf").read_bytes() == DATA
    assert download.pauses == [1.0, 2.0]


def test_a_server_without_ranges_sends_it_all_again(
    download: FakeDisk, hub: FakeHub
) -> None:
    hub.cuts = [MIB]
    hub.has_ranges = False
    download.fetcher().fetch([wanted(download, hub)])
    assert (download.folder / "a.gguf").read_bytes() == DATA


def test_a_wrong_checksum_is_an_error_and_the_file_is_deleted(
    download: FakeDisk, hub: FakeHub
) -> None:
    hub.corrupted["a.gguf"] = DATA[:-1] + b"!"
    with pytest.raises(WrongContent, match="its sha256 is"):
        download.fetcher().fetch([wanted(download, hub)])
    assert not (download.folder / "a.gguf").exists()
    assert download.left() == []


def test_what_an_earlier_process_wrote_is_hashed_too(
    download: FakeDisk, hub: FakeHub
) -> None:
    file = wanted(download, hub)
    parts = download.folder / ".downloads"
    parts.mkdir()
    (parts / f"{file.key}.part").write_bytes(b"GGUF" + b"?" * MIB)
    with pytest.raises(WrongContent, match="its sha256 is"):
        download.fetcher().fetch([file])


@pytest.mark.parametrize("more", [b"more", b""])
def test_another_size_than_the_hub_says_is_refused(
    download: FakeDisk, hub: FakeHub, more: bytes
) -> None:
    hub.corrupted["a.gguf"] = DATA + more if more else DATA[:-1]
    with pytest.raises(WrongContent, match=r"bytes, not 3,145,732"):
        download.fetcher().fetch([wanted(download, hub)])


def test_what_is_no_gguf_file_ends_with_its_first_bytes(
    download: FakeDisk, hub: FakeHub
) -> None:
    hub.repos[REPO]["a.gguf"] = b"<html>" + b" " * MIB
    with pytest.raises(WrongContent, match="is no GGUF file"):
        download.fetcher().fetch([by_address(download, hub)])


def test_files_that_do_not_fit_are_refused_before_a_byte_comes(
    download: FakeDisk, hub: FakeHub
) -> None:
    download.free = GIB + len(DATA) - 1
    with pytest.raises(DiskFull, match="have to stay free"):
        download.fetcher().fetch([wanted(download, hub)])
    assert hub.seen == []


def test_a_disk_that_fills_meanwhile_ends_it_and_the_part_is_kept(
    download: FakeDisk, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_ROOM_EVERY", MIB)
    fetcher = download.fetcher()
    fetcher._moved = lambda size: setattr(download, "free", GIB if size > MIB else 0)
    with pytest.raises(DiskFull):
        fetcher.fetch([wanted(download, hub)])
    assert any(name.endswith(".part") for name in download.left())
    download.free = 10 * GIB
    download.fetcher().fetch([wanted(download, hub)])
    assert hub.seen[-1].status == 206
    assert (download.folder / "a.gguf").read_bytes() == DATA


def test_a_write_that_the_disk_refuses_is_said_as_such(
    download: FakeDisk, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Part, "write", full)
    with pytest.raises(DiskFull, match="The disk is full"):
        download.fetcher().fetch([wanted(download, hub)])


def test_a_file_that_is_here_is_not_fetched_again(
    download: FakeDisk, hub: FakeHub
) -> None:
    download.fetcher().fetch([wanted(download, hub)])
    before = len(hub.seen)
    download.fetcher().fetch([wanted(download, hub)])
    assert len(hub.seen) == before


def test_another_file_of_the_name_is_left_alone(
    download: FakeDisk, hub: FakeHub
) -> None:
    (download.folder / "a.gguf").write_bytes(b"GGUF mine")
    for file in (wanted(download, hub), by_address(download, hub)):
        with pytest.raises(DownloadFailed, match="is another file"):
            download.fetcher().fetch([file])
    assert (download.folder / "a.gguf").read_bytes() == b"GGUF mine"


def test_another_file_that_came_meanwhile_is_left_alone_and_said(
    download: FakeDisk, hub: FakeHub
) -> None:
    file = wanted(download, hub)
    fetcher = download.fetcher()
    hub.cuts = [MIB]

    def come(_seconds: float) -> None:
        file.target.write_bytes(b"GGUF other")

    fetcher._pause = come
    with pytest.raises(DownloadFailed, match="is another file"):
        fetcher.fetch([file])
    assert file.target.read_bytes() == b"GGUF other"


def test_only_one_fetches_a_file_and_the_other_waits_for_it(
    download: FakeDisk, hub: FakeHub
) -> None:
    file = wanted(download, hub)
    holder, waiting = download.fetcher(), download.fetcher()
    (download.folder / ".downloads").mkdir()
    lock = holder._locked(file.key)
    lock.__enter__()

    def release(_seconds: float) -> None:
        lock.__exit__(None, None, None)

    waiting._pause = release
    waiting.fetch([file])
    assert (download.folder / "a.gguf").read_bytes() == DATA
    assert download.left() == []


def discard(download: FakeDisk, file: WantedFile) -> None:
    delete_part(download.folder / ".downloads", file.key)


def test_one_that_is_cancelled_leaves_the_part_that_another_fetches(
    download: FakeDisk, hub: FakeHub
) -> None:
    file = wanted(download, hub)
    fetching_it = download.fetcher()
    hub.cuts = [MIB]
    fetching_it._pause = lambda _seconds: discard(download, file)
    fetching_it.fetch([file])
    assert (download.folder / "a.gguf").read_bytes() == DATA
    assert download.left() == []


def test_one_that_is_cancelled_deletes_its_own_part(
    download: FakeDisk, hub: FakeHub
) -> None:
    file = wanted(download, hub)
    hub.cuts = [MIB] + [0] * 6
    with pytest.raises(BrokenConnection):
        download.fetcher().fetch([file])
    assert download.left() == [f"{file.key}.part"]
    discard(download, file)
    assert download.left() == []


# Of an address nobody says size or checksum -----------------------------------------


def test_an_address_is_resumed_while_its_mark_is_the_same(
    download: FakeDisk, hub: FakeHub
) -> None:
    hub.cuts = [MIB]
    download.fetcher().fetch([by_address(download, hub)])
    assert hub.seen[-1].status == 206
    assert hub.seen[-1].headers["If-Range"] == '"v1"'
    assert (download.folder / "a.gguf").read_bytes() == DATA
    assert download.left() == []


def test_an_address_whose_file_changed_begins_again(
    download: FakeDisk, hub: FakeHub
) -> None:
    hub.cuts = [MIB] + [0] * 6
    with pytest.raises(BrokenConnection):
        download.fetcher().fetch([by_address(download, hub)])
    hub.repos[REPO]["a.gguf"] = DATA[::-1].replace(DATA[-4:][::-1], b"GGUF", 1)
    hub.etag = '"v2"'
    download.fetcher().fetch([by_address(download, hub)])
    assert hub.seen[-1].status == 200
    assert (download.folder / "a.gguf").read_bytes() == hub.repos[REPO]["a.gguf"]


@pytest.mark.parametrize("etag", [None, 'W/"v1"'])
def test_an_address_without_a_strong_mark_begins_again(
    download: FakeDisk, hub: FakeHub, etag: str | None
) -> None:
    hub.cuts, hub.etag = [MIB], etag
    download.fetcher().fetch([by_address(download, hub)])
    assert [each.status for each in hub.seen] == [200, 200]
    assert (download.folder / "a.gguf").read_bytes() == DATA


# Where nothing may lead -------------------------------------------------------------


def test_a_redirect_to_a_private_address_is_refused(
    download: FakeDisk, hub: FakeHub
) -> None:
    """The hub is public here: its name is known to the resolver of the test alone."""
    hub.redirect = "http://169.254.169.254/latest/meta-data/a.gguf"
    download.policy = NetworkPolicy(
        hosts=("127.0.0.1", "store.test"), is_private_permitted=True
    )
    with pytest.raises(AddressRefused, match=r"169\.254\.169\.254.*downloads\.hosts"):
        download.fetcher().fetch([wanted(download, hub)])


def test_a_redirect_without_an_end_is_given_up(
    download: FakeDisk, hub: FakeHub
) -> None:
    file = wanted(download, hub)
    hub.redirect = file.url
    with pytest.raises(DownloadFailed, match="without an end"):
        download.fetcher().fetch([file])
