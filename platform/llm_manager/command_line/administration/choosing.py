"""Where the verbs of administrators work: at the server, or on its database."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from llm_manager.command_line.administration.admin_api import AdminApi
from llm_manager.command_line.exit_status import CommandFailed
from llm_manager.command_line.remote.connection import remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llm_manager.command_line.remote.connection import Connection

_Result = TypeVar("_Result")
#: A question that changes nothing and that a key of the scope "admin" may ask.
_PROBE = "/v1/admin/users?limit=1"


@contextmanager
def admin_api(connection: Connection) -> Iterator[AdminApi]:
    """Yield the admin API of the server, else of the database. Raises CommandFailed.

    Which one is settled before anything changes: a change whose answer is lost must
    not be made twice.
    """
    from llm_manager.command_line.local_rows import open_database
    from llm_manager.command_line.remote.api_client import ApiClient

    with ApiClient(connection) as client:
        try:
            client.get(_PROBE)
        except CommandFailed as error:
            open_database(connection, error, "{database} is used directly")
        else:
            yield AdminApi(client.send)
            return
    from llm_manager.command_line.administration.local_admin import on_database

    yield AdminApi(on_database(connection.url))


def administering(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Add the options that choose a server; the function gets an AdminApi first."""

    @remote
    @functools.wraps(function)
    def call(connection: Connection, /, **rest: Any) -> _Result:
        with admin_api(connection) as api:
            return function(api, **rest)

    return call
