"""Which server a verb talks to, and with which key.

The first that is there counts. The address: ``--url``, ``LLM_MANAGER_URL``,
``OPENAI_BASE_URL``, the server of the data directory. The key: ``--key``, then the one
that belongs to the address: ``OPENAI_API_KEY`` to ``OPENAI_BASE_URL``,
``LLM_MANAGER_KEY`` to any other, the key in quickstart.json to the server of the data
directory while it runs. So no key goes to a server that it was not made for.
"""

from __future__ import annotations

import functools
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import click

from llm_manager.command_line.environment import set_environment
from llm_manager.command_line.options import places

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

URL_VARIABLE, KEY_VARIABLE = "LLM_MANAGER_URL", "LLM_MANAGER_KEY"
_OPENAI_URL, _OPENAI_KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Connection:
    """A server's address without ``/v1``, and the key to it.

    ``is_local``: it is the server of the data directory, whose rows may be read.
    ``is_key_chosen``: somebody gave the key, which quickstart.json's is not.
    ``key_variable``: the environment variable that holds keys to this address.
    """

    url: str
    key: str | None = None
    is_local: bool = False
    is_key_chosen: bool = True
    key_variable: str = KEY_VARIABLE


def find_connection(url: str | None, key: str | None) -> Connection:
    """Return the server and the key that hold. Raises UsageError and ConfigError."""
    given = url or os.environ.get(URL_VARIABLE)
    if not given and (openais := os.environ.get(_OPENAI_URL)):
        key = key or os.environ.get(_OPENAI_KEY) or None
        return Connection(_root(openais), key, key_variable=_OPENAI_KEY)
    key = key or os.environ.get(KEY_VARIABLE) or None
    return Connection(_root(given), key) if given else _of_data_directory(key)


def _of_data_directory(key: str | None) -> Connection:
    from llm_manager.config.reading import load_config
    from llm_manager.launcher import listening
    from llm_manager.launcher.files.address import read_address

    config = load_config()
    is_chosen = key is not None
    address = read_address(config.data_dir)
    if address is None:
        # A web process without a launcher listens where the configuration says. So may
        # a stranger: the key in quickstart.json stays here.
        address = listening.base_url(config.server.host, config.server.port)
    elif key is None:
        key = _quickstart_key(config.data_dir)
    return Connection(address, key, is_local=True, is_key_chosen=is_chosen)


def remote(
    function: Callable[..., _Result],
) -> Callable[..., _Result]:
    """Add the options that choose a server; the function gets a Connection first."""

    @places
    @click.option(
        "--url",
        metavar="URL",
        help="Address of the server (default: the one of the data directory).",
    )
    @click.option("--key", metavar="KEY", help="API key.")
    @functools.wraps(function)
    def call(
        *,
        url: str | None,
        key: str | None,
        config: str | None,
        data_dir: str | None,
        **rest: Any,
    ) -> _Result:
        set_environment(config=config, data_dir=data_dir)
        return function(find_connection(url, key), **rest)

    return call


def _root(url: str) -> str:
    """Return a server's address without the API's path."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.UsageError(f"'{url}' is no address like http://host:8000.")
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def _quickstart_key(data_dir: Path) -> str | None:
    try:
        saved = json.loads((data_dir / "quickstart.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    found = saved.get("api_key") if isinstance(saved, dict) else None
    return found if isinstance(found, str) else None
