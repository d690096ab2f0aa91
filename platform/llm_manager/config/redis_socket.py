"""The socket of the private Redis, for the settings and the launcher."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from urllib.parse import quote

#: sockaddr_un has 108 bytes, and the last one is a NUL.
MAX_SOCKET_PATH_BYTES = 107


def socket_path(data_dir: Path) -> Path:
    """Return the socket's path: in the data directory, if it is short enough.

    Otherwise it is in a folder under XDG_RUNTIME_DIR or the temporary directory; the
    folder's name is a hash of the data directory.
    """
    path = data_dir / "redis.sock"
    if is_short_enough(path):
        return path
    # All paths of the same directory give the same socket.
    digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
    root = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(root) / f"llm-manager-{digest}" / "redis.sock"


def is_short_enough(path: Path) -> bool:
    """Whether the path is short enough for a Unix socket."""
    return len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES


def socket_url(data_dir: Path) -> str:
    """Return the URL of the private Redis."""
    return f"unix://{quote(str(socket_path(data_dir)))}"
