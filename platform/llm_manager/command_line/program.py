"""The program ``llm-manager``: verbs, found by their files, and Django's commands."""

from __future__ import annotations

import importlib
import pkgutil

import click

import llm_manager
from llm_manager.command_line import verbs
from llm_manager.command_line.django_commands import django_command
from llm_manager.command_line.environment import set_environment
from llm_manager.command_line.options import serving
from llm_manager.command_line.words import ALIASES, MANAGEMENT


class Program(click.Group):
    """A group whose verbs are imported when they are called.

    What is no verb is a command of Django's.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return our words, sorted; Django's own commands are not listed."""
        return sorted([*verb_modules(), *MANAGEMENT])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb, else the command that asks Django."""
        name = ALIASES.get(cmd_name, cmd_name)
        if path := verb_modules().get(name):
            command: click.Command = importlib.import_module(path).command
            command.name = name
            return command
        if name.startswith("-"):
            return None
        return django_command(name, verbs=self.list_commands(ctx))


def verb_modules() -> dict[str, str]:
    """Return the modules in the folder of verbs and in those below it, by their names.

    Imports none of them.
    """
    return {
        module.name.rpartition(".")[2]: module.name
        for module in pkgutil.walk_packages(verbs.__path__, f"{verbs.__name__}.")
        if not module.ispkg
    }


@click.group(
    cls=Program,
    name="llm-manager",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
    epilog="Any other word is a command of Django's: migrate, createsuperuser, check, "
    "shell. `llm-manager COMMAND --help` describes a command. Options win over "
    "environment variables, and those win over llm_manager.yaml.",
)
@click.version_option(llm_manager.__version__, message="%(prog)s %(version)s")
@serving
@click.pass_context
def program(
    context: click.Context, /, *, quickstart: bool, **options: str | None
) -> int | None:
    """Serve GGUF models with an OpenAI-compatible API.

    Without a command it starts the server, as `llm-manager server` does.
    """
    if context.invoked_subcommand is None:
        command = program.get_command(context, "server")
        assert command is not None  # noqa: S101 - it is one of the verbs
        status: int = context.invoke(command, quickstart=quickstart, **options)
        return status
    if quickstart:
        raise click.UsageError("--quickstart is an option of the server only.")
    set_environment(**options)
    return None
