"""``llm-manager web``: one web process."""

from __future__ import annotations

import click

from llm_manager.command_line.django_setup import load_settings
from llm_manager.command_line.environment import set_environment
from llm_manager.command_line.options import address


@click.command()
@address
@click.option(
    "--fd",
    type=int,
    metavar="N",
    help="Descriptor of an inherited listening socket.",
)
def command(*, fd: int | None, **options: str | None) -> None:
    """Run only one web process.

    The first SIGTERM lets running requests finish.
    """
    set_environment(**options)
    config = load_settings()
    from llm_manager.web.process import run

    run(fd=fd, host=config.server.host, port=config.server.port)
