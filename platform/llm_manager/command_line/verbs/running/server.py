"""``llm-manager server``: starts everything and keeps it running."""

from __future__ import annotations

import click

from llm_manager.command_line.environment import set_environment
from llm_manager.command_line.options import serving


@click.command()
@serving
def command(*, quickstart: bool, **options: str | None) -> int:
    """Start Redis, engine and web server, and keep them running.

    Redis is a private one, unless one is configured. Processes that exit are
    restarted. Ctrl-C or SIGTERM stops them in order. `llm-manager` alone is the
    same.
    """
    set_environment(**options)
    from llm_manager.config.reading import load_config

    config = load_config()
    from llm_manager.launcher.server import serve

    return serve(config, quickstart=quickstart)
