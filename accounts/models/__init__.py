"""Rows of this app: API keys, teams, limits."""

from accounts.models.api_key import (
    ApiKey,
    ApiKeyQuerySet,
    Scope,
    validate_scopes,
    validate_weight,
)
from accounts.models.key_address import KeyAddress
from accounts.models.limit import Limit, LimitKind
from accounts.models.team import Team

__all__ = [
    "ApiKey",
    "ApiKeyQuerySet",
    "KeyAddress",
    "Limit",
    "LimitKind",
    "Scope",
    "Team",
    "validate_scopes",
    "validate_weight",
]
