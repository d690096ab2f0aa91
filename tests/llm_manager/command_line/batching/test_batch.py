"""``llm-manager batch``: at a server whose answers are made up, and without one."""

from __future__ import annotations

import json
import os
from typing import IO, TYPE_CHECKING, Any

import pytest

from inference.api.errors import BadRequest
from llm_manager import cli
from llm_manager.command_line.batching import by_itself, by_server
from llm_manager.command_line.batching.lines import BatchOutput, read_input
from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.command_line.remote.api_client import ApiClient
from tests.inference.api.batches.helpers import line

if TYPE_CHECKING:
    from pathlib import Path

URL = ("--url", "http://server.test")


def result(custom_id: str, status: int = 200) -> bytes:
    """Return a line of an output."""
    response = {"status_code": status, "request_id": "", "body": {"id": custom_id}}
    value = {"id": "1", "custom_id": custom_id, "response": response, "error": None}
    return json.dumps(value).encode() + b"\n"


class Server:
    """A server with one batch, whose results are those of all lines but ``refused``."""

    def __init__(self, refused: str = "") -> None:
        self.refused = refused
        self.uploads: list[bytes] = []
        self.asked: list[str] = []
        self.fault: CommandFailed | None = None

    def get(self, path: str) -> Any:
        self.asked.append(path)
        if self.fault is not None:
            raise self.fault
        return self.batch("completed")

    def post(self, path: str, body: dict[str, Any]) -> Any:
        self.asked.append(path)
        return self.batch("in_progress")

    def upload(self, path: str, content: IO[bytes], **more: Any) -> Any:
        self.uploads.append(content.read())
        return {"id": "file-1"}

    def batch(self, status: str) -> Any:
        total = len(self.ids())
        failed = int(self.refused in self.ids())
        return {
            "id": "batch_1",
            "status": status,
            "request_counts": {
                "total": total,
                "completed": total - failed,
                "failed": failed,
            },
            "output_file_id": "file-out",
            "error_file_id": "file-err",
        }

    def ids(self) -> list[str]:
        return [json.loads(text)["custom_id"] for text in self.uploads[-1].splitlines()]

    def download(self, path: str, sink: IO[bytes]) -> None:
        is_error = "file-err" in path
        for id_ in self.ids():
            if (id_ == self.refused) == is_error:
                sink.write(result(id_, 400 if is_error else 200))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    for name in ("get", "post", "upload", "download"):
        monkeypatch.setattr(
            ApiClient,
            name,
            lambda _, *args, _name=name, **more: getattr(server, _name)(*args, **more),
        )
    monkeypatch.setattr(by_server, "_POLL_S", 0.0)
    return server


def put(folder: Path, *ids: str) -> Path:
    path = folder / "in.jsonl"
    path.write_bytes(b"".join(line(id_) for id_ in ids))
    return path


def run(source: Path, output: Path, *more: str) -> int:
    return cli.run(["batch", str(source), "-o", str(output), *more])


def ids_of(output: Path) -> list[str]:
    return [json.loads(text)["custom_id"] for text in output.read_text().splitlines()]


