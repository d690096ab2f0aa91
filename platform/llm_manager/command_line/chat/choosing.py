"""What answers a conversation: the running server, else the Python API."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from llm_manager.command_line.api_client import ApiClient, model_path
from llm_manager.command_line.chat.server_backend import ServerBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llm_manager.command_line.chat.session import ChatBackend
    from llm_manager.command_line.connection import Connection


@contextmanager
def open_backend(connection: Connection, model: str) -> Iterator[ChatBackend]:
    """Yield what answers for the model. Raises CommandFailed."""
    client = ApiClient(connection)
    # A wrong name is said before the first question.
    client.get(model_path(model))
    yield ServerBackend(client)
