"""The page of downloads: choose, get, follow, cancel, try again, forget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from auditlog.models import LogEntry
from django.utils import timezone

from accounts.audit.export import as_object
from llm_manager.lib.units import human_span
from registry.models import Download
from tests.admin_pages import said
from tests.factories import GIB, make_model, make_node
from tests.hub_fixtures import REPO, make_download

if TYPE_CHECKING:
    from django.test import Client

    from tests.registry.hub.hub_server import FakeHub

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("models_dir")]

PAGE = "/admin/registry/download/"
FILES = f"{PAGE}files/"
ADD = f"{PAGE}add/"
State = Download.State


def text_of(answer: Any) -> str:
    assert answer.status_code == 200
    return str(answer.content.decode())


@pytest.mark.usefixtures("tiny_repo")
def test_a_repository_is_shown_with_sizes_and_what_fits(manager: Client) -> None:
    make_node(memory_limit=GIB)
    shown = text_of(manager.get(FILES, {"source": REPO}))
    for expected in (
        "Q4_K_M",
        "tiny-Q8_0.gguf",
        "with the projector mmproj-tiny-F16.gguf",
        "2.0 MiB",
        f'value="{REPO}:tiny-Q4_K_M.gguf"',
        "fits",
    ):
        assert expected in shown, expected
    assert "too large" not in shown


@pytest.mark.usefixtures("tiny_repo")
def test_a_click_downloads_it_and_the_log_says_who(manager: Client) -> None:
    make_node()
    answer = manager.post(ADD, {"source": f"{REPO}:tiny-Q8_0.gguf"}, follow=True)
    assert said(answer) == ["success: Downloading org/tiny:tiny-Q8_0.gguf."]
    download = Download.objects.get()
    assert download.requested_by.startswith("user-")
    entry = as_object(LogEntry.objects.get(content_type__model="download"))
    assert entry["by"] == download.requested_by
    again = manager.post(ADD, {"source": f"{REPO}:tiny-Q8_0.gguf"}, follow=True)
    assert "already" in said(again)[0]
    assert Download.objects.count() == 1


@pytest.mark.usefixtures("tiny_repo")
@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("nonsense", "is no model of a hub"),
        ("org/nothing", "has no repository"),
        ("https://x.test/a.gguf?sig=1", "may be a secret"),
    ],
)
def test_what_cannot_be_got_is_said(manager: Client, source: str, why: str) -> None:
    assert why in text_of(manager.get(FILES, {"source": source}))
    answer = manager.post(ADD, {"source": source}, follow=True)
    assert why in said(answer)[0]
    assert not Download.objects.exists()


def test_an_address_is_offered_as_one_file(manager: Client) -> None:
    shown = text_of(manager.get(FILES, {"source": "https://x.test/m.gguf"}))
    assert "has no checksum" in shown


@pytest.mark.usefixtures("tiny_repo")
def test_hostile_names_are_shown_as_text(manager: Client, hub: FakeHub) -> None:
    hub.repos[REPO]["<script>x</script>.gguf"] = b"GGUF"
    shown = text_of(manager.get(FILES, {"source": REPO}))
    assert "<script>x" not in shown
    assert "&lt;script&gt;x" in shown


def test_the_list_says_how_far_each_is(manager: Client) -> None:
    make_download(
        state=State.RUNNING,
        bytes_total=100 * 2**20,
        bytes_done=25 * 2**20,
        speed=2**20,
        seen_at=timezone.now(),
    )
    make_download(state=State.FAILED, error="The disk is full.")
    tiny = make_model("tiny")
    make_download(state=State.DONE, became=["tiny", "gone"])
    for path in (PAGE, f"{PAGE}status/"):
        shown = text_of(manager.get(path))
        assert "25.0 MiB of 100 MiB" in shown
        assert f"1.0 MiB/s, {human_span(75)} left" in shown
        assert 'value="25" max="100"' in shown
        assert "The disk is full." in shown
        assert f"/admin/registry/model/{tiny.pk}/change/" in shown


def test_it_is_cancelled_tried_again_and_forgotten(manager: Client) -> None:
    download = make_download()
    manager.post(f"{PAGE}{download.pk}/forget/")
    manager.post(f"{PAGE}{download.pk}/cancel/")
    download.refresh_from_db()
    assert download.state == State.CANCELLED
    manager.post(f"{PAGE}{download.pk}/retry/")
    download.refresh_from_db()
    assert download.state == State.REQUESTED
    manager.post(f"{PAGE}{download.pk}/cancel/")
    manager.post(f"{PAGE}{download.pk}/forget/")
    assert not Download.objects.exists()


def test_who_may_only_look_sees_no_button_and_changes_nothing(viewer: Client) -> None:
    download = make_download()
    shown = text_of(viewer.get(PAGE))
    assert "org/tiny:a.gguf" in shown
    for word in ("Get a model", "Cancel<", "Try again", "Forget"):
        assert word not in shown
    assert viewer.get(FILES, {"source": REPO}).status_code == 403
    assert viewer.post(ADD, {"source": REPO}).status_code == 403
    for verb in ("cancel", "retry", "forget"):
        assert viewer.post(f"{PAGE}{download.pk}/{verb}/").status_code == 403
    download.refresh_from_db()
    assert download.state == State.REQUESTED
