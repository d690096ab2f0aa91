"""What answers a conversation: the running server, else this program's own engine."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from llm_manager.command_line.chat.server_backend import ServerBackend
from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.command_line.remote.api_client import ApiClient, model_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_manager.command_line.chat.session import ChatBackend
    from llm_manager.command_line.remote.connection import Connection


@contextmanager
def open_backend(connection: Connection, model: str) -> Iterator[ChatBackend]:
    """Yield what answers for the model, and say if it is not a server.

    Raises CommandFailed, also for a name that no model has.
    """
    with ApiClient(connection) as client:
        if _answers(client, model):
            yield ServerBackend(client)
            return
    from llm_manager.command_line.chat.python_backend import python_backend
    from llm_manager.launcher.child_process import say

    with python_backend(model) as backend:
        say("no server runs: the model runs in this program.")
        yield backend


def _answers(client: ApiClient, model: str) -> bool:
    """Whether a server has the model; False if the data directory's does not run.

    Raises CommandFailed.
    """
    try:
        client.get(model_path(model))
    except CommandFailed as error:
        is_away = error.status is ExitStatus.UNREACHABLE
        if client.connection.is_local and is_away:
            return False
        raise
    return True
