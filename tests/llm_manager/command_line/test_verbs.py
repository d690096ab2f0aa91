"""Verbs that show what a server says, against answers made up here."""

from __future__ import annotations

import io
import json
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from llm_manager import cli
from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.command_line.program import verb_modules
from llm_manager.command_line.remote.api_client import ApiClient
from tests.llm_manager.command_line.chat.fakes import FakeBackend

if TYPE_CHECKING:
    from pathlib import Path

MODEL: dict[str, Any] = {
    "id": "tiny",
    "state": "loading",
    "progress": 0.5,
    "seconds_left": 12,
    "error": None,
    "context": {"in_force": 2048, "max": 4096, "trained": 8192, "tested": None},
    "capabilities": ["chat"],
    "aliases": ["small"],
    "adapters": [],
    "size_bytes": 5 * 1024 * 1024,
    "quantization": "Q4_0",
    "architecture": "llama",
}


def worker(**more: Any) -> dict[str, Any]:
    return {
        "model": "tiny",
        "replica": 0,
        "node": "here",
        "state": "ready",
        "memory_bytes": 1024**3,
        "n_ctx": 2048,
        "running": 2,
        "waiting": 1,
        "keep_alive_s": 300,
        "unload_at": None,
        **more,
    }


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the server answers, by path; any other path fails."""
    given: dict[str, Any] = {}

    def get(_self: ApiClient, path: str, **_: object) -> Any:
        if path not in given:
            raise CommandFailed("No such thing.", ExitStatus.NOT_FOUND)
        return given[path]

    monkeypatch.setattr(ApiClient, "get", get)
    return given


@pytest.mark.parametrize("verb", ["list", "ls"])
def test_list_has_a_line_for_a_model(
    verb: str, answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answers["/v1/models"] = {"object": "list", "data": [MODEL]}
    assert cli.run([verb]) == 0
    [_, line] = capsys.readouterr().out.splitlines()
    assert line.split() == ["tiny", "loading", "5.0", "MiB", "Q4_0", "4096", "chat"]


def test_a_server_of_another_make_is_listed_as_far_as_it_says(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    model = {"id": "gpt", "object": "model"}
    answers["/v1/models"] = {"object": "list", "data": [model]}
    answers["/v1/models/gpt"] = model
    assert cli.run(["list"]) == 0
    [_, line] = capsys.readouterr().out.splitlines()
    assert line.split() == ["gpt", "-", "-", "-", "-", "-"]
    assert cli.run(["show", "gpt"]) == 1
    assert "is no LLM Manager" in capsys.readouterr().err


def test_list_as_json_is_the_apis_answer(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answers["/v1/models"] = {"object": "list", "data": [MODEL]}
    assert cli.run(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"] == [MODEL]


def test_show_says_what_a_model_is(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answers["/v1/models/tiny"] = MODEL
    assert cli.run(["show", "tiny"]) == 0
    printed = capsys.readouterr().out
    assert "loading, 50%" in printed
    assert "2,048 tokens, at most 4,096" in printed
    assert "Adapters" not in printed


def test_an_unknown_model_has_its_exit_status(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["show", "tiny"]) == 5
    assert capsys.readouterr().err == "llm-manager: No such thing.\n"


def running(**more: Any) -> dict[str, Any]:
    return {
        "object": "list",
        "data": [
            {
                "id": "0193-1",
                "model": "tiny",
                "key_name": "Search",
                "owner": "anna",
                "endpoint": "chat-completions",
                "state": "waits",
                "node": None,
                "prompt_tokens": 12,
                "completion_tokens": 0,
                "tokens_per_second": None,
                "age_seconds": 3.4,
                "place": 2,
                "prefill_progress": None,
            }
        ],
        "has_more": False,
        "silent_processes": 0,
        **more,
    }


def test_requests_says_what_runs_and_waits(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answers["/v1/admin/requests?limit=1000"] = running(silent_processes=1)
    assert cli.run(["requests"]) == 0
    printed = capsys.readouterr()
    [_, line] = printed.out.splitlines()
    assert " ".join(line.split()) == (
        "0193-1 tiny Search anna chat-completions waits - 12 0 - 3 s 2"
    )
    assert printed.err == "1 of the server's processes did not answer.\n"
    prefills = running()["data"][0] | {"state": "prefills", "prefill_progress": 0.347}
    path = "/v1/admin/requests?endpoint=rerank&node=north&limit=1000"
    answers[path] = running(data=[prefills])
    assert cli.run(["requests", "--endpoint", "rerank", "--node", "north"]) == 0
    assert "prefills 34 %" in capsys.readouterr().out
    answers["/v1/admin/requests?limit=1000"] = running(data=[])
    assert cli.run(["requests"]) == 0
    assert capsys.readouterr().out == "No request runs or waits.\n"


def test_requests_looks_again_as_long_as_it_is_watched(
    answers: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = "/v1/admin/requests?model=tiny&key=sk-1&limit=1000"
    answers[path] = running()

    def sleep(seconds: float) -> None:
        # The second look fails, and ends the verb.
        del answers[path]

    monkeypatch.setattr(time, "sleep", sleep)
    asked = ["requests", "--model", "tiny", "--prefix", "sk-1", "--watch", "--json"]
    assert cli.run(asked) == 5
    assert json.loads(capsys.readouterr().out) == running()


def test_cancel_ends_a_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def post(_self: ApiClient, path: str, body: dict[str, Any]) -> Any:
        assert (path, body) == ("/v1/admin/requests/a%2Fb/cancel", {})
        return {"id": "a/b", "cancelled": True}

    monkeypatch.setattr(ApiClient, "post", post)
    assert cli.run(["cancel", "a/b"]) == 0
    assert capsys.readouterr().out == "a/b: cancelled\n"


def test_ps_says_what_runs_and_until_when(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    workers = [
        worker(),
        worker(model="idle", running=0, unload_at=time.time() + 150),
        worker(model="kept", keep_alive_s=None),
        worker(model="new", state="loading", n_ctx=None),
    ]
    answers["/health/detailed"] = {
        "workers": workers,
        "queues": {"tiny": 4, "asked-for": 3, "quiet": 0},
    }
    assert cli.run(["ps"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    rows = {line.split()[0]: " ".join(line.split()) for line in lines}
    end = "2 5 5 min after its last request"
    assert rows["tiny"] == f"tiny ready here 1.0 GiB 2048 {end}"
    assert rows["idle"].endswith("in 2 min")
    assert rows["kept"].endswith("for good")
    assert rows["new"] == "new loading here 1.0 GiB - 2 1 -"
    assert rows["asked-for"] == "asked-for queued - - - 0 3 -"
    assert "quiet" not in rows


def test_no_server_and_no_database_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "llm_manager.yaml").write_text("server: {port: 1}")
    assert cli.run(["list"]) == 3
    assert "`llm-manager server` starts one" in capsys.readouterr().err
    assert [file.name for file in folder.iterdir()] == ["llm_manager.yaml"]


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    """What answers `run`; nothing comes through a pipe."""
    fake = FakeBackend()
    choosing = "llm_manager.command_line.chat.choosing.open_backend"
    monkeypatch.setattr(choosing, lambda *_: nullcontext(fake))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return fake


@pytest.mark.parametrize("name", ["model", "messages", "stream", "stream_options"])
def test_run_sets_nothing_that_is_its_own(
    name: str, backend: FakeBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    for more in ([], ["--json"]):
        assert cli.run(["run", "tiny", "Hi", "--set", f"{name}=true", *more]) == 2
        assert f"--set cannot change '{name}' here." in capsys.readouterr().err
    assert not backend.requests


def test_run_shows_several_answers_as_json_only(backend: FakeBackend) -> None:
    assert cli.run(["run", "tiny", "Hi", "--set", "n=2"]) == 2
    assert cli.run(["run", "tiny", "Hi", "--set", "n=2", "--json"]) == 0
    assert [request["n"] for request in backend.requests] == [2]


def test_completion_prints_a_script_for_each_shell(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert cli.run(["completion", shell]) == 0
        assert "_LLM_MANAGER_COMPLETE" in capsys.readouterr().out


def completed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> list[str]:
    """Return what bash would offer for the last word of a line."""
    words = line.split(" ")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    monkeypatch.setenv("_LLM_MANAGER_COMPLETE", "bash_complete")
    with pytest.raises(SystemExit):
        cli.run([])
    offers = capsys.readouterr().out.split()
    return [offer.partition(",")[2] for offer in offers]


def test_the_shell_completes_verbs_options_and_models(
    answers: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers["/v1/models"] = {"data": [MODEL, {**MODEL, "id": "other", "aliases": []}]}

    def offered(line: str) -> list[str]:
        return completed(monkeypatch, capsys, line)

    assert set(verb_modules()) <= set(offered("llm-manager "))
    assert offered("llm-manager unl") == ["unload"]
    assert offered("llm-manager unload --n") == ["--now"]
    assert offered("llm-manager show ") == ["other", "small", "tiny"]
    assert offered("llm-manager show s") == ["small"]
    answers.clear()
    assert offered("llm-manager show ") == []


def test_health_begins_with_what_is_wrong(
    answers: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    disk = {"machine": "m", "name": "data", "path": "/data", "error": None}
    report: dict[str, Any] = {
        "status": "ok",
        "problems": [],
        "database": {
            "kind": "SQLite",
            "version": "3.40",
            "size_bytes": 2**20,
            "latency_ms": 0.1,
        },
        "redis": {"error": "refused"},
        "nodes": [{"name": "n", "workers": 1, "memory_available_bytes": 2**30}],
        "rpc_servers": [],
        "disks": [{**disk, "free_bytes": 2**30, "total_bytes": 2**31}],
        "journal": {"waiting": 3},
        "versions": {"Django": "5.2"},
    }
    answers["/health/detailed"] = report
    assert cli.run(["health"]) == 0
    assert capsys.readouterr().out.startswith("Everything is well.\n")
    problem = {
        "severity": "danger",
        "part": "Redis",
        "text": "It does not answer.",
        "advice": "Start it.",
    }
    answers["/health/detailed"] = {
        **report,
        "status": "unavailable",
        "problems": [problem],
    }
    assert cli.run(["health"]) == 1
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[:2] == ["Redis: It does not answer.", "  Start it."]
    assert any("SQLite 3.40, 1.0 MiB, 0.1 ms" in line for line in lines)
    assert "cannot be served" in printed.err
