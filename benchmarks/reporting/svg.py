"""A chart as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from llm_manager.lib.plots import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH

if TYPE_CHECKING:
    from llm_manager.lib.plots import Plot, PlotDot

_COLOURS = ("#2563eb", "#dc2626", "#059669")


def svg(plot: Plot, *, across: str) -> str:
    """Return the chart; ``across`` says what the axis across counts."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -20 {WIDTH} {HEIGHT + 40}"'
        ' font-family="sans-serif" font-size="9" fill="#374151">',
        f'<rect y="-20" width="{WIDTH}" height="{HEIGHT + 40}" fill="#ffffff"/>',
        _text(LEFT, -6, plot.title, "start"),
    ]
    for x, label in plot.x_ticks:
        parts.append(_text(x, HEIGHT - BOTTOM + 12, label, "middle"))
    for y, label in plot.y_ticks:
        parts.append(f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="#e5e7eb"/>')
        parts.append(_text(LEFT - 4, y + 3, label, "end"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT + 12, across, "middle"))
    for line in plot.lines:
        colour = _COLOURS[line.number % len(_COLOURS)]
        parts.append(f'<polyline points="{line.path}" fill="none" stroke="{colour}"/>')
        parts += [_dot(dot, colour) for dot in line.dots]
        name = line.dots[-1]
        parts.append(
            _text(
                min(name.x, WIDTH - RIGHT - 4), max(name.y - 6, TOP), line.name, "end"
            )
        )
    return "\n".join([*parts, "</svg>\n"])


def _dot(dot: PlotDot, colour: str) -> str:
    title = f"<title>{escape(dot.text)}</title>"
    return f'<circle cx="{dot.x}" cy="{dot.y}" r="3" fill="{colour}">{title}</circle>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
