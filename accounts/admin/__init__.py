"""Admin pages of API keys, of people, of usage, and of the audit log."""

from accounts.admin import api_keys, audit, invitations, people, sign_in, usage

__all__ = ["api_keys", "audit", "invitations", "people", "sign_in", "usage"]
