"""Options that several verbs have."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

_Function = TypeVar("_Function", bound="Callable[..., object]")


def _all(
    *decorators: Callable[[_Function], _Function],
) -> Callable[[_Function], _Function]:
    """Return one decorator for several; help lists their options in this order."""

    def decorate(function: _Function) -> _Function:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def places(function: _Function) -> _Function:
    """Add ``--config`` and ``--data-dir``."""
    return _all(
        click.option(
            "--config",
            metavar="FILE",
            help="Configuration file (default: llm_manager.yaml).",
        ),
        click.option(
            "--data-dir",
            metavar="DIR",
            help="Database, keys and models (default: ./data).",
        ),
    )(function)


def address(function: _Function) -> _Function:
    """Add ``--host`` and ``--port`` to listen on."""
    return _all(
        click.option(
            "--host", metavar="HOST", help="Address to listen on (default: 127.0.0.1)."
        ),
        click.option("--port", metavar="PORT", help="Port (default: 8000)."),
    )(function)


def serving(function: _Function) -> _Function:
    """Add everything that ``server`` takes."""
    return _all(
        address,
        places,
        click.option("--models-dir", metavar="DIR", help="Folder of the GGUF files."),
        click.option(
            "--workers", metavar="N", help="Web processes that share the port."
        ),
        click.option(
            "--quickstart",
            is_flag=True,
            help="Create an administrator, an API key and a sample model at the first "
            "start; print them at every start and save them in quickstart.json.",
        ),
    )(function)
