"""What the commands of `callstream kpi` have in common."""

from collections.abc import Iterable, Mapping
from typing import Any

import typer
from rich.table import Table

from processors.kpi.reports import Period
from processors.kpi.statistics import FALSE_DISCOVERIES
from schemas.config.kpis.kpi import Kpi
from streams.cli.command_settings import command_settings
from streams.cli.console.output import console, print_json
from streams.cli.console.times import parse_day
from streams.cli.kpi.options import choose_language
from streams.cli.kpi.words import COMPARED, NO_CALLS, WORDS
from streams.settings import Settings

MOST_STEPS = 4_000
"""Days or hours that `--last` may ask for."""


def compared_as_json(q_values: Iterable[float | None]) -> dict[str, Any]:
    """How many comparisons were made, and which share of what is called clear may be due to chance."""
    comparisons = sum(each is not None for each in q_values)
    return {"comparisons": comparisons, "false_discovery_rate": FALSE_DISCOVERIES}


class KpiReport:
    """What all reports have in common: settings, language, period, and how they are printed.

    Today is that of the tenant; where none is named, that of most.
    """

    def __init__(self, lang: str | None, as_json: bool, tenant: str | None = None) -> None:
        from streams.ports import SystemClock

        self.lang = choose_language(lang)
        self.as_json = as_json
        self.settings: Settings = command_settings()
        self.zone = self.settings.days.zone_of(tenant)
        self.now = SystemClock().now()

    def period(self, last: str, first: str | None, to: str | None) -> Period:
        """Raises `typer.BadParameter`."""
        if first is None and to is None:
            return self._last(last)
        if first is None:
            raise typer.BadParameter("--to needs --from", param_hint="--to")
        last_day = parse_day(to, "--to") if to else self.now.astimezone(self.zone).date()
        first_day = parse_day(first, "--from")
        if last_day < first_day:
            raise typer.BadParameter("the last day is before the first", param_hint="--to")
        return Period.days(first_day, last_day, self.zone)

    def word(self, name: str) -> str:
        """A label in the language."""
        zh, en = WORDS[name]
        return zh if self.lang == "zh" else en

    def name(self, kpi: Kpi) -> str:
        """The KPI's."""
        return kpi.name.zh if self.lang == "zh" else kpi.name.en

    def table(self, *names: str, title: str) -> Table:
        return Table(*(self.word(name) for name in names), title=title)

    def print(self, table: Table, rows: int) -> None:
        """The table, or a sentence where it is empty."""
        if not rows:
            typer.echo(NO_CALLS[self.lang])
            return
        console().print(table)

    def print_comparisons(self, comparisons: int) -> None:
        """How many there were, and what that means for what was found; nothing where there were none."""
        if comparisons:
            typer.echo(COMPARED[self.lang].format(comparisons=comparisons, rate=FALSE_DISCOVERIES))

    def print_json(self, period: Period, content: Mapping[str, Any]) -> None:
        head = {"start": period.start.isoformat(), "end": period.end.isoformat()}
        if period.grain == "day":  # of each tenant its own
            head |= {"first_day": period.start.date().isoformat(), "last_day": period.last_day.isoformat()}
        print_json(head | dict(content))

    def title(self, period: Period) -> str:
        if period.grain == "hour":
            return f"{period.start:%Y-%m-%d %H:%M} – {period.end:%Y-%m-%d %H:%M}"
        return f"{period.start:%Y-%m-%d} – {period.last_day:%Y-%m-%d}"

    def _last(self, text: str) -> Period:
        number, unit = text[:-1], text[-1:]
        if unit not in ("d", "h") or not number.isdecimal() or not 1 <= int(number) <= MOST_STEPS:
            raise typer.BadParameter("write days or hours, as in 30d or 24h", param_hint="--last")
        return Period.last(int(number), "day" if unit == "d" else "hour", self.now, self.zone)
