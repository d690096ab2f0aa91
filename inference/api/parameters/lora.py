"""Selects a request's LoRA adapters, by ``lora`` or by the model's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from inference.api.body.request_body import Body
from inference.api.body.unsupported import Unsupported
from inference.api.errors import BadRequest
from inference.api.parameters.value_types import Between
from inference.engine.config.adapters import Adapters, adapter_set
from llm_manager.lib.quoting import quote
from registry.model_facts import attached_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.model_facts import ModelFacts

_MAX_ADAPTERS = 8
_MAX_SCALE = 10


class LoraAdapter(Body):
    """A LoRA adapter and its scale."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    """An adapter of the model, as in GET /v1/models."""
    scale: Annotated[float, Between(-_MAX_SCALE, _MAX_SCALE)] = 1.0
    """The strength of the adapter; 0 disables it."""
    id: Annotated[Any, Unsupported(hint=" Use 'name'.")] = None


class LoraParameters(Body):
    """The adapters of an answer."""

    lora: Annotated[list[LoraAdapter], Field(max_length=_MAX_ADAPTERS)] = []
    """LoRA adapters for this answer. A single one can also be selected by the model's
    name, as in model:adapter. Not in OpenAI's API."""


def named_adapter(model: ModelFacts, name: str) -> str | None:
    """Return the adapter in a model's name such as ``model:adapter``."""
    if not name.startswith(attached_name(model.name, "")):
        return None
    attached = (adapter.name for adapter in model.adapters())
    return next((a for a in attached if attached_name(model.name, a) == name), None)


def served_name(model: ModelFacts, name: str) -> str:
    """Return the model's name in an answer."""
    adapter = named_adapter(model, name)
    return model.name if adapter is None else attached_name(model.name, adapter)


def adapters_of(model: ModelFacts, name: str, lora: Sequence[LoraAdapter]) -> Adapters:
    """Return the adapters that a request asks for. Raises BadRequest.

    Makes no query if there are none.
    """
    named = named_adapter(model, name)
    if named is not None:
        if lora:
            raise BadRequest(
                f"'model' names the adapter '{quote(named)}' already; send either that "
                "or 'lora'.",
                param="lora",
            )
        return adapter_set([(named, 1.0)])
    if not lora:
        return ()
    attached = {adapter.name for adapter in model.adapters()}
    seen: set[str] = set()
    for index, each in enumerate(lora):
        path = f"lora[{index}].name"
        if each.name not in attached:
            known = ", ".join(sorted(attached)) or "none"
            raise BadRequest(
                f"The model '{model.name}' has no adapter '{quote(each.name)}'. It "
                f"has: {known}.",
                param=path,
                code="adapter_not_found",
            )
        if each.name in seen:
            raise BadRequest(f"'{path}' comes twice.", param=path)
        seen.add(each.name)
    return adapter_set((each.name, each.scale) for each in lora)
