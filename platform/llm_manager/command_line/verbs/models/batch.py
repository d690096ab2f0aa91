"""``llm-manager batch``: answers all requests of a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.command_line.output import json_option, print_json
from llm_manager.command_line.remote.connection import remote

if TYPE_CHECKING:
    from llm_manager.command_line.batching.lines import BatchInput, BatchOutput
    from llm_manager.command_line.remote.api_client import ApiClient
    from llm_manager.command_line.remote.connection import Connection


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File for the results.",
)
@click.option("--cancel", is_flag=True, help="End the batch that the server runs.")
@json_option
@remote
def command(
    connection: Connection,
    /,
    *,
    file: Path,
    output: Path,
    cancel: bool,
    as_json: bool,
) -> None:
    """Answer all requests of a file of JSON lines, as OpenAI's batches have them.

    Each line has custom_id, method, url and body. The running server does it as a
    batch, while it has nothing else to do, and goes on when this program ends; the same
    command follows it again. Without a running server the models run in this program.
    What has an answer in the output is not asked again; what failed is. The exit status
    is 1 if a request has no answer.
    """
    from llm_manager.command_line.batching.lines import BatchOutput, read_input
    from llm_manager.command_line.remote.api_client import ApiClient

    source = read_input(file)
    results = BatchOutput(output)
    results.begin()
    with ApiClient(connection) as client:
        batch = _of_server(client, source, results, is_cancelled=cancel)
        if batch is None and cancel:
            raise CommandFailed(
                f"No batch of this server writes {output}.", ExitStatus.NOT_FOUND
            )
    if batch is None and len(results.answered) < source.total:
        _run_here(source, results)
    answered, failed = len(results.answered), results.failed
    if as_json:
        print_json(
            {
                "output": str(output),
                "batch": None if batch is None else batch["id"],
                "total": source.total,
                "completed": answered,
                "failed": failed,
            }
        )
    else:
        click.echo(f"{output}: {answered} of {source.total} answered, {failed} failed")
    if answered < source.total:
        raise click.exceptions.Exit(ExitStatus.FAILED)


def _of_server(
    client: ApiClient, source: BatchInput, output: BatchOutput, *, is_cancelled: bool
) -> Any:
    """Have the server answer the lines; None if no server of this machine runs."""
    from llm_manager.command_line.batching import by_server
    from llm_manager.launcher.child_process import say

    try:
        batch = by_server.noted_batch(client, output.path)
        if batch is None and is_cancelled:
            return None
        if batch is None:
            if len(output.answered) == source.total:
                return None
            batch = by_server.begin(client, source, output)
    except CommandFailed as error:
        if not client.connection.is_local or error.status is not ExitStatus.UNREACHABLE:
            raise
        return None
    if is_cancelled:
        batch = by_server.cancel(client, batch)
    try:
        with _bar(batch["request_counts"]["total"] or source.total) as on_done:
            batch = by_server.follow(client, batch, on_done)
    except KeyboardInterrupt:
        say("the server goes on with it; the same command follows it again, and with")
        say("--cancel ends it")
        raise
    by_server.fetch(client, batch, output)
    return batch


def _run_here(source: BatchInput, output: BatchOutput) -> None:
    from llm_manager.command_line.batching import by_itself
    from llm_manager.launcher.child_process import say

    say("no server runs: the models run in this program.")
    left = source.total - len(output.answered)
    try:
        with _bar(left) as on_done:
            by_itself.run(source, output, on_done)
    except KeyboardInterrupt:
        say("what is answered is kept; the same command goes on with it")
        raise


def _bar(total: int) -> Any:
    import sys

    from inference.local.progress import batch_bar

    return batch_bar(total, is_shown=sys.stderr.isatty())
