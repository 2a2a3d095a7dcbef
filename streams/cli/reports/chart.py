"""A KPI over time as a small picture.

There are figures, dates and lines in it and no other text: a server seldom has a font with Chinese characters, a mail
program always has. What the picture shows stands above it in the mail.
"""

import io
from collections.abc import Sequence
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

from processors.kpi.statistics import Estimate, bounds
from schemas.config.kpis.kpi import Kpi
from streams.cli.pages.kpis import in_unit

WIDTH, HEIGHT = 640, 200
_SCALE = 2
"""Drawn larger and made smaller, which smooths the lines."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 24, 16, 30
_INK, _FAINT, _BAND, _LINE, _TARGET = "#333333", "#dddddd", "#d6e4f5", "#1f5fa8", "#b8621b"


def chart_png(kpi: Kpi, labels: Sequence[str], found: Sequence[Estimate], target: float | None) -> bytes | None:
    """A PNG of the values in their order, with intervals as a band and the target as a broken line; null where fewer
    than two values are known. `labels` are ASCII, one for each value.
    """
    values = [(place, each) for place, each in enumerate(found) if each.value is not None]
    if len(values) < 2:
        return None
    shown = [
        number
        for each in found
        for number in (each.value, each.low, each.high)
        if number is not None and each.value is not None
    ]
    low, high = _axis(kpi, [*shown, *([] if target is None else [target])])
    picture = Image.new("RGB", (WIDTH * _SCALE, HEIGHT * _SCALE), "white")
    drawn = ImageDraw.Draw(picture)
    font = ImageFont.load_default(12 * _SCALE)

    def at(place: int, number: float) -> tuple[float, float]:
        across = (WIDTH - _LEFT - _RIGHT) * place / (len(found) - 1)
        up = (HEIGHT - _TOP - _BOTTOM) * (number - low) / (high - low)
        return (_LEFT + across) * _SCALE, (HEIGHT - _BOTTOM - up) * _SCALE

    for number in (low, (low + high) / 2, high):
        _, y = at(0, number)
        drawn.line([(_LEFT * _SCALE, y), ((WIDTH - _RIGHT) * _SCALE, y)], fill=_FAINT, width=_SCALE)
        drawn.text(((_LEFT - 8) * _SCALE, y), in_unit(kpi, number), fill=_INK, font=font, anchor="rm")
    band = [(place, each.low, each.high) for place, each in values if each.low is not None and each.high is not None]
    for (place, below, above), (after, below_after, above_after) in pairwise(band):
        if after == place + 1:
            corners = [at(place, below), at(place, above), at(after, above_after), at(after, below_after)]
            drawn.polygon(corners, fill=_BAND)
    if target is not None:
        _, y = at(0, target)
        for start in range(_LEFT, WIDTH - _RIGHT, 12):
            drawn.line([(start * _SCALE, y), ((start + 6) * _SCALE, y)], fill=_TARGET, width=_SCALE)
    line = [(place, at(place, each.value)) for place, each in values if each.value is not None]
    for (place, here), (after, there) in pairwise(line):
        if after == place + 1:  # what is not known is a gap
            drawn.line([here, there], fill=_LINE, width=2 * _SCALE)
    for _, (x, y) in line:
        drawn.ellipse([x - 3 * _SCALE, y - 3 * _SCALE, x + 3 * _SCALE, y + 3 * _SCALE], fill=_LINE)
    for place in sorted({0, len(labels) // 2, len(labels) - 1}):
        x, _ = at(place, low)
        anchor = "la" if place == 0 else "ra" if place == len(labels) - 1 else "ma"
        drawn.text((x, (HEIGHT - _BOTTOM + 8) * _SCALE), labels[place], fill=_INK, font=font, anchor=anchor)
    written = io.BytesIO()
    picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(written, "PNG", optimize=True)
    return written.getvalue()


def _axis(kpi: Kpi, numbers: Sequence[float]) -> tuple[float, float]:
    """With some air, within what the KPI can be at all, and never of no height."""
    low, high = min(numbers), max(numbers)
    air = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    least, most = (bound * kpi.scale for bound in bounds(kpi.unit))
    return max(low - air, least), min(high + air, most)
