"""DELETE /v1/models/{id}: a model goes with its files, and says what that breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from auditlog.models import LogEntry

from accounts.audit.export import as_object
from inference.model_deletion import deletion_effects
from inference.models import Worker, WorkerState
from registry.models import Alias, Attachment, Kind, Model, ModelCopy
from tests.factories import make_api_key, make_model, make_node, make_team, make_worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.inference.api.conftest import Api

pytestmark = pytest.mark.django_db(transaction=True)


def placed(folder: Path, name: str, **columns: Any) -> Model:
    """Save a model of a file in the models directory."""
    path = folder / "org" / "repo" / f"{name}.gguf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF")
    return make_model(name, path=str(path), file_size=4, **columns)


def delete(api: Api, name: str, query: str = "") -> Any:
    return async_to_sync(api.send)("DELETE", f"/v1/models/{name}{query}")


def test_a_model_that_nothing_needs_goes_with_its_files_and_empty_folders(
    models_api: Api, models_dir: Path
) -> None:
    projector = placed(models_dir, "mmproj", kind=Kind.PROJECTOR)
    placed(models_dir, "tiny", projector=projector)
    answer = delete(models_api, "tiny")
    assert answer.status_code == 200
    assert answer.json() == {
        "id": "tiny",
        "object": "model",
        "deleted": True,
        "files": ["tiny.gguf", "mmproj.gguf"],
        "size_bytes": 8,
        "breaks": [],
        "kept_on": [],
    }
    assert not Model.objects.exists()
    assert list(models_dir.iterdir()) == []
    events = [as_object(entry)["event"] for entry in LogEntry.objects.order_by("pk")]
    assert {"files deleted", "deleted"} <= set(events)


def test_machines_that_keep_the_files_are_named(
    models_api: Api, models_dir: Path
) -> None:
    tiny = placed(models_dir, "tiny", mtime_ns=5)

    def copy(node: str, path: str, mtime_ns: int) -> None:
        ModelCopy.objects.create(
            node=make_node(node),
            path=path,
            size=4,
            mtime_ns=mtime_ns,
            fingerprint=tiny.fingerprint,
        )

    copy("apart", tiny.path, 6)
    copy("elsewhere", "/srv/tiny.gguf", 5)
    # The same file, in a directory that machines share.
    copy("shared", tiny.path, 5)
    effects = deletion_effects(tiny)
    assert effects.kept.startswith("'apart', 'elsewhere' keep the files: delete them")
    assert delete(models_api, "tiny").json()["kept_on"] == ["apart", "elsewhere"]


def test_a_projector_that_another_model_uses_stays(
    models_api: Api, models_dir: Path
) -> None:
    projector = placed(models_dir, "mmproj", kind=Kind.PROJECTOR)
    placed(models_dir, "one", projector=projector)
    placed(models_dir, "two", projector=projector)
    assert delete(models_api, "one").json()["files"] == ["one.gguf"]
    assert (models_dir / "org/repo/mmproj.gguf").exists()


def test_what_would_break_is_named_and_confirmed(
    models_api: Api, models_dir: Path
) -> None:
    tiny = placed(models_dir, "tiny")
    Alias.objects.create(name="nick", model=tiny)
    make_api_key(name="only tiny", models=[tiny])
    make_team("red", all_models=False).allowed_models.add(tiny)
    make_model("big", draft_model=tiny)

    answer = delete(models_api, "tiny")
    assert answer.status_code == 409
    error = answer.json()["error"]
    assert error["code"] == "confirmation_needed"
    for said in (
        "aliases 'nick'",
        "API keys are restricted to it: 'only tiny'",
        "Teams are restricted to it: 'red'",
        "the draft model of 'big'",
    ):
        assert said in error["message"]
    assert (models_dir / "org/repo/tiny.gguf").exists()

    answer = delete(models_api, "tiny", "?confirm=true")
    assert answer.status_code == 200
    assert len(answer.json()["breaks"]) == 4
    assert not (models_dir / "org").exists()


def test_the_name_of_a_model_with_an_adapter_deletes_neither(
    models_api: Api, models_dir: Path
) -> None:
    adapter = placed(models_dir, "adapter", kind=Kind.LORA)
    Attachment.objects.create(model=placed(models_dir, "base"), adapter=adapter)
    answer = delete(models_api, "base:adapter", "?confirm=true")
    assert (answer.status_code, answer.json()["error"]["code"]) == (
        409,
        "deletion_refused",
    )
    assert Model.objects.count() == 2
    assert (models_dir / "org/repo/base.gguf").exists()


def test_an_adapter_names_the_models_that_are_loaded_with_it(
    models_api: Api, models_dir: Path
) -> None:
    adapter = placed(models_dir, "adapter", kind=Kind.LORA)
    Attachment.objects.create(model=make_model("base"), adapter=adapter)
    answer = delete(models_api, "adapter")
    assert "an adapter of 'base'" in answer.json()["error"]["message"]


def test_a_loaded_model_is_unloaded_first(models_api: Api, models_dir: Path) -> None:
    tiny = placed(models_dir, "tiny")
    make_worker(tiny, node=make_node(), state=WorkerState.READY, running=2, waiting=1)
    answer = delete(models_api, "tiny")
    assert "2 requests run on it and 1 wait" in answer.json()["error"]["message"]
    answer = delete(models_api, "tiny", "?confirm=true")
    assert (answer.status_code, answer.json()["error"]["code"]) == (
        409,
        "deletion_refused",
    )
    tiny.refresh_from_db()
    assert not tiny.is_enabled
    assert not Worker.objects.get().is_desired
    assert (models_dir / "org/repo/tiny.gguf").exists()
    Worker.objects.all().delete()
    assert delete(models_api, "tiny", "?confirm=true").status_code == 200


def test_a_file_outside_of_the_models_directories_is_left_alone(
    models_api: Api, models_dir: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "mine.gguf"
    outside.write_bytes(b"GGUF")
    make_model("mine", path=str(outside))
    answer = delete(models_api, "mine", "?confirm=true")
    assert answer.status_code == 409
    assert "outside of the models directories" in answer.json()["error"]["message"]
    assert outside.exists()
    assert Model.objects.filter(name="mine").exists()


def test_a_link_goes_and_its_target_stays(
    models_api: Api, models_dir: Path, tmp_path: Path
) -> None:
    target = tmp_path / "blob"
    target.write_bytes(b"GGUF")
    link = models_dir / "linked.gguf"
    link.symlink_to(target)
    make_model("linked", path=str(link))
    assert delete(models_api, "linked").status_code == 200
    assert target.exists()
    assert not link.is_symlink()


def test_unknown_models_and_parameters_are_refused(models_api: Api) -> None:
    assert delete(models_api, "nothing").status_code == 404
    assert delete(models_api, "nothing", "?force=1").status_code == 400


def test_many_names_are_shortened(models_dir: Path) -> None:
    tiny = placed(models_dir, "tiny")
    for number in range(12):
        Alias.objects.create(name=f"nick-{number:02}", model=tiny)
    (said,) = deletion_effects(tiny).breaks
    assert said.endswith("'nick-09' and 2 more.")
