"""Makes the tables, the models' rows and a key of a new database; prints the key.

Run as ``python -m benchmarks.nodes.setting_up REPLICAS`` in a node's environment.
"""

from __future__ import annotations

import os
import sys

import django
from django.core.management import call_command


def main() -> None:
    """Do it once, before any process of a node starts."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_manager.settings")
    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    call_command("scan_models", stdout=sys.stderr)
    from django.contrib.auth import get_user_model

    from accounts.models import Scope
    from accounts.services import api_key_create
    from registry.models import Model

    Model.objects.update(replicas=int(sys.argv[1]))
    owner = get_user_model().objects.create_superuser("admin")
    _, secret = api_key_create(
        name="nodes",
        owner=owner,
        scopes=[Scope.INFERENCE, Scope.ADMIN],
        models=None,
        rate_limit=0,
    )
    sys.stdout.write(f"{secret}\n")


if __name__ == "__main__":
    main()
