#!/usr/bin/env python3
"""Run a Django command from a checkout, installed or not."""

import os
import sys
from pathlib import Path

# platform/ is a source root, never a package: see docs/adr/0001.
sys.path.insert(0, str(Path(__file__).resolve().parent / "platform"))


def main() -> None:
    """Hand the command line to Django."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_manager.settings")
    try:
        from django.conf import settings
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ModuleNotFoundError:
        sys.exit(
            f"manage.py: {sys.executable} does not have the packages of LLM Manager; "
            f"`make run` installs them. Use .venv/bin/python {sys.argv[0]}."
        )

    try:
        settings.INSTALLED_APPS  # noqa: B018 - reading one reads them all
    except ImproperlyConfigured as error:
        sys.exit(f"manage.py: {error}")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
