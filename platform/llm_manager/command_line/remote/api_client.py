"""The API of a running server, as the verbs use it."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Self
from urllib.parse import quote

import httpx2

from llm_manager.command_line.exit_status import CommandFailed, ExitStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_manager.command_line.remote.connection import Connection

_CONNECT_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 30.0
_DONE = "[DONE]"
#: What the status of an answer means for the exit status; any other is FAILED.
_STATUSES = {
    401: ExitStatus.REFUSED,
    403: ExitStatus.REFUSED,
    404: ExitStatus.NOT_FOUND,
    429: ExitStatus.BUSY,
    503: ExitStatus.BUSY,
}


class ApiClient:
    """Sends requests; what the server refuses becomes CommandFailed."""

    def __init__(
        self, connection: Connection, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self.connection = connection
        self._http = httpx2.Client(
            base_url=connection.url,
            headers=headers(connection),
            timeout=timeouts(_READ_TIMEOUT_S),
            # A proxy has no business between two processes of one machine.
            trust_env=not connection.is_local,
            transport=transport,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, *, accepted: tuple[int, ...] = ()) -> Any:
        """Return the JSON of a GET. Raises CommandFailed.

        ``accepted``: statuses of failure whose body is an answer if it is no error.
        """
        return self._json("GET", path, accepted=accepted)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Return the JSON of a POST, however long it takes. Raises CommandFailed."""
        return self._json("POST", path, json=body, timeout=timeouts(None))

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the JSON of a request by any method. Raises CommandFailed."""
        more: dict[str, Any] = {} if body is None else {"json": body}
        return self._json(method, path, **more)

    def upload(
        self, path: str, content: IO[bytes], *, name: str, fields: dict[str, str]
    ) -> Any:
        """Return the JSON of a POST of a file. Raises CommandFailed."""
        return self._json(
            "POST",
            path,
            files={"file": (name, content)},
            data=fields,
            timeout=timeouts(None),
        )

    def download(self, path: str, sink: IO[bytes]) -> None:
        """Write what a GET answers. Raises CommandFailed."""
        with self._failures(), self._http.stream("GET", path) as response:
            if not response.is_success:
                response.read()
                raise refusal(response, self.connection)
            for piece in response.iter_bytes():
                sink.write(piece)

    @contextmanager
    def stream(
        self, path: str, body: dict[str, Any] | None = None
    ) -> Iterator[Iterator[Any]]:
        """Yield the events of a POST as they come, or of a GET without a body.

        To leave the context early ends the request. Raises CommandFailed.
        """
        method = "GET" if body is None else "POST"
        with (
            self._failures(),
            self._http.stream(
                method, path, json=body, timeout=timeouts(None)
            ) as response,
        ):
            if response.status_code != httpx2.codes.OK:
                response.read()
                raise refusal(response, self.connection)
            yield _events(response.iter_lines())

    def _json(
        self, method: str, path: str, *, accepted: tuple[int, ...] = (), **more: Any
    ) -> Any:
        with self._failures():
            response = self._http.request(method, path, **more)
        if not response.is_success and response.status_code not in accepted:
            raise refusal(response, self.connection)
        try:
            answer = response.json()
        except ValueError:
            raise CommandFailed(
                f"{self.connection.url} does not answer as LLM Manager does."
            ) from None
        if not response.is_success and "error" in answer:
            raise refusal(response, self.connection)
        return answer

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TransportError as error:
            raise unreachable(error, self.connection) from None


def model_path(name: str, verb: str = "") -> str:
    """Return the path of a model: ``/v1/models/name/load``."""
    return f"/v1/models/{quote(name, safe='')}" + (f"/{verb}" if verb else "")


def headers(connection: Connection) -> dict[str, str]:
    """Return the headers that carry the key."""
    key = connection.key
    return {} if key is None else {"Authorization": f"Bearer {key}"}


def timeouts(read_s: float | None) -> httpx2.Timeout:
    """Return timeouts with this one for reading; None waits as long as it takes."""
    return httpx2.Timeout(read_s, connect=_CONNECT_TIMEOUT_S)


def unreachable(error: Exception, connection: Connection) -> CommandFailed:
    """Return the failure for a server that does not answer."""
    hint = ""
    if connection.is_local:
        hint = " `llm-manager server` starts one; --url or --data-dir names another."
    reason = str(error) or type(error).__name__
    return CommandFailed(
        f"No server answers at {connection.url} ({reason}).{hint}",
        ExitStatus.UNREACHABLE,
    )


def refusal(response: httpx2.Response, connection: Connection) -> CommandFailed:
    """Return the failure for an answer that is an error, in the server's own words."""
    message, code = _message_and_code(response)
    if response.status_code == httpx2.codes.UNAUTHORIZED and connection.key is None:
        message += (
            f" Give a key with --key or {connection.key_variable}; on the server's "
            "machine `llm-manager key create` makes one."
        )
    return CommandFailed(message, meaning_of(response.status_code), code=code)


def meaning_of(status: int) -> ExitStatus:
    """Return the exit status for the HTTP status of a refusal."""
    return _STATUSES.get(status, ExitStatus.FAILED)


def _message_and_code(response: httpx2.Response) -> tuple[str, str]:
    try:
        error = response.json()["error"]
        return str(error["message"]), str(error.get("code") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{response.url} answers {response.status_code}.", ""


def event_of(line: str) -> Any:
    """Return the object that a line of a stream carries, or None.

    Raises CommandFailed if it is an error.
    """
    field, _, value = line.partition(":")
    if field != "data" or value.strip() == _DONE:
        return None
    event = json.loads(value)
    # An object may have a member of this name, which is a text.
    if isinstance(event.get("error"), dict):
        raise CommandFailed(str(event["error"].get("message", event["error"])))
    return event


def _events(lines: Iterator[str]) -> Iterator[Any]:
    """Yield the objects of a stream of events. Raises CommandFailed."""
    for line in lines:
        if line.removeprefix("data:").strip() == _DONE:
            return
        event = event_of(line)
        if event is not None:
            yield event
    raise CommandFailed("The server ended the answer in the middle.")
