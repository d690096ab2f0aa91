"""The database of the data directory, where no server can be asked.

It answers as the API does, for a verb that only reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llm_manager.command_line.django_setup import load_django
from llm_manager.command_line.exit_status import CommandFailed, ExitStatus
from llm_manager.config.reading import load_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from llm_manager.command_line.remote.connection import Connection
    from llm_manager.config.schema import Config


def has_database(config: Config) -> bool:
    """Whether there is a database; without one, nothing may be created."""
    return bool(config.database.url) or (config.data_dir / "db.sqlite3").exists()


def ask(connection: Connection, api: Callable[[], Any], rows: Callable[[], Any]) -> Any:
    """Return what the API answers, else what the rows say, and say so.

    The rows are read if the server of the data directory does not run, or wants a key
    and none is known. Raises CommandFailed.
    """
    try:
        return api()
    except CommandFailed as error:
        has_no_key = error.status is ExitStatus.REFUSED and connection.key is None
        is_away = error.status is ExitStatus.UNREACHABLE
        if not connection.is_local or not (has_no_key or is_away):
            raise
        config = load_config()
        if not has_database(config):
            raise
    load_django()
    from llm_manager.launcher.child_process import say

    why = "no server runs" if is_away else "no key is known"
    say(f"{why}: this is what the database of {config.data_dir} says.")
    return rows()


def model_list() -> Any:
    """Return what GET /v1/models returns."""
    from inference.api.models.response import RELATED
    from inference.api.models.response import model_list as list_of
    from inference.status import with_nodes
    from registry.models import Model

    servable = Model.objects.servable()
    return list_of(servable.prefetch_related(*RELATED, with_nodes()))


def model(name: str) -> Any:
    """Return what GET /v1/models/{id} returns. Raises CommandFailed."""
    from inference.api.models.response import model_object
    from registry.errors import ModelNotFound
    from registry.models import Model

    try:
        return model_object(Model.objects.servable().resolve(name))
    except ModelNotFound as error:
        raise CommandFailed(str(error), ExitStatus.NOT_FOUND) from None
