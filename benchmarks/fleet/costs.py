"""What things take, in seconds. The simulation computes with these and nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Machine:
    """A node: the seconds of a step, and how many sequences it runs.

    A step takes ``step_s``, and ``decode_s`` for each sequence that decodes and
    ``prefill_s`` for each token of a prompt in it. ``per_s`` requests a second are its
    part of the load.
    """

    step_s: float
    decode_s: float
    prefill_s: float
    per_s: float
    n_seq_max: int = 32

    def step(self, num_decodes: int, num_prefill: int) -> float:
        """Return the seconds of a step."""
        return self.step_s + self.decode_s * num_decodes + self.prefill_s * num_prefill


@dataclass(frozen=True, slots=True)
class Costs:
    """CPU seconds of what carries requests and tokens, for each of them.

    Those of web processes are measured, by ``make bench ARGS=web``; those of Redis and
    the database are assumed. ``web_begin_s`` is what a web process does for a request
    before it is queued, ``web_end_s`` after its last token; a frame is what a worker
    sends to one web process after a step, with a token of each stream there.
    """

    web_begin_s: float = 0.0027
    web_end_s: float = 0.0014
    web_frame_s: float = 0.00015
    web_token_s: float = 0.00011
    redis_request_s: float = 0.00013
    redis_frame_s: float = 0.00002
    database_row_s: float = 0.0002


#: ``cpu`` is the sample model on two cores, by ``make bench ARGS=profile``. ``gpu`` is
#: an 8B model in Q4 on a card with 1 TB/s, from what its memory and its arithmetic
#: allow: it was not measured. ``per_s`` keeps either at half of what it can do.
MACHINES = {
    "cpu": Machine(step_s=0.004, decode_s=0.0022, prefill_s=0.0008, per_s=2.5),
    "gpu": Machine(
        step_s=0.006, decode_s=0.00015, prefill_s=0.0001, per_s=15.0, n_seq_max=64
    ),
}
