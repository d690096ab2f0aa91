"""Where a child process finds Python's packages."""

from __future__ import annotations

import os
import sys


def python_path() -> str:
    """Return the ``PYTHONPATH`` with which a child imports what this process does.

    It is right for an installation and for a checkout.
    """
    return os.pathsep.join(path for path in sys.path if path)
