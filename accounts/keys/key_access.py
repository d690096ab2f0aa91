"""Whether a key may be used, and what for: by itself, its owner and its team."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.db.models import BooleanField, Exists, ExpressionWrapper, OuterRef, Prefetch
from django.db.models import Q as Where

from accounts.errors import ApiKeyEnded
from accounts.models import ApiKey
from accounts.session_access import SessionAccess
from registry.models import Model

if TYPE_CHECKING:
    from accounts.models import ApiKeyQuerySet, Team

#: What a request may be sent with.
Access = ApiKey | SessionAccess


def keys_with_access() -> ApiKeyQuerySet:
    """Return all keys with the rows that decide about their use.

    Two queries for any number of keys, and one more if any has a team.
    """
    membership = User.groups.through.objects.filter(
        user=OuterRef("owner"), group=OuterRef("team__group")
    )
    is_member = ExpressionWrapper(
        Where(team=None) | Exists(membership), output_field=BooleanField()
    )
    ids = Model.objects.only("pk").order_by()
    return (
        ApiKey.objects.select_related("owner", "team__group", "revoked_by")
        .annotate(owner_is_member=is_member)
        .prefetch_related(
            Prefetch("allowed_models", ids), Prefetch("team__allowed_models", ids)
        )
    )


def key_fault(key: ApiKey) -> ApiKeyEnded | None:
    """Return why a key of ``keys_with_access`` may not be used, or None. No query."""
    name = f"The API key '{key.name}' ({key.prefix}…)"
    if not key.is_active:
        by = f" by the administrator {key.revoked_by}" if key.revoked_by else ""
        return ApiKeyEnded(f"{name} was revoked{by}", "key_revoked")
    if key.expires_at is not None and key.is_expired:
        when = f"{key.expires_at:%Y-%m-%d %H:%M:%S} UTC"
        return ApiKeyEnded(f"{name} expired at {when}", "key_expired")
    if not key.owner.is_active:
        return ApiKeyEnded(
            f"The owner of the API key '{key.name}' ({key.prefix}…) was deactivated",
            "key_owner_inactive",
        )
    if not vars(key)["owner_is_member"]:
        return ApiKeyEnded(
            f"The owner of the API key '{key.name}' ({key.prefix}…) left the team "
            f"'{key.team}'",
            "key_owner_left_team",
        )
    return None


def allowed_model_ids(key: Access | None) -> frozenset[int] | None:
    """Return the models (primary keys) that a key may use, or None for all of them.

    Those are the models that the key and its team both allow. At most two queries;
    none without a key or for a cached one.
    """
    if key is None:
        return None
    if isinstance(key, SessionAccess):
        return key.model_ids
    own, teams = _allowed(key), _allowed(key.team)
    if own is None or teams is None:
        return teams if own is None else own
    return own & teams


def _allowed(row: ApiKey | Team | None) -> frozenset[int] | None:
    if row is None or row.all_models:
        return None
    return frozenset(model.pk for model in row.allowed_models.all())
