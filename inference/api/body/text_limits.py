"""Checks the size of a request's texts against the configured limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.errors import BadRequest
from llm_manager.config.in_force import config

if TYPE_CHECKING:
    from collections.abc import Mapping


def check_sizes(sizes: Mapping[str, int], whole: str) -> None:
    """Refuse texts of which one, or all together, are larger than the limits.

    ``sizes`` are bytes of UTF-8 by path. Raises BadRequest.
    """
    limits = config().limits
    limit = limits.max_message_kb * 1024
    for path, size in sizes.items():
        if size > limit:
            raise BadRequest(
                f"'{path}' has {size:,} bytes, and at most {limit:,} are allowed.",
                param=path,
                code="message_too_long",
            )
    limit = limits.max_content_kb * 1024
    size = sum(sizes.values())
    if size > limit:
        raise BadRequest(
            f"'{whole}' has {size:,} bytes in all, and at most {limit:,} are allowed.",
            param=whole,
            code="content_too_long",
        )
