"""The database of the data directory, where no server can be asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from llm_manager import cli
from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.command_line.remote.api_client import ApiClient
from tests.factories import make_model

if TYPE_CHECKING:
    from registry.models import Model

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    """A model in the database that is the data directory's."""
    monkeypatch.setattr("llm_manager.command_line.local_rows.has_database", lambda _: 1)
    return make_model("tiny")


@pytest.fixture
def failure(monkeypatch: pytest.MonkeyPatch) -> list[ExitStatus]:
    """How the server fails."""
    given = [ExitStatus.UNREACHABLE]

    def get(_self: ApiClient, _path: str) -> Any:
        raise CommandFailed("No.", given[0])

    monkeypatch.setattr(ApiClient, "get", get)
    return given


@pytest.mark.usefixtures("failure")
def test_without_a_server_models_come_from_the_registry(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["list", "--json"]) == 0
    printed, said = capsys.readouterr()
    [listed] = json.loads(printed)["data"]
    assert (listed["id"], listed["state"]) == ("tiny", "unloaded")
    assert "no server runs: this is what the database" in said
    assert cli.run(["show", "tiny.gguf", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == listed


@pytest.mark.usefixtures("failure")
def test_a_name_that_no_row_has_is_not_found(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["show", "other"]) == 5
    assert "The model 'other' does not exist" in capsys.readouterr().err


def test_a_server_that_wants_a_key_is_no_reason_to_say_nothing(
    failure: list[ExitStatus], capsys: pytest.CaptureFixture[str]
) -> None:
    failure[0] = ExitStatus.REFUSED
    assert cli.run(["list"]) == 0
    assert "no key is known" in capsys.readouterr().err
    # A key that is refused, and another machine's server, are.
    assert cli.run(["list", "--key", "wrong"]) == 4
    assert cli.run(["list", "--url", "http://there"]) == 4
