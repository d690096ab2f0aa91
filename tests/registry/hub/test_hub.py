"""The hub's protocol, through huggingface_hub, against a server that speaks it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from registry.hub.errors import AddressRefused, BrokenConnection, NoSuchFile
from registry.hub.hub import file_url, hub_headers, hub_offer
from registry.hub.network import NetworkPolicy
from registry.hub.source import HubSource
from tests.registry.hub.conftest import PRIVATE
from tests.registry.hub.hub_server import COMMIT

if TYPE_CHECKING:
    from tests.registry.hub.hub_server import FakeHub

DATA = b"GGUF1234"


def test_only_the_librarys_public_modules_are_used() -> None:
    private = re.compile(r"huggingface_hub(\.\w+)*\._|from huggingface_hub\S* import _")
    root = Path(__file__).parents[3]
    files = [*(root / "registry").rglob("*.py"), *(root / "platform").rglob("*.py")]
    assert files
    assert [str(p) for p in files if private.search(p.read_text("utf-8"))] == []


def test_a_repository_lists_its_files_with_sizes_and_checksums(hub: FakeHub) -> None:
    hub.repos["org/tiny"] = {"tiny-Q4_K_M.gguf": DATA, "README.md": b"#"}
    found = hub_offer(HubSource("org/tiny"), PRIVATE)
    (choice,) = found.choices
    assert found.commit == COMMIT
    assert choice.files[0].size == len(DATA)
    assert choice.files[0].sha256 == hashlib.sha256(DATA).hexdigest()
    assert file_url("org/tiny", COMMIT, "a b.gguf") == (
        f"{hub.url}/org/tiny/resolve/{COMMIT}/a%20b.gguf"
    )
    # Nothing else is asked of the hub.
    assert [each.path for each in hub.seen] == ["/api/models/org/tiny?blobs=true"]


def test_the_token_of_the_environment_is_sent(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos["org/tiny"] = {"tiny.gguf": DATA}
    hub.token = "hf_secret"
    monkeypatch.setenv("HF_HOME", "/nonexistent")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(NoSuchFile, match="HF_TOKEN"):
        hub_offer(HubSource("org/tiny"), PRIVATE)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert hub_offer(HubSource("org/tiny"), PRIVATE).choices
    assert hub_headers()["authorization"] == "Bearer hf_secret"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (HubSource("org/nothing"), "has no repository 'org/nothing'"),
        (HubSource("org/tiny", revision="old"), "has no revision 'old'"),
    ],
)
def test_what_the_hub_does_not_have_is_said(
    hub: FakeHub, source: HubSource, said: str
) -> None:
    hub.repos["org/tiny"] = {"tiny.gguf": DATA}
    with pytest.raises(NoSuchFile, match=said):
        hub_offer(source, PRIVATE)


def test_a_hub_that_is_not_permitted_is_not_asked(hub: FakeHub) -> None:
    with pytest.raises(AddressRefused):
        hub_offer(HubSource("org/tiny"), NetworkPolicy())
    assert hub.seen == []


def test_a_hub_that_is_away_is_said(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(BrokenConnection, match="cannot be reached"):
        hub_offer(HubSource("org/tiny"), PRIVATE)
