"""Which models are tested, and with which KV types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.load_settings import choices_of
from registry.models import GENERATIVE, FileState, Model
from registry.scan.folders import is_under, resolve_root

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    #: The types of K and of V.
    KvTypes = tuple[str, str]

#: Types that a KV cache takes half and a quarter of the memory with.
QUANTIZED = ("q8_0", "q4_0")


class UnknownKvType(Exception):
    """A KV type that llama.cpp does not have; the message lists those that it has."""


def check_kv_type(name: str) -> str:
    """Return a KV type in llama.cpp's spelling. Raises UnknownKvType."""
    known = choices_of("cache_type_k")
    if name.lower() not in known:
        raise UnknownKvType(f"'{name}' is no KV type. There are: {', '.join(known)}.")
    return name.lower()


def kv_types_of(
    model: Model, named: Sequence[str] = (), *, with_quantized: bool = False
) -> list[KvTypes]:
    """Return the KV types to test a model with.

    They are those that are ``named``, for K and V alike, else the ones in force;
    ``with_quantized`` adds two smaller ones. Raises ValueError if the model's settings
    cannot be read.
    """
    in_force = model.settings_in_force()
    found = [(name, name) for name in named]
    if not found:
        found = [(in_force.cache_type_k, in_force.type_v)]
    if with_quantized:
        found += [(name, name) for name in QUANTIZED]
    return list(dict.fromkeys(found))


def models_under(roots: Sequence[Path]) -> list[Model]:
    """Return the models that generate text and have a file below one of the roots."""
    resolved = [str(resolve_root(root)) for root in roots]
    models = Model.objects.filter(state=FileState.FOUND, kind__in=GENERATIVE)
    return [
        model
        for model in models
        if any(is_under(model.path, root) for root in resolved)
    ]
