"""Admin pages of rows that only the server writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.http import HttpRequest


class WrittenByServer:
    """Before an admin class: nobody adds, changes or deletes its rows."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False, for everyone."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False, for everyone."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False, for everyone."""
        return False
