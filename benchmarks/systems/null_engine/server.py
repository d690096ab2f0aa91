"""``python -m benchmarks.systems.null_engine.server``: `llm-manager server` with it.

It takes that command's options. The variable ``NULL_STEP_MS`` says how long a step is.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Serve until a signal comes."""
    from llm_manager.command_line.verbs.running.server import command

    options = command.make_context("server", sys.argv[2:]).params
    return _serve(**options)


def _serve(*, quickstart: bool, **options: str | None) -> int:
    from llm_manager.command_line.environment import set_environment
    from llm_manager.config.reading import load_config

    set_environment(**options)
    from llm_manager.launcher.server import Parts, serve

    engine = (sys.executable, "-m", "benchmarks.systems.null_engine.engine")
    parts = Parts(engine_command=engine)
    return serve(load_config(), quickstart=quickstart, parts=parts)


if __name__ == "__main__":
    sys.exit(main())
