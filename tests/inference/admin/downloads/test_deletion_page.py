"""Deleting a model with its files in the admin, after a page that says what breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from inference.models import WorkerState
from registry.models import Alias, Model
from tests.admin_pages import said
from tests.factories import make_model, make_node, make_worker

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture
def tiny(models_dir: Path) -> Model:
    path = models_dir / "tiny.gguf"
    path.write_bytes(b"GGUF")
    return make_model("tiny", path=str(path), file_size=4)


def page_of(model: Model) -> str:
    return f"/admin/registry/model/{model.pk}/delete-files/"


def test_the_page_names_files_and_what_breaks_and_then_deletes(
    manager: Client, tiny: Model, models_dir: Path
) -> None:
    Alias.objects.create(name="nick", model=tiny)
    change = manager.get(f"/admin/registry/model/{tiny.pk}/change/").content.decode()
    assert page_of(tiny) in change
    shown = manager.get(page_of(tiny)).content.decode()
    assert str(models_dir / "tiny.gguf") in shown
    assert "aliases &#x27;nick&#x27;" in shown
    assert (models_dir / "tiny.gguf").exists()

    answer = manager.post(page_of(tiny), follow=True)
    assert said(answer) == ["success: tiny is deleted, and 4 B are free."]
    assert not Model.objects.exists()
    assert not (models_dir / "tiny.gguf").exists()


def test_a_loaded_model_is_unloaded_and_asked_for_again(
    manager: Client, tiny: Model, models_dir: Path
) -> None:
    make_worker(tiny, node=make_node(), state=WorkerState.READY, running=3)
    shown = manager.get(page_of(tiny)).content.decode()
    assert "3 requests run on it" in shown
    assert "Disable and unload" in shown
    answer = manager.post(page_of(tiny), follow=True)
    assert "being unloaded now" in said(answer)[0]
    assert (models_dir / "tiny.gguf").exists()


def test_who_may_not_delete_models_sees_no_way_there(
    viewer: Client, tiny: Model, models_dir: Path
) -> None:
    change = viewer.get(f"/admin/registry/model/{tiny.pk}/change/").content.decode()
    assert "Delete with files" not in change
    assert viewer.get(page_of(tiny)).status_code == 403
    assert viewer.post(page_of(tiny)).status_code == 403
    assert (models_dir / "tiny.gguf").exists()
