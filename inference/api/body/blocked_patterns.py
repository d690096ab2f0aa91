"""Refuses texts with one of the configured patterns. Off by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.errors import BadRequest
from llm_manager.config.in_force import config

if TYPE_CHECKING:
    from collections.abc import Mapping


def check_patterns(prompts: Mapping[str, str | list[int]]) -> None:
    """Refuse a text that contains a pattern of ``limits.blocked_patterns``.

    ``prompts`` are texts by path, or token ids, whose text is not known here: they are
    refused too where there are patterns. Raises BadRequest.
    """
    patterns: tuple[str, ...] = config().limits.blocked_patterns
    if not patterns:
        return
    for path, text in prompts.items():
        if not isinstance(text, str):
            raise BadRequest(
                f"'{path}' is token ids, which cannot be checked for the patterns "
                "that this server refuses (limits.blocked_patterns). Send a text.",
                param=path,
                code="blocked_pattern",
            )
        folded = text.casefold()
        for pattern in patterns:
            if pattern.casefold() in folded:
                raise BadRequest(
                    f"'{path}' contains '{pattern}', which this server refuses "
                    "(limits.blocked_patterns).",
                    param=path,
                    code="blocked_pattern",
                )
