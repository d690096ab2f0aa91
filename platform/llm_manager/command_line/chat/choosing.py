"""What answers a conversation: the running server, else the Python API."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from llm_manager.command_line.chat.server_backend import ServerBackend
from llm_manager.command_line.remote.api_client import ApiClient, model_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_manager.command_line.chat.session import ChatBackend
    from llm_manager.command_line.remote.connection import Connection


@contextmanager
def open_backend(connection: Connection, model: str) -> Iterator[ChatBackend]:
    """Yield what answers for the model. Raises CommandFailed."""
    with ApiClient(connection) as client:
        # A wrong name is said before the first question.
        client.get(model_path(model))
        yield ServerBackend(client)
