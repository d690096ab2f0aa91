"""Rows of this app: API keys and teams."""

from accounts.models.api_key import (
    ApiKey,
    Scope,
    validate_scopes,
    validate_weight,
)
from accounts.models.team import Team

__all__ = ["ApiKey", "Scope", "Team", "validate_scopes", "validate_weight"]
