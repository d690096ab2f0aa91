"""Addresses in a request whose content its receiver fetches: images, files, servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Members that name what is fetched, in OpenAI's and in Anthropic's requests: an
#: address, or an object with its ``url``.
_NAMED = ("image_url", "file_url", "audio_url", "video_url", "source")
#: Members with objects of the client's own: nothing in them is fetched.
_OWN = ("tools", "functions", "metadata", "response_format", "arguments")
_SCHEMES = ("http", "https", "ftp", "file")


def addresses_in(body: Any) -> Iterator[str]:
    """Yield the addresses that parts of a body name, at any depth.

    What a text or the input of a tool's call says is none: nobody fetches it.
    """
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            is_call = str(value.get("type", "")).endswith("tool_use")
            for name, member in value.items():
                if name in _NAMED:
                    yield from _addresses([member])
                elif name == "mcp_servers" and isinstance(member, list):
                    yield from _addresses(member)
                elif name not in _OWN and not (is_call and name == "input"):
                    waiting.append(member)


def _addresses(given: list[Any]) -> Iterator[str]:
    for each in given:
        text = each.get("url") if isinstance(each, dict) else each
        if isinstance(text, str) and _is_address(text):
            yield text


def _is_address(text: str) -> bool:
    scheme, colon, _ = text.lstrip()[:16].partition(":")
    return bool(colon) and scheme.lower() in _SCHEMES
