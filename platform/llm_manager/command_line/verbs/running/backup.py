"""``llm-manager backup``: the database and the secret key in one file."""

from __future__ import annotations

from pathlib import Path

import click

from llm_manager.command_line.django_setup import load_django
from llm_manager.command_line.exit_status import CommandFailed
from llm_manager.command_line.local_rows import has_database
from llm_manager.command_line.output import json_option, print_json
from llm_manager.lib.units import human_bytes


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def command(file: Path, *, as_json: bool) -> None:
    """Write the database and the secret key to FILE, while the server runs.

    FILE is a zip that only you may read. It holds each key's hash, the second factors,
    stored responses and captured bodies, so keep it as you keep a password. Not in it:
    model files, files of batches, the configuration, and what only runs now.
    """
    if file.exists():
        raise CommandFailed(f"{file} is there already; choose another name.")
    config = load_django()
    if not has_database(config):
        raise CommandFailed(f"There is no database in {config.data_dir}.")
    from llm_manager.command_line.backing_up.writing import write_backup

    manifest = write_backup(file)
    size = file.stat().st_size
    if as_json:
        print_json({"file": str(file), "bytes": size, "rows": manifest.rows})
        return
    number = sum(manifest.rows.values())
    click.echo(f"{file}: {number:,} rows, {human_bytes(size)}.")
