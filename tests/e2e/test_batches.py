"""A batch on real processes, all of which are killed while it runs."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from tests.shared_server import Q4_0
from tests.whole_server import put_models, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.whole_server import Server

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.model,
    pytest.mark.long,
    pytest.mark.timeout(900),
]

LINES = 60
#: What is killed after how many results, by a part of its command line.
KILLS = (
    (5, "llm_manager web"),
    (15, "inference.worker.main"),
    (25, "run_engine"),
    (35, "redis-server"),
)
_PATIENCE_S = 240.0
ENDED = ("completed", "failed", "expired", "cancelled")


def body(number: int) -> dict[str, Any]:
    return {
        "custom_id": f"n{number}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {
            "model": Q4_0,
            "max_tokens": 12,
            "messages": [{"role": "user", "content": f"Count to {number}."}],
        },
    }


class Batch:
    """A batch of a server that is away now and then."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._url = f"http://{server.host}:{server.port}/v1"
        self._headers = {"Authorization": f"Bearer {server.key}"}
        lines = "\n".join(json.dumps(body(n)) for n in range(LINES))
        file = self._post(
            "files", files={"file": lines.encode()}, data={"purpose": "batch"}
        )
        self.id = self._post(
            "batches",
            json={
                "input_file_id": file["id"],
                "endpoint": "/v1/chat/completions",
                "completion_window": "24h",
            },
        )["id"]

    def _post(self, path: str, **content: Any) -> Any:
        answer = httpx.post(
            f"{self._url}/{path}", headers=self._headers, timeout=60, **content
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get(self, path: str) -> httpx.Response | None:
        try:
            answer = httpx.get(f"{self._url}/{path}", headers=self._headers, timeout=60)
        except httpx.TransportError:
            return None
        return answer if answer.status_code == 200 else None

    def until(self, holds: Callable[[Any], bool]) -> Any:
        """Return the batch once this holds for it."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            answer = self.get(f"batches/{self.id}")
            if answer is not None and holds(answer.json()):
                return answer.json()
            last = None if answer is None else answer.json()
            assert time.monotonic() < deadline, last
            time.sleep(0.2)

    def until_answered(self, count: int) -> None:
        """Wait for this many answers."""
        self.until(
            lambda state: (
                state["request_counts"]["completed"] >= count
                or state["status"] in ENDED
            )
        )

    def kill(self, command: str) -> None:
        launcher = psutil.Process(self._server.pid)
        victims = []
        for child in launcher.children(recursive=True):
            # Some come and go: renderers, probes.
            with suppress(psutil.Error):
                if command in " ".join(child.cmdline()):
                    child.kill()
                    victims.append(child.pid)
        assert victims, command


def test_no_kill_loses_a_line_or_runs_it_to_a_second_result(tmp_path: Path) -> None:
    put_models(tmp_path / "models")
    with running(tmp_path, LLM_MANAGER_SERVER_RATE_LIMIT="0") as server:
        batch = Batch(server)
        for count, victim in KILLS:
            batch.until_answered(count)
            batch.kill(victim)
        done = batch.until(lambda state: state["status"] in ENDED)
        assert done["status"] == "completed", done
        counts = {"total": LINES, "completed": LINES, "failed": 0}
        assert done["request_counts"] == counts
        output = batch.get(f"files/{done['output_file_id']}/content")
        assert output is not None
        values = [json.loads(text) for text in output.text.splitlines()]
    ids = Counter(value["custom_id"] for value in values)
    assert ids == Counter(f"n{n}" for n in range(LINES))
    assert {value["response"]["status_code"] for value in values} == {200}
