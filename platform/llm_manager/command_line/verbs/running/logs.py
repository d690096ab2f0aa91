"""``llm-manager logs``: what the server writes."""

from __future__ import annotations

import click

from llm_manager.command_line.environment import set_environment
from llm_manager.command_line.options import places
from llm_manager.command_line.remote.completion import ModelName


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written now.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Lines to begin with.",
)
@click.option(
    "--model", type=ModelName(), help="Only what names this model, as its worker's."
)
@click.option("--json", "as_json", is_flag=True, help="Print each line as JSON.")
@places
def command(
    *,
    follow: bool,
    lines: int,
    model: str | None,
    as_json: bool,
    config: str | None,
    data_dir: str | None,
) -> None:
    """Show the log of the data directory's server.

    `llm-manager server` keeps it in files; logging.dir says where. A web process or
    an engine that runs alone writes to standard error only, so to systemd's journal.
    """
    set_environment(config=config, data_dir=data_dir)
    from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
    from llm_manager.command_line.log_reading import as_object, follow_log, last_lines
    from llm_manager.command_line.output import print_line
    from llm_manager.config.reading import load_config
    from llm_manager.launcher.files.log import LOG_NAME

    folder = load_config().logs_dir
    file = folder / LOG_NAME
    if not file.exists():
        raise CommandFailed(
            f"There is no log in {folder}: no server has run there, or "
            "logging.to_files is false.",
            ExitStatus.NOT_FOUND,
        )
    found = follow_log(file, lines, model) if follow else last_lines(file, lines, model)
    for line in found:
        print_line(as_object(line) if as_json else line)
