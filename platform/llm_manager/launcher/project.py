"""What the launcher does with Django: set-up, checks, migrations, scans."""

from __future__ import annotations

import io
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llm_manager.launcher.child_process import say
from llm_manager.launcher.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The number of PostgreSQL's advisory lock: the letters LLMM.
_START_LOCK = int.from_bytes(b"LLMM", "big")


def project_set_up() -> None:
    """Load Django and run the system checks. Raises StartupError."""
    import django
    from django.core import checks

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_manager.settings")
    django.setup()
    for message in checks.run_checks():
        # The hint goes on the same line as its message.
        sentence = " ".join(filter(None, [str(message.msg), message.hint]))
        if message.is_serious():
            raise StartupError(sentence)
        say(f"{message.id}: {sentence}")


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let the launchers of other machines on the same database wait meanwhile."""
    from django.db import connection

    if connection.vendor != "postgresql":
        # A data directory with SQLite has one launcher.
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_START_LOCK])
        try:
            yield
        except BaseException:
            # That releases it, also where a failed migration has left a transaction.
            connection.close()
            raise
        cursor.execute("SELECT pg_advisory_unlock(%s)", [_START_LOCK])


def database_migrate() -> None:
    """Run the migrations, after other machines that run them now."""
    from django.core.management import call_command

    with one_at_a_time():
        call_command("migrate", interactive=False, verbosity=0)


def database_close() -> None:
    """Close the connections: the launcher no longer needs the database."""
    from django.db import connections

    connections.close_all()


def models_scan() -> None:
    """Scan the models directories."""
    from django.core.management import CommandError, call_command

    try:
        call_command("scan_models", stdout=io.StringIO())
    except CommandError as error:
        say(f"The scan of the models directory failed: {error}")


def chat_model_name() -> str | None:
    """Return the name of a chat model, or None."""
    from registry.models import Kind, Model

    model = Model.objects.servable().filter(kind=Kind.CHAT).first()
    return model.name if model else None


def has_key() -> bool:
    """Whether there is an API key that can be used."""
    from accounts.models import ApiKey

    return ApiKey.objects.usable().exists()


def is_engine_ready(pid: int) -> bool:
    """Whether the engine with this process id has registered its node."""
    from inference.models import EngineNode

    return EngineNode.objects.alive().filter(pid=pid).exists()
