"""KPIs as a table for files: numbers as numbers, in the unit of each KPI, and headings in the language asked for."""

from collections.abc import Sequence

from processors.kpi.hours import HourLine
from processors.kpi.reports import KpiLine
from schemas.config.kpis.kpi import DIMENSIONS, Dimension, Kpi
from streams.cli.console.table_file import Cell, FileTable, Share
from streams.cli.kpi.words import WORDS, Language


def kpi_file_table(lines: Sequence[KpiLine], dimension: Dimension, lang: Language, title: str) -> FileTable:
    """A row for each group and KPI, in the order of the lines."""
    names = (
        *("tenant", *DIMENSIONS[dimension], "kpi_id", "kpi", "unit", "value", "low", "high", "n", "pending_calls"),
        *("target", "verdict", "trend", "q", "before_value", "before_n"),
    )
    zh = lang == "zh"
    headings = tuple(WORDS[name][0 if zh else 1] for name in names)
    return FileTable(title, headings, [_row(line, zh=zh) for line in lines])


def hours_file_table(kpi: Kpi, lines: Sequence[HourLine], lang: Language, title: str) -> FileTable:
    """A row for each hour; the weekday, from 1 for Monday, is empty where all days are taken together."""
    zh = lang == "zh"
    names = ("tenant", "weekday", "hour", "kpi_id", "kpi", "unit", "value", "low", "high", "n", "pending_calls")
    name = kpi.name.zh if zh else kpi.name.en
    rows = [
        (
            *(line.tenant_id, line.weekday, line.hour, kpi.id, name, kpi.unit),
            *(_number(kpi, each) for each in (line.found.value, line.found.low, line.found.high)),
            *(line.found.n, line.found.pending),
        )
        for line in lines
    ]
    return FileTable(title, tuple(WORDS[each][0 if zh else 1] for each in names), rows)


def _row(line: KpiLine, *, zh: bool) -> tuple[Cell, ...]:
    def word(name: str) -> str:
        return WORDS[name][0 if zh else 1]

    kpi, found = line.kpi, line.found
    return (
        line.tenant_id,
        *line.key,
        kpi.id,
        kpi.name.zh if zh else kpi.name.en,
        kpi.unit,
        *(_number(kpi, each) for each in (found.value, found.low, found.high)),
        found.n,
        found.pending,
        _number(kpi, line.target),
        word(line.target_status),
        word(line.trend),
        line.q_value,
        _number(kpi, line.before.value),
        line.before.n,
    )


def _number(kpi: Kpi, value: float | None) -> Cell:
    if value is None:
        return None
    return Share(value) if kpi.unit == "share" else float(value)
