"""Reads the configuration: llm_manager.yaml, then the environment, which wins.

Options of the command line set the environment, so they win over both. pydantic
checks the values, pydantic-settings reads the environment. This module adds the
file's line and the nearest known key to errors.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import yaml
from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    SettingsConfigDict,
)

from llm_manager.config.schema import KEYS, Config
from llm_manager.config.variables import (
    ENVIRONMENT_ALIASES,
    ENVIRONMENT_PREFIX,
    environment_name,
)
from llm_manager.lib.errors import LLMManagerError
from registry.load_settings import config_key, conflicts, settings_in_force

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails
    from pydantic_settings import PydanticBaseSettingsSource


class ConfigError(LLMManagerError):
    """The configuration is wrong; the message names the place and the reason."""

    code = "invalid_configuration"


class _Environment(EnvSettingsSource):
    def decode_complex_value(
        self, field_name: str, field: FieldInfo, value: Any
    ) -> list[str] | dict[str, str]:
        """Return a list from comma-separated text; the base class expects JSON."""
        if field_name in Config.model_fields:
            # Only keys have variables, a whole section has none.
            return {}
        return [item.strip() for item in value.split(",") if item.strip()]


class _FileAndEnvironment(BaseSettings, Config):
    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        # LLM_MANAGER_SERVER_RATE_LIMIT is server.rate_limit: one split.
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_ignore_empty=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources: our variables, the usual ones, the file. The first wins.

        ``init_settings`` holds the values of the file.
        """
        usual = InitSettingsSource(settings_cls, _usual_variables())
        return _Environment(settings_cls), usual, init_settings


def _usual_variables() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, variable in ENVIRONMENT_ALIASES.items():
        section, name = key.split(".")
        if value := os.environ.get(variable):
            found[section] = {name: value}
    return found


def load_config() -> Config:
    """Return the configuration in force.

    The file is ``LLM_MANAGER_CONFIG``, else ``llm_manager.yaml`` in the working
    directory if it exists. Raises ConfigError.
    """
    named = os.environ.get(ENVIRONMENT_PREFIX + "CONFIG")
    file = Path(named or "llm_manager.yaml")
    values = _read_file(file) if named or file.exists() else {}
    try:
        config = _FileAndEnvironment(**values)
    except ValidationError as error:
        # The file is valid, so the error is in a variable.
        details = error.errors()[0]
        raise ConfigError(
            f"{_variable(_key_of(details))}: {_sentence(details)}"
        ) from None
    _check_combinations(config)
    return config


def config_for_python(
    given: Mapping[str, Any] | str | Path | Config | None,
) -> Config:
    """Return the configuration of a program that uses the Python API.

    ``given`` is a file, or sections with their keys as in it, or a configuration that
    is read and checked. The environment and files that nobody names do not count.
    Raises ConfigError.
    """
    if isinstance(given, Config):
        return given
    values: Mapping[str, Any] = {}
    if isinstance(given, str | Path):
        values = _read_file(Path(given).expanduser())
    elif given is not None:
        values = given
    try:
        config = Config.model_validate(values, strict=True, extra="forbid")
    except ValidationError as error:
        raise ConfigError(_sentence(error.errors()[0])) from None
    _check_combinations(config)
    return config


def _variable(key: str) -> str:
    """Return the environment variable that a key was read from."""
    own = environment_name(key)
    usual = ENVIRONMENT_ALIASES.get(key)
    return usual if usual and not os.environ.get(own) else own


def _check_combinations(config: Config) -> None:
    """Check for settings that conflict with each other. Raises ConfigError."""
    for setting, reason in conflicts(settings_in_force(config)):
        raise ConfigError(f"{config_key(setting)}: {reason}")


# The file -------------------------------------------------------------------


def _read_file(file: Path) -> dict[str, Any]:
    """Return the values of a file after checking them. Raises ConfigError."""
    lines: dict[str, int] = {}
    try:
        text = file.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = {} if node is None else _mapping(node, "", file, lines)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: not a text file in UTF-8.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}, line {mark.line + 1}" if mark else str(file)
        raise ConfigError(f"{where}: not YAML: {error.problem}.") from None
    except yaml.YAMLError:
        raise ConfigError(f"{file}: not YAML: unprintable characters.") from None
    except ValueError as error:
        # A date that does not exist, as 2001-99-99.
        raise ConfigError(f"{file}: not YAML: {error}.") from None
    try:
        Config.model_validate(values, strict=True, extra="forbid")
    except ValidationError as error:
        line, details = min(
            ((lines[_key_of(details)], details) for details in error.errors()),
            key=lambda found: found[0],
        )
        raise ConfigError(f"{file}, line {line}: {_sentence(details)}") from None
    return values


def _mapping(
    node: yaml.Node, prefix: str, file: Path, lines: dict[str, int]
) -> dict[str, Any]:
    """Return a file's keys and values, sections as dicts, and note each key's line."""
    if not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + 1
        raise ConfigError(f"{file}, line {line}: the file must hold keys and values.")
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        name = str(key_node.value)
        line = key_node.start_mark.line + 1
        if name in values:
            raise ConfigError(f"{file}, line {line}: {prefix}{name} is set twice.")
        lines[prefix + name] = line
        if not prefix and isinstance(value_node, yaml.MappingNode):
            values[name] = _mapping(value_node, f"{name}.", file, lines)
        else:
            loader = yaml.SafeLoader("")
            values[name] = loader.construct_object(value_node, deep=True)
    return values


# Errors ---------------------------------------------------------------------

#: What a value must be, by the start of pydantic's type of error.
_EXPECTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "finite": "a number",
    "string": "text",
    "path": "text",
    "is": "text",
    "tuple": "a list",
}


def _key_of(details: ErrorDetails) -> str:
    """Return the key that an error is about, without an index into a list."""
    return ".".join(str(part) for part in details["loc"][:2])


def _sentence(details: ErrorDetails) -> str:
    """Return the sentence for pydantic's error."""
    key, kind, context = _key_of(details), details["type"], details.get("ctx", {})
    match kind:
        case "extra_forbidden":
            return f"unknown key {key}{_nearest(key)}"
        case "model_type":
            return f"{key} must hold keys and values."
        case "greater_than_equal":
            return f"{key} must be at least {context['ge']:g}."
        case "less_than_equal":
            return f"{key} must be at most {context['le']:g}."
        case "literal_error":
            choices = ", ".join(get_args(KEYS[key].annotation))
            return f"{key} must be one of {choices}."
        case "value_error":
            return f"{key}: {context['error']}"
    expected = _EXPECTED.get(kind.split("_")[0], details["msg"])
    item = "".join(f"[{place}]" for place in details["loc"][2:])
    return f"{key}{item} must be {expected}, not {details['input']!r}."


def _nearest(key: str) -> str:
    known = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.5)
    if not known:
        # Perhaps the right key in the wrong section.
        leaf = key.rsplit(".", 1)[-1]
        leaves = {key.rsplit(".", 1)[-1]: key for key in KEYS}
        known = [
            leaves[match] for match in difflib.get_close_matches(leaf, leaves, n=1)
        ]
    return f"; did you mean {known[0]}?" if known else "."
