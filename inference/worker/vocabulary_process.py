"""Tokenizes and detokenizes for models that are not loaded, in a process of its own.

``python -m inference.worker.vocabulary_process`` reads the vocabularies of files,
without weights. The web process starts one when it first needs it, sends one question
at a time over its pipes, and ends it after a while idle. It is a child of the web
process, not of the engine: the files are there for the registry to scan, so no queue,
no worker and no second protocol is needed. If a hostile file crashes llama.cpp, only
this process ends and one request fails.

Each question and each answer is one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from inference.engine.errors import EngineError
from inference.engine.request import DetokenizationRequest, TokenizationRequest
from inference.errors import EngineUnavailable, ModelLoadFailed, RequestRejected
from inference.transport.messages.events import Detokenized, Tokenized
from inference.worker.tokenizer_requests import answer_now
from llm_manager.lib.processes.fair_places import FairPlaces
from llm_manager.lib.processes.python_path import python_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.engine.llama.vocabulary import Vocabularies
    from inference.engine.request import TokenizerRequest

logger = logging.getLogger(__name__)

#: The longest that a caller waits. Large vocabularies take a second, from a slow disk
#: some minutes.
_ANSWER_S = 30.0
#: The process is ended if a question takes longer.
_HANGS_S = 150.0
_IDLE_S = 300.0
#: The longest line: the tokens of the longest body, with their pieces.
_LINE_BYTES = 512 * 1024 * 1024
#: The memory limit of the process. The largest vocabularies take a tenth.
_MEMORY_BYTES = 2 * 1024**3
_RETRY_AFTER_S = 5


class VocabularyProcess:
    """The web process's end: sends one question at a time, on one event loop."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        #: Keys take turns.
        self._turn = FairPlaces(1, most=1)
        self._idle: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        #: Questions that callers wait for, or no longer wait for.
        self._asked: set[asyncio.Task[dict[str, Any]]] = set()
        #: The question that the process works on.
        self._current: asyncio.Task[dict[str, Any]] | None = None

    async def ask(
        self, paths: Sequence[str], request: TokenizerRequest
    ) -> Tokenized | Detokenized:
        """Return the answer about a model's files.

        Reading them goes on when a caller gives up, so that the next one finds them
        read. Raises RequestRejected for a question that has none, ModelLoadFailed for
        files that cannot be read, EngineUnavailable if that takes too long.
        """
        asked = asyncio.ensure_future(
            self._in_turn(request.key, _question(paths, request))
        )
        self._asked.add(asked)
        asked.add_done_callback(self._answered)
        try:
            async with asyncio.timeout(_ANSWER_S):
                answer = await asyncio.shield(asked)
        except TimeoutError:
            raise EngineUnavailable(
                f"The model's vocabulary is not read after {_ANSWER_S:g} s. Reading "
                "it goes on; try again.",
                retry_after=_RETRY_AFTER_S,
            ) from None
        finally:
            if asked is not self._current:
                asked.cancel()
        return _answer(answer, request.request_id)

    def _answered(self, asked: asyncio.Task[dict[str, Any]]) -> None:
        self._asked.discard(asked)
        if not asked.cancelled():
            # Its caller may be gone: then nobody else would look at the error.
            asked.exception()

    async def _in_turn(self, key: str, question: dict[str, Any]) -> dict[str, Any]:
        """Return the process's answer; one question at a time."""
        async with self._turn.place(key):
            self._current = asyncio.current_task()
            if self._idle is not None:
                self._idle.cancel()
            try:
                async with asyncio.timeout(_HANGS_S):
                    answer = await self._exchange(question)
            except (TimeoutError, OSError, ValueError) as error:
                logger.warning("No vocabulary of %s: %r", question["paths"][0], error)
                await self._end()
                raise EngineUnavailable(
                    "The model's vocabulary cannot be read: the process that does has "
                    "ended or hangs.",
                    retry_after=_RETRY_AFTER_S,
                ) from None
            except BaseException:
                # A late answer would be taken for the answer to the next question.
                await self._end()
                raise
            finally:
                self._current = None
            self._idle = asyncio.get_running_loop().call_later(_IDLE_S, self._rest)
            return answer

    async def aclose(self) -> None:
        """End the process, and what it works on. Idempotent."""
        for asked in tuple(self._asked):
            asked.cancel()
        async with self._turn.place(""):
            if self._idle is not None:
                self._idle.cancel()
            await self._end()

    def _rest(self) -> None:
        self._closing = asyncio.ensure_future(self.aclose())

    async def _exchange(self, question: dict[str, Any]) -> dict[str, Any]:
        """Send a question; return the answer. Raises OSError or ValueError."""
        if self._process is None or self._process.returncode is not None:
            self._process = await self._start()
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # noqa: S101 - started with pipes
        assert stdout is not None  # noqa: S101 - started with pipes
        stdin.write(json.dumps(question).encode() + b"\n")
        await stdin.drain()
        answer: dict[str, Any] = json.loads(await stdout.readline())
        return answer

    async def _start(self) -> asyncio.subprocess.Process:
        environment = {**os.environ, "PYTHONPATH": python_path()}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "inference.worker.vocabulary_process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
            env=environment,
        )

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        # The pipes must be read to their end, or their transports stay open.
        await process.communicate()


_processes: WeakKeyDictionary[asyncio.AbstractEventLoop, VocabularyProcess] = (
    WeakKeyDictionary()
)


def get_vocabulary_process() -> VocabularyProcess:
    """Return the running event loop's process."""
    loop = asyncio.get_running_loop()
    process = _processes.get(loop)
    if process is None:
        process = _processes[loop] = VocabularyProcess()
    return process


def _question(paths: Sequence[str], request: TokenizerRequest) -> dict[str, Any]:
    if isinstance(request, TokenizationRequest):
        return {
            "paths": list(paths),
            "text": request.text,
            "add_special_tokens": request.add_special_tokens,
            "parse_special": request.parse_special,
        }
    return {"paths": list(paths), "tokens": request.tokens, "path": request.path}


def _answer(line: dict[str, Any], request_id: str) -> Tokenized | Detokenized:
    if "error" in line:
        if line["code"] == ModelLoadFailed.code:
            raise ModelLoadFailed(line["error"], retry_after=_RETRY_AFTER_S)
        raise RequestRejected(line["error"], code=line["code"], param=line["param"])
    if "text" in line:
        return Detokenized(request_id, line["text"])
    pieces = tuple(bytes.fromhex(piece) for piece in line["pieces"])
    return Tokenized(request_id, tuple(line["tokens"]), pieces)


# The child ------------------------------------------------------------------------


def _answer_line(
    question: dict[str, Any], vocabularies: Vocabularies
) -> dict[str, Any]:
    try:
        tokenizer = vocabularies.of(question.pop("paths"))
        kind = TokenizationRequest if "text" in question else DetokenizationRequest
        answer = answer_now(kind(request_id="", **question), tokenizer)
    except EngineError as error:
        return {"error": error.message, "code": error.code, "param": error.param}
    if isinstance(answer, Detokenized):
        return {"text": answer.text}
    pieces = [piece.hex() for piece in answer.pieces]
    return {"tokens": answer.tokens, "pieces": pieces}


def main() -> None:
    """Answer questions until standard input ends."""
    from inference.engine.llama.vocabulary import Vocabularies

    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A terminal's Ctrl-C reaches every process; this one ends with its input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    vocabularies = Vocabularies()
    for line in sys.stdin.buffer:
        answer = json.dumps(_answer_line(json.loads(line), vocabularies))
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
