"""An engine that answers every kind of job, whatever it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.transport.jobs import DetokenizeJob, TokenizeJob
from inference.transport.messages import Detokenized, Tokenized
from tests.fakes import FakeStream, accepted, finished
from tests.inference.api.embedders import FakeEmbedderClient

if TYPE_CHECKING:
    from inference.transport.stream import AnyJob


class FakeWorkerClient(FakeEmbedderClient):
    """Writes, embeds and tokenizes: a token is a byte."""

    async def submit(self, job: AnyJob) -> FakeStream:
        """Take a job."""
        if not self.scripts and isinstance(job, TokenizeJob):
            text = job.text.encode()
            pieces = tuple(bytes([byte]) for byte in text)
            self.enqueue([accepted(0), Tokenized("", tuple(text), pieces), finished()])
        elif not self.scripts and isinstance(job, DetokenizeJob):
            said = "".join(chr(token % 128) for token in job.tokens)
            self.enqueue([accepted(0), Detokenized("", said), finished()])
        return await super().submit(job)
