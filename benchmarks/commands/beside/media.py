"""``python -m benchmarks media``: what encoding does to the streams beside it.

Streams decode while nothing else runs, and while a client sends one image after the
other, or one sound, each a new one, in turn within each round. The projector has random
weights and the shape of real ones, so that an encoding takes as long as theirs.
"""

from __future__ import annotations

import asyncio
import base64
import io
import statistics
import tempfile
import wave
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.client.answers import Call, Message, clock
from benchmarks.client.http_client import HttpTarget
from benchmarks.model import Conditions, put_model
from benchmarks.reporting.figures import percentile
from benchmarks.systems.ours import Ours
from benchmarks.workloads.prompts import text
from benchmarks.workloads.random_projector import write_random_projector
from inference.engine.config.cpu_threads import physical_cores

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.options.commands import MediaOptions

#: Of the sample model.
_WIDTH = 576
_QUESTION_TOKENS = 64
_ANSWER_TOKENS = 768
_IMAGE_SIDE = 448
_RATE, _SOUND_S = 16_000, 10
#: The media are the second key's.
_STREAMS, _MEDIA = 0, 1


@dataclass(frozen=True, slots=True)
class Phase:
    """The gaps between tokens of all streams; what each medium took beside. Seconds."""

    gaps: list[float]
    media: list[float]


def measure(options: MediaOptions) -> int:
    """Measure and print; return 1 if a p95 beside media is above the limit."""
    with tempfile.TemporaryDirectory(prefix="llmm-bench-") as folder:
        phases = asyncio.run(_measure(options, Path(folder)))
    p95 = _show(phases, options)
    return int(max(p95.values()) > options.limit)


async def _measure(options: MediaOptions, folder: Path) -> dict[str, list[Phase]]:
    model = put_model(folder / "models", options.quantization)
    write_random_projector(model.with_name(f"mmproj-{model.name}"), _WIDTH)
    conditions = Conditions(
        model=model, n_threads=physical_cores(), n_seq_max=options.streams + 2
    )
    data = folder / "data"
    data.mkdir(mode=0o700)
    settings = (("LLM_MANAGER_SERVER_RATE_LIMIT", "0"),)
    phases: dict[str, list[Phase]] = {
        name: [] for name in ("alone", *dict.fromkeys(options.kinds))
    }
    numbers = count()
    async with Ours(settings=settings, num_keys=2).running(conditions, data) as running:
        target = running.target
        assert isinstance(target, HttpTarget)
        for number in range(-1, options.rounds):
            for name, of in phases.items():
                phase = await _phase(target, options.streams, name, numbers)
                # The first round warms up.
                if number >= 0:
                    of.append(phase)
    return phases


async def _phase(
    target: HttpTarget, streams: int, name: str, numbers: count[int]
) -> Phase:
    """Return what streams have had beside media of a kind; "alone" is none."""
    begun = asyncio.Event()
    waiting = streams

    def first_text() -> Callable[[], None]:
        has_text = False

        def arrived() -> None:
            nonlocal has_text, waiting
            if has_text:
                return
            has_text = True
            waiting -= 1
            if not waiting:
                begun.set()

        return arrived

    calls = [
        Call(
            (Message("user", text(_QUESTION_TOKENS, f"{name}-{next(numbers)}")),),
            _ANSWER_TOKENS,
            key=_STREAMS,
        )
        for _ in range(streams)
    ]
    answering = asyncio.gather(
        *(target.ask(call, on_text=first_text()) for call in calls)
    )
    await begun.wait()
    since = clock()
    media: list[float] = []
    sending = asyncio.create_task(_send(target, name, numbers, media, answering))
    answers = await answering
    # An encoding is not given up: the next phase must not have it.
    await sending
    # In the end fewer streams decode.
    until = min(answer.ended_s for answer in answers)
    gaps = [
        gap
        for answer in answers
        for ended, gap in answer.gaps
        if ended - gap >= since and ended <= until
    ]
    return Phase(gaps, media)


async def _send(
    target: HttpTarget,
    kind: str,
    numbers: count[int],
    answered: list[float],
    beside: asyncio.Future[Any],
) -> None:
    """Ask about one new image or sound after the other, beside what is not done."""
    while kind != "alone" and not beside.done():
        part = _PARTS[kind](next(numbers))
        question = Message("user", "What is this?", (part,))
        # Of a random encoding a token may have no text.
        call = Call((question,), 1, key=_MEDIA, exact=False)
        started = clock()
        await target.ask(call)
        answered.append(clock() - started)


def _image(number: int) -> dict[str, Any]:
    """Return an image that no cache has, as a part of a message."""
    rough = np.random.default_rng(number).integers(0, 256, (28, 28, 3), np.uint8)
    smooth = Image.fromarray(rough).resize((_IMAGE_SIDE, _IMAGE_SIDE))
    file = io.BytesIO()
    smooth.save(file, "JPEG")
    content = base64.b64encode(file.getvalue()).decode()
    return {
        "type": "image_url",
        "image_url": {"url": f"data:image/jpeg;base64,{content}"},
    }


def _sound(number: int) -> dict[str, Any]:
    """Return a sound that no cache has, as a part of a message."""
    rng = np.random.default_rng(number)
    samples = rng.integers(-3000, 3000, _RATE * _SOUND_S, np.int16)
    file = io.BytesIO()
    with wave.open(file, "wb") as sink:
        sink.setnchannels(1)
        sink.setsampwidth(2)
        sink.setframerate(_RATE)
        sink.writeframes(samples.tobytes())
    content = base64.b64encode(file.getvalue()).decode()
    return {"type": "input_audio", "input_audio": {"data": content, "format": "wav"}}


_PARTS: dict[str, Callable[[int], dict[str, Any]]] = {"image": _image, "sound": _sound}


def _show(phases: dict[str, list[Phase]], options: MediaOptions) -> dict[str, float]:
    """Print a table; return the medians of the p95 beside each kind, in ms."""
    figures: dict[str, Callable[[Phase], float]] = {
        "ITL p50, ms": lambda phase: 1000 * percentile(phase.gaps, 50),
        "ITL p95, ms": lambda phase: 1000 * percentile(phase.gaps, 95),
        "ITL max, ms": lambda phase: 1000 * max(phase.gaps),
        "answered about meanwhile": lambda phase: len(phase.media),
        "time until then, p50, ms": lambda phase: (
            1000 * percentile(phase.media, 50) if phase.media else 0
        ),
    }
    table = Table(
        title=f"{options.streams} streams beside images and sounds, "
        f"medians of {options.rounds} rounds (lowest-highest)"
    )
    table.add_column("")
    for name in phases:
        table.add_column(name, justify="right")
    for title, figure in figures.items():
        cells = []
        for of in phases.values():
            found = [figure(phase) for phase in of]
            cells.append(
                f"{statistics.median(found):.0f} ({min(found):.0f}-{max(found):.0f})"
            )
        table.add_row(title, *cells)
    Console().print(table)
    p95 = figures["ITL p95, ms"]
    return {
        name: statistics.median(p95(phase) for phase in of)
        for name, of in phases.items()
        if name != "alone"
    }
