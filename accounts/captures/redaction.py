"""Takes out of bodies what nobody needs to see, and what is too long. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from llm_manager.lib.patterns import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

#: In the place of what a pattern matches. re2's ``sub`` takes ASCII only.
REDACTED = "[redacted]"
_DATA_URL = re.compile(r"data:([\w.+/-]{0,100})[;,]")
#: Base64 of less is no file.
_MIN_BASE64 = 512
#: In one line, or in lines as MIME and PEM have them, of 76 and of 64 characters.
_BASE64 = re.compile(
    r"(?:[ \t]*[A-Za-z0-9+/_-]{40,}[ \t]*\r?\n)*[ \t]*[A-Za-z0-9+/_-]+={0,2}\s*"
)
#: Objects and lists inside each other; parsers of bodies allow fewer.
_MAX_DEPTH = 200
#: Members with a text again, token by token: no pattern matches a piece of a secret.
_BY_TOKEN: dict[str, Any] = {"logprobs": (dict, list), "tokens": list}
#: Members that may be ids of tokens, whose text no pattern sees.
_OF_TOKENS = {"prompt", "input"}
_LEFT_OUT = "[tokens]"
#: Members that are secrets of a client's, for servers that it wants to be called.
_SECRETS = ("authorization", "authorization_token")
#: The same in a text that is no JSON.
_SECRET_TEXT = re.compile(
    r'("(?:authorization|authorization_token|headers)"\s*:\s*)'
    r'(?:"(?:[^"\\]|\\.)*"?|\{[^}]*\}?)',
    re.IGNORECASE,
)


class Redaction:
    """Redacts one body: patterns, data of files, and all after ``max_chars``.

    ``is_cut`` says whether there was more.
    """

    def __init__(self, patterns: Sequence[str], max_chars: int) -> None:
        self._patterns = [compiled(pattern) for pattern in patterns]
        self._left = self._max = max_chars
        self.is_cut = False

    def value(self, value: Any, depth: int = 0) -> Any:
        """Return a JSON value without what is redacted or too much."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict | list) and depth > _MAX_DEPTH:
            self.is_cut = True
            return None
        if isinstance(value, dict):
            members = {}
            is_server = value.get("type") == "mcp"
            for name, member in value.items():
                if self._is_full():
                    break
                is_by_token = isinstance(member, _BY_TOKEN.get(name, ()))
                shown = _LEFT_OUT if is_by_token else member
                if name in _SECRETS or (name == "headers" and is_server):
                    shown = REDACTED if member else member
                if name in _OF_TOKENS:
                    shown = _without_ids(member)
                members[self.text(name)] = self.value(shown, depth + 1)
            return members
        if isinstance(value, list):
            items = []
            for item in value:
                if self._is_full():
                    break
                items.append(self.value(item, depth + 1))
            return items
        # About as long as a number is.
        self._left -= 8
        if isinstance(value, bool | None):
            return value
        return value if self._without_secrets(str(value)) == str(value) else REDACTED

    def text(self, text: str) -> str:
        """Return a text without what is redacted or too much."""
        if self._is_full():
            return ""
        file = _file_in(text)
        if file:
            self._left -= len(file)
            return file
        # A secret that the cut would tear is still whole for the patterns.
        kept = text[: 2 * self._max].encode("utf-8", "replace").decode()
        kept = self._without_secrets(kept)
        if len(text) > 2 * self._max:
            # Its end may be torn, too, and secrets before it take less room now.
            kept = kept[: -self._max]
            self.is_cut = True
        if len(kept) > self._left:
            self.is_cut = True
            kept = kept[: self._left]
        # The quotes, and what is between members.
        self._left -= len(kept) + 4
        return kept

    def no_json(self, text: str) -> str:
        """Return a body that is no JSON without what is redacted or too much."""
        return self.text(_SECRET_TEXT.sub(rf'\1"{REDACTED}"', text))

    def _without_secrets(self, text: str) -> str:
        for pattern in self._patterns:
            text = pattern.sub(REDACTED, text)
        return text

    def _is_full(self) -> bool:
        if self._left <= 0:
            self.is_cut = True
        return self._left <= 0


def _without_ids(value: Any) -> Any:
    """Return a prompt, or several, with a word in the place of ids of tokens."""
    if not isinstance(value, list):
        return value
    if any(type(item) is int for item in value):
        return _LEFT_OUT
    return [_LEFT_OUT if isinstance(item, list) and item else item for item in value]


def _file_in(text: str) -> str:
    """Return what stands for a text that is the data of a file; "" if it is none."""
    if match := _DATA_URL.match(text):
        return f"[{match[1] or 'data'}, {len(text):,} characters]"
    if len(text) >= _MIN_BASE64 and _BASE64.fullmatch(text):
        return f"[base64, {len(text):,} characters]"
    return ""
