"""`write_plot`: a line chart as SVG, with logarithmic x, in the colors of the page that shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 60, 40, 40, 50
STROKES = ("#d6336c", "#1971c2", "#2f9e44", "#e8590c")


def write_plot(
    path: Path, title: str, x_label: str, y_label: str, lines: Mapping[str, Sequence[tuple[float, float]]]
) -> None:
    """Write a chart.

    Args:
        path: of the SVG file.
        title: above the chart.
        x_label: below it.
        y_label: beside it.
        lines: points (x, y) by the name of the line; x is positive, and y begins at 0.
    """
    xs = sorted({x for points in lines.values() for x, _ in points})
    top = _round_up(max(y for points in lines.values() for _, y in points))
    low, high = math.log10(xs[0]), math.log10(xs[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - low) / ((high - low) or 1.0)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)

    middle = HEIGHT / 2
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
    parts = [
        f'{head} font-family="sans-serif" font-size="13" fill="currentColor">',
        f'<text x="{WIDTH / 2}" y="20" text-anchor="middle" font-size="15">{escape(title)}</text>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>',
    ]
    for step in range(5):
        value = top * step / 4
        _, y = place(xs[0], value)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="currentColor" stroke-opacity="0.2"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,g}</text>')
    for x in xs:
        left, _ = place(x, 0)
        parts.append(f'<text x="{left:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:,g}</text>')
    for number, (name, points) in enumerate(lines.items()):
        stroke = STROKES[number % len(STROKES)]
        places = [place(x, y) for x, y in points]
        path_data = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path d="{path_data}" fill="none" stroke="{stroke}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{stroke}"/>' for x, y in places]
        legend = LEFT + 12 + number * 200
        parts.append(f'<path d="M{legend} 32h20" stroke="{stroke}" stroke-width="2"/>')
        parts.append(f'<text x="{legend + 26}" y="36">{escape(name)}</text>')
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


def _round_up(value: float) -> float:
    """Return the next number that four steps divide well."""
    size = 10.0 ** math.floor(math.log10(value))
    return next(size * factor for factor in (1, 2, 4, 8, 10) if size * factor >= value)
