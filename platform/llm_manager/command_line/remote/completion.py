"""What the shell completes after a verb: the names of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

_Function = TypeVar("_Function", bound="Callable[..., object]")


class ModelName(click.ParamType[str]):
    """A model's name, which the shell completes from the running server."""

    name = "model"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the models whose names begin like this; none without a server."""
        from click.shell_completion import CompletionItem

        names = _names(ctx)
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def model_argument(function: _Function) -> _Function:
    """Add the argument MODEL."""
    return click.argument("model", type=ModelName())(function)


def _names(context: click.Context) -> list[str]:
    from llm_manager.command_line.environment import set_environment
    from llm_manager.command_line.exit_status import CommandFailed
    from llm_manager.command_line.remote.api_client import ApiClient
    from llm_manager.command_line.remote.connection import find_connection
    from llm_manager.config.reading import ConfigError

    given = context.params
    set_environment(config=given.get("config"), data_dir=given.get("data_dir"))
    try:
        connection = find_connection(given.get("url"), given.get("key"))
        with ApiClient(connection) as client:
            found = client.get("/v1/models")["data"]
    except (CommandFailed, ConfigError, click.ClickException):
        # A shell that completes has no place for a sentence.
        return []
    return sorted({name for each in found for name in (each["id"], *each["aliases"])})
