"""Notices on their way to the webhook."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from accounts.models import Notice, NoticeKind
from accounts.notices import delivery
from accounts.notices.creation import notice_create
from accounts.notices.delivery import notices_prune, notices_send
from tests.configuration import changed

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db

SECRET = "a secret of sixteen"


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent, and answers with the next of its statuses."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.got.append((headers, self.rfile.read(length)))
        status = self.server.statuses.pop(0) if self.server.statuses else 204
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    """The other side; the configuration has its address."""
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        settings.CONFIG = changed(
            settings.CONFIG,
            notices__webhook_url=f"http://127.0.0.1:{server.server_port}/hook",
            notices__webhook_secret=SECRET,
        )
        yield server
        server.shutdown()
        thread.join()


def make_notice(slot: str = "one") -> Notice:
    """Write a notice."""
    notice_create(
        slot=slot, kind=NoticeKind.BUDGET, text="80 % are used.", details={"used": 8}
    )
    return Notice.objects.get(slot=slot)


def test_a_notice_is_sent_once_and_its_signature_is_right(receiver: Receiver) -> None:
    notice = make_notice()
    make_notice()

    assert notices_send() == 1
    assert notices_send() == 0

    [(headers, body)] = receiver.got
    message = json.loads(body)
    assert message["type"] == "notice.budget"
    assert message["data"] == {"text": "80 % are used.", "used": 8}
    assert headers["webhook-id"] == f"notice_{notice.pk}"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    expected = f"v1,{base64.b64encode(digest).decode()}"
    assert headers["webhook-signature"] == expected
    notice.refresh_from_db()
    assert (notice.attempts, notice.next_attempt_at) == (1, None)
    assert notice.sent_at is not None


def test_a_failed_notice_is_tried_again_later(receiver: Receiver) -> None:
    notice = make_notice()
    receiver.statuses = [500]

    assert notices_send() == 0
    notice.refresh_from_db()
    assert "500" in notice.error
    assert notice.next_attempt_at is not None
    assert notice.next_attempt_at > timezone.now() + timedelta(seconds=5)
    # Not before its time.
    assert notices_send() == 0
    assert len(receiver.got) == 1
    Notice.objects.update(next_attempt_at=timezone.now())
    assert notices_send() == 1

    ids = {headers["webhook-id"] for headers, _ in receiver.got}
    assert len(ids) == 1


def test_a_notice_that_always_fails_is_given_up_after_a_day(
    receiver: Receiver,
) -> None:
    notice = make_notice()
    receiver.statuses = [500] * 20
    waited = timedelta()
    while True:
        notices_send()
        notice.refresh_from_db()
        if notice.next_attempt_at is None:
            break
        waited += notice.next_attempt_at - timezone.now()
        Notice.objects.update(next_attempt_at=timezone.now())

    assert notice.sent_at is None
    assert timedelta(days=1) < waited < timedelta(days=2)


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    make_notice()
    receiver.statuses = [302]

    assert notices_send() == 0
    assert len(receiver.got) == 1
    assert "302" in Notice.objects.get().error


def test_a_webhook_that_is_away_is_an_error_and_no_crash(settings: Any) -> None:
    with Receiver() as server:
        url = f"http://127.0.0.1:{server.server_port}/"
    settings.CONFIG = changed(
        settings.CONFIG, notices__webhook_url=url, notices__webhook_secret=SECRET
    )
    make_notice()

    assert notices_send() == 0
    assert "cannot be reached" in Notice.objects.get().error


def test_a_notice_that_another_machine_sends_is_left_to_it(
    receiver: Receiver,
) -> None:
    # Read before the other machine claims it.
    notice = make_notice()
    Notice.objects.filter(pk=notice.pk).update(
        next_attempt_at=timezone.now() + timedelta(minutes=1)
    )

    assert not delivery._send(notice, "http://127.0.0.1/")
    assert receiver.got == []


def test_without_a_webhook_a_notice_is_in_the_admin_alone() -> None:
    assert make_notice().next_attempt_at is None
    assert notices_send() == 0


def test_old_notices_are_deleted() -> None:
    old, new = make_notice("old"), make_notice("new")
    Notice.objects.filter(pk=old.pk).update(
        created_at=timezone.now() - timedelta(days=91)
    )

    assert notices_prune() == 1
    assert Notice.objects.get() == new
