"""``llm-manager completion``: what a shell needs to complete our words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, /, *, shell: str) -> None:
    """Print a shell's completion script.

    For bash: `source <(llm-manager completion bash)` in ~/.bashrc; zsh alike. For
    fish: `llm-manager completion fish | source` in config.fish.
    """
    root = context.find_root()
    name = root.info_name or "llm-manager"
    made_by = get_completion_class(shell)
    assert made_by is not None  # noqa: S101 - click has all three
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
    click.echo(made_by(root.command, {}, name, variable).source())
