"""ModelScope's list of files, by its own protocol."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from registry.hub import modelscope
from registry.hub.errors import (
    AddressRefused,
    BrokenConnection,
    DownloadFailed,
    NoSuchFile,
)
from registry.hub.hub import hub_offer
from registry.hub.modelscope import modelscope_url
from registry.hub.network import NetworkPolicy
from registry.hub.source import HubSource
from tests.registry.hub.conftest import PRIVATE

if TYPE_CHECKING:
    from tests.registry.hub.hub_server import FakeHub

DATA = b"GGUF" + bytes(500)
SOURCE = HubSource("org/tiny", is_modelscope=True)


def test_a_repository_lists_its_files_with_sizes_and_checksums(hub: FakeHub) -> None:
    hub.repos["org/tiny"] = {
        "q4/tiny-Q4_K_M.gguf": DATA,
        "README.md": b"#",
        "../evil.gguf": DATA,
    }
    found = hub_offer(SOURCE, PRIVATE)
    (choice,) = found.choices
    assert (found.repo, found.commit) == ("modelscope.cn/org/tiny", "master")
    assert choice.path == "q4/tiny-Q4_K_M.gguf"
    assert choice.files[0].size == len(DATA)
    assert choice.files[0].sha256 == hashlib.sha256(DATA).hexdigest()
    assert [path for path, _ in found.left_out] == ["../evil.gguf"]
    assert modelscope_url("org/tiny", "master", "a b.gguf") == (
        f"{hub.url}/models/org/tiny/resolve/master/a%20b.gguf"
    )
    # It gets no token of the hub.
    assert "Authorization" not in hub.seen[0].headers


@pytest.mark.parametrize(
    "source",
    [
        HubSource("org/nothing", is_modelscope=True),
        HubSource("org/tiny", revision="old", is_modelscope=True),
    ],
)
def test_what_it_does_not_have_is_said(hub: FakeHub, source: HubSource) -> None:
    hub.repos["org/tiny"] = {"tiny.gguf": DATA}
    with pytest.raises(NoSuchFile, match="has no repository"):
        hub_offer(source, PRIVATE)


def test_it_is_not_asked_if_it_is_not_permitted(hub: FakeHub) -> None:
    with pytest.raises(AddressRefused):
        hub_offer(SOURCE, NetworkPolicy())
    assert hub.seen == []


def test_one_that_is_away_is_said(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(BrokenConnection, match="cannot be reached"):
        hub_offer(SOURCE, PRIVATE)


@pytest.mark.parametrize(
    "answer", [[], {}, {"Data": None}, {"Data": {"Files": [{"Type": "blob"}]}}]
)
def test_an_answer_of_another_kind_is_refused(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    hub.repos["org/tiny"] = {"tiny.gguf": DATA}
    monkeypatch.setattr(modelscope, "_body_of", lambda _: json.dumps(answer).encode())
    with pytest.raises(DownloadFailed, match="does not answer as ModelScope"):
        hub_offer(SOURCE, PRIVATE)


def test_a_list_without_an_end_is_refused(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos["org/tiny"] = {"tiny.gguf": DATA}
    monkeypatch.setattr(modelscope, "_MAX_BYTES", 10)
    with pytest.raises(DownloadFailed, match="too long"):
        hub_offer(SOURCE, PRIVATE)
