"""Loads Django's settings, and Django, for the verbs that need them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_manager.config.schema import Config


def load_settings() -> Config:
    """Load Django's settings; return the configuration that they are made from.

    Raises ConfigError if they are wrong.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_manager.settings")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    from llm_manager.config.reading import ConfigError

    try:
        # Django itself would only report "Unknown command".
        config: Config = settings.CONFIG
    except ImproperlyConfigured as error:
        raise ConfigError(str(error)) from None
    return config


def load_django() -> Config:
    """Load Django with its models; return the configuration. Raises ConfigError."""
    config = load_settings()
    import django

    django.setup()
    return config
