"""Admin pages of API keys, of people, and of the audit log."""

from accounts.admin import api_keys, audit, invitations, people, sign_in

__all__ = ["api_keys", "audit", "invitations", "people", "sign_in"]
