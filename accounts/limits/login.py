"""Locks the login after too many wrong passwords, by user name and by address."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from redis.exceptions import RedisError

from accounts.limits.throttling import count, request_ip
from llm_manager.lib.unfold_types import AuthenticationForm

if TYPE_CHECKING:
    from django.http import HttpRequest

    from accounts.limits.throttling import RateWindow

logger = logging.getLogger(__name__)

#: One password is checked at a time in a web process: that takes a core for a quarter
#: of a second, and the count of failures is exact.
_one_at_a_time = threading.Lock()
#: How long a login waits for those before it. The figure is a choice: a person waits.
_WAIT_S = 20


class LoginForm(AuthenticationForm):
    """The admin's login. While it is locked, no password is right.

    The failures of a user name and those of an address count in windows of
    ``auth.login_window`` seconds; after ``auth.login_attempts`` of either, the login is
    locked for it until its window ends.
    """

    request: HttpRequest

    def clean(self) -> dict[str, Any]:
        """Check the password. Raises ValidationError, also for a locked login."""
        if settings.CONFIG.auth.login_attempts == 0:
            return _cleaned(super().clean())
        # Who is locked out does not wait for the others' passwords.
        self._refuse_if_locked()
        if not _one_at_a_time.acquire(timeout=_WAIT_S):
            raise ValidationError(
                "Too many people log in at the moment. Try again in a minute."
            )
        try:
            self._refuse_if_locked()
            try:
                return _cleaned(super().clean())
            except ValidationError:
                self._windows(counts=True)
                raise
        finally:
            _one_at_a_time.release()

    def _refuse_if_locked(self) -> None:
        full = [window for window in self._windows(counts=False) if window.is_full]
        if not full:
            return
        logger.warning("A login from %s was refused: locked.", request_ip(self.request))
        minutes = -(-max(window.reset_s for window in full) // 60)
        raise ValidationError(
            "Too many failed logins with this user name or from this address. The "
            f"login is locked for {minutes} more minute{'s' if minutes > 1 else ''}; "
            "until then the right password is refused too.",
            code="locked",
        )

    def _windows(self, *, counts: bool) -> list[RateWindow]:
        """Return the windows of user name and address, perhaps with one failure more.

        Raises ValidationError if Redis does not answer: passwords that are not counted
        could be tried without end.
        """
        auth = settings.CONFIG.auth
        clients = (
            f"name:{self.cleaned_data.get('username', '')}",
            f"ip:{request_ip(self.request)}",
        )
        try:
            return [
                count(
                    "login",
                    client,
                    limit=auth.login_attempts,
                    window_s=auth.login_window,
                    increment=counts,
                )
                for client in clients
            ]
        except RedisError as error:
            logger.warning("A login was refused, because Redis is away: %s", error)
            raise ValidationError(
                "Nobody can log in at the moment: Redis, which counts wrong passwords, "
                "does not answer."
            ) from None


def _cleaned(data: dict[str, Any] | None) -> dict[str, Any]:
    return data or {}
