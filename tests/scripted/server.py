"""``python -m tests.scripted.server``: `llm-manager server` with the scripted model.

It takes that command's options. The variable ``SCRIPT`` is the path of the script.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.checkout import ROOT
from tests.scripted.names import MODEL
from tests.tiny_models import write_tiny_model

#: Agents send some 20,000 characters at first, and each is a token.
N_CTX = 262_144
_TEMPLATE = ROOT / "tests" / "chat_templates" / "Qwen-Qwen3-0.6B.jinja"


def main() -> int:
    """Serve until a signal comes."""
    from llm_manager.command_line.verbs.running.server import command

    options = command.make_context("server", sys.argv[2:]).params
    return _serve(**options)


def _serve(*, quickstart: bool, **options: str | None) -> int:
    from llm_manager.command_line.environment import set_environment
    from llm_manager.config.reading import load_config

    set_environment(**options)
    config = load_config()
    file = Path(config.models_dir) / f"{MODEL}.gguf"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_tiny_model(
            "llama", file, n_ctx=N_CTX, chat_template=_TEMPLATE.read_text()
        )
    from llm_manager.launcher.server import Parts, serve

    engine = (sys.executable, "-m", "tests.scripted.engine")
    return serve(config, quickstart=quickstart, parts=Parts(engine_command=engine))


if __name__ == "__main__":
    sys.exit(main())
