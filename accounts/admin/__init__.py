"""Admin pages of API keys, people, limits, notices, usage, and of the audit log."""

from accounts.admin import (
    api_keys,
    audit,
    invitations,
    limits,
    notices,
    people,
    sign_in,
)
from accounts.admin.usage import lists

__all__ = [
    "api_keys",
    "audit",
    "invitations",
    "limits",
    "lists",
    "notices",
    "people",
    "sign_in",
]
