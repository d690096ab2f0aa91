"""Charts of measurements: coordinates, which a template draws as SVG. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    #: A number of tokens, and what was measured there.
    Point = tuple[float, float]

#: The size of a chart in its own units, and the margins for its labels.
WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 26
_TICKS = 4


@dataclass(frozen=True, slots=True)
class PlotDot:
    """A measured point, and what it says when one points at it."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class PlotLine:
    """The points of one KV type; ``number`` chooses its colour."""

    name: str
    number: int
    dots: tuple[PlotDot, ...]

    @property
    def path(self) -> str:
        """The coordinates of its points, as SVG's polyline takes them."""
        return " ".join(f"{dot.x},{dot.y}" for dot in self.dots)


@dataclass(frozen=True, slots=True)
class Plot:
    """A chart; ticks are a coordinate and its label."""

    title: str
    lines: tuple[PlotLine, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


def plot(
    title: str,
    lines: Mapping[str, Sequence[Point]],
    says: Callable[[float], str],
    *,
    step: float = 1.0,
    unit: str = "tokens",
) -> Plot:
    """Return a chart of lines by name; ``says`` writes a value with its unit.

    ``unit`` is what the axis across counts. Both axes begin at 0. The labels of the
    values are multiples of ``step``.
    """
    points = [point for line in lines.values() for point in line]
    widest = max((x for x, _ in points), default=1.0)
    x_ticks = _ticks(widest, 1024.0 if widest >= 1024 else 1.0)
    y_ticks = _ticks(max((y for _, y in points), default=1.0), step)
    most_x, most_y = max(widest, x_ticks[-1]), y_ticks[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + x / most_x * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - y / most_y * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(down, 1)

    return Plot(
        title,
        tuple(
            PlotLine(
                name,
                number,
                tuple(
                    PlotDot(*place(x, y), f"{name}, {x:,.0f} {unit}: {says(y)}")
                    for x, y in sorted(line)
                ),
            )
            for number, (name, line) in enumerate(lines.items())
        ),
        tuple((place(x, 0)[0], _tokens(x)) for x in x_ticks),
        tuple((place(0, y)[1], says(y)) for y in y_ticks),
    )


def _ticks(most: float, step: float) -> list[float]:
    """Return a few round numbers from 0 to at least ``most``."""
    wanted = max(most / step / _TICKS, 1e-9)
    size = 10.0 ** math.floor(math.log10(wanted))
    rounded = next(size * n for n in (1, 2, 5, 10) if size * n >= wanted)
    count = math.ceil(most / step / rounded)
    return [number * rounded * step for number in range(max(count, 1) + 1)]


def _tokens(count: float) -> str:
    """Return a number of tokens in few letters: ``8k`` is 8192."""
    return f"{count / 1024:g}k" if count >= 1024 else f"{count:g}"
