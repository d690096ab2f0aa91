"""Decodes images in processes that can be killed, fair between clients."""

from __future__ import annotations

import atexit
from functools import cache
from typing import TYPE_CHECKING

from inference.api.media import decoding_process as process
from inference.api.media.decoding_process import ANSWER, JOB
from inference.engine.media.inputs import ImageInput, image_digest
from llm_manager.lib.processes.helpers import HelperFailed, HelperPool

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from llm_manager.lib.processes.helpers import Helper

_PROCESSES = 2
#: 50 million pixels of the dearest format take some 3 s on a slow core.
_TIMEOUT_S = 20.0


class UndecodableImage(Exception):
    """The file is no image that can be shown; the message says why."""


class TooLargeImage(UndecodableImage):
    """The image has too many pixels."""


class DecodingPool:
    """A few processes that decode images. Any thread may use it."""

    def __init__(self, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._helpers = HelperPool(
            process.__name__, processes=_PROCESSES, name="decoding"
        )

    @property
    def pids(self) -> set[int]:
        """The processes that there are."""
        return self._helpers.pids

    def decode(
        self,
        load: Callable[[], bytes],
        *,
        client: str,
        longest: int,
        most_pixels: int,
    ) -> Future[ImageInput]:
        """Return the pixels of the image file that ``load`` returns in its turn.

        The exceptions are UndecodableImage and those of ``load``.
        """

        def decoded(helper: Helper) -> ImageInput:
            data = load()
            job = (JOB.pack(longest, most_pixels, len(data)), data)
            try:
                answer, content = helper.ask(job, ANSWER, timeout_s=self._timeout_s)
            except HelperFailed:
                raise UndecodableImage(
                    "it could not be decoded within the time and memory that an image "
                    "may take"
                ) from None
            kind, _, width, height, _ = answer
            if kind == process.PIXELS:
                digest = image_digest(width, height, content)
                return ImageInput(width, height, content, digest)
            failure = TooLargeImage if kind == process.TOO_LARGE else UndecodableImage
            raise failure(content.decode("utf-8", "replace"))

        return self._helpers.submit(client, decoded)

    def close(self) -> None:
        """End the processes."""
        self._helpers.close()


@cache
def decoding_pool() -> DecodingPool:
    """Return this process's pool."""
    pool = DecodingPool()
    atexit.register(pool.close)
    return pool
