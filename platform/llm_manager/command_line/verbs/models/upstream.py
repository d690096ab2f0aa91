"""``llm-manager upstream``: other inference servers, and the models they serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from llm_manager.command_line.administration.admin_api import given
from llm_manager.command_line.administration.choosing import administering
from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.command_line.output import (
    alias_option,
    json_option,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from llm_manager.command_line.administration.admin_api import AdminApi

_DIALECTS = (
    "openai",
    "vllm",
    "sglang",
    "tensorrt-llm",
    "llama-server",
    "ollama",
    "anthropic",
    "llm-manager",
)
_COLUMNS = ("name", "base_url", "dialect", "state", "fault")
_APIS = ("chat", "completions", "embeddings", "responses", "messages", "rerank")


@click.group()
def command() -> None:
    """List, add, remove and check other inference servers.

    At the server, with a key of the scope admin; else on the database of the data
    directory.
    """


@command.command("list")
@json_option
@administering
def list_upstreams(api: AdminApi, /, *, as_json: bool) -> None:
    """List the upstreams, and the models that they serve."""
    upstreams = api.all_of("upstreams", "name")
    models = api.all_of("upstream-models", "name")
    if as_json:
        print_json({"upstreams": upstreams["data"], "models": models["data"]})
        return
    _print_upstreams(upstreams["data"])
    if models["data"]:
        click.echo()
        _print_models(models["data"])


@command.command()
@click.argument("name")
@click.argument("base_url")
@click.option("--dialect", type=click.Choice(_DIALECTS), help="Whose parameters.")
@click.option(
    "--key-file",
    type=click.File(),
    help="A file with what it is sent as its key; - is the standard input.",
)
@json_option
@administering
def add(
    api: AdminApi,
    /,
    *,
    name: str,
    base_url: str,
    dialect: str | None,
    key_file: Any,
    as_json: bool,
) -> None:
    """Add an upstream; BASE_URL is what comes before /chat/completions."""
    key = None if key_file is None else key_file.read().strip()
    body = given(name=name, base_url=base_url, dialect=dialect, key=key)
    added = api.post("upstreams", body=body)
    if as_json:
        print_json(added)
    else:
        _print_upstreams([added])


@command.command("add-model")
@click.argument("name")
@click.argument("upstream")
@click.argument("remote_name")
@click.option(
    "--api",
    "apis",
    multiple=True,
    type=click.Choice(_APIS),
    help="A kind of requests that it takes; may be given again (default: chat).",
)
@click.option("--context", "context_length", type=int, help="Its context, in tokens.")
@alias_option
@json_option
@administering
def add_model(api: AdminApi, /, *, as_json: bool, **members: Any) -> None:
    """Serve as NAME what UPSTREAM calls REMOTE_NAME."""
    added = api.post("upstream-models", body=given(**members))
    if as_json:
        print_json(added)
    else:
        _print_models([added])


@command.command()
@click.argument("name")
@json_option
@administering
def remove(api: AdminApi, /, *, name: str, as_json: bool) -> None:
    """Remove an upstream that serves no model."""
    _removed(api.delete("upstreams", name), as_json=as_json)


@command.command("remove-model")
@click.argument("name")
@json_option
@administering
def remove_model(api: AdminApi, /, *, name: str, as_json: bool) -> None:
    """Remove a model of an upstream."""
    _removed(api.delete("upstream-models", name), as_json=as_json)


@command.command()
@click.argument("name")
@json_option
@administering
def check(api: AdminApi, /, *, name: str, as_json: bool) -> None:
    """Ask an upstream whether it answers."""
    found = api.post("upstreams", name, "check", body={})
    if as_json:
        print_json(found)
    elif not found["fault"]:
        click.echo(f"{name} is {found['state']}.")
    if found["fault"]:
        raise CommandFailed(f"{name}: {found['fault']}", ExitStatus.FAILED)


def _removed(deleted: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(deleted)
    else:
        click.echo(f"Removed {deleted['id']}.")


def _print_upstreams(upstreams: list[dict[str, Any]]) -> None:
    print_table(
        ("upstream", "address", "dialect", "state", "fault"),
        (tuple(each[name] for name in _COLUMNS) for each in upstreams),
    )


def _print_models(models: list[dict[str, Any]]) -> None:
    print_table(
        ("model", "upstream", "name there", "takes", "aliases"),
        (
            (
                *(each["name"], each["upstream"], each["remote_name"]),
                ", ".join(each["apis"]),
                ", ".join(each["aliases"]),
            )
            for each in models
        ),
    )
