"""Tells administrators that wrong passwords have locked the login."""

from __future__ import annotations

import logging
import time

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import DatabaseError

from accounts.models import NoticeKind
from accounts.notices.creation import notice_create

logger = logging.getLogger(__name__)


def note_lock(*, username: str, address: str, reset_s: int) -> None:
    """Write a notice of a lock; one for each window, however many are locked.

    A name that no user has may be a password in the wrong field: it is not written.
    """
    window_s = settings.CONFIG.auth.login_window
    try:
        is_known = get_user_model().objects.filter(username=username).exists()
        name = f"the user '{username}'" if is_known else "a user that does not exist"
        notice_create(
            slot=f"login/{int(time.time() + reset_s) // window_s}",
            kind=NoticeKind.LOGIN,
            text=f"The login is locked after {settings.CONFIG.auth.login_attempts} "
            f"wrong passwords, for {name} or for the address {address}, from where the "
            f"last one came. It opens again in {reset_s} s. The log has later ones.",
            details={"user": username if is_known else None, "address": address},
        )
    except DatabaseError as error:
        # The login stays locked, and the log says so.
        logger.warning("The notice of a locked login was not written: %s", error)
