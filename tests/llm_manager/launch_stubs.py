"""Run the launcher on stub parts: `launch_stubs.py LOG ENGINE WEB [--quickstart] …`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from llm_manager.config.reading import load_config
from llm_manager.launcher.server import Parts, serve

PARTS = str(Path(__file__).with_name("stub_parts.py"))


def has_started(log: str, pid: int) -> bool:
    lines = Path(log).read_text(encoding="utf-8") if Path(log).exists() else ""
    return f"starts {pid}\n" in lines


def main() -> int:
    log, engine, web, *rest = sys.argv[1:]
    silent_s = float(os.environ.get("STUB_SILENT_S", "10"))
    parts = Parts(
        web_silent_s=silent_s,
        engine_silent_s=silent_s,
        engine_command=[sys.executable, PARTS, engine, log, *rest],
        web_command=[sys.executable, PARTS, web, log],
        is_engine_ready=lambda pid: has_started(log, pid),
    )
    return serve(load_config(), quickstart="--quickstart" in rest, parts=parts)


if __name__ == "__main__":
    sys.exit(main())
