"""Rows of this app: API keys, teams, limits, usage, what is kept for clients."""

from accounts.models.api_key import (
    ApiKey,
    ApiKeyQuerySet,
    Scope,
    validate_scopes,
    validate_weight,
)
from accounts.models.batch import Batch
from accounts.models.captured_body import CapturedBody
from accounts.models.invitation import Invitation
from accounts.models.key_address import KeyAddress
from accounts.models.limit import Limit, LimitKind
from accounts.models.notice import Notice, NoticeKind
from accounts.models.stored_file import StoredFile
from accounts.models.stored_response import (
    StoredConversation,
    StoredEvents,
    StoredItem,
    StoredResponse,
)
from accounts.models.team import Team
from accounts.models.usage import UsageDay, UsageRecord
from accounts.models.usage_point import PointStep, PointSubject, UsagePoint

__all__ = [
    "ApiKey",
    "ApiKeyQuerySet",
    "Batch",
    "CapturedBody",
    "Invitation",
    "KeyAddress",
    "Limit",
    "LimitKind",
    "Notice",
    "NoticeKind",
    "PointStep",
    "PointSubject",
    "Scope",
    "StoredConversation",
    "StoredEvents",
    "StoredFile",
    "StoredItem",
    "StoredResponse",
    "Team",
    "UsageDay",
    "UsagePoint",
    "UsageRecord",
    "validate_scopes",
    "validate_weight",
]
