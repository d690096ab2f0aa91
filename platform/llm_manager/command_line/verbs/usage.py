"""``llm-manager usage``: who used what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from llm_manager.command_line.django_setup import load_django
from llm_manager.command_line.environment import set_environment
from llm_manager.command_line.options import places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from accounts.usage.summary import UsageGroup

#: The numbers of a table, and their headings.
_NUMBERS = {
    "requests": "requests",
    "failed": "failed",
    "prompt_tokens": "prompt",
    "cached_tokens": "cached",
    "completion_tokens": "completion",
    "cost": "cost",
}


@click.command()
@click.option(
    "--by",
    default="day",
    show_default=True,
    metavar="WHAT,…",
    help="What to add up by: day, key, owner, team, model.",
)
@click.option(
    "--since",
    default="30d",
    show_default=True,
    metavar="DAY",
    help="First day: 2026-11-29, or 7d for seven days ago.",
)
@click.option("--until", default="0d", metavar="DAY", help="Last day (default: today).")
@click.option("--key", metavar="PREFIX", help="Only this key.")
@click.option("--owner", metavar="NAME", help="Only keys of this user.")
@click.option("--team", metavar="NAME", help="Only keys of this team.")
@click.option("--model", metavar="ID", help="Only this model.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@places
def command(
    *,
    by: str,
    since: str,
    until: str,
    key: str | None,
    owner: str | None,
    team: str | None,
    model: str | None,
    as_json: bool,
    **options: str | None,
) -> None:
    """Add up requests, tokens and cost from the database."""
    set_environment(**options)
    config = load_django()
    from accounts.usage.summary import (
        DIMENSIONS,
        TooManyUsageRows,
        UsagePeriod,
        day_from,
        usage_summary,
    )

    names = [name.strip() for name in by.split(",") if name.strip()]
    for name in names:
        if name not in DIMENSIONS:
            raise click.BadParameter(
                f"'{name}' is none of {', '.join(DIMENSIONS)}.", param_hint="--by"
            )
    asked = {"key": key, "owner": owner, "team": team, "model": model}
    filters = {name: text for name, text in asked.items() if text}
    try:
        period = UsagePeriod(day_from(since), day_from(until))
        chosen = [known for known in DIMENSIONS if known in names]
        groups = usage_summary(period, chosen, **filters)
    except (ValueError, OverflowError, TooManyUsageRows) as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        click.echo(json.dumps(groups, ensure_ascii=False, indent=2))
    else:
        _print(groups, currency=config.limits.currency)


def _print(groups: Sequence[UsageGroup], *, currency: str) -> None:
    """Print the groups as a table."""
    rows: list[dict[str, Any]] = [dict(group) for group in groups]
    if not rows:
        click.echo("Nothing was used on these days.")
        return
    labels = [name for name in rows[0] if name not in _SUMS]
    table = Table(box=None, pad_edge=False)
    for label in labels:
        table.add_column(label.replace("_", " "), overflow="fold")
    for name, heading in _NUMBERS.items():
        unit = f" ({currency})" if name == "cost" else ""
        table.add_column(heading + unit, justify="right")
    for row in rows:
        numbers = [
            f"{row[name]:.4f}" if name == "cost" else f"{row[name]:,}"
            for name in _NUMBERS
        ]
        table.add_row(*(str(row[label]) for label in labels), *numbers)
    Console(highlight=False, markup=False).print(table)


_SUMS = (*_NUMBERS, "reasoning_tokens", "drafted_tokens")
