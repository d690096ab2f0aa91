"""Files that appear in the models directories become models without a scan by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from registry import services
from registry.errors import ModelNotFound
from registry.models import FileState, Model, ScanRun
from registry.services import FolderLook, arrived_model, models_deleted
from tests.configuration import changed
from tests.gguf_files import llama_fields, write_gguf
from tests.registry.scan.test_arrivals import settled

if TYPE_CHECKING:
    from pathlib import Path

    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models directory, at which nobody has looked yet."""
    settings.MODELS_DIR = tmp_path
    monkeypatch.setattr(services, "folder_look", FolderLook())
    return tmp_path


def put(folder: Path, name: str) -> Path:
    fields = llama_fields({"general.name": name})
    return settled(write_gguf(folder / f"{name}.gguf", fields))


def names() -> set[str]:
    return set(Model.objects.values_list("name", flat=True))


def test_a_look_registers_what_is_whole_and_leaves_the_rest(folder: Path) -> None:
    put(folder, "whole")
    write_gguf(folder / "growing.gguf")
    look = FolderLook()
    found = look.look()
    assert found is not None
    assert [path.name for path in found.growing] == ["growing.gguf"]
    assert names() == {"whole"}
    settled(folder / "growing.gguf")
    look.look()
    assert names() == {"whole", "growing"}


def test_a_look_at_folders_that_have_not_changed_asks_the_database_nothing(
    folder: Path, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    put(folder, "m")
    look = FolderLook()
    look.look()
    with django_assert_num_queries(0):
        assert look.look() is None
    assert ScanRun.objects.count() == 1


def test_looks_are_rare_however_often_they_are_asked_for(folder: Path) -> None:
    look = FolderLook()
    look.look()
    put(folder, "m")
    assert look.look(at_most_every_s=60) is None
    assert look.look(at_most_every_s=0) is not None


def test_a_file_that_a_look_does_not_see_is_not_missing(folder: Path) -> None:
    path = put(folder, "m")
    look = FolderLook()
    look.look()
    path.unlink()
    put(folder, "other")
    look.look()
    assert Model.objects.get(name="m").state == FileState.FOUND


def test_a_deleted_file_is_missing_and_one_that_moved_is_the_same_model(
    folder: Path,
) -> None:
    gone, moved = put(folder, "gone"), put(folder, "moved")
    look = FolderLook()
    look.look()
    pk = Model.objects.get(name="moved").pk
    gone.unlink()
    (folder / "sub").mkdir()
    moved.rename(folder / "sub" / "new.gguf")
    look.look()
    models_deleted([str(gone), str(moved)])
    assert Model.objects.get(name="gone").state == FileState.MISSING
    model = Model.objects.get(pk=pk)
    assert (model.state, model.file_name) == (FileState.FOUND, "new.gguf")


def test_a_folder_that_was_taken_away_takes_its_models_with_it(folder: Path) -> None:
    (folder / "sub").mkdir()
    put(folder / "sub", "m")
    FolderLook().look()
    (folder / "sub").rename(folder.parent / f"{folder.name}-away")
    models_deleted([str(folder / "sub")])
    assert Model.objects.get().state == FileState.MISSING


def test_a_request_for_a_file_that_nobody_has_scanned_finds_it(folder: Path) -> None:
    put(folder, "asked")
    put(folder, "other")
    model = arrived_model("asked.gguf")
    assert model is not None
    assert model.name == "asked"
    assert names() == {"asked"}


def test_a_request_for_a_file_that_is_being_copied_says_so(folder: Path) -> None:
    write_gguf(folder / "asked.gguf")
    with pytest.raises(ModelNotFound, match="its file is being written"):
        arrived_model("asked")


def test_a_page_view_shows_new_files_unless_that_is_switched_off(
    folder: Path, admin_client: Client, settings: Any
) -> None:
    settings.CONFIG = changed(settings.CONFIG, models__watch=False)
    put(folder, "arrived")
    page = "/admin/registry/model/"
    assert "arrived" not in admin_client.get(page).content.decode()
    assert arrived_model("arrived") is None
    settings.CONFIG = changed(settings.CONFIG, models__watch=True)
    assert "arrived" in admin_client.get(page).content.decode()
