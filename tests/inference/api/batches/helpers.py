"""Uploads, batches of them, and what comes out."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.inference.api.conftest import Api

CHAT = "/v1/chat/completions"
_BOUNDARY = "a-line-that-is-in-no-file"


def line(
    custom_id: str = "a", *, url: str = CHAT, method: str = "POST", **body: Any
) -> bytes:
    """Return a line of an input file: by default a chat."""
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]}
    value = {
        "custom_id": custom_id,
        "method": method,
        "url": url,
        "body": chat | body,
    }
    return json.dumps(value).encode() + b"\n"


def multipart(parts: Iterable[tuple[str, str | None, bytes]]) -> bytes:
    """Return a body: of each part its name, the file's name if any, and its content."""
    pieces = []
    for name, filename, content in parts:
        file = f'; filename="{filename}"' if filename is not None else ""
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}'
        pieces.append(head.encode() + b"\r\n\r\n" + content + b"\r\n")
    return b"".join(pieces) + f"--{_BOUNDARY}--\r\n".encode()


async def send_upload(
    api: Api, content: bytes, *, purpose: str = "batch", **more: str
) -> Any:
    """POST a file; return the answer."""
    parts = [("file", "in.jsonl", content), ("purpose", None, purpose.encode())]
    parts += [(name, None, value.encode()) for name, value in more.items()]
    return await send_parts(api, multipart(parts))


async def send_parts(api: Api, body: bytes) -> Any:
    """POST a multipart body; return the answer."""
    return await api.client.generic(
        "POST",
        "/v1/files",
        body,
        content_type=f"multipart/form-data; boundary={_BOUNDARY}",
        headers=api.headers(),
    )


async def upload(api: Api, *lines: bytes) -> str:
    """Upload lines; return the id of the file."""
    answer = await send_upload(api, b"".join(lines))
    assert answer.status_code == 200, answer.content
    return str(answer.json()["id"])


async def create(api: Api, *lines: bytes, endpoint: str = CHAT, **more: Any) -> Any:
    """Upload lines and make a batch of them; return its object."""
    body = {
        "input_file_id": await upload(api, *lines),
        "endpoint": endpoint,
        "completion_window": "24h",
        **more,
    }
    answer = await api.post("/v1/batches", body)
    assert answer.status_code == 200, answer.content
    return answer.json()


async def ended(api: Api, id_: str) -> Any:
    """Return a batch when it has ended."""
    async with asyncio.timeout(60):
        while True:
            batch = (await api.get(f"/v1/batches/{id_}")).json()
            if batch["status"] in ("completed", "failed", "expired", "cancelled"):
                return batch
            await asyncio.sleep(0.05)


async def content(api: Api, file_id: str) -> bytes:
    """Return what is in a file."""
    answer = await api.get(f"/v1/files/{file_id}/content")
    assert answer.status_code == 200
    return b"".join([piece async for piece in answer])


async def results(api: Api, file_id: str) -> dict[str, Any]:
    """Return the lines of an output or error file, by their custom_id."""
    values = [json.loads(text) for text in (await content(api, file_id)).splitlines()]
    found = {value["custom_id"]: value for value in values}
    assert len(found) == len(values), "a line has two results"
    return found
