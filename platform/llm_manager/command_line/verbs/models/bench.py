"""``llm-manager bench``: how fast a model is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from llm_manager.command_line.output import json_option, print_json, print_table
from llm_manager.command_line.remote.completion import model_argument
from llm_manager.command_line.remote.connection import remote

if TYPE_CHECKING:
    from inference.benchmark.figures import BenchmarkResult
    from llm_manager.command_line.remote.connection import Connection


class _Counts(click.ParamType[tuple[int, ...]]):
    """Numbers with commas between them."""

    name = "counts"

    def convert(
        self,
        value: str | tuple[int, ...],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            counts = tuple(int(part) for part in value.split(","))
        except ValueError:
            counts = ()
        if not counts or min(counts) < 1:
            self.fail(f"'{value}' is no list of numbers, as 1,8,16.", param, ctx)
        return counts


@click.command()
@model_argument
@click.option(
    "--streams",
    type=_Counts(),
    metavar="N,N",
    default=(1, 8, 16),
    help="How many answers at once (default: 1,8,16).",
)
@click.option(
    "--tokens",
    type=click.IntRange(min=2),
    default=128,
    show_default=True,
    help="Tokens of each answer.",
)
@click.option(
    "--prompt-tokens",
    type=click.IntRange(min=1),
    default=1024,
    show_default=True,
    help="Tokens of the long prompt, for the time to the first token.",
)
@json_option
@remote
def command(
    connection: Connection,
    /,
    *,
    model: str,
    streams: tuple[int, ...],
    tokens: int,
    prompt_tokens: int,
    as_json: bool,
) -> None:
    """Measure a model through the running server.

    Tokens a second of several answers at once, and the time to the first token after
    a long prompt. Other requests and the key's rate limit count, as they do for users.
    """
    from llm_manager.command_line.bench.measuring import run_benchmark

    result = run_benchmark(
        connection,
        model,
        streams=streams,
        tokens=tokens,
        prompt_tokens=prompt_tokens,
        on_step=_say,
    )
    if as_json:
        print_json(result.as_json())
    else:
        _print(result)


def _say(step: str) -> None:
    if sys.stderr.isatty():
        click.secho(f"{step} …", dim=True, err=True)


def _print(result: BenchmarkResult) -> None:
    columns = ("streams", "tokens/s", "tokens/s each", "first token", "worst")
    print_table(
        columns,
        (
            (
                each.streams,
                f"{each.tokens_per_second:.1f}",
                f"{each.tokens_per_second_each:.1f}",
                f"{each.first_token_median:.2f} s",
                f"{each.first_token_worst:.2f} s",
            )
            for each in result.streams
        ),
        right=",".join(columns),
    )
    prompt = result.long_prompt
    click.echo(
        f"\n{prompt.prompt_tokens} tokens of prompt: first token after "
        f"{prompt.first_token_median:.2f} s, {prompt.prompt_tokens_per_second:.0f} "
        "tokens/s"
    )
