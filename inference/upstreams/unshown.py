"""What an upstream says, without what is no client's business."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llm_manager.config.in_force import config
from llm_manager.lib.quoting import quote
from registry.hub.network import host_matches, is_public

if TYPE_CHECKING:
    from registry.models import Upstream

#: As much of a text is looked at.
_MOST_CHARS = 10_000
#: What may be an address, of IPv4 or IPv6; the library decides.
_ADDRESS = re.compile(
    r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w)"
    r"|(?<![\w:])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{1,4}(?!\w)"
)


def shown_text(upstream: Upstream, text: str) -> str:
    """Return what clients see of an upstream's words.

    Nothing of what quotes its key, its host inside the network or an address there.
    """
    # What is shown of it is shorter than the rest by more than a key.
    text = text[:_MOST_CHARS]
    # First: what is shortened may end within the key.
    key = upstream.key
    if key and key in text:
        return ""
    host = (urlsplit(upstream.base_url).hostname or "").lower()
    private = config().upstreams.private_hosts
    if host in text.lower() and any(host_matches(host, each) for each in private):
        return ""
    if any(_is_inside(match[0]) for match in _ADDRESS.finditer(text)):
        return ""
    return quote(text)


def _is_inside(text: str) -> bool:
    try:
        return not is_public(text)
    except ValueError:
        return False
