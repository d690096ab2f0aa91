"""LoRA adapters: found by the scan, attached to models that they fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ValidationError

from registry.errors import ModelNotFound
from registry.gguf.lora import reason_unfit
from registry.models import Attachment, FileState, Kind, Model
from registry.scan.files import read_headers
from registry.services import model_scan
from tests.gguf_files import F16, F32, Tensor, llama_fields, lora_fields, write_gguf
from tests.tiny_adapters import ALPHA, RANK, write_adapter

if TYPE_CHECKING:
    from pathlib import Path

MODEL = (
    Tensor("token_embd.weight", (64, 8)),
    Tensor("blk.0.attn_q.weight", (64, 32)),
    Tensor("blk.0.ffn_up_exps.weight", (64, 96, 4)),
)
Q = "blk.0.attn_q.weight"
EXPERTS = "blk.0.ffn_up_exps.weight"


def pair(
    name: str, a: tuple[int, ...] = (64, 4), b: tuple[int, ...] = (4, 32)
) -> tuple[Tensor, ...]:
    return (Tensor(f"{name}.lora_a", a, F32), Tensor(f"{name}.lora_b", b, F16))


def reason(path: Path, tensors: tuple[Tensor, ...] = pair(Q), **fields: Any) -> str:
    changes = {name.replace("__", "."): value for name, value in fields.items()}
    adapter = write_gguf(path / "a.gguf", lora_fields(changes), tensors=tensors)
    model = write_gguf(path / "m.gguf", tensors=MODEL)
    return reason_unfit(read_headers([adapter]), read_headers([model]))


@pytest.mark.parametrize(
    "tensors",
    [
        pair(Q),
        pair("token_embd.weight", (4, 8), (4, 64)),
        pair(EXPERTS, (64, 4, 4), (4, 96, 4)),
    ],
)
def test_an_adapter_of_the_models_own_shapes_fits(
    tmp_path: Path, tensors: tuple[Tensor, ...]
) -> None:
    assert reason(tmp_path, tensors) == ""


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ((), "no tensors"),
        (pair("blk.1.attn_q.weight"), "has no tensor 'blk.1.attn_q.weight'"),
        (pair(Q, a=(32, 4)), "do not fit the model"),
        (pair(Q, b=(4, 64)), "do not fit the model"),
        (pair(Q, b=(8, 32)), "do not fit the model"),
        (pair(Q, a=(64, 4, 2), b=(4, 32, 2)), "do not fit the model"),
        (pair(EXPERTS, (64, 4, 4), (4, 96)), "do not fit the model"),
        (pair("token_embd.weight", (64, 4), (4, 8)), "do not fit the model"),
        (pair(Q)[:1], "is missing"),
        (pair(Q)[1:], "is missing"),
        ((*pair(Q), Tensor("blk.0.attn_norm.weight")), "not a LoRA matrix"),
    ],
)
def test_an_adapter_of_another_model_does_not_fit(
    tmp_path: Path, tensors: tuple[Tensor, ...], words: str
) -> None:
    assert words in reason(tmp_path, tensors)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"general__architecture": "qwen3"}, "'qwen3', not for 'llama'"),
        ({"adapter__type": "control_vector"}, "'control_vector'"),
        ({"adapter__alora__invocation_tokens": [1, 2]}, "activated LoRA"),
    ],
)
def test_an_adapter_of_another_kind_does_not_fit(
    tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    assert words in reason(tmp_path, **fields)


@pytest.fixture
def rows(tmp_path: Path) -> tuple[Model, Model]:
    """A model and an adapter of it, as a scan finds them."""
    model = write_gguf(tmp_path / "tiny.gguf", tensors=MODEL)
    write_adapter(tmp_path / "pirate.gguf", model)
    model_scan(roots=[tmp_path])
    return Model.objects.get(name="tiny"), Model.objects.get(name="pirate")


@pytest.mark.django_db
def test_a_scan_reads_an_adapters_rank_and_alpha(rows: tuple[Model, Model]) -> None:
    model, adapter = rows
    assert adapter.kind == Kind.LORA
    assert (adapter.lora_rank, adapter.lora_alpha) == (RANK, ALPHA)
    assert adapter.architecture == "llama"
    assert (model.lora_rank, model.lora_alpha) == (None, None)


@pytest.mark.django_db
def test_what_fits_is_attached_and_named_with_the_model(
    rows: tuple[Model, Model],
) -> None:
    model, adapter = rows
    attachment = Attachment(model=model, adapter=adapter)
    attachment.full_clean()
    attachment.save()
    assert str(attachment) == "tiny:pirate"
    assert model.adapters() == [adapter]
    assert Model.objects.servable().resolve("tiny:pirate") == model
    for change in ({"is_enabled": False}, {"state": FileState.MISSING}):
        Model.objects.filter(pk=adapter.pk).update(
            **{"is_enabled": True, "state": FileState.FOUND, **change}
        )
        assert Model.objects.get(pk=model.pk).adapters() == []
        with pytest.raises(ModelNotFound):
            Model.objects.servable().resolve("tiny:pirate")


@pytest.mark.django_db
def test_a_model_of_that_very_name_goes_first(rows: tuple[Model, Model]) -> None:
    model, adapter = rows
    Attachment.objects.create(model=model, adapter=adapter)
    Model.objects.filter(pk=adapter.pk).update(kind=Kind.CHAT, name="tiny:pirate")
    assert Model.objects.servable().resolve("tiny:pirate").pk == adapter.pk


@pytest.mark.django_db
def test_what_does_not_fit_is_refused_with_the_reason(
    rows: tuple[Model, Model], tmp_path: Path
) -> None:
    model, adapter = rows
    write_gguf(tmp_path / "tiny.gguf", llama_fields(), tensors=MODEL[:1])
    with pytest.raises(ValidationError, match="has no tensor"):
        Attachment(model=model, adapter=adapter).full_clean()
    (tmp_path / "pirate.gguf").unlink()
    with pytest.raises(ValidationError, match="It cannot be read"):
        Attachment(model=model, adapter=adapter).full_clean()


@pytest.mark.django_db
def test_a_model_that_makes_vectors_has_no_adapters(rows: tuple[Model, Model]) -> None:
    model, adapter = rows
    model.kind = Kind.EMBEDDING
    with pytest.raises(ValidationError, match="generate text"):
        Attachment(model=model, adapter=adapter).full_clean()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "pooling", "is_valid"),
    [
        (Kind.EMBEDDING, "mean", True),
        (Kind.EMBEDDING, "auto", True),
        (Kind.EMBEDDING, "rank", False),
        (Kind.RERANKER, "rank", True),
        (Kind.RERANKER, "cls", False),
        (Kind.CHAT, "last", False),
    ],
)
def test_a_pooling_is_the_models_to_have(
    rows: tuple[Model, Model], kind: Kind, pooling: str, is_valid: bool
) -> None:
    model, _ = rows
    model.kind, model.pooling_type = kind, pooling
    if is_valid:
        model.full_clean()
        assert model.pooling_in_force == ("" if pooling == "auto" else pooling)
    else:
        with pytest.raises(ValidationError, match="cannot have the pooling"):
            model.full_clean()
        assert model.pooling_in_force == ""
