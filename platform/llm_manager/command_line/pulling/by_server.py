"""Has the running server get a model, and shows its progress."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.command_line.pulling.bar import download_bar
from llm_manager.launcher.child_process import say
from registry.hub.errors import DownloadFailed
from registry.hub.hub import hub_endpoint
from registry.hub.offer import is_named
from registry.hub.source import HubSource, parse_source

if TYPE_CHECKING:
    from llm_manager.command_line.remote.api_client import ApiClient

_OPEN = ("requested", "running")
#: A web process that restarts is back by then; the download does not depend on it.
_PATIENCE_S = 60.0
_PAUSE_S = 1.0


def request(client: ApiClient, source: str) -> Any:
    """Have the server begin; return the download. Raises CommandFailed."""
    return client.post("/v1/models", {"model": source})


def offer(client: ApiClient, source: str) -> Any:
    """Return what a repository offers. Raises CommandFailed."""
    return client.get(f"/v1/downloads/offer?{urlencode({'model': source})}")


def follow(client: ApiClient, download: Any, *, is_shown: bool) -> Any:
    """Show a download until it has ended; return it then. Raises CommandFailed.

    Goes on where the server is away for a moment.
    """
    path = f"/v1/downloads/{download['id']}/events"
    deadline = time.monotonic() + _PATIENCE_S
    said_waiting = False
    with download_bar(download["source"], is_shown=is_shown) as show:
        while download["state"] in _OPEN:
            try:
                with client.stream(path) as events:
                    for found in events:
                        download = found
                        deadline = time.monotonic() + _PATIENCE_S
                        show(found["bytes_done"], found["bytes_total"])
                        if found["state"] == "requested" and not said_waiting:
                            said_waiting = True
                            say("it waits for the engine")
            except CommandFailed as error:
                is_away = error.status in (ExitStatus.UNREACHABLE, ExitStatus.FAILED)
                if not is_away or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)
    if download["state"] != "done":
        raise CommandFailed(download["error"] or "The download was cancelled.")
    return download


def cancel(client: ApiClient, source: str) -> Any:
    """Cancel the open download of this source or number. Raises CommandFailed."""
    listed = client.get("/v1/downloads?limit=1000")["data"]
    found = [
        each for each in listed if each["state"] in _OPEN and _is_meant(each, source)
    ]
    if not found:
        raise CommandFailed(
            f"'{source}' is not being downloaded.", ExitStatus.NOT_FOUND
        )
    if len(found) > 1:
        numbers = ", ".join(f"{each['id']} ({each['source']})" for each in found)
        raise CommandFailed(f"Several are being downloaded; name one: {numbers}.")
    return client.post(f"/v1/downloads/{found[0]['id']}/cancel", {})


def _is_meant(download: Any, source: str) -> bool:
    """Return whether a source or a number means a download, as it was asked for."""
    if source in (download["source"], str(download["id"])):
        return True
    try:
        wanted = parse_source(source, endpoint=hub_endpoint())
    except DownloadFailed:
        return False
    repo, _, path = download["source"].partition(":")
    if not isinstance(wanted, HubSource) or wanted.name != repo:
        return False
    return not wanted.choice or is_named(path, wanted.choice)
