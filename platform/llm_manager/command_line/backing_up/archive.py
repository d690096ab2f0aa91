"""The file of a backup: a zip of a manifest, the secret key, and rows as JSON lines."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from llm_manager.command_line.exit_status import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Changes when an older program could not read the file.
FORMAT = 1
_MANIFEST = "manifest.json"
_SECRET_KEY = "secret_key"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    ``migrations`` are those that its database had, as ``app.name``; ``rows`` are the
    numbers of rows by model, in the order in which they are restored.
    """

    version: str
    made_at: str
    database: str
    migrations: list[str]
    rows: dict[str, int]
    format: int = FORMAT


class Backup:
    """A backup that is read. Raises CommandFailed if the file is none of ours."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
            content = json.loads(self._zip.read(_MANIFEST))
            if content["format"] != FORMAT:
                raise CommandFailed(
                    f"{path} has format {content['format']}; this version of "
                    f"LLM Manager reads format {FORMAT}."
                )
            self.manifest = Manifest(**content)
        except OSError as error:
            raise CommandFailed(f"{path}: {error.strerror}.") from None
        except (zipfile.BadZipFile, KeyError, TypeError, ValueError):
            raise CommandFailed(f"{path} is no backup of LLM Manager.") from None

    def secret_key(self) -> str:
        return self._zip.read(_SECRET_KEY).decode("ascii")

    def lines(self, model: str) -> Iterator[str]:
        """Yield the rows of a model. Raises CommandFailed if they are damaged."""
        try:
            with self._zip.open(_member(model)) as raw:
                yield from TextIOWrapper(raw, encoding="utf-8")
        except (zipfile.BadZipFile, KeyError) as error:
            raise CommandFailed(f"The backup is damaged: {error}.") from None


class Draft:
    """A backup that is written."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._zip = file

    def add_lines(self, model: str, lines: Iterator[str]) -> int:
        """Write the rows of a model; return their number."""
        number = 0
        with self._zip.open(_member(model), "w", force_zip64=True) as raw:
            for line in lines:
                raw.write(f"{line}\n".encode())
                number += 1
        return number

    def end(self, manifest: Manifest, secret_key: str) -> None:
        self._zip.writestr(_SECRET_KEY, secret_key)
        self._zip.writestr(_MANIFEST, json.dumps(asdict(manifest), indent=2))


@contextmanager
def drafting(path: Path) -> Iterator[Draft]:
    """Yield a draft that becomes ``path`` once it is whole, readable by its owner only.

    Raises CommandFailed.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise CommandFailed(f"{path.parent}: {error.strerror}.") from None
    try:
        with (
            os.fdopen(handle, "wb") as stream,
            zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file,
        ):
            yield Draft(file)
            file.close()
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except OSError as error:
        raise CommandFailed(f"{path}: {error.strerror}.") from None
    finally:
        Path(name).unlink(missing_ok=True)


def _member(model: str) -> str:
    return f"rows/{model}.jsonl"
