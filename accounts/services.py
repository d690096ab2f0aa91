"""Changes that touch several rows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from accounts.models import ApiKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from django.contrib.auth.models import User

    from accounts.models import Team
    from registry.models import Model

#: The longest that a rotated key goes on working.
MAX_GRACE = timedelta(days=90)
#: For how many hours the bodies of a key can be captured; never for good.
CAPTURE_HOURS = (1, 8, 24)
#: What a rotated key has from the key before it.
_INHERITED = (
    *("name", "owner", "team", "scopes", "all_models", "allowed_networks"),
    *("rate_limit", "weight", "expires_at", "notes", "lineage"),
)


@transaction.atomic
def api_key_create(
    *,
    name: str,
    owner: User,
    scopes: Sequence[str],
    models: Iterable[Model] | None,
    team: Team | None = None,
    allowed_networks: Sequence[str] = (),
    expires_at: datetime | None = None,
    rate_limit: int | None = None,
    weight: float = 1.0,
    notes: str = "",
    created_by: User | None = None,
) -> tuple[ApiKey, str]:
    """Create a key; ``models`` are those that it may use, None is all.

    Returns the key and its secret, which is not stored. Raises ValidationError.
    """
    key, secret = ApiKey.objects.issue(
        name=name,
        owner=owner,
        team=team,
        scopes=list(scopes),
        all_models=models is None,
        allowed_networks=list(allowed_networks),
        expires_at=expires_at,
        rate_limit=rate_limit,
        weight=weight,
        notes=notes,
        created_by=created_by,
    )
    key.allowed_models.set(models or ())
    return key, secret


@transaction.atomic
def api_key_rotate(
    *, key: ApiKey, grace: timedelta, by: User | None = None
) -> tuple[ApiKey, str]:
    """Create a key that takes another one's place; return it and its secret.

    Both work for the time ``grace``, then the old one has expired; without any, it is
    revoked at once. Raises ValidationError.
    """
    if not timedelta(0) <= grace <= MAX_GRACE:
        raise ValidationError(
            {"grace": f"Enter a time of at most {MAX_GRACE.days} days."}
        )
    key = ApiKey.objects.select_for_update(of=("self",), no_key=True).get(pk=key.pk)
    if not key.is_usable:
        raise ValidationError(f"{key} is revoked or expired; create a key instead.")
    fields = {name: getattr(key, name) for name in _INHERITED}
    new, secret = ApiKey.objects.issue(**fields, rotated_from=key, created_by=by)
    new.allowed_models.set(key.allowed_models.all())
    # They hold for both, and stay when the old key is deleted.
    for limit in key.limits.all():
        limit.key = new
        limit.save(update_fields=["key"])
    if not grace:
        key.revoke(by=by)
        return new, secret
    end = timezone.now() + grace
    if key.expires_at is None or end < key.expires_at:
        key.expires_at = end
        key.save(update_fields=["expires_at"])
    return new, secret


@transaction.atomic
def api_key_update(
    *, key: ApiKey, models: Iterable[Model] | None = None, **fields: Any
) -> None:
    """Change columns of a key, and its models if they are given.

    Raises ValidationError, also for a revoked key.
    """
    if not key.is_active:
        raise ValidationError(f"{key} is revoked, and cannot be changed.")
    for name, value in fields.items():
        setattr(key, name, value)
    key.full_clean()
    if fields:
        # The other columns may have been changed meanwhile: a revocation must stay.
        key.save(update_fields=list(fields))
    if models is not None:
        key.allowed_models.set(models)


def api_key_capture(*, key: ApiKey, hours: int | None, by: User | None) -> None:
    """Capture the bodies of a key's requests for so long from now; None ends it.

    Raises ValidationError for a revoked key, and for other hours than those to choose.
    """
    if not key.is_active:
        raise ValidationError(f"{key} is revoked.")
    if hours is not None and hours not in CAPTURE_HOURS:
        raise ValidationError({"hours": f"Choose one of {CAPTURE_HOURS}."})
    until = None if hours is None else timezone.now() + timedelta(hours=hours)
    key.capture(until, by=by)
