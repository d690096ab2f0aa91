"""The database of the data directory, where no server can be asked.

It answers as the API does.
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

    When the rows are read: ``open_database``. Raises CommandFailed.
    """
    try:
        return api()
    except CommandFailed as error:
        open_database(connection, error, "this is what {database} says")
    return rows()


def open_database(connection: Connection, error: CommandFailed, note: str) -> None:
    """Load Django for the database that takes the server's place, and say why.

    ``note`` has the place ``{database}``. Raises the server's ``error`` unless its
    data directory is here and it does not run, or refuses a key that nobody chose.
    """
    why = _why_not_the_server(connection, error)
    config = load_config()
    if why is None or not has_database(config):
        raise error
    load_django()
    from llm_manager.launcher.child_process import say

    say(f"{why}: {note.format(database=f'the database of {config.data_dir}')}.")


def _why_not_the_server(connection: Connection, error: CommandFailed) -> str | None:
    if not connection.is_local:
        return None
    if error.status is ExitStatus.UNREACHABLE:
        return "no server runs"
    if error.status is not ExitStatus.REFUSED:
        return None
    if connection.key is None:
        return "no key is known"
    return None if connection.is_key_chosen else "the key in quickstart.json is refused"


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
