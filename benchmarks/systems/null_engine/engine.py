"""The engine process, whose workers are ``benchmarks.systems.null_engine.worker``."""

from __future__ import annotations

import os


def main() -> None:
    """Run the engine process."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_manager.settings")
    from django.core.management import execute_from_command_line

    from inference.node.children.spawning import spawn_worker

    defaults = spawn_worker.__kwdefaults__
    assert defaults is not None
    assert defaults["module"] == "inference.worker.main"
    defaults["module"] = "benchmarks.systems.null_engine.worker"
    execute_from_command_line(["manage.py", "run_engine"])


if __name__ == "__main__":
    main()
