"""A batch of the running server: uploaded, followed, fetched.

The server goes on without this program. Beside the output a small file says which batch
it is, for the same command to follow it again.
"""

from __future__ import annotations

import json
import tempfile
import time
from typing import IO, TYPE_CHECKING, Any

from llm_manager.command_line.exit_status import CommandFailed, ExitStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from llm_manager.command_line.batching.lines import BatchInput, BatchOutput
    from llm_manager.command_line.remote.api_client import ApiClient

_POLL_S = 1.0
#: How often a server that does not answer is asked again, and what it may say.
_PATIENCE = 120
_PASSING = (ExitStatus.UNREACHABLE, ExitStatus.BUSY)
_ENDED = ("completed", "failed", "expired", "cancelled")


def state_path(output: Path) -> Path:
    """Return where it is noted which batch the output is of."""
    return output.with_name(f"{output.name}.batch")


def noted_batch(client: ApiClient, output: Path) -> Any:
    """Return the batch of this server that the output is of; None if there is none.

    Raises CommandFailed.
    """
    try:
        noted = json.loads(state_path(output).read_text(encoding="utf-8"))
        if noted["url"] != client.connection.url:
            raise CommandFailed(
                f"{output} is of a batch of {noted['url']}; --url names that server, "
                f"and without {state_path(output)} another one begins.",
                ExitStatus.WRONG_USAGE,
            )
        return client.get(f"/v1/batches/{noted['id']}")
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise CommandFailed(
            f"{state_path(output)} does not name a batch.", ExitStatus.WRONG_USAGE
        ) from None
    except CommandFailed as error:
        if error.status is ExitStatus.NOT_FOUND:
            # It was too old to be kept.
            return None
        raise


def begin(client: ApiClient, source: BatchInput, output: BatchOutput) -> Any:
    """Upload the lines without an answer, make a batch of them and note it."""
    with tempfile.TemporaryFile() as left:
        for _, text in source.lines(output.answered):
            left.write(text)
        left.seek(0)
        file = client.upload(
            "/v1/files", left, name=source.path.name, fields={"purpose": "batch"}
        )
    batch = client.post(
        "/v1/batches",
        {
            "input_file_id": file["id"],
            "endpoint": source.endpoint,
            "completion_window": "24h",
        },
    )
    state_path(output.path).write_text(
        json.dumps({"id": batch["id"], "url": client.connection.url}), encoding="utf-8"
    )
    return batch


def follow(client: ApiClient, batch: Any, on_done: Callable[[], None]) -> Any:
    """Return the batch when it has ended; ``on_done`` is called for each result."""
    done = 0
    while True:
        counts = batch["request_counts"]
        while done < counts["completed"] + counts["failed"]:
            done += 1
            on_done()
        if batch["status"] in _ENDED:
            return batch
        batch = _asked_again(client, batch["id"])


def _asked_again(client: ApiClient, id_: str) -> Any:
    """Return the batch after a while. Raises CommandFailed.

    A server that restarts goes on with it.
    """
    failures = 0
    while True:
        time.sleep(_POLL_S)
        try:
            return client.get(f"/v1/batches/{id_}")
        except CommandFailed as error:
            failures += 1
            if error.status not in _PASSING or failures == _PATIENCE:
                raise


def fetch(client: ApiClient, batch: Any, output: BatchOutput) -> None:
    """Append the results of a batch that has ended. Raises CommandFailed."""
    if batch["status"] == "failed":
        state_path(output.path).unlink(missing_ok=True)
        faults = batch.get("errors", {}).get("data", ())
        lines = [f"line {each['line']}: {each['message']}" for each in faults[:10]]
        raise CommandFailed("\n".join(["The server refuses the file:", *lines]))
    with tempfile.TemporaryFile() as kept:
        for name in ("output_file_id", "error_file_id"):
            if id_ := batch.get(name):
                client.download(f"/v1/files/{id_}/content", kept)
        kept.seek(0)
        output.add_all(_lines(kept))
    state_path(output.path).unlink(missing_ok=True)


def cancel(client: ApiClient, batch: Any) -> Any:
    """Return the batch, which is being cancelled. Raises CommandFailed."""
    if batch["status"] in _ENDED:
        return batch
    return client.send("POST", f"/v1/batches/{batch['id']}/cancel")


def _lines(source: IO[bytes]) -> Iterator[bytes]:
    yield from source
