"""Fields of a few lines on the pages of models without a file."""

from __future__ import annotations

from unfold.widgets import UnfoldAdminTextareaWidget

#: What these fields hold is seldom longer.
_ROWS = 3


def small_area() -> UnfoldAdminTextareaWidget:
    """Return a field for a text of some lines, which can be made larger."""
    return UnfoldAdminTextareaWidget(attrs={"rows": _ROWS})
