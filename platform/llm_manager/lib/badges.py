"""Small labels in the admin, for a state or a capability."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from django.template.loader import render_to_string
from django.utils.html import format_html_join

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.utils.safestring import SafeString

Tone = Literal["", "info", "success", "warning", "danger", "primary"]


@lru_cache(maxsize=1024)
def badge(text: str, tone: Tone = "", title: str = "") -> SafeString:
    """Return a label; the text is escaped.

    A list has hundreds of them, and few that differ.
    """
    context = {"text": text, "type": tone, "label_title": title, "size": "md"}
    return render_to_string("unfold/helpers/label.html", context)


def chips(texts: Iterable[str], tone: Tone = "") -> SafeString | str:
    """Return labels in a row, or "-" if there are none."""
    labels = format_html_join(" ", "{}", ((badge(text, tone),) for text in texts))
    return labels or "-"
