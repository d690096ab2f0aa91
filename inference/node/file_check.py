"""Looks at a model's files before a load: they must be those that a scan has read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.errors import InvalidGGUF
from registry.scan.files import fingerprint_now
from registry.scan.folders import mtime_ns

if TYPE_CHECKING:
    from registry.models import Model


def why_not_as_scanned(model: Model) -> str:
    """Return why a model's files are not those of its row, as a sentence, or "".

    A waiting request asks every second, so files of the size and the time that a scan
    has seen are not read; of others at most 2 MiB each. Names no path: API clients read
    the sentence.
    """
    try:
        statuses = [path.stat() for path in model.paths]
        size = sum(status.st_size for status in statuses)
        latest = max(mtime_ns(status) for status in statuses)
        if (size, latest) == (model.file_size, model.mtime_ns):
            return ""
        found = fingerprint_now(model.paths)
    except InvalidGGUF as error:
        return f"Its file cannot be read: {error}."
    except FileNotFoundError:
        return "Its file is missing. Scan again when it is back."
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        return f"Its file cannot be read: {reason}."
    if found != model.fingerprint:
        return "Its file has changed since it was scanned. Scan again to use it."
    return ""