def test_the_server_answers_all_lines(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.jsonl"

    assert run(put(tmp_path, "a", "b"), output, "--json", *URL) == ExitStatus.DONE

    assert ids_of(output) == ["a", "b"]
    said = json.loads(capsys.readouterr().out)
    assert (said["batch"], said["total"], said["completed"]) == ("batch_1", 2, 2)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_only_what_has_no_answer_is_asked_again(tmp_path: Path, server: Server) -> None:
    output = tmp_path / "out.jsonl"
    output.write_bytes(result("a") + result("b", 429) + b'{"half a li')

    assert run(put(tmp_path, "a", "b", "c"), output, *URL) == ExitStatus.DONE

    assert server.ids() == ["b", "c"]
    assert ids_of(output) == ["a", "b", "c"]


def test_a_request_without_an_answer_is_a_failure(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.refused = "b"
    output = tmp_path / "out.jsonl"

    assert run(put(tmp_path, "a", "b"), output, *URL) == ExitStatus.FAILED

    assert "1 of 2 answered, 1 failed" in capsys.readouterr().out
    assert ids_of(output) == ["a", "b"]


def test_the_same_command_follows_the_same_batch(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = put(tmp_path, "a"), tmp_path / "out.jsonl"
    server.fault = CommandFailed("away", ExitStatus.UNREACHABLE)
    assert run(source, output, *URL) == ExitStatus.UNREACHABLE
    server.fault = None
    asked = len(server.uploads)

    assert run(source, output, *URL) == ExitStatus.DONE

    assert len(server.uploads) == asked == 1
    assert ids_of(output) == ["a"]


def test_a_batch_that_the_server_has_forgotten_begins_again(
    tmp_path: Path, server: Server
) -> None:
    source, output = put(tmp_path, "a"), tmp_path / "out.jsonl"
    noted = {"id": "batch_0", "url": "http://server.test"}
    by_server.state_path(output).write_text(json.dumps(noted))
    real = server.get

    def get(path: str) -> Any:
        if path.endswith("batch_0"):
            raise CommandFailed("gone", ExitStatus.NOT_FOUND)
        return real(path)

    server.get = get  # type: ignore[method-assign]

    assert run(source, output, *URL) == ExitStatus.DONE
    assert ids_of(output) == ["a"]


def test_another_servers_batch_is_left_alone(tmp_path: Path, server: Server) -> None:
    output = tmp_path / "out.jsonl"
    noted = {"id": "batch_0", "url": "http://other.test"}
    by_server.state_path(output).write_text(json.dumps(noted))

    assert run(put(tmp_path, "a"), output, *URL) == ExitStatus.WRONG_USAGE
    assert server.uploads == []


@pytest.mark.parametrize("text", [b"", b"{}\n", b"nonsense", line("a") + line("a")])
def test_a_wrong_file_is_refused_before_anything_is_sent(
    tmp_path: Path, server: Server, text: bytes
) -> None:
    source = tmp_path / "in.jsonl"
    source.write_bytes(text)

    assert run(source, tmp_path / "out.jsonl", *URL) == ExitStatus.WRONG_USAGE
    assert server.uploads == []


def test_what_is_no_output_is_not_overwritten(tmp_path: Path, server: Server) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text("my diary\n")

    assert run(put(tmp_path, "a"), output, *URL) == ExitStatus.WRONG_USAGE
    assert output.read_text() == "my diary\n"


class Manager:
    """The Python API with one model, which refuses what is said to it loudly."""

    def __init__(self, **options: Any) -> None:
        self.asked: list[Any] = []

    def __enter__(self) -> Manager:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def model_info(self, name: str) -> None:
        pass

    async def generate_async(self, **body: Any) -> Any:
        self.asked.append(body)
        if body.get("temperature") == 9:
            raise BadRequest("Too hot.", param="temperature")
        return {"object": "chat.completion"}

    async def embed_async(self, input: Any, **body: Any) -> Any:  # noqa: A002
        return {"object": "list"}


def test_without_a_server_this_program_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_manager.LLMManager", Manager)
    source, path = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(line("a", stream=False) + line("hot", temperature=9) + line("c"))
    path.write_bytes(result("c"))
    output = BatchOutput(path)
    output.begin()
    done: list[int] = []

    by_itself.run(read_input(source), output, lambda: done.append(1))

    texts = path.read_text().splitlines()
    values = {each["custom_id"]: each for each in map(json.loads, texts)}
    assert values["a"]["response"]["status_code"] == 200
    assert values["hot"]["response"]["status_code"] == 400
    error = values["hot"]["response"]["body"]["error"]
    assert (error["message"], error["param"]) == ("Too hot.", "temperature")
    assert (len(done), output.answered, output.failed) == (2, {"a", "c"}, 1)


def test_an_embedding_without_an_input_is_a_line_that_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_manager.LLMManager", Manager)
    source, path = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    url = "/v1/embeddings"
    source.write_bytes(line("none", url=url) + line("some", url=url, input="Hi"))
    output = BatchOutput(path)
    output.begin()

    by_itself.run(read_input(source), output, lambda: None)

    values = {
        each["custom_id"]: each["response"]
        for each in map(json.loads, path.read_text().splitlines())
    }
    assert values["none"]["status_code"] == 400
    assert values["none"]["body"]["error"]["param"] == "input"
    assert values["some"]["status_code"] == 200


def test_what_needs_a_server_says_so(tmp_path: Path) -> None:
    os.environ["LLM_MANAGER_DATA_DIR"] = str(tmp_path / "data")
    # Nothing listens there.
    os.environ["LLM_MANAGER_SERVER_PORT"] = "9"
    source = tmp_path / "in.jsonl"
    source.write_bytes(line("a", url="/v1/responses"))

    assert run(source, tmp_path / "out.jsonl") == ExitStatus.WRONG_USAGE
