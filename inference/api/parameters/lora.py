"""LoRA adapters: under which a request runs, by ``lora`` or by the model's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.api.declarations.fields import Field, ListOf, Number, Text
from inference.api.declarations.records import Inert, Record
from inference.api.errors import InvalidRequest, quote
from inference.engine.adapters import Adapters, adapter_set
from registry.models import attached_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.models import Model

#: Adapters of one request, and how strong each may be.
MAX_ADAPTERS = 8
MAX_SCALE = 10.0

FIELDS: dict[str, Field] = {
    "lora": ListOf(
        Record(
            {"name": Text(1, 255), "scale": Number(-MAX_SCALE, MAX_SCALE)},
            ("name",),
            {"id": Inert(hint=" Use 'name'.")},
            {
                "name": "An adapter of the model, as GET /v1/models lists them.",
                "scale": "How strongly it is applied. Default: 1; 0 is not at all.",
            },
        ),
        max_items=MAX_ADAPTERS,
    )
}
HELP = {
    "lora": "LoRA adapters for this answer. One alone can be named with the model, as "
    "in model:adapter. Not in OpenAI's API."
}


def named_adapter(model: Model, name: str) -> str | None:
    """Return the adapter that is named with the model, as in ``model:adapter``."""
    if not name.startswith(attached_name(model.name, "")):
        return None
    attached = (adapter.name for adapter in model.adapters())
    return next((a for a in attached if attached_name(model.name, a) == name), None)


def served_name(model: Model, name: str) -> str:
    """Return what an answer says that it is from."""
    adapter = named_adapter(model, name)
    return model.name if adapter is None else attached_name(model.name, adapter)


def adapters_of(model: Model, name: str, lora: Sequence[dict[str, Any]]) -> Adapters:
    """Return the adapters that a request asks for. Raises InvalidRequest.

    No query, if it asks for none.
    """
    named = named_adapter(model, name)
    if named is not None:
        if lora:
            raise InvalidRequest(
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
        if each["name"] not in attached:
            known = ", ".join(sorted(attached)) or "none"
            raise InvalidRequest(
                f"The model '{model.name}' has no adapter '{quote(each['name'])}'. It "
                f"has: {known}.",
                param=path,
                code="adapter_not_found",
            )
        if each["name"] in seen:
            raise InvalidRequest(f"'{path}' is there twice.", param=path)
        seen.add(each["name"])
    return adapter_set((each["name"], each.get("scale", 1.0)) for each in lora)
