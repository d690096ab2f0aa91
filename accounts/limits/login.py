"""Locks the login after too many wrong passwords, by user name and by address."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm as DjangoAuthenticationForm
from django.core.exceptions import ValidationError
from redis.exceptions import RedisError

from accounts.limits.login_notice import note_lock
from accounts.limits.throttling import count, request_ip
from llm_manager.lib.unfold_types import AuthenticationForm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest

    from accounts.limits.throttling import RateWindow

logger = logging.getLogger(__name__)

#: One password is checked at a time in a web process: that takes a core for a quarter
#: of a second, and the count of failures is exact.
_one_at_a_time = threading.Lock()
#: How long a login waits for those before it. The figure is a choice: a person waits.
_WAIT_S = 20


@contextmanager
def password_check(request: HttpRequest, username: str) -> Iterator[None]:
    """Enclose the check of a password, which raises ValidationError if it is wrong.

    The failures of a user name and those of an address count in windows of
    ``auth.login_window`` seconds; after ``auth.login_attempts`` of either, no password
    is right for it until its window ends. Raises ValidationError.
    """
    if settings.CONFIG.auth.login_attempts == 0:
        yield
        return
    # Who is locked out does not wait for the others' passwords.
    _refuse_if_locked(request, username)
    if not _one_at_a_time.acquire(timeout=_WAIT_S):
        raise ValidationError(
            "Too many people log in at the moment. Try again in a minute."
        )
    try:
        _refuse_if_locked(request, username)
        try:
            yield
        except ValidationError:
            _count_failure(request, username)
            raise
    finally:
        _one_at_a_time.release()


def _count_failure(request: HttpRequest, username: str) -> None:
    """Count a wrong password, and tell administrators if it locks the login."""
    windows = _windows(request, username, counts=True)
    full = [window for window in windows if window.is_full]
    if full:
        note_lock(
            username=username,
            address=request_ip(request),
            reset_s=max(window.reset_s for window in full),
        )


def _refuse_if_locked(request: HttpRequest, username: str) -> None:
    windows = _windows(request, username, counts=False)
    full = [window for window in windows if window.is_full]
    if not full:
        return
    logger.warning("A login from %s was refused: locked.", request_ip(request))
    minutes = -(-max(window.reset_s for window in full) // 60)
    raise ValidationError(
        "Too many failed logins with this user name or from this address. The "
        f"login is locked for {minutes} more minute{'s' if minutes > 1 else ''}; "
        "until then the right password is refused too.",
        code="locked",
    )


def _windows(request: HttpRequest, username: str, *, counts: bool) -> list[RateWindow]:
    """Return the windows of user name and address, perhaps with one failure more.

    Raises ValidationError if Redis does not answer: passwords that are not counted
    could be tried without end.
    """
    auth = settings.CONFIG.auth
    clients = (f"name:{username}", f"ip:{request_ip(request)}")
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


class LoginForm(AuthenticationForm):
    """The form of user name and password, for users with and without staff rights."""

    request: HttpRequest
    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": "The user name or the password is wrong. Both are "
        "case-sensitive.",
    }

    def confirm_login_allowed(self, user: Any) -> None:
        """Refuse inactive users only. Raises ValidationError."""
        # Not the admin's check, which refuses users without staff rights.
        DjangoAuthenticationForm.confirm_login_allowed(self, user)

    def clean(self) -> dict[str, Any]:
        """Check the password. Raises ValidationError, also for a locked login."""
        if not settings.CONFIG.auth.passwords:
            raise ValidationError("Passwords are switched off here.")
        with password_check(self.request, self.cleaned_data.get("username", "")):
            return super().clean() or {}
