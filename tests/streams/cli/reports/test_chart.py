"""The picture of a KPI, read back."""

import io

from PIL import Image

from processors.kpi.statistics import Estimate
from schemas.config.kpis.kpi import read_kpis
from streams.cli.reports.chart import chart_png

LABELS = ("2026-W01", "2026-W02", "2026-W03")
SHARE = next(kpi for kpi in read_kpis().kpis if kpi.id == "mandatory_scripts")


def rows_with_line(values: tuple[float, ...]) -> list[int]:
    """Rows of the picture in which the blue line of the values is."""
    png = chart_png(SHARE, LABELS, [Estimate(50, value) for value in values], None)
    assert png is not None
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    across, down = picture.size
    blue = (0x1F, 0x5F, 0xA8)
    return [y for y in range(down) if any(picture.getpixel((x, y)) == blue for x in range(across))]


def test_the_axis_of_a_share_ends_at_one_hundred_percent() -> None:
    """Whoever reads 101.2 % asks what else is wrong."""
    whole, less = rows_with_line((1.0, 1.0, 1.0)), rows_with_line((0.9, 0.9, 0.9))
    assert min(whole) < 20 < min(less), "at the upper end, where there is no air above"
