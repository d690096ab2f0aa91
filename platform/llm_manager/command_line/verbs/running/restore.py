"""``llm-manager restore``: what ``llm-manager backup`` has written."""

from __future__ import annotations

from pathlib import Path

import click

from llm_manager.command_line.backing_up.archive import Backup
from llm_manager.command_line.django_setup import load_django
from llm_manager.command_line.output import json_option, print_json


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--replace", is_flag=True, help="Delete what is in the database before. Asks first."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
def command(file: Path, *, replace: bool, yes: bool, as_json: bool) -> None:
    """Restore the database and the secret key from FILE, while no server runs.

    The backup may come from another machine, and from SQLite for PostgreSQL or the
    other way. All of it is restored, or nothing. Keys, passwords and second factors
    work as before; everybody has to log in again.
    """
    backup = Backup(file)
    if replace and not yes:
        click.confirm(
            "Delete all that is in the database, and restore the backup?",
            abort=True,
            err=True,
        )
    load_django()
    from llm_manager.command_line.backing_up.restoring import restore

    restore(backup, is_replacing=replace)
    manifest = backup.manifest
    if as_json:
        print_json({"made_at": manifest.made_at, "rows": manifest.rows})
        return
    number = sum(manifest.rows.values())
    click.echo(f"Restored {number:,} rows of {manifest.made_at}.")
