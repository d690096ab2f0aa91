"""The verbs of administrators at both doors: a server, and the database alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from asgiref.sync import async_to_sync

from accounts.models import Scope
from llm_manager import cli
from llm_manager.command_line.remote.api_client import ApiClient
from tests.factories import make_api_key, make_user
from tests.inference.api.conftest import Api

if TYPE_CHECKING:
    from collections.abc import Callable

DATABASE = "llm_manager.command_line.local_rows.has_database"

#: The server answers in threads, which see only what is committed.
BOTH = pytest.mark.parametrize(
    "door",
    ["verbs", pytest.param("server", marks=pytest.mark.django_db(transaction=True))],
    indirect=True,
)


class Verbs:
    """Runs `llm-manager …`; ``requests`` are those that a server has got."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.answer: Callable[[httpx2.Request], httpx2.Response] = no_server
        self.requests: list[tuple[str, str]] = []

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Return the exit status, standard output and standard error."""
        status = cli.run(arguments)
        return status, *self._capsys.readouterr()

    def json(self, *arguments: str) -> Any:
        """Return the JSON that a verb prints."""
        status, printed, said = self(*arguments, "--json")
        assert status == 0, said
        return json.loads(printed)


@pytest.fixture
def verbs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Verbs:
    """The command line beside the test's database, without a server."""
    monkeypatch.setattr(DATABASE, lambda _: True)
    verbs = Verbs(capsys)
    original = ApiClient.__init__

    def init(client: ApiClient, connection: Any) -> None:
        transport = httpx2.MockTransport(lambda request: verbs.answer(request))
        original(client, connection, transport)

    monkeypatch.setattr(ApiClient, "__init__", init)
    return verbs


def no_server(request: httpx2.Request) -> httpx2.Response:
    """Answer as a port does that nothing listens on."""
    raise httpx2.ConnectError("Connection refused", request=request)


@pytest.fixture
def server(
    verbs: Verbs, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> Verbs:
    """The command line on another machine, with a key of the scope admin."""
    owner = make_user("robot")
    _, secret = make_api_key(owner, scopes=[Scope.ADMIN], name="admin", rate_limit=0)
    monkeypatch.setenv("LLM_MANAGER_URL", "http://there:8000")
    monkeypatch.setenv("LLM_MANAGER_KEY", secret)

    def answer(request: httpx2.Request) -> httpx2.Response:
        key = request.headers.get("authorization", "").removeprefix("Bearer ") or None
        path = request.url.raw_path.decode()
        verbs.requests.append((request.method, path))
        send = async_to_sync(Api(key).send)
        body = json.loads(request.content) if request.content else None
        response = send(request.method, path, body)
        return httpx2.Response(response.status_code, content=response.content)

    verbs.answer = answer
    # What it does has to come by HTTP.
    monkeypatch.setattr(DATABASE, lambda _: False)
    return verbs


@pytest.fixture
def door(request: pytest.FixtureRequest) -> Verbs:
    """The door that the test's parameter names: "verbs" or "server"."""
    found: Verbs = request.getfixturevalue(request.param)
    return found
