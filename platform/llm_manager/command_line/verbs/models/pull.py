"""``llm-manager pull``: gets a model from a hub or an address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.command_line.output import json_option, print_json, print_table
from llm_manager.command_line.remote.connection import remote

if TYPE_CHECKING:
    from pathlib import Path

    from llm_manager.command_line.remote.api_client import ApiClient
    from llm_manager.command_line.remote.connection import Connection

_FITS = {"gpu": "on the GPU", "too_large": "too large", "unknown": None}


@click.command()
@click.argument("source")
@click.option("--list", "is_list", is_flag=True, help="List the repository's models.")
@click.option("--no-wait", is_flag=True, help="Return while the server downloads it.")
@click.option("--cancel", is_flag=True, help="End the download that the server runs.")
@json_option
@remote
def command(
    connection: Connection,
    /,
    *,
    source: str,
    is_list: bool,
    no_wait: bool,
    cancel: bool,
    as_json: bool,
) -> None:
    """Get a model from a hub or an https address.

    SOURCE is ORG/REPO, ORG/REPO:QUANTIZATION, ORG/REPO:FILE, these of ModelScope with
    modelscope.cn/ before them, or an address of a GGUF file. Shards and the vision
    projector come with it. HF_ENDPOINT names a mirror, HF_TOKEN is the token of gated
    models; both belong to whoever downloads. The server does, and goes on when this
    program ends; the key needs the scope models. Without a running server the files
    come into the models directory. What breaks off goes on with the same command.
    """
    from llm_manager.command_line.remote.api_client import ApiClient

    with ApiClient(connection) as client:
        if is_list:
            _print_offer(_offer(connection, client, source), as_json=as_json)
            return
        if cancel:
            from llm_manager.command_line.pulling import by_server

            _print_download(by_server.cancel(client, source), as_json=as_json)
            return
        download = _requested(connection, client, source)
        if download is not None:
            if not no_wait:
                download = _followed(client, download, source)
            _print_download(download, as_json=as_json)
            return
    _pull_here(source, as_json=as_json)


def _requested(connection: Connection, client: ApiClient, source: str) -> Any:
    """Return the server's download, or None if no server of this machine runs."""
    from llm_manager.command_line.pulling import by_server

    try:
        return by_server.request(client, source)
    except CommandFailed as error:
        if not connection.is_local or error.status is not ExitStatus.UNREACHABLE:
            raise
    return None


def _offer(connection: Connection, client: ApiClient, source: str) -> Any:
    from llm_manager.command_line.pulling import by_itself, by_server

    try:
        return by_server.offer(client, source)
    except CommandFailed as error:
        if not connection.is_local or error.status is not ExitStatus.UNREACHABLE:
            raise
    return by_itself.offer(source)


def _followed(client: ApiClient, download: Any, source: str) -> Any:
    from llm_manager.command_line.pulling import by_server
    from llm_manager.launcher.child_process import say

    try:
        return by_server.follow(client, download, is_shown=True)
    except KeyboardInterrupt:
        say(f"the server goes on with it; `llm-manager pull {source} --cancel` ends it")
        raise


def _pull_here(source: str, *, as_json: bool) -> None:
    from llm_manager.command_line.pulling import by_itself
    from llm_manager.launcher.child_process import say

    say("no server runs: the files come into the models directory")
    try:
        files = by_itself.pull(source, is_shown=True)
    except KeyboardInterrupt:
        say("what is here is kept; the same command goes on with it")
        raise
    models = _registered(files)
    if as_json:
        print_json({"files": list(map(str, files)), "models": models})
        return
    for file in files:
        click.echo(str(file))
    if not models:
        say("the server registers it when it starts")


def _registered(files: list[Path]) -> list[str]:
    """Register files in the database of the data directory, if there is one."""
    from llm_manager.command_line.django_setup import load_django
    from llm_manager.command_line.local_rows import has_database
    from llm_manager.config.reading import load_config

    if not has_database(load_config()):
        return []
    load_django()
    from registry.models import Model
    from registry.scan.folders import resolve_root
    from registry.services import model_scan

    model_scan(roots=files)
    paths = [str(resolve_root(file)) for file in files]
    found = Model.objects.filter(path__in=paths)
    return list(found.values_list("name", flat=True))


def _print_download(download: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(download)
        return
    models = ", ".join(download["models"])
    click.echo(f"{models or download['source']}: {download['state']}")


def _print_offer(found: Any, *, as_json: bool) -> None:
    from llm_manager.lib.units import human_bytes

    if as_json:
        print_json(found)
        return
    print_table(
        ("model", "quantization", "size", "files", "projector", "fits"),
        (
            (
                each["model"],
                each["quantization"] or None,
                human_bytes(each["size_bytes"]),
                len(each["files"]),
                each["projector"],
                _FITS.get(each["fit"], each["fit"]),
            )
            for each in found["data"]
        ),
        right="size,files",
    )
