"""Which models may draft for which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ValidationError

from registry.draft_models import vocabulary_difference
from registry.gguf.memory_shape import Block, MemoryShape, Weights, Widths
from registry.models import Kind, Model
from tests.factories import make_model
from tests.gguf_files import llama_fields, write_gguf

if TYPE_CHECKING:
    from pathlib import Path

SMALL = [f"token {number}" for number in range(50)]
#: Too many to be kept in a header's description.
LARGE = [f"token {number}" for number in range(3000)]
STATE = Block(Weights(rest=1), state=64)
RECURRENT = MemoryShape(Weights(), Weights(), (STATE,), Widths()).as_json()


def write(path: Path, tokens: list[str], **changes: Any) -> Path:
    return write_gguf(path, llama_fields({"tokenizer.ggml.tokens": tokens} | changes))


@pytest.mark.parametrize("tokens", [SMALL, LARGE], ids=["small", "large"])
def test_vocabularies_are_compared_token_by_token_but_for_padding(
    tmp_path: Path, tokens: list[str]
) -> None:
    model = write(tmp_path / "model.gguf", tokens)
    changed = [*tokens[:-1], "changed"]
    for draft, difference in (
        (tokens, ""),
        ([*tokens, *["<pad>"] * 60], ""),
        ([*tokens, *["<pad>"] * 200], f"{len(tokens) + 200} tokens"),
        (changed, "other tokens"),
    ):
        path = write(tmp_path / "draft.gguf", draft)
        assert vocabulary_difference(model, path).startswith(difference)
        assert bool(vocabulary_difference(model, path)) == bool(difference)


def test_another_kind_of_tokenizer_is_another_vocabulary(tmp_path: Path) -> None:
    model = write(tmp_path / "model.gguf", SMALL)
    draft = write(tmp_path / "draft.gguf", SMALL, **{"tokenizer.ggml.model": "gpt2"})
    assert "'gpt2'" in vocabulary_difference(model, draft)


def pair(tmp_path: Path, **of_draft: Any) -> tuple[Model, Model]:
    """Return a model and a smaller one of the same vocabulary."""
    models = []
    for name, count, more in (("large", 8_000, {}), ("small", 100, of_draft)):
        path = write(tmp_path / f"{name}.gguf", SMALL)
        fields = {"path": str(path), "parameter_count": count} | more
        models.append(make_model(name, **fields))
    return models[0], models[1]


@pytest.mark.django_db
def test_a_smaller_model_of_the_same_vocabulary_may_draft(tmp_path: Path) -> None:
    large, small = pair(tmp_path)
    large.draft, large.draft_model = "model", small
    large.full_clean()
    large.save()
    assert list(small.drafts_for.all()) == [large]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("of_draft", "complaint"),
    [
        ({"parameter_count": 8_000}, "not smaller"),
        ({"kind": Kind.EMBEDDING}, "does not generate text"),
        ({"memory_shape": RECURRENT}, "cannot remove rejected draft tokens"),
        ({"path": "/nowhere.gguf"}, "cannot be read"),
    ],
)
def test_a_draft_model_that_cannot_help_is_refused(
    tmp_path: Path, of_draft: dict[str, Any], complaint: str
) -> None:
    large, small = pair(tmp_path, **of_draft)
    large.draft_model = small
    with pytest.raises(ValidationError) as caught:
        large.clean()
    assert complaint in caught.value.message_dict["draft_model"][0]


@pytest.mark.django_db
def test_a_model_does_not_draft_for_itself(tmp_path: Path) -> None:
    large, _ = pair(tmp_path)
    large.draft_model = large
    with pytest.raises(ValidationError, match="its own draft model"):
        large.clean()


@pytest.mark.django_db
def test_drafts_by_a_model_need_a_draft_model(tmp_path: Path) -> None:
    large, _ = pair(tmp_path)
    large.draft = "model"
    with pytest.raises(ValidationError, match="Choose a draft model"):
        large.clean()


@pytest.mark.django_db
def test_a_model_that_cannot_go_back_has_no_use_for_drafts(tmp_path: Path) -> None:
    large, small = pair(tmp_path)
    large.memory_shape = RECURRENT
    large.draft, large.draft_model = "model", small
    with pytest.raises(ValidationError) as caught:
        large.clean()
    assert (
        "cannot remove rejected draft tokens" in caught.value.message_dict["draft"][0]
    )
