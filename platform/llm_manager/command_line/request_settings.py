"""``--set NAME=VALUE``: members of a request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_Function = TypeVar("_Function", bound="Callable[..., object]")


def setting_option(about: str) -> Callable[[_Function], _Function]:
    """Add ``--set``; the function gets ``settings``, for ``settings_of``."""
    return click.option(
        "--set", "settings", metavar="NAME=VALUE", multiple=True, help=about
    )


def settings_of(given: Iterable[str]) -> dict[str, Any]:
    """Return the settings by name. Raises UsageError."""
    settings = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals:
            raise click.UsageError(f"--set {each}: a value is missing, as in NAME=1.")
        settings[name] = value_of(text)
    return settings


def value_of(text: str) -> Any:
    """Return the value that a text means: JSON where it is JSON, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
