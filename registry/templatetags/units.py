"""Template filters that format sizes, counts and times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import template
from django.utils import timezone

from llm_manager.lib.units import human_age, human_bytes, human_count, human_span

if TYPE_CHECKING:
    from datetime import datetime

register = template.Library()
register.filter("bytes", human_bytes)
register.filter("count", human_count)
register.filter("span", human_span)


@register.filter
def ago(moment: datetime | None) -> str:
    """Return how long ago a moment was."""
    return human_age(moment, timezone.now())
