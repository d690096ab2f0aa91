"""Works on one batch: examines its lines, has them answered, writes the results."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils import timezone

from accounts.files.folder import content_path
from accounts.models import Batch
from inference.api.batches import rows
from inference.api.batches.line_views import answer_line
from inference.api.batches.lines import (
    Examination,
    LineFault,
    WrongLine,
    custom_id_in,
    parse_line,
    read_lines,
)
from inference.api.batches.pace import Pace
from inference.api.batches.results import BatchResults
from inference.api.failures import SERVER_ERROR, failure_of
from inference.api.model_access import model_find
from inference.api.own_request import key_of_id
from inference.metrics.request_metrics import BATCH_LINES
from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from inference.api.batches.line_views import LineAnswer
    from inference.api.batches.lines import BatchLine

logger = logging.getLogger(__name__)

#: Between two attempts to write a result that the disk does not take.
_WRITE_AGAIN_S = 5.0
#: Why a line has no answer, by the state that ends the batch.
_UNANSWERED = {
    Batch.Status.EXPIRED: (
        "batch_expired",
        "This request could not be executed before the completion window expired.",
    ),
    Batch.Status.CANCELLED: (
        "batch_cancelled",
        "This request was not executed: the batch was cancelled.",
    ),
}


class BatchRun:
    """One process's work on a batch that it has claimed.

    ``answer`` answers a line. ``stop`` ends the work on lines; the state of the row
    says what follows.
    """

    def __init__(
        self,
        row: Batch,
        answer: Callable[[Batch, BatchLine], Awaitable[LineAnswer]] = answer_line,
    ) -> None:
        self._row = row
        self._answer = answer
        self._pace = Pace()
        self._max_bytes: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        self._stopping = asyncio.Event()
        self._results: BatchResults | None = None

    def stop(self) -> None:
        """Send no more lines, and give up those that are being answered."""
        self._stopping.set()

    def counts(self) -> dict[str, Any]:
        """Return the columns that say how far the batch is."""
        return {} if self._results is None else rows.counts_of(self._results)

    async def run(self) -> None:
        """Work on the batch until it has ended, or is somebody else's."""
        try:
            await self._run()
        except FileNotFoundError:
            fault = LineFault("input_missing", "The input file is gone from the disk.")
            await in_thread(
                rows.advance,
                self._row,
                Batch.Status.FAILED,
                errors=[fault.at(None)],
            )

    async def _run(self) -> None:
        row = self._row
        is_new = row.status == Batch.Status.VALIDATING
        if is_new and not await in_thread(self._examine):
            return
        results = BatchResults(
            row.pk, content_path(row.output_id), content_path(row.error_id)
        )
        await _opened(results)
        try:
            self._results = results
            if row.status == Batch.Status.IN_PROGRESS:
                await self._answer_all(results)
            await self._finish(results)
        finally:
            results.close()

    # The parts of it ---------------------------------------------------------------

    def _examine(self) -> bool:
        """Look at all lines; return whether there is something to answer."""
        row = self._row
        look = Examination(
            row.endpoint,
            self._max_bytes,
            settings.CONFIG.batches.max_lines,
            self._find_model,
        )
        with content_path(row.input_file_id).open("rb") as source:
            look.examine(source)
        if look.faults:
            rows.advance(row, Batch.Status.FAILED, errors=look.faults)
            return False
        name = look.models.pop() if len(look.models) == 1 else ""
        # If it was cancelled meanwhile, the next claim of it ends it.
        return rows.advance(
            row, Batch.Status.IN_PROGRESS, total=look.total, model_name=name
        )

    def _find_model(self, name: str) -> None:
        """Raise LineFault for a model that the key may not use, or nobody."""
        try:
            model_find(name, key_of_id(self._row.key_id))
        except Exception as error:
            failure = failure_of(error)
            if failure.status >= SERVER_ERROR:
                # It passes: the batch is looked at again later.
                raise
            raise LineFault(
                failure.code or "model_not_found", failure.message, "body.model"
            ) from None

    async def _answer_all(self, results: BatchResults) -> None:
        """Have every line answered that has no result, some of them at once."""
        with await in_thread(
            content_path(self._row.input_file_id).open, "rb"
        ) as source:
            left = self._unanswered(read_lines(source, max_bytes=self._max_bytes))
            reading = asyncio.Lock()

            async def work() -> None:
                while True:
                    async with reading:
                        line = await in_thread(next, left, None)
                    if line is None:
                        return
                    await self._answer_one(line, results)

            workers = [
                asyncio.create_task(work())
                for _ in range(settings.CONFIG.batches.in_flight)
            ]
            stopping = asyncio.create_task(self._stop_in_time())
            left_to_do = set(workers)
            try:
                while left_to_do and not stopping.done():
                    done, _ = await asyncio.wait(
                        {*left_to_do, stopping}, return_when=asyncio.FIRST_COMPLETED
                    )
                    for ended in left_to_do & done:
                        ended.result()
                    left_to_do -= done
            finally:
                for task in (*workers, stopping):
                    task.cancel()
                await asyncio.gather(*workers, stopping, return_exceptions=True)

    async def _stop_in_time(self) -> None:
        """Return when the batch is stopped, or expires."""
        left = (self._row.expires_at - timezone.now()).total_seconds()
        try:
            async with asyncio.timeout(max(left, 0)):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _unanswered(
        self, lines: Iterator[tuple[int, bytes]]
    ) -> Iterator[BatchLine | WrongLine]:
        for number, text in lines:
            assert self._results is not None  # noqa: S101 - run() has opened them
            if number in self._results.done:
                continue
            try:
                yield parse_line(
                    number, text, self._row.endpoint, max_bytes=self._max_bytes
                )
            except LineFault as fault:
                # It was right when it was examined: a limit has changed since.
                yield WrongLine(number, custom_id_in(text), fault)

    async def _answer_one(
        self, line: BatchLine | WrongLine, results: BatchResults
    ) -> None:
        if isinstance(line, WrongLine):
            fault = line.fault
            await self._written(
                lambda: results.add_error(
                    line.number, line.custom_id, fault.code, str(fault)
                )
            )
            BATCH_LINES.labels("failed").inc()
            return
        while True:
            await self._pace.turn()
            # A task of its own has a context of its own: the request's id, and spans.
            answer = await asyncio.create_task(self._answered(line))
            if not answer.is_for_later:
                break
            self._pace.refused(answer.headers)
        self._pace.answered(answer.headers)

        def write() -> None:
            results.add_answer(
                line.number,
                line.custom_id,
                status=answer.status,
                request_id=answer.request_id,
                body=answer.body,
                left_out=answer.left_out,
            )

        await self._written(write)
        is_answer = 200 <= answer.status < 300
        BATCH_LINES.labels("completed" if is_answer else "failed").inc()

    async def _answered(self, line: BatchLine) -> LineAnswer:
        return await self._answer(self._row, line)

    async def _written(self, write: Callable[[], None]) -> None:
        """Write a result, however long the disk does not take it."""
        while True:
            writing = asyncio.ensure_future(in_thread(write))
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                # The thread goes on: nothing may be written beside it.
                await asyncio.wait({writing})
                raise
            except OSError as error:
                logger.warning("A result of %s waits: %s", self._row.pk, error)
                await asyncio.sleep(_WRITE_AGAIN_S)
            else:
                return

    async def _finish(self, results: BatchResults) -> None:
        """Bring the batch to its end, unless it is somebody else's by now."""
        row = self._row
        await in_thread(row.refresh_from_db, fields=["status"])
        end = self._end()
        if end is None:
            return
        is_running = row.status == Batch.Status.IN_PROGRESS
        if is_running and not await in_thread(
            rows.advance, row, Batch.Status.FINALIZING
        ):
            # It was cancelled just now: whoever claims it next ends it.
            return
        if end in _UNANSWERED and row.in_progress_at is not None:
            await in_thread(self._write_unanswered, results, *_UNANSWERED[end])
        await in_thread(rows.finish, row, end, results)

    def _end(self) -> Batch.Status | None:
        """Return the state that ends the batch; None if it goes on elsewhere."""
        row = self._row
        if row.status == Batch.Status.CANCELLING:
            return Batch.Status.CANCELLED
        if row.status not in (Batch.Status.IN_PROGRESS, Batch.Status.FINALIZING):
            return None
        assert self._results is not None  # noqa: S101 - run() has opened them
        if len(self._results.done) >= row.total:
            return Batch.Status.COMPLETED
        return Batch.Status.EXPIRED if timezone.now() >= row.expires_at else None

    def _write_unanswered(self, results: BatchResults, code: str, message: str) -> None:
        """Write a result for every line that has none."""
        with content_path(self._row.input_file_id).open("rb") as source:
            for line in self._unanswered(read_lines(source, max_bytes=self._max_bytes)):
                results.add_error(line.number, line.custom_id, code, message)
                BATCH_LINES.labels(code.removeprefix("batch_")).inc()


async def _opened(results: BatchResults) -> None:
    """Open results. If this is cancelled they are closed once they are open.

    Raises ResultsTaken.
    """
    opening = asyncio.ensure_future(in_thread(results.__enter__))
    try:
        await asyncio.shield(opening)
    except asyncio.CancelledError:
        # The thread goes on, and locks the files.
        opening.add_done_callback(lambda _: _closed(opening, results))
        raise


def _closed(opening: asyncio.Future[BatchResults], results: BatchResults) -> None:
    if not opening.cancelled():
        # Taken note of: whoever comes next finds the same.
        opening.exception()
    results.close()
