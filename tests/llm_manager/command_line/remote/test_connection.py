"""Which server a verb talks to, and which key goes to it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click
import pytest

from llm_manager.command_line.remote.connection import Connection, find_connection
from llm_manager.launcher.files.address import published

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE = "http://127.0.0.1:8123"


@pytest.fixture
def local_server(folder: Path) -> Iterator[None]:
    """A server of the data directory, with the key of its quickstart."""
    data_dir = folder / "data"
    data_dir.mkdir()
    (data_dir / "quickstart.json").write_text(json.dumps({"api_key": "local"}))
    with published(data_dir, HERE):
        yield


@pytest.mark.usefixtures("local_server")
def test_without_a_word_it_is_the_server_of_the_data_directory() -> None:
    assert find_connection(None, None) == Connection(
        HERE, "local", is_local=True, is_key_chosen=False
    )


def test_a_server_that_is_gone_leaves_no_address(folder: Path) -> None:
    with published(folder, HERE):
        pass
    assert not list(folder.iterdir())
    assert find_connection(None, None).url == "http://127.0.0.1:8000"


def test_a_process_alone_is_where_the_configuration_says(folder: Path) -> None:
    (folder / "llm_manager.yaml").write_text("server: {host: 0.0.0.0, port: 8222}")
    assert find_connection(None, None).url == "http://127.0.0.1:8222"


@pytest.mark.usefixtures("local_server")
def test_an_option_beats_our_variable_beats_openais_beats_the_data_directory() -> None:
    os.environ["OPENAI_BASE_URL"] = "http://openai:1/v1"
    assert find_connection(None, None).url == "http://openai:1"
    os.environ["LLM_MANAGER_URL"] = "http://ours:2"
    assert find_connection(None, None).url == "http://ours:2"
    assert find_connection("https://option/v1/", None).url == "https://option"


@pytest.mark.usefixtures("local_server")
def test_a_key_goes_only_to_the_server_that_it_belongs_to() -> None:
    os.environ["OPENAI_API_KEY"] = "openais"
    assert find_connection(None, None).key == "local"
    assert find_connection("http://other", None).key is None
    os.environ["OPENAI_BASE_URL"] = "http://openai/v1"
    assert find_connection(None, None).key == "openais"
    os.environ["LLM_MANAGER_URL"] = "http://ours"
    assert find_connection(None, None).key is None


@pytest.mark.usefixtures("local_server")
def test_a_key_that_is_given_goes_to_whatever_server_is_given() -> None:
    os.environ["LLM_MANAGER_KEY"] = "ours"
    assert find_connection(None, None).key == "ours"
    assert find_connection("http://other", None).key == "ours"
    assert find_connection("http://other", "option").key == "option"


@pytest.mark.parametrize("theirs", ["openais", None])
def test_our_key_does_not_go_to_openais_address(theirs: str | None) -> None:
    os.environ["OPENAI_BASE_URL"] = "https://api.openai.com/v1"
    os.environ["LLM_MANAGER_KEY"] = "ours"
    if theirs:
        os.environ["OPENAI_API_KEY"] = theirs
    assert find_connection(None, None).key == theirs
    assert find_connection(None, "option").key == "option"
    assert find_connection("http://other", None).key == "ours"


def test_the_key_of_a_server_that_is_gone_goes_to_nobody(folder: Path) -> None:
    data_dir = folder / "data"
    data_dir.mkdir()
    (data_dir / "quickstart.json").write_text(json.dumps({"api_key": "local"}))
    connection = find_connection(None, None)
    assert (connection.url, connection.key) == ("http://127.0.0.1:8000", None)
    os.environ["LLM_MANAGER_KEY"] = "ours"
    assert find_connection(None, None).key == "ours"


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(click.UsageError, match="no address like http://host:8000"):
        find_connection(url, None)
