"""What templates need to show sizes, counts, times and states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import template
from django.utils import timezone

from llm_manager.lib.badges import badge
from llm_manager.lib.units import human_age, human_bytes, human_count, human_span

if TYPE_CHECKING:
    from datetime import datetime

    from django.utils.safestring import SafeString

    from llm_manager.lib.badges import Tone

register = template.Library()
register.filter("bytes", human_bytes)
register.filter("count", human_count)
register.filter("span", human_span)


@register.simple_tag(name="badge")
def badge_of(text: object, tone: Tone) -> SafeString:
    """Return a label."""
    return badge(str(text), tone)


@register.filter
def ago(moment: datetime | None) -> str:
    """Return how long ago a moment was."""
    return human_age(moment, timezone.now())
