"""What answers a conversation: a server, else the Python API."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self

import pytest

import llm_manager
from llm_manager import LLMManager
from llm_manager.command_line.chat.choosing import open_backend
from llm_manager.command_line.chat.python_backend import PythonBackend, python_backend
from llm_manager.command_line.chat.server_backend import ServerBackend
from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.command_line.remote.api_client import ApiClient
from llm_manager.command_line.remote.connection import Connection
from llm_manager.config.reading import config_for_python
from llm_manager.errors import ContextLengthExceeded, ModelNotFound
from tests.gguf_files import llama_fields, write_gguf
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
    [(name, config)] = FakeManager.made_with.items()
    assert name == "config"
    assert config.models_dir == folder / "data" / "models"
    assert not FakeManager.is_open


@pytest.mark.usefixtures("failure")
def test_the_configuration_of_the_server_counts_here_too(folder: Path) -> None:
    text = (
        "models: {dir: elsewhere, extra_dirs: [more]}\ngeneration: {temperature: 0.5}"
    )
    (folder / "llm_manager.yaml").write_text(text)
    os.environ["LLM_MANAGER_MODELS_DEFAULT_CTX"] = "512"
    with open_backend(LOCAL, "tiny"):
        pass
    config = config_for_python(FakeManager.made_with["config"])
    assert config.models_dir == folder / "elsewhere"
    assert config.models.extra_dirs == (folder / "more",)
    assert (config.generation.temperature, config.models.default_ctx) == (0.5, 512)


def test_a_model_of_a_further_folder_answers_without_a_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llm_manager, "LLMManager", LLMManager)
    (folder / "data" / "models").mkdir(parents=True)
    (folder / "more").mkdir()
    write_gguf(folder / "more" / "further.gguf", llama_fields())
    os.environ["LLM_MANAGER_MODELS_EXTRA_DIRS"] = str(folder / "more")
    with python_backend("further"):
        pass
    with (
        pytest.raises(CommandFailed, match="'other' does not exist"),
        python_backend("other"),
    ):
        pass


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
