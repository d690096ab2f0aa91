"""Gets a model without a server, into the models directory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.command_line.pulling.bar import download_bar
from llm_manager.config.reading import load_config
from registry.hub.disk import Room
from registry.hub.errors import DownloadFailed, NoSuchFile
from registry.hub.fetching import Fetcher
from registry.hub.hub import hub_endpoint, hub_offer
from registry.hub.network import NetworkPolicy, checked_client
from registry.hub.offer import choose
from registry.hub.placing import PARTS, address_files, hub_files, wanted_files
from registry.hub.source import HubSource, parse_source

if TYPE_CHECKING:
    from pathlib import Path

    from llm_manager.config.schema import Config
    from registry.hub.offer import Offer
    from registry.hub.placing import DownloadFile

_MIB = 1024 * 1024


def offer(source: str) -> Any:
    """Return what a repository offers, as the API says it. Raises CommandFailed."""
    try:
        found = _offer(_repository(source), load_config())
    except DownloadFailed as error:
        raise _failure(error) from None
    return {
        "object": "offer",
        "repo": found.repo,
        "commit": found.commit,
        "data": [
            {
                "model": f"{found.repo}:{each.path}",
                "quantization": each.quantization,
                "size_bytes": each.size,
                "files": [file.path for file in each.all_files],
                "projector": each.projector.path if each.projector else None,
                "fit": "unknown",
            }
            for each in found.choices
        ],
        "left_out": [{"path": path, "reason": why} for path, why in found.left_out],
    }


def pull(source: str, *, is_shown: bool) -> list[Path]:
    """Get a model; return its files. Raises CommandFailed."""
    config = load_config()
    try:
        return _pull(source, config, is_shown=is_shown)
    except (DownloadFailed, OSError) as error:
        raise _failure(error) from None


def _pull(source: str, config: Config, *, is_shown: bool) -> list[Path]:
    parsed = parse_source(source, endpoint=hub_endpoint())
    files: list[DownloadFile]
    if isinstance(parsed, HubSource):
        found = _offer(parsed, config)
        choice = choose(found, parsed.choice)
        repo = "" if parsed.is_modelscope else parsed.repo
        commit, total = found.commit, choice.size
        files = hub_files(parsed, found, choice)
    else:
        repo = commit = ""
        total = None
        files = address_files(parsed)
    root = config.models_dir
    root.mkdir(parents=True, exist_ok=True)
    wanted = wanted_files(files, repo=repo, commit=commit, root=root)
    with (
        download_bar(files[0]["target"], is_shown=is_shown) as show,
        checked_client(_policy(config)) as client,
    ):
        known = total

        def measured(size: int) -> None:
            nonlocal known
            known = size if known is None else known

        Fetcher(
            client,
            root / PARTS,
            Room(root, config.downloads.keep_free_mb * _MIB),
            moved=lambda done: show(done, known),
            pause=time.sleep,
            measured=measured,
        ).fetch(wanted)
    return [file.target for file in wanted]


def _repository(source: str) -> HubSource:
    parsed = parse_source(source, endpoint=hub_endpoint())
    if isinstance(parsed, HubSource):
        return parsed
    raise CommandFailed("An address has one file; only a repository has a list.")


def _offer(source: HubSource, config: Config) -> Offer:
    return hub_offer(source, _policy(config))


def _policy(config: Config) -> NetworkPolicy:
    return NetworkPolicy(config.downloads.hosts, config.downloads.private_addresses)


def _failure(error: Exception) -> CommandFailed:
    is_missing = isinstance(error, NoSuchFile)
    status = ExitStatus.NOT_FOUND if is_missing else ExitStatus.FAILED
    return CommandFailed(str(error), status)
