"""Changes that touch several rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from accounts.models import ApiKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import Model


@transaction.atomic
def api_key_create(
    *,
    name: str,
    owner: User,
    scopes: Sequence[str],
    models: Iterable[Model] = (),
    expires_at: datetime | None = None,
    rate_limit: int | None = None,
    weight: float = 1.0,
    created_by: User | None = None,
) -> tuple[ApiKey, str]:
    """Create a key; without ``models`` it may use all of them.

    Returns the key and its secret, which is not stored. Raises ValidationError.
    """
    key, secret = ApiKey.objects.issue(
        name=name,
        owner=owner,
        scopes=list(scopes),
        expires_at=expires_at,
        rate_limit=rate_limit,
        weight=weight,
        created_by=created_by,
    )
    key.allowed_models.set(models)
    return key, secret
