"""Nodes load only the models whose files they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from inference.models import NodeDrain
from inference.node import worker_starter
from inference.node.file_check import why_not_as_scanned
from inference.node.files.elsewhere import FilesElsewhere
from registry.models import Attachment, Kind, Model, ModelCopy
from registry.services import model_scan
from tests.factories import make_model, make_node
from tests.inference.node.engine import (
    Engine,
    FakeProcess,
    load,
    request_load,
    row,
    small,
)
from tests.registry.copies.test_report import put

if TYPE_CHECKING:
    from pathlib import Path

    from inference.models import EngineNode

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    """The models directory of this machine, which is empty."""
    settings.MODELS_DIR = tmp_path
    return tmp_path


def here(engine: Engine) -> EngineNode:
    node = engine.supervisor._node
    assert node is not None
    return node


async def reported(engine: Engine) -> None:
    await engine.supervisor._files.report(here(engine))


def put_copy(model: Model, node: EngineNode, **overrides: Any) -> ModelCopy:
    fields = {
        "path": model.path,
        "size": model.file_size,
        "mtime_ns": 7,
        "fingerprint": model.fingerprint,
        **overrides,
    }
    return ModelCopy.objects.create(node=node, **fields)


def far_node(name: str = "far", **overrides: Any) -> EngineNode:
    """Another machine that says what it has."""
    node = make_node(name, **{"labels": ["cpu"], **overrides})
    node.files_seen_at = node.started_at
    node.save()
    return node


async def test_a_model_is_left_to_the_node_that_has_its_files(engine: Engine) -> None:
    await reported(engine)
    model = await sync_to_async(small)("m")
    far = await sync_to_async(far_node)()
    await sync_to_async(put_copy)(model, far)
    await request_load(model)
    await engine.look()
    found = await row("m")
    assert (found.state, found.node_id, found.error) == ("requested", None, "")
    assert FakeProcess.made == []


async def test_a_model_that_no_node_has_fails_with_what_each_one_lacks(
    engine: Engine,
) -> None:
    await reported(engine)
    model = await sync_to_async(small)("m")
    far = await sync_to_async(far_node)()
    await sync_to_async(put_copy)(model, far, fingerprint="0" * 64)
    await request_load(model)
    await engine.look()
    found = await row("m")
    assert found.state == "failed"
    assert found.error.startswith("No machine that may load it has its files: ")
    assert f"{here(engine).name} lacks m.gguf" in found.error
    assert "far has another file as m.gguf" in found.error


async def test_the_sentence_names_a_node_that_has_the_files_and_is_drained(
    engine: Engine,
) -> None:
    await reported(engine)
    model = await sync_to_async(small)("m")
    far = await sync_to_async(far_node)(labels=["gpu"])
    await sync_to_async(put_copy)(model, far)
    await Model.objects.filter(pk=model.pk).aupdate(node_labels="cpu")
    await request_load(model)
    await engine.look()
    assert "far has all, and has not the labels for it" in (await row("m")).error


async def test_a_model_is_loaded_from_where_this_node_has_it(
    engine: Engine, folder: Path
) -> None:
    model = await sync_to_async(small)("m")
    await sync_to_async(far_node)()
    await reported(engine)
    path = str(folder / "other" / "place.gguf")
    own = await sync_to_async(put_copy)(model, here(engine), path=path)
    engine.supervisor._files._own = {model.fingerprint: [own]}
    await request_load(model)
    await engine.look()
    assert FakeProcess.made[-1].spec.engine.paths == (path,)
    # The next look finds the model as it was loaded.
    FakeProcess.made[-1].become(state="ready", n_ctx=512, n_seq_max=4)
    await engine.look()
    await engine.look()
    assert not FakeProcess.made[-1].is_draining


async def test_a_node_looks_at_its_disk_before_it_says_that_it_lacks_a_file(
    engine: Engine, folder: Path
) -> None:
    await sync_to_async(far_node)()
    await reported(engine)
    put(folder, "fresh")
    await sync_to_async(model_scan)()
    await request_load(await Model.objects.aget(name="fresh"))
    await engine.look()
    assert FakeProcess.made[-1].spec.model_name == "fresh"


async def test_adapters_projectors_and_draft_models_belong_to_its_files(
    engine: Engine,
) -> None:
    await reported(engine)
    far = await sync_to_async(far_node)()

    def parts() -> Model:
        model = small("m", draft="model", draft_model=small("draft"))
        adapter = make_model("adapter", kind=Kind.LORA, file_size=2**20)
        Attachment.objects.create(model=model, adapter=adapter)
        put_copy(model, far)
        return model

    await request_load(await sync_to_async(parts)())
    await engine.look()
    assert "far lacks draft.gguf and adapter.gguf" in (await row("m")).error


async def test_a_node_of_an_older_version_counts_as_having_all(
    engine: Engine,
) -> None:
    await reported(engine)
    await sync_to_async(make_node)("old", labels=["cpu"])
    await request_load(await sync_to_async(small)("m"))
    await engine.look()
    found = await row("m")
    assert (found.state, found.error) == ("requested", "")


async def test_a_machine_that_is_alone_does_not_ask_who_has_a_file(
    engine: Engine,
) -> None:
    await reported(engine)
    process = await load(engine, "m")
    assert process.spec.engine.paths == ("/models/m.gguf",)


async def test_another_host_s_scan_is_followed_by_one_here(
    engine: Engine, folder: Path
) -> None:
    put(folder, "m")
    await engine.supervisor._scan_here(here(engine).name)
    assert await ModelCopy.objects.acount() == 1
    assert not await Model.objects.aexists()
    await engine.supervisor._scan_here("another")
    assert await Model.objects.aexists()


async def test_a_file_that_is_gone_without_notice_is_left_to_nodes_that_have_it(
    engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "m")
    await sync_to_async(model_scan)()
    await reported(engine)
    model = await Model.objects.aget()
    far = await sync_to_async(far_node)()
    await sync_to_async(put_copy)(model, far)
    (folder / "m.gguf").unlink()
    monkeypatch.setattr(worker_starter, "why_not_as_scanned", why_not_as_scanned)
    await request_load(model)
    await engine.look()
    assert not await ModelCopy.objects.filter(node=here(engine)).aexists()
    found = await row("m")
    assert (found.state, found.error) == ("requested", "")


async def test_a_node_with_the_files_that_restarts_is_waited_for(
    engine: Engine,
) -> None:
    await reported(engine)
    model = await sync_to_async(small)("m")
    far = await sync_to_async(far_node)()
    await sync_to_async(put_copy)(model, far)
    files = await sync_to_async(FilesElsewhere().now)(here(engine))
    engine.supervisor._starter.seen_files.see(files, keep_s=600)
    await far.adelete()
    await request_load(model)
    await engine.look()
    found = await row("m")
    assert found.state == "requested"
    assert found.error == "Waiting for the machine far, which has the files for it."
    # A drained one takes no worker when it is back.
    await NodeDrain.objects.acreate(node_name="far")
    await sync_to_async(far_node)("other")
    await engine.look()
    assert "lacks m.gguf" in (await row("m")).error


async def test_the_files_of_others_are_read_when_they_have_looked_again(
    engine: Engine,
) -> None:
    def read() -> None:
        elsewhere = FilesElsewhere()
        far = far_node()
        assert elsewhere.now(here(engine)) == {"far": frozenset()}
        put_copy(small("m"), far)
        assert elsewhere.now(here(engine)) == {"far": frozenset()}
        far.files_seen_at = timezone.now()
        far.save()
        assert len(elsewhere.now(here(engine))["far"]) == 1

    await sync_to_async(read)()


async def test_a_file_that_took_another_one_s_name_is_loaded_from_there(
    engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, "m")
    put(folder, "other", "something else, of another size")
    await sync_to_async(model_scan)()
    await reported(engine)
    # This node has not looked since.
    (folder / "other.gguf").replace(folder / "m.gguf")
    await sync_to_async(model_scan)()
    monkeypatch.setattr(worker_starter, "why_not_as_scanned", why_not_as_scanned)
    await request_load(await Model.objects.aget(name="m"))
    await engine.look()
    await engine.look()
    assert FakeProcess.made[-1].spec.engine.paths == (str(folder / "m.gguf"),)
