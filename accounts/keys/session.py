"""Authentication of the admin's own pages: a session, and proof that a page asks.

Browsers send cookies with requests that other sites make. So a session counts only
beside a CSRF token in a header, which other sites can neither read nor send, and from
a page of this server.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest, HttpResponse
from rest_framework.authentication import CSRFCheck

from accounts.errors import CsrfFailed, PlaygroundNotAllowed, SessionEnded
from accounts.limits.throttling import count_failure
from accounts.models import Team
from accounts.session_access import SessionAccess

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.contrib.auth.models import User
    from rest_framework.request import Request

#: It is listed with those of API keys: it allows what takes a key otherwise.
PERMISSION = "accounts.use_playground"


def presented_session(request: HttpRequest | Request) -> str | None:
    """Return the session of a page's request: one with a CSRF token and no key."""
    meta = request.META
    if settings.CSRF_HEADER_NAME not in meta:
        return None
    if "HTTP_AUTHORIZATION" in meta or "HTTP_X_API_KEY" in meta:
        return None
    session: str | None = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    return session or None


def authenticate_session(request: Request) -> tuple[User, SessionAccess] | None:
    """Return who is signed in and what that allows, or None without a session.

    Six queries at most. Raises CsrfFailed, SessionEnded, PlaygroundNotAllowed, or
    RateLimited when this client has failed too often.
    """
    session = presented_session(request)
    if session is None:
        return None
    probe = _Probe(request._request)
    _check_page(probe)
    probe.session = import_module(settings.SESSION_ENGINE).SessionStore(session)
    user: Any = get_user(probe)
    if not user.is_authenticated:
        count_failure(request)
        raise SessionEnded
    return user, session_access(user)


def session_access(user: User) -> SessionAccess:
    """Return what a person may use. Raises PlaygroundNotAllowed.

    Four queries at most. Members of teams may use what one of their teams may.
    """
    if not (user.is_active and user.is_staff and user.has_perm(PERMISSION)):
        raise PlaygroundNotAllowed
    return SessionAccess(user, _model_ids(user))


def _model_ids(user: User) -> frozenset[int] | None:
    if user.is_superuser:
        return None
    teams = Team.objects.of_member(user).prefetch_related("allowed_models")
    if not teams or any(team.all_models for team in teams):
        return None
    return frozenset(model.pk for team in teams for model in team.allowed_models.all())


class _Probe(HttpRequest):
    """The headers of a request as Django checks them of a form, whatever its method.

    It has no body: the request's own is read later, and not by Django.
    """

    def __init__(self, request: HttpRequest) -> None:
        super().__init__()
        self.method = "PUT"
        self.META = dict(request.META)
        self.COOKIES = request.COOKIES
        self._scheme = request._get_scheme()  # type: ignore[attr-defined]

    def _get_scheme(self) -> str:
        return str(self._scheme)


def _check_page(probe: _Probe) -> None:
    """Check that a page of this server sent the request. Raises CsrfFailed.

    Django asks for no origin where the browser sends none, as for a GET, and this does.
    """
    site = probe.META.get("HTTP_SEC_FETCH_SITE", "same-origin")
    origin = _origin(probe.META)
    if site != "same-origin" or origin is None:
        raise CsrfFailed
    probe.META["HTTP_ORIGIN"] = origin
    check: Any = CSRFCheck(lambda request: HttpResponse())
    check.process_request(probe)
    if check.process_view(probe, None, (), {}) is not None:
        raise CsrfFailed


def _origin(meta: Mapping[str, Any]) -> str | None:
    """Return the origin of the page, by what browsers say of it; None if nothing."""
    if "HTTP_ORIGIN" in meta:
        return str(meta["HTTP_ORIGIN"])
    try:
        referrer = urlsplit(meta.get("HTTP_REFERER", ""))
    except ValueError:
        return None
    if not (referrer.scheme and referrer.netloc):
        return None
    return f"{referrer.scheme}://{referrer.netloc}"
