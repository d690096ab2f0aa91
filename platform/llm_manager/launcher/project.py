"""What the launcher asks of Django and of the database."""

from __future__ import annotations

import io
import os

from llm_manager.launcher.child_process import say
from llm_manager.launcher.errors import StartupError


def project_set_up() -> None:
    """Load Django, and let the system checks speak. Raises StartupError."""
    import django
    from django.core import checks

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_manager.settings")
    django.setup()
    for message in checks.run_checks():
        # A hint belongs to its message, so that both make one line.
        sentence = " ".join(filter(None, [str(message.msg), message.hint]))
        if message.is_serious():
            raise StartupError(sentence)
        say(f"{message.id}: {sentence}")


def database_migrate() -> None:
    """Bring the database up to date."""
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)


def database_close() -> None:
    """Let go of the database: the launcher itself has no more use for it."""
    from django.db import connections

    connections.close_all()


def models_scan() -> None:
    """Register the models that lie in the models directories."""
    from django.core.management import CommandError, call_command

    try:
        call_command("scan_models", stdout=io.StringIO())
    except CommandError as error:
        say(f"The scan of the models directory failed: {error}")


def chat_model_name() -> str | None:
    """Return a chat model that a request can name, if there is one."""
    from registry.models import Kind, Model

    model = Model.objects.servable().filter(kind=Kind.CHAT).first()
    return model.name if model else None


def is_engine_ready(pid: int) -> bool:
    """Whether the engine that runs in this process has reported for work."""
    from inference.models import EngineNode

    return EngineNode.objects.alive().filter(pid=pid).exists()
