"""Another configuration for one test."""

from __future__ import annotations

from typing import Any

from llm_manager.config.schema import Config


def changed(config: Config, **values: Any) -> Config:
    """Return a configuration with other values: ``server__port`` is server.port."""
    sections = config.model_dump()
    for name, value in values.items():
        section, _, key = name.partition("__")
        assert key in sections[section]
        sections[section][key] = value
    return Config.model_validate(sections, by_name=True)


def unchecked(config: Config, **values: Any) -> Config:
    """Return the same with values that are not checked: timeouts of no second, say."""
    for name, value in values.items():
        section, _, key = name.partition("__")
        before = getattr(config, section)
        assert key in type(before).model_fields
        after = before.model_copy(update={key: value})
        config = config.model_copy(update={section: after})
    return config
