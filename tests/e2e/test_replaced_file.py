"""A model's file is replaced while the model answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest

from tests.whole_server import SAMPLE, Server, put_models, running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.long

Q4_0, Q4_1 = f"{SAMPLE}.Q4_0", f"{SAMPLE}.Q4_1"


def chat(**fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Tell me a long story about a fox."}]
    return {"model": Q4_0, "messages": messages, "temperature": 0, **fields}


def kill_worker(server: Server) -> None:
    for child in psutil.Process(server.pid).children(recursive=True):
        if "inference.worker.main" in child.cmdline():
            child.kill()


def test_an_answer_never_goes_on_with_another_file(tmp_path: Path) -> None:
    put_models(tmp_path / "models")
    other = tmp_path / "models" / f"{Q4_1}.gguf"
    with (
        running(tmp_path, LLM_MANAGER_MODELS_WATCH="false") as server,
        httpx.Client(
            base_url=f"http://{server.host}:{server.port}",
            headers={"Authorization": f"Bearer {server.key}"},
            timeout=120,
            trust_env=False,
        ) as api,
    ):
        texts: list[str] = []
        errors: list[dict[str, Any]] = []
        body = chat(stream=True, max_tokens=1500)
        with api.stream("POST", "/v1/chat/completions", json=body) as response:
            for line in response.iter_lines():
                if not line.startswith("data: {"):
                    continue
                event = json.loads(line.removeprefix("data: "))
                if "error" in event:
                    errors.append(event["error"])
                elif event["choices"] and event["choices"][0]["delta"].get("content"):
                    if not texts:
                        other.replace(other.with_name(f"{Q4_0}.gguf"))
                        kill_worker(server)
                    texts.append(event["choices"][0]["delta"]["content"])
        assert texts
        assert [error["code"] for error in errors] == ["model_load_failed"]
        assert "has changed since it was scanned" in errors[0]["message"]
        assert str(tmp_path) not in errors[0]["message"]

        said = subprocess.run(
            [sys.executable, "-m", "llm_manager", "--data-dir", str(tmp_path), "scan"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            check=True,
            capture_output=True,
            text=True,
        )
        assert "the content changed" in said.stdout
        api.post(f"/v1/models/{Q4_0}/load", json={"wait": True}).raise_for_status()
        answer = api.post("/v1/chat/completions", json=chat(max_tokens=8))
        assert answer.status_code == 200
