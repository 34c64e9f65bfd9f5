"""Bar charts, drawn by hand as SVG."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

from benchmarks.measure import amount

__all__ = ["Stroke", "chart"]

_WIDTH, _HEIGHT, _LEFT = 720, 16, 200
_SVG = "http://www.w3.org/2000/svg"
_OURS, _THEIRS, _NOTE = "#1f6feb", "#9aa4b2", "#57606a"


class Stroke(NamedTuple):
    """One bar: seconds of ``who`` in ``group``."""

    group: str
    who: str
    seconds: float
    ours: bool


def chart(strokes: list[Stroke], note: str, *, linear: bool = False) -> str:
    """One group of bars below the other. On a square-root scale unless ``linear``: it shows small values beside large ones."""
    most = max(stroke.seconds for stroke in strokes)
    lines: list[str] = []
    y, group = 24, ""
    for stroke in strokes:
        if stroke.group != group:
            y += 10
            lines.append(f'<text x="4" y="{y + 11}" font-weight="bold">{escape(stroke.group)}</text>')
            y += _HEIGHT
            group = stroke.group
        share = stroke.seconds / most if most else 0
        length = (_WIDTH - _LEFT - 90) * (share if linear else share**0.5)
        colour = _OURS if stroke.ours else _THEIRS
        weight = ' font-weight="bold"' if stroke.ours else ""
        lines += [
            f'<text x="{_LEFT - 6}" y="{y + 11}" text-anchor="end"{weight}>{escape(stroke.who)}</text>',
            f'<rect x="{_LEFT}" y="{y + 1}" width="{max(length, 1):.1f}" height="{_HEIGHT - 3}" fill="{colour}"/>',
            f'<text x="{_LEFT + length + 5:.1f}" y="{y + 11}"{weight}>{amount(stroke.seconds)}</text>',
        ]
        y += _HEIGHT
    scale = "" if linear else ", square-root scale"
    return "\n".join(
        [
            f'<svg xmlns="{_SVG}" width="{_WIDTH}" height="{y + 10}" font-family="sans-serif" font-size="11">',
            '<rect width="100%" height="100%" fill="white"/>',
            f'<text x="4" y="16" fill="{_NOTE}">{escape(note)}{scale}; blue: this library</text>',
            *lines,
            "</svg>\n",
        ]
    )
