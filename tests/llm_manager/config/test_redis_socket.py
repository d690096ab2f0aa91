"""The socket's path: one answer for everyone, whatever the data directory's name."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from llm_manager.config.redis_socket import (
    MAX_SOCKET_PATH_BYTES,
    is_short_enough,
    socket_path,
    socket_url,
)


def test_socket_lies_in_the_data_directory() -> None:
    assert socket_path(Path("/data")) == Path("/data/redis.sock")


def test_limit_counts_bytes() -> None:
    root = "/" + "é" * 45
    longest = Path(root + "x" * (MAX_SOCKET_PATH_BYTES - 91 - len("/redis.sock")))
    assert socket_path(longest) == longest / "redis.sock"
    assert socket_path(Path(f"{longest}x")) != Path(f"{longest}x") / "redis.sock"
    assert is_short_enough(socket_path(Path(f"{longest}x")))


def test_every_spelling_of_a_directory_gives_one_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")
    data_dir = tmp_path / ("d" * 120)
    data_dir.mkdir()
    link = tmp_path / ("l" * 120)
    link.symlink_to(data_dir)
    assert socket_path(link) == socket_path(data_dir)
    assert socket_path(data_dir).parent.parent == Path("/run/user/1")
    assert socket_path(tmp_path / ("e" * 120)) != socket_path(data_dir)


@pytest.mark.parametrize("name", ["plain", "with space", "50%20?#;,", "dätä"])
def test_url_leads_back_to_the_path(name: str) -> None:
    data_dir = Path("/data") / name
    pool = redis.ConnectionPool.from_url(socket_url(data_dir))
    assert pool.connection_kwargs["path"] == str(data_dir / "redis.sock")
