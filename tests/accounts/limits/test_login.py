"""The admin's login after wrong passwords."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import cache
from django.test import Client, RequestFactory
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts.limits import login
from accounts.limits.login import LoginForm
from accounts.models import Notice
from tests.configuration import changed
from tests.factories import make_user

if TYPE_CHECKING:
    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse"
FAILURES = 3
LOCKED = "until then the right password is refused too"


@pytest.fixture(autouse=True)
def _three_attempts(settings: Any) -> None:
    cache.clear()
    settings.CONFIG = changed(
        settings.CONFIG, auth__login_attempts=FAILURES, server__trusted_proxies=1
    )


@pytest.fixture
def admin() -> User:
    return make_user("ada", password=PASSWORD, is_staff=True)


def log_in(
    name: str = "ada", password: str = PASSWORD, ip: str = "192.0.2.1"
) -> tuple[bool, str]:
    """Send the login's form; return whether it let in, and the page."""
    response: Any = Client().post(
        "/admin/login/",
        {"username": name, "password": password},
        headers={"x-forwarded-for": ip},
    )
    return response.status_code == 302, response.content.decode()


def fail(times: int, **who: str) -> None:
    for _ in range(times):
        is_in, page = log_in(**{"password": "wrong", **who})
        assert not is_in
        assert LOCKED not in page


def test_the_right_password_after_a_lockout_is_refused_and_that_is_said(
    admin: User,
) -> None:
    fail(FAILURES)
    is_in, page = log_in()
    assert not is_in
    assert LOCKED in page
    assert "more minute" in page


def test_failures_below_the_limit_do_not_lock(admin: User) -> None:
    fail(FAILURES - 1)
    assert log_in()[0]
    # A success does not give a guesser more attempts.
    fail(1)
    assert not log_in()[0]


def test_a_user_name_is_locked_from_every_address(admin: User) -> None:
    for number in range(FAILURES):
        fail(1, ip=f"192.0.2.{number}")
    assert LOCKED in log_in(ip="198.51.100.7")[1]


def test_an_address_is_locked_for_every_user_name(admin: User) -> None:
    for number in range(FAILURES):
        fail(1, name=f"nobody-{number}")
    assert LOCKED in log_in()[1]
    assert log_in(ip="198.51.100.7")[0]


def test_an_unknown_user_name_is_locked_like_a_known_one() -> None:
    fail(FAILURES, name="nobody")
    assert LOCKED in log_in(name="nobody", ip="198.51.100.7")[1]


def test_the_lock_ends_with_its_window(
    admin: User, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    fail(FAILURES)
    assert not log_in()[0]
    window_s = settings.CONFIG.auth.login_window
    later = time.time() + window_s
    monkeypatch.setattr("django_ratelimit.core.time.time", lambda: later)
    assert log_in()[0]


def test_no_limit_is_possible(admin: User, settings: Any) -> None:
    settings.CONFIG = changed(settings.CONFIG, auth__login_attempts=0)
    fail(FAILURES + 2)
    assert log_in()[0]


def test_without_redis_nobody_logs_in(
    admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: object, **kwargs: object) -> None:
        raise RedisConnectionError("Connection refused.")

    monkeypatch.setattr(login, "count", away)
    is_in, page = log_in()
    assert not is_in
    assert "Redis, which counts wrong passwords, does not answer" in page


# Threads have connections of their own: what they write stays.
@pytest.mark.django_db(transaction=True)
def test_parallel_guesses_are_no_more_than_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashed = []
    at_once = threading.Semaphore(1)

    def check(*args: object, **kwargs: object) -> None:
        assert at_once.acquire(blocking=False), "two passwords were checked at once"
        hashed.append(kwargs["username"])
        at_once.release()

    monkeypatch.setattr("django.contrib.auth.forms.authenticate", check)

    def guess(number: int) -> bool:
        request = RequestFactory().post("/admin/login/", REMOTE_ADDR="192.0.2.1")
        data = {"username": "ada", "password": str(number)}
        return bool(LoginForm(request, data).is_valid())

    with ThreadPoolExecutor(16) as pool:
        assert not any(pool.map(guess, range(40)))
    assert len(hashed) == FAILURES


def test_what_is_logged_names_neither_user_nor_password(
    admin: User, caplog: pytest.LogCaptureFixture
) -> None:
    fail(FAILURES)
    log_in()
    assert "192.0.2.1" in caplog.text
    assert "ada" not in caplog.text
    assert PASSWORD not in caplog.text


def test_a_lock_tells_administrators_once_and_repeats_no_unknown_name(
    admin: User,
) -> None:
    fail(FAILURES)
    log_in(ip="192.0.2.7")

    notice = Notice.objects.get()
    assert "The login is locked after 3 wrong passwords, for the user 'ada'" in str(
        notice
    )
    assert "192.0.2.1" in notice.text
    Notice.objects.all().delete()

    fail(FAILURES, name="correct horse", ip="192.0.2.9")

    assert "correct horse" not in str(vars(Notice.objects.get()))
