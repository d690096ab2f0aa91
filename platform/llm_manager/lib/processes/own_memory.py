"""What this process has in memory. It imports little: small processes ask."""

from __future__ import annotations

import resource
from pathlib import Path


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes, from Linux' ``statm``.

    Not ``ru_maxrss``: that begins with what the parent once took.
    """
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()
