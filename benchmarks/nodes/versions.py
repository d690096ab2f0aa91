"""Another version of the program: a copy whose transport has fields of its own."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from benchmarks.systems.system import ROOT
from inference.transport.codec import VERSION

if TYPE_CHECKING:
    from pathlib import Path

_FOLDERS = ("platform", "inference", "accounts", "registry", "templates")
#: What a later version adds: to what workers say, and to what requests ask for.
_EDITS = {
    "inference/transport/codec.py": (r"^VERSION = \d+$", f"VERSION = {VERSION + 1}"),
    "inference/transport/messages/peers.py": (
        r"^    is_leaving: bool = False$",
        '    is_leaving: bool = False\n    mood: str = "of a later version"',
    ),
    "inference/transport/messages/events.py": (
        r"^    replica: int = 0$",
        '    replica: int = 0\n    mood: str = "of a later version"',
    ),
    "inference/transport/messages/requests.py": (
        r"^    trace: TraceOrigin \| None = None$",
        "    trace: TraceOrigin | None = None\n    tricks: int = field("
        f'default=0, metadata={{"needs_version": {VERSION + 1}}})',
    ),
}
_FIELD = "from dataclasses import dataclass"


def write_later_version(folder: Path) -> str:
    """Write it below a folder; return its PYTHONPATH, to come before all others.

    Raises ValueError if the program is no longer what the edits expect.
    """
    for name in _FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name, (pattern, replacement) in _EDITS.items():
        file = folder / name
        text, count = re.subn(
            pattern,
            replacement,
            file.read_text(encoding="utf-8"),
            flags=re.MULTILINE,
        )
        if count != 1:
            raise ValueError(f"{name} has {count} lines like {pattern}")
        file.write_text(text.replace(_FIELD, f"{_FIELD}, field"), encoding="utf-8")
    return f"{folder / 'platform'}:{folder}"
