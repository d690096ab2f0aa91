"""``llm-manager show``: one model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from llm_manager.command_line.exit_status import CommandFailed
from llm_manager.command_line.output import json_option, print_json, print_pairs
from llm_manager.command_line.remote.completion import model_argument
from llm_manager.command_line.remote.connection import remote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from llm_manager.command_line.remote.connection import Connection


@click.command()
@model_argument
@json_option
@remote
def command(connection: Connection, /, *, model: str, as_json: bool) -> None:
    """Describe a model: what it is, what it can do, its state."""
    from llm_manager.command_line import local_rows
    from llm_manager.command_line.remote.api_client import ApiClient, model_path

    with ApiClient(connection) as client:
        found = local_rows.ask(
            connection,
            lambda: client.get(model_path(model)),
            lambda: local_rows.model(model),
        )
    if as_json:
        print_json(found)
        return
    if "state" not in found:
        raise CommandFailed(
            f"{connection.url} is no LLM Manager: of '{model}' it says no more than "
            "--json shows."
        )
    print_pairs(_pairs(found))


def _pairs(model: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    from llm_manager.lib.units import human_bytes

    context = model["context"]
    yield "Model", model["id"]
    yield "State", _state(model)
    yield "Can", ", ".join(model["capabilities"])
    yield "Architecture", model["architecture"]
    yield "Quantization", model["quantization"] or None
    yield "Size", human_bytes(model["size_bytes"])
    yield "Context", f"{context['in_force']:,} tokens, at most {context['max']:,}"
    if context["trained"] is not None:
        yield "Trained context", f"{context['trained']:,} tokens"
    yield "Aliases", ", ".join(model["aliases"]) or None
    yield "Adapters", ", ".join(model["adapters"]) or None
    yield "Error", model["error"]


def _state(model: Mapping[str, Any]) -> str:
    state: str = model["state"]
    if state != "loading":
        return state
    left = model["seconds_left"]
    return f"{state}, {model['progress']:.0%}" + (f", {left} s left" if left else "")
