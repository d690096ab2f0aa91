"""What answers a conversation: a server, else the Python API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import pytest

import llm_manager
from llm_manager.command_line.chat.choosing import open_backend
from llm_manager.command_line.chat.python_backend import PythonBackend
from llm_manager.command_line.chat.server_backend import ServerBackend
from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.command_line.remote.api_client import ApiClient
from llm_manager.command_line.remote.connection import Connection
from llm_manager.errors import ContextLengthExceeded, ModelNotFound
from tests.llm_manager.command_line.chat.fakes import chunk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCAL = Connection("http://127.0.0.1:1", is_local=True)
REMOTE = Connection("http://there:1")


class FakeManager:
    """The Python API with one model, ``tiny``."""

    made_with: dict[str, Any]
    is_open = True
    closed_streams = 0

    def __init__(self, **options: Any) -> None:
        FakeManager.made_with = options

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        FakeManager.is_open = False

    def model_info(self, name: str) -> dict[str, str]:
        if name != "tiny":
            raise ModelNotFound(f"The model '{name}' does not exist.")
        return {"id": name}

    def generate(self, *, stream: bool = False, **body: Any) -> Any:
        if body["messages"] == []:
            raise ContextLengthExceeded("Too long.")
        return self._chunks() if stream else {"object": "chat.completion"}

    def _chunks(self) -> Iterator[dict[str, Any]]:
        try:
            yield chunk(content="Hi")
            yield chunk("stop")
        finally:
            FakeManager.closed_streams += 1


@pytest.fixture(autouse=True)
def manager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm_manager, "LLMManager", FakeManager, raising=False)


@pytest.fixture
def failure(monkeypatch: pytest.MonkeyPatch) -> list[ExitStatus | None]:
    """How the server fails; None if it does not."""
    given: list[ExitStatus | None] = [ExitStatus.UNREACHABLE]

    def get(_self: ApiClient, _path: str) -> Any:
        if given[0] is not None:
            raise CommandFailed("No.", given[0])
        return {}

    monkeypatch.setattr(ApiClient, "get", get)
    return given


def test_a_server_answers_where_one_runs(failure: list[ExitStatus | None]) -> None:
    failure[0] = None
    for connection in (LOCAL, REMOTE):
        with open_backend(connection, "tiny") as backend:
            assert isinstance(backend, ServerBackend)


@pytest.mark.usefixtures("failure")
def test_without_one_the_model_runs_here_and_that_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_backend(LOCAL, "tiny") as backend:
        assert isinstance(backend, PythonBackend)
        assert backend.answer({"messages": ["Hi"]}) == {"object": "chat.completion"}
    assert "no server runs" in capsys.readouterr().err
    assert FakeManager.made_with == {
        "models_dir": folder / "data" / "models",
        "config": None,
    }
    assert not FakeManager.is_open


@pytest.mark.usefixtures("failure")
def test_a_configuration_file_counts_here_too(folder: Path) -> None:
    (folder / "llm_manager.yaml").write_text("models: {dir: elsewhere}")
    with open_backend(LOCAL, "tiny"):
        pass
    assert FakeManager.made_with["models_dir"] == folder / "elsewhere"
    assert str(FakeManager.made_with["config"]) == "llm_manager.yaml"


@pytest.mark.usefixtures("failure")
def test_a_stream_that_is_left_ends() -> None:
    before = FakeManager.closed_streams
    with open_backend(LOCAL, "tiny") as backend:
        body = {"messages": ["Hi"], "stream": True}
        with backend.stream(body) as chunks:
            assert next(chunks)["choices"][0]["delta"] == {"content": "Hi"}
    assert FakeManager.closed_streams == before + 1


@pytest.mark.usefixtures("failure")
def test_failures_of_the_python_api_are_sentences() -> None:
    with (
        pytest.raises(CommandFailed, match="'other' does not exist") as caught,
        open_backend(LOCAL, "other"),
    ):
        pass
    assert caught.value.status is ExitStatus.NOT_FOUND
    with open_backend(LOCAL, "tiny") as backend:
        with pytest.raises(CommandFailed, match="Too long"):
            backend.answer({"messages": []})
        body = {"messages": [], "stream": True}
        with pytest.raises(CommandFailed, match="Too long"), backend.stream(body):
            pass


@pytest.mark.parametrize(
    ("connection", "status"),
    [(REMOTE, ExitStatus.UNREACHABLE), (LOCAL, ExitStatus.REFUSED)],
)
def test_another_machines_server_and_a_refusal_are_failures(
    failure: list[ExitStatus | None], connection: Connection, status: ExitStatus
) -> None:
    failure[0] = status
    with (
        pytest.raises(CommandFailed, match=r"No\."),
        open_backend(connection, "tiny"),
    ):
        pass
