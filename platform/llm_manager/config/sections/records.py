"""What is written down, for how long, and who reads it."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from llm_manager.lib.config_sections import AnyCase, Folder, Section, Texts


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PydanticCustomError("http_url", "is not an address as in https://host/")
    return text


class NoticesSection(Section):
    """Where administrators read what they have to know, beside the admin."""

    webhook_url: Annotated[str, AfterValidator(_http_url)] | None = Field(
        default=None,
        description="Address that notices are sent to by POST, as JSON signed by "
        "Standard Webhooks' rules. It may be a private one; redirects are not "
        "followed. Unset: none are sent.",
    )
    webhook_secret: str = Field(
        default="",
        repr=False,
        description="Secret of the signature, text or `whsec_…` with base64.",
    )


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise PydanticCustomError(
            "time_zone", "is not the name of a time zone, as Europe/Berlin or UTC"
        ) from None
    return name


class UsageSection(Section):
    """Who used what: one row for each request, and sums of each day."""

    time_zone: Annotated[str, AfterValidator(_known_zone)] = Field(
        default="UTC",
        description="Time zone of the days of sums and budgets, as in "
        "`Europe/Berlin`. Days that are over stay as they were counted.",
    )
    retention_days: int = Field(
        default=90,
        ge=1,
        le=36_500,
        description="Days after which the rows of requests are deleted.",
    )
    rollup_retention_days: int = Field(
        default=1825,
        ge=1,
        le=36_500,
        description="Days after which the sums of a day are deleted.",
    )


class AuditSection(Section):
    """The log of every change that somebody made."""

    retention_days: int = Field(
        default=1825,
        ge=1,
        le=36_500,
        description="Days after which an entry of the audit log is deleted.",
    )


def _patterns(patterns: tuple[str, ...]) -> tuple[str, ...]:
    # The library is loaded by those who use it.
    from llm_manager.lib.patterns import compiled

    for pattern in patterns:
        try:
            compiled(pattern)
        except ValueError as error:
            raise PydanticCustomError(
                "pattern",
                "has '{pattern}', which is no pattern of RE2: {reason}",
                {"pattern": pattern, "reason": str(error)},
            ) from None
    return patterns


class CaptureSection(Section):
    """Bodies of requests and answers, of keys whose capture is switched on for a
    while. Data of images and other files is always left out.
    """

    patterns: Annotated[Texts, AfterValidator(_patterns)] = Field(
        default=("sk-[A-Za-z0-9_-]{16}[A-Za-z0-9_-]*",),
        description="What is taken out of captured bodies: regular expressions in "
        "RE2's syntax. The default is API keys.",
    )
    max_kb: int = Field(
        default=64,
        ge=1,
        le=1024,
        description="KiB that are kept of a request, and as many of an answer.",
    )
    retention_hours: int = Field(
        default=72,
        ge=1,
        le=8_760,
        description="Hours after which a captured body is deleted.",
    )


class MetricsSection(Section):
    """What `/metrics` exports."""

    aliases: bool = Field(
        default=True,
        description="Export metrics under the names of vLLM and llama-server too.",
    )


class LoggingSection(Section):
    """The log."""

    level: Annotated[Literal["debug", "info", "warning", "error"], AnyCase] = Field(
        default="info", description="Level of the log."
    )
    format: Annotated[Literal["text", "json"], AnyCase] = Field(
        default="text",
        description="`json` makes each line an object, for programs that collect logs.",
    )
    to_files: bool = Field(
        default=True,
        description="Write what `llm-manager server` logs into files, too; "
        "`llm-manager logs` reads them.",
    )
    dir: Folder | None = Field(
        default=None, description="Their folder. Unset: `logs` in data_dir."
    )
    max_mb: int = Field(
        default=10,
        ge=1,
        le=10_000,
        description="Size of a file in MiB, after which a new one begins.",
    )
    files: int = Field(
        default=5, ge=2, le=1000, description="Files that are kept, the newest too."
    )
