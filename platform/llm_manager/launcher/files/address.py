"""Where the server of a data directory listens, for the command line beside it."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING

from llm_manager.launcher.data_dir import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME = "server.json"


@contextlib.contextmanager
def published(data_dir: Path, base_url: str) -> Iterator[None]:
    """Keep the address in a file while the server runs."""
    file = data_dir / _NAME
    content = {"base_url": base_url, "pid": os.getpid()}
    write_private(file, json.dumps(content) + "\n")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def read_address(data_dir: Path) -> str | None:
    """Return the address of the server that runs on a data directory, or None."""
    try:
        content = json.loads((data_dir / _NAME).read_text(encoding="utf-8"))
        base_url, pid = str(content["base_url"]), int(content["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # A server that was killed has left its file behind.
    return base_url if _runs(pid) else None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
