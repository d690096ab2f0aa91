"""docs/clients.md, written from the outcomes of `make test-clients`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = Path(__file__).parents[2] / "docs" / "clients.md"
_INTRODUCTION = """\
# Clients

What other people's programs do with this server. `make test-clients` installs them
into environments of their own, starts a real server with a real model of 135M
parameters, and writes this page from what happened. The lines of Python that set a
client up are those that it ran. `YOUR_KEY` is an API key: the first start prints one
and keeps it in `data/quickstart.json`.

"Proven" are tests that passed; "the model's" fail because a model of this size does not
do what they ask, such as to call a tool that it need not call.
"""
_HEAD = """\
| client | version | proven | the model's | not run |
|---|---|--:|--:|--:|"""
#: How the page names an outcome; anything else is a failure, and no page is written.
_TITLES = {"passed": "Proven", "xfailed": "The model's", "skipped": "Not run"}

Client = dict[str, Any]


def page_of(clients: Iterable[tuple[str, Client]]) -> str:
    """Return the page about these clients, by title and record."""
    clients = list(clients)
    rows = [_row(title, client) for title, client in clients]
    titles = list(dict.fromkeys(title for title, _ in clients))
    sections = [_section(title, clients) for title in titles]
    return "\n".join([_INTRODUCTION, _HEAD, *rows, "", *sections])


def words(name: str) -> str:
    """Return a test's name as words: ``test_a_b[c_d]`` is `a b: c d`."""
    test, _, variant = name.removesuffix("]").partition("[")
    test = test.removeprefix("test_").replace("_", " ").strip()
    variant = variant.replace("_", " ")
    if test == "script":
        return variant
    return f"{test}: {variant}" if variant else test


def _row(title: str, client: Client) -> str:
    anchor = re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
    counts = [str(len(_named(client, outcome))) for outcome in _TITLES]
    cells = [f"[{title}](#{anchor})", _versions(client), *counts]
    return f"| {' | '.join(cells)} |"


def _versions(client: Client) -> str:
    return ", ".join(
        f"`{name}` {version}" for name, version in client["versions"].items()
    )


def _named(client: Client, outcome: str) -> dict[str, str]:
    return {
        words(proof["name"]): proof["reason"]
        for proof in client["proofs"]
        if proof["outcome"] == outcome
    }


def _section(title: str, clients: list[tuple[str, Client]]) -> str:
    (client, *_) = [each for name, each in clients if name == title]
    lines = [f"## {title}", "", f"```{client['language']}", client["setup"], "```", ""]
    if client["note"]:
        lines += [client["note"], ""]
    lines += [f"Proven: {'; '.join(_named(client, 'passed'))}.", ""]
    for outcome in ("xfailed", "skipped"):
        reasons = [f"{name} ({why})" for name, why in _named(client, outcome).items()]
        if reasons:
            lines += [f"{_TITLES[outcome]}: {'; '.join(reasons)}.", ""]
    return "\n".join(lines)


def main(files: list[str]) -> None:
    """Write the page of some records. Raises SystemExit if one has a failure."""
    clients = [
        (title, client)
        for file in files
        for title, client in json.loads(Path(file).read_text()).items()
    ]
    failed = [
        f"{title}: {words(proof['name'])}"
        for title, client in clients
        for proof in client["proofs"]
        if proof["outcome"] not in _TITLES
    ]
    if failed:
        raise SystemExit("\n".join(["The page stays as it is. Failed:", *failed]))
    clients.sort(key=lambda each: each[0].lower())
    PAGE.write_text(page_of(clients), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
