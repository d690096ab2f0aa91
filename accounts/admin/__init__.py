"""Admin pages of API keys and of people."""

from accounts.admin import api_keys, people

__all__ = ["api_keys", "people"]
