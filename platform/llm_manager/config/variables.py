"""The names of the environment variables that hold the configuration."""

from __future__ import annotations

ENVIRONMENT_PREFIX = "LLM_MANAGER_"
#: Names that the ecosystem already has for two of the keys.
ENVIRONMENT_ALIASES = {"database.url": "DATABASE_URL", "redis.url": "REDIS_URL"}


def environment_name(key: str) -> str:
    """Return the environment variable of a key: LLM_MANAGER_SERVER_PORT."""
    return ENVIRONMENT_PREFIX + key.replace(".", "_").upper()
