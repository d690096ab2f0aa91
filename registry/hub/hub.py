"""The protocol of the Hugging Face hub, in huggingface_hub's words.

``HF_ENDPOINT`` names a mirror; the token is ``HF_TOKEN``, or that of ``hf auth login``.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import httpx2

from registry.hub.errors import BrokenConnection, DownloadFailed, NoSuchFile
from registry.hub.modelscope import modelscope_offer
from registry.hub.network import checked_client
from registry.hub.offer import HubFile, Offer, make_offer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from huggingface_hub import HfApi

    from registry.hub.network import NetworkPolicy
    from registry.hub.source import HubSource

_LIBRARY = "llm-manager"
_TIMEOUT_S = 30.0
_UNAUTHORIZED = (401, 403)

# Without this, the library asks the hub which programs exist that might use it.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


class _SharedClient:
    """The library's HTTP client, of which a process has one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._policy: NetworkPolicy | None = None

    def use(self, policy: NetworkPolicy) -> None:
        """Let the library connect to nobody but whom the policy permits."""
        from huggingface_hub import set_client_factory

        with self._lock:
            if policy != self._policy:
                set_client_factory(lambda: checked_client(policy))
                self._policy = policy


_shared = _SharedClient()


def hub_endpoint() -> str:
    """Return the hub's address, without a slash at its end."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def hub_offer(source: HubSource, policy: NetworkPolicy) -> Offer:
    """Return what a repository offers. Raises DownloadFailed."""
    if source.is_modelscope:
        return modelscope_offer(source, policy)
    from huggingface_hub import errors

    _shared.use(policy)
    api = _api()
    try:
        info = api.model_info(
            source.repo,
            revision=source.revision or None,
            files_metadata=True,
            timeout=_TIMEOUT_S,
        )
    except errors.GatedRepoError:
        raise NoSuchFile(
            f"'{source.repo}' is gated: accept its terms at {api.endpoint}, and set "
            "HF_TOKEN to a token of that account where the server runs."
        ) from None
    except errors.RevisionNotFoundError:
        raise NoSuchFile(
            f"'{source.repo}' has no revision '{source.revision}'."
        ) from None
    except errors.RepositoryNotFoundError:
        raise NoSuchFile(
            f"{api.endpoint} has no repository '{source.repo}', or it is private and "
            "needs a token (HF_TOKEN)."
        ) from None
    except errors.OfflineModeIsEnabled:
        raise BrokenConnection("HF_HUB_OFFLINE is set: nothing is fetched.") from None
    except errors.HfHubHTTPError as error:
        raise _refusal(error, api.endpoint) from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise BrokenConnection(f"{api.endpoint} cannot be reached: {reason}.") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise DownloadFailed(f"{api.endpoint} does not answer as a hub does.") from None
    if not info.sha:
        raise DownloadFailed(f"{api.endpoint} does not say which revision it has.")
    files = [
        HubFile(
            each.rfilename,
            int(each.size or 0),
            # Small files are in git itself, whose id is no sha256.
            str(each.lfs.sha256) if each.lfs else "",
        )
        for each in info.siblings or ()
    ]
    return make_offer(source.repo, str(info.sha), files)


def file_url(repo: str, commit: str, path: str) -> str:
    """Return the address of a file of a repository, of this commit."""
    from huggingface_hub import hf_hub_url

    return hf_hub_url(repo, path, revision=commit, endpoint=hub_endpoint())


def hub_headers() -> Mapping[str, str]:
    """Return the headers of a request to the hub, with its token."""
    # Public; but the package says so in words of its own, which mypy does not read.
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        build_hf_headers,
    )

    return dict(build_hf_headers(library_name=_LIBRARY))


def _api() -> HfApi:
    from huggingface_hub import HfApi

    return HfApi(endpoint=hub_endpoint(), library_name=_LIBRARY)


def _refusal(error: httpx2.HTTPError, endpoint: str) -> DownloadFailed:
    response: httpx2.Response | None = getattr(error, "response", None)
    status = response.status_code if response is not None else 0
    if status in _UNAUTHORIZED:
        return NoSuchFile(f"{endpoint} refuses the token (HF_TOKEN): {status}.")
    return BrokenConnection(f"{endpoint} answers {status}. Try again later.")
