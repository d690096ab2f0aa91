"""Uploads that no client sends by mistake: each is refused, and leaves nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from accounts.files.folder import all_contents
from accounts.models import StoredFile

if TYPE_CHECKING:
    from tests.inference.api.conftest import Api

_TYPE = "multipart/form-data; boundary=b"
_HEAD = b'--b\r\nContent-Disposition: form-data; name="'
_PURPOSE = _HEAD + b'purpose"\r\n\r\nbatch\r\n'
_FILE = _HEAD + b'file"; filename="a.jsonl"\r\n\r\n'
_END = b"--b--\r\n"
HOSTILE: dict[str, tuple[str, bytes]] = {
    "no boundary": ("multipart/form-data", _PURPOSE + _FILE + b"{}\r\n" + _END),
    "an empty boundary": ("multipart/form-data; boundary=", _PURPOSE + _END),
    "a boundary that is none": ("multipart/form-data; boundary=\x7f\x01", b"x"),
    "a boundary without end": (f"{_TYPE}{'b' * 5000}", _PURPOSE),
    "nothing": (_TYPE, b""),
    "only the end": (_TYPE, _END),
    "parts inside parts": (
        _TYPE,
        _HEAD + b'file"\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n'
        b"x\r\n--c--\r\n" + _PURPOSE + _END,
    ),
    "a thousand parts too many": (
        _TYPE,
        b"".join(_HEAD + b'f%d"\r\n\r\nx\r\n' % n for n in range(2000)) + _END,
    ),
    "two thousand files": (_TYPE, (_FILE + b"x\r\n") * 2000 + _PURPOSE + _END),
    "a header without end": (
        _TYPE,
        b"--b\r\nContent-Disposition: form-data; x=" + b"y" * 2_000_000,
    ),
    "a purpose without end": (_TYPE, _HEAD + b'purpose"\r\n\r\n' + b"b" * 5_000_000),
    "no name": (
        _TYPE,
        _PURPOSE + b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n" + _END,
    ),
    "no header": (_TYPE, _PURPOSE + b"--b\r\n\r\nx\r\n" + _END),
    "a file in base64 that is none": (
        _TYPE,
        _PURPOSE
        + _FILE.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n")
        + b"=*=\r\n"
        + _END,
    ),
    "a purpose that is no text": (
        _TYPE,
        _HEAD + b'purpose"\r\n\r\n\xff\x00\r\n' + _FILE + b"{}\r\n" + _END,
    ),
}
NAMES = (b"../../etc/passwd", b"a\x00b", b"\xff\xfe", b"/", b"a" * 100_000, b'"', b"..")


async def _send(api: Api, content_type: str, body: bytes) -> int:
    answer = await api.client.generic(
        *("POST", "/v1/files", body),
        content_type=content_type,
        headers=api.headers(),
    )
    status: int = answer.status_code
    if status != 200:
        error = answer.json()["error"]
        assert error["message"]
        assert error["type"] == "invalid_request_error"
    return status


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_hostile_upload_is_refused_and_leaves_nothing(
    api: Api, what: str
) -> None:
    assert await _send(api, *HOSTILE[what]) in (400, 415)

    assert list(all_contents()) == []
    assert not await StoredFile.objects.aexists()


@pytest.mark.parametrize("name", NAMES)
async def test_a_hostile_name_of_a_file_is_only_a_name(api: Api, name: bytes) -> None:
    file = _FILE.replace(b"a.jsonl", name)
    status = await _send(api, _TYPE, _PURPOSE + file + b"{}\r\n" + _END)

    assert status in (200, 400)
    stored = [row.pk async for row in StoredFile.objects.all()]
    assert [each.name for each in all_contents()] == stored
