"""Other names of upstreams' models and of routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError

from registry.models import Alias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.models import Model


def set_aliases(model: Model, names: Sequence[str]) -> None:
    """Give a model these other names and no more. Raises ValidationError."""
    kept = set()
    for former in model.aliases.all():
        if former.name in names:
            kept.add(former.name)
        else:
            former.delete()
    for name in dict.fromkeys(names):
        if name in kept:
            continue
        alias = Alias(model=model, name=name)
        try:
            alias.full_clean()
        except ValidationError as error:
            raise ValidationError(
                {"aliases": [f"'{name}': {text}" for text in error.messages]}
            ) from None
        alias.save()
