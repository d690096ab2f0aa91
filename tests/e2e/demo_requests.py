"""Requests of a lived-in installation, for pictures: what runs, and what was."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.utils import timezone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from accounts.models import ApiKey


@contextmanager
def demo_redis(data_dir: str) -> Iterator[None]:
    """Run a Redis of its own, where the settings look for one."""
    from llm_manager.config.redis_socket import socket_path

    path = socket_path(Path(data_dir))
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("There is no redis-server on PATH.")
    command = [program, "--port", "0", "--save", "", "--unixsocket", str(path)]
    redis = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=data_dir)
    try:
        while not path.exists():
            time.sleep(0.05)
        yield
    finally:
        redis.terminate()
        redis.wait()


@contextmanager
def demo_running() -> Iterator[None]:
    """Answer as a web process and a worker that have much to do."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    answering = asyncio.run_coroutine_threadsafe(_answer(), loop)
    try:
        yield
    finally:
        answering.cancel()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _answer() -> None:
    from channels.layers import channel_layers

    from inference.engine.output import PrefillProgress
    from inference.transport.codec import from_wire
    from inference.transport.messages.running import LineOfWorker, RunningOfWeb
    from inference.transport.running.questions import WEB_PROCESSES, WORKERS, answer

    layer: Any = channel_layers["default"]
    redis: Any = channel_layers["queue"].connection(0)
    channels = [await layer.new_channel() for _ in range(2)]
    for group, channel in zip((WEB_PROCESSES, WORKERS), channels, strict=True):
        await layer.group_add(group, channel)
    began = time.time()
    while True:
        question = from_wire(await layer.receive(channels[0]))
        requests = tuple(_running(began))
        line = tuple(each.waiting[0] for each in requests if each.waiting)
        prefills = (PrefillProgress("s2", 15_360, 24_310),)
        of_worker = LineOfWorker("queue.1", line, prefills)
        for told in (RunningOfWeb(requests, 0), of_worker):
            await answer(redis, layer, question.answer_to, told)


def _running(began: float) -> Iterator[Any]:
    from inference.transport.messages.running import CurrentRequest, RunState

    passed = time.time() - began
    lines = (
        ("Support chat", "anna", RunState.DECODES, 48.0, 1843, 1536, 38.2, True),
        ("Support chat", "anna", RunState.DECODES, 21.0, 412, 0, 37.9, True),
        ("Operations", "admin", RunState.PREFILLS, 6.0, 24_310, 8192, None, False),
        ("Notebook", "anna", RunState.WAITS, 4.0, 96, 0, None, True),
        ("Notebook", "anna", RunState.WAITS, 2.0, 96, 0, None, True),
    )
    for number, (key, owner, state, age, prompt, cached, rate, streams) in enumerate(
        lines
    ):
        waits = state == RunState.WAITS
        yield CurrentRequest(
            id=f"0193e4a6-6c00-7000-8000-00000000000{number}",
            request_id=f"5d0c1e8f{number}",
            endpoint="chat-completions",
            model_id=1,
            model="llama-3.1-8b-instruct",
            key_prefix="sk-llmm-4d1f",
            key_name=key,
            owner=owner,
            team="",
            client_address="10.0.0.9",
            arrived_at=began - age,
            queued_at=began - age,
            is_stream=streams,
            state=state,
            sequences=1,
            waiting=(f"s{number}",) if waits else (),
            prefilling=("s2",) if number == 2 else (),
            in_line=True,
            node="gpu-01",
            replica=0,
            prompt_tokens=prompt,
            cached_tokens=cached,
            completion_tokens=int((age + passed) * rate) if rate else 0,
            tokens_per_second=rate,
        )


def demo_requests() -> UUID:
    """Save rows of usage, one of them captured; return the id of that."""
    from accounts.models import ApiKey, CapturedBody
    from accounts.usage.ingestion import store
    from registry.models import Model
    from tests.accounts.usage.test_ingestion import entry

    key = ApiKey.objects.select_related("owner").get(name="Support chat")
    model = Model.objects.get(name="llama-3.1-8b-instruct")
    now = timezone.now()
    common: dict[str, Any] = {
        **_subject(key),
        "model_id": model.pk,
        "model_name": model.name,
        "model_asked": model.name,
        "node": "gpu-01",
        "client_address": "10.0.0.9",
        "is_stream": True,
    }
    entries = [
        entry(
            now - timedelta(minutes=9 * number),
            **common,
            prompt_tokens=1843 + number,
            cached_tokens=1536,
            completion_tokens=412,
            finish_reason="stop",
            queue_ms=310 + 40 * number,
            first_token_ms=1480 + 60 * number,
            duration_ms=12_270 + 500 * number,
            tokens_per_second=38.1,
        )
        for number in range(12)
    ]
    full = {"status": 503, "error_code": "queue_timeout", "duration_ms": 300_000}
    entries.append(entry(now - timedelta(minutes=4), **common, **full))
    store(entries)
    id_ = UUID(entries[0]["id"])
    question = {
        "model": model.name,
        "messages": [
            {"role": "system", "content": "You help customers of a bicycle shop."},
            {"role": "user", "content": "My key is [redacted]. Where is my order?"},
        ],
        "stream": True,
    }
    said = "Please give me the number of your order, and I look it up."
    answer = {"choices": [{"index": 0, "message": {"content": said}}]}
    CapturedBody.objects.create(
        pk=id_,
        key=key,
        request=json.dumps(question, indent=2),
        answer=json.dumps(answer, indent=2),
        captured_at=now,
        expires_at=now + timedelta(hours=72),
    )
    key.capture(now + timedelta(hours=1), by=key.created_by)
    return id_


def _subject(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.pk,
        "key_prefix": key.prefix,
        "key_name": key.name,
        "owner_id": key.owner_id,
        "owner_name": key.owner.get_username(),
    }
