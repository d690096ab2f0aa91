"""Admin pages of API keys, of people, and of the audit log."""

from accounts.admin import api_keys, audit, people

__all__ = ["api_keys", "audit", "people"]
