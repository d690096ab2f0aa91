"""``llm-manager pull`` and ``delete`` at a server, whose answers are made up here."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from llm_manager import cli
from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.command_line.pulling import by_server
from llm_manager.command_line.remote.api_client import ApiClient, event_of

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = ("--url", "http://server.test")


def download(**more: Any) -> dict[str, Any]:
    return {
        "id": 7,
        "object": "download",
        "source": "org/tiny:tiny-Q4_K_M.gguf",
        "state": "requested",
        "bytes_done": 0,
        "bytes_total": 100,
        "error": None,
        "models": [],
        **more,
    }


class Server:
    """What a server was asked, and how far its download is each time."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.streams: list[list[dict[str, Any]] | CommandFailed] = []
        self.answers: dict[tuple[str, str], Any] = {}

    def send(self, method: str, path: str, body: Any = None) -> Any:
        self.asked.append((method, path, body))
        answer = self.answers[method, path]
        if isinstance(answer, CommandFailed):
            raise answer
        return answer

    @contextmanager
    def stream(self, path: str) -> Iterator[Iterator[Any]]:
        self.asked.append(("GET", path, None))
        events = self.streams.pop(0)
        if isinstance(events, CommandFailed):
            raise events
        yield iter(events)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(
        ApiClient, "get", lambda _s, path, **_: server.send("GET", path)
    )
    monkeypatch.setattr(
        ApiClient, "post", lambda _s, path, body: server.send("POST", path, body)
    )
    monkeypatch.setattr(ApiClient, "send", lambda _s, *asked: server.send(*asked))
    monkeypatch.setattr(ApiClient, "stream", lambda _s, path: server.stream(path))
    monkeypatch.setattr(by_server, "_PAUSE_S", 0)
    return server


def test_a_pull_ends_with_the_models_that_came(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["POST", "/v1/models"] = download()
    done = download(state="done", bytes_done=100, models=["tiny-Q4_K_M"])
    server.streams = [[download(), download(state="running"), done]]
    assert cli.run(["pull", "org/tiny", *URL]) == 0
    assert capsys.readouterr().out == "tiny-Q4_K_M: done\n"
    assert server.asked[0] == ("POST", "/v1/models", {"model": "org/tiny"})


def test_a_web_server_that_restarts_does_not_end_it(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["POST", "/v1/models"] = download()
    server.streams = [
        [download(state="running")],
        CommandFailed("No server answers.", ExitStatus.UNREACHABLE),
        [download(state="done", models=["tiny"])],
    ]
    assert cli.run(["pull", "org/tiny", *URL, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "done"


def test_a_pull_that_fails_says_why(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["POST", "/v1/models"] = download()
    server.streams = [[download(state="failed", error="The disk is full.")]]
    assert cli.run(["pull", "org/tiny", *URL]) == ExitStatus.FAILED
    assert "The disk is full." in capsys.readouterr().err


def test_a_pull_need_not_be_waited_for(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["POST", "/v1/models"] = download()
    assert cli.run(["pull", "org/tiny", *URL, "--no-wait"]) == 0
    assert capsys.readouterr().out == "org/tiny:tiny-Q4_K_M.gguf: requested\n"


@pytest.mark.parametrize("named", ["org/tiny", "org/tiny:Q4_K_M", "7"])
def test_a_download_is_cancelled_by_its_source_or_number(
    server: Server, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    others = [download(id=8, state="done"), download(id=9, source="org/other:a.gguf")]
    listed = {"data": [*others, download()]}
    server.answers["GET", "/v1/downloads?limit=1000"] = listed
    server.answers["POST", "/v1/downloads/7/cancel"] = download(state="cancelled")
    assert cli.run(["pull", named, *URL, "--cancel"]) == 0
    assert "cancelled" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("runs", "named"),
    [
        ("org/tiny:tiny-Q4_K_M.gguf", "org/tiny:Q8_0"),
        ("https://one.test/a.gguf", "https://two.test/b.gguf"),
    ],
)
def test_a_download_that_is_not_named_is_not_cancelled(
    server: Server, runs: str, named: str
) -> None:
    listed = {"data": [download(source=runs)]}
    server.answers["GET", "/v1/downloads?limit=1000"] = listed
    assert cli.run(["pull", named, *URL, "--cancel"]) == ExitStatus.NOT_FOUND


def test_what_is_not_downloaded_cannot_be_cancelled(server: Server) -> None:
    server.answers["GET", "/v1/downloads?limit=1000"] = {"data": []}
    assert cli.run(["pull", "org/tiny", *URL, "--cancel"]) == ExitStatus.NOT_FOUND


def test_of_several_one_is_named(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = {"data": [download(), download(id=8, source="org/tiny:b.gguf")]}
    server.answers["GET", "/v1/downloads?limit=1000"] = listed
    assert cli.run(["pull", "org/tiny", *URL, "--cancel"]) == ExitStatus.FAILED
    assert "7 (org/tiny:tiny-Q4_K_M.gguf), 8" in capsys.readouterr().err


def test_an_objects_own_error_is_no_error_of_the_stream() -> None:
    assert event_of('data: {"error": null, "id": 1}') == {"error": None, "id": 1}
    assert event_of('data: {"error": "full", "id": 1}')["error"] == "full"
    with pytest.raises(CommandFailed, match="away"):
        event_of('data: {"error": {"message": "away"}}')


# Deletion ----------------------------------------------------------------------------

GONE = {"id": "tiny", "files": ["a.gguf", "b.gguf"], "size_bytes": 2048}


def test_a_deletion_is_confirmed_once_and_again_if_something_breaks(
    server: Server,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def confirm(question: str, **_: object) -> bool:
        asked.append(question)
        return True

    monkeypatch.setattr("click.confirm", confirm)
    server.answers["DELETE", "/v1/models/tiny"] = CommandFailed(
        "API keys are restricted to it: 'a'.", code="confirmation_needed"
    )
    server.answers["DELETE", "/v1/models/tiny?confirm=true"] = GONE
    assert cli.run(["rm", "tiny", *URL]) == 0
    printed, said = capsys.readouterr()
    assert printed == "tiny: deleted, 2 files, 2.0 KiB\n"
    assert "API keys are restricted" in said
    assert len(asked) == 2


def test_a_deletion_that_is_refused_for_good_is_not_asked_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("click.confirm", lambda *_, **__: True)
    server.answers["DELETE", "/v1/models/tiny"] = CommandFailed(
        "It is loaded. Confirm it later.", code="deletion_refused"
    )
    assert cli.run(["delete", "tiny", *URL]) == ExitStatus.FAILED
    assert len(server.asked) == 1


def test_a_deletion_that_nobody_confirms_is_not_asked_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    assert cli.run(["delete", "tiny", *URL]) == ExitStatus.INTERRUPTED
    assert server.asked == []


def test_yes_asks_nothing(server: Server) -> None:
    server.answers["DELETE", "/v1/models/tiny?confirm=true"] = GONE
    assert cli.run(["delete", "tiny", "--yes", *URL, "--json"]) == 0
