"""ModelScope's list of a repository's files: another protocol than the hub's.

``MODELSCOPE_ENDPOINT`` names a mirror. Files come by their addresses, without a token.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx2

from registry.hub.errors import BrokenConnection, DownloadFailed, NoSuchFile
from registry.hub.network import checked_client
from registry.hub.offer import HubFile, Offer, make_offer

if TYPE_CHECKING:
    from registry.hub.network import NetworkPolicy
    from registry.hub.source import HubSource

_ENDPOINT = "https://modelscope.cn"
_MAIN = "master"
#: A list of thousands of files is smaller.
_MAX_BYTES = 16 * 1024 * 1024
_OK, _NOT_FOUND, _SERVER_ERROR = 200, 404, 500


def modelscope_offer(source: HubSource, policy: NetworkPolicy) -> Offer:
    """Return what a repository offers. Raises DownloadFailed."""
    endpoint = _endpoint()
    revision = source.revision or _MAIN
    url = f"{endpoint}/api/v1/models/{source.repo}/repo/files"
    query = {"Revision": revision, "Recursive": "true"}
    try:
        with (
            checked_client(policy) as client,
            client.stream("GET", url, params=query) as response,
        ):
            status, body = response.status_code, _body_of(response)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise BrokenConnection(f"{endpoint} cannot be reached: {reason}.") from None
    if status >= _SERVER_ERROR:
        raise BrokenConnection(f"{endpoint} answers {status}. Try again later.")
    if status != _OK:
        raise NoSuchFile(
            f"{endpoint} has no repository '{source.repo}' with the revision "
            f"'{revision}', or it is private: {status}."
        )
    try:
        listed: list[dict[str, Any]] = json.loads(body)["Data"]["Files"]
        files = [
            HubFile(
                str(each["Path"]),
                int(each["Size"]),
                str(each.get("Sha256") or "").lower(),
            )
            for each in listed
            if each["Type"] == "blob"
        ]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise DownloadFailed(
            f"{endpoint} does not answer as ModelScope does."
        ) from None
    return make_offer(source.name, revision, files)


def modelscope_url(repo: str, revision: str, path: str) -> str:
    """Return the address of a file of a repository."""
    return f"{_endpoint()}/models/{repo}/resolve/{quote(revision)}/{quote(path)}"


def _endpoint() -> str:
    return os.environ.get("MODELSCOPE_ENDPOINT", _ENDPOINT).rstrip("/")


def _body_of(response: httpx2.Response) -> bytes:
    body = bytearray()
    for part in response.iter_bytes():
        body += part
        if len(body) > _MAX_BYTES:
            raise DownloadFailed("The list of the repository's files is too long.")
    return bytes(body)
