"""Decodes images and sounds in processes that can be killed, fair between clients."""

from __future__ import annotations

import atexit
from functools import cache
from typing import TYPE_CHECKING

from inference.api.media import decoding_process as process
from inference.api.media.decoding_process import ANSWER, JOB
from inference.engine.media.inputs import (
    ImageInput,
    SoundInput,
    image_digest,
    sound_digest,
)
from llm_manager.lib.processes.helpers import HelperFailed, HelperPool

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from inference.api.media.sound_format import SoundFormat
    from llm_manager.lib.processes.helpers import Helper

_PROCESSES = 2
#: 50 million pixels of the dearest format take some 3 s on a slow core, as does an hour
#: of mp3.
_TIMEOUT_S = 20.0
_SOUNDS = {"wav": process.WAV, "mp3": process.MP3}


class UndecodableFile(Exception):
    """The file is no image or sound that can be read; the message says why."""


class OversizedFile(UndecodableFile):
    """The image has too many pixels, or the sound is too long."""


class DecodingPool:
    """A few processes that decode files. Any thread may use it.

    What is decoded is loaded when it is the client's turn: ``load`` returns the file.
    Exceptions are UndecodableFile and those of ``load``.
    """

    def __init__(self, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._helpers = HelperPool(
            process.__name__, processes=_PROCESSES, name="decoding"
        )

    @property
    def pids(self) -> set[int]:
        """The processes that there are."""
        return self._helpers.pids

    def decode_image(
        self,
        load: Callable[[], bytes],
        *,
        client: str,
        longest: int,
        most_pixels: int,
    ) -> Future[ImageInput]:
        """Return the pixels of an image file, no side longer than ``longest``."""

        def decoded(helper: Helper) -> ImageInput:
            width, height, packed = self._ask(
                helper, process.IMAGE, load(), longest, most_pixels
            )
            return ImageInput(
                width, height, packed, image_digest(width, height, packed)
            )

        return self._helpers.submit(client, decoded)

    def decode_sound(
        self,
        load: Callable[[], bytes],
        kind: SoundFormat,
        *,
        client: str,
        rate: int,
        most_s: int,
    ) -> Future[SoundInput]:
        """Return the samples of a sound file, ``rate`` of them a second.

        Of more than ``most_s`` seconds the exception is OversizedFile.
        """

        def decoded(helper: Helper) -> SoundInput:
            count, _, packed = self._ask(helper, _SOUNDS[kind], load(), rate, most_s)
            return SoundInput(rate, count, packed, sound_digest(rate, packed))

        return self._helpers.submit(client, decoded)

    def _ask(
        self, helper: Helper, kind: bytes, data: bytes, first: int, second: int
    ) -> tuple[int, int, bytes]:
        """Return the numbers and the content of the answer to a job."""
        job = (JOB.pack(kind, first, second, len(data)), data)
        try:
            answer, content = helper.ask(job, ANSWER, timeout_s=self._timeout_s)
        except HelperFailed:
            raise UndecodableFile(
                "it could not be decoded within the time and memory that a file may "
                "take"
            ) from None
        result, _, one, other, _ = answer
        if result == process.DONE:
            return one, other, content
        failure = OversizedFile if result == process.TOO_LARGE else UndecodableFile
        raise failure(content.decode("utf-8", "replace"))

    def close(self) -> None:
        """End the processes."""
        self._helpers.close()


@cache
def decoding_pool() -> DecodingPool:
    """Return this process's pool."""
    pool = DecodingPool()
    atexit.register(pool.close)
    return pool
