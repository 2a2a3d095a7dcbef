"""What is printed is what was stored: it is never read as markup, whatever a team or a queue is called."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.table import Table

from processors.kpi.surges import SurgeAssessment, TopicWindow
from streams.adapters.clickhouse.status import DeadLetterCount
from streams.cli.console.output import console
from streams.queries.data_checks import DATA_CHECKS, CheckResult, results_table
from streams.queries.status import LocalWorkers, PipelineStatus, StageLag, status_tables
from streams.runtime.child_records import ChildCondition
from streams.runtime.heartbeat import WorkerCondition
from streams.stages.watch import surges_table
from tests.streams.cli.terminal import Terminal

STREAMS = Path(__file__).parents[4] / "streams"
NOW = datetime(2026, 3, 1, 10, tzinfo=UTC)
NASTY = ("[/x]", "[bold]north", ":fire:", r"\[red]", "[link=file:///etc]a[/link]")


def tables_with(name: str) -> Iterator[Table]:
    """What `status`, `check data` and `surges` show of a pipeline in which everything has this name."""
    letters = [DeadLetterCount(name, name, 1)]
    local = LocalWorkers(
        [WorkerCondition(name, 1, "works", 2, 3, (name,))], [ChildCondition(name, "ended", 1, 1, name)], {}
    )
    yield from status_tables(PipelineStatus([StageLag(name, name, 1, 2)], {name: 1}, 0, None, letters, 1.0, 8, local))
    yield results_table([CheckResult(DATA_CHECKS[0], name, name, 1, 2, name)])
    yield surges_table([SurgeAssessment(TopicWindow(name, name, name, NOW, 3, ()), "usual")], NOW)


@pytest.mark.parametrize("name", NASTY)
def test_every_table_shows_names_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for table in tables_with(name):
        cells = sum(str(cell).count(name) for column in table.columns for cell in column.cells)
        assert cells
        console().print(table)
        assert capsys.readouterr().out.count(name) == cells


@pytest.mark.parametrize("name", NASTY)
def test_titles_and_lines_are_printed_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    console().print(Table(name, title=name))
    console(soft_wrap=True).print(name)
    assert capsys.readouterr().out.count(name) == 3


def test_nothing_else_makes_a_console_that_would_read_markup() -> None:
    making = [path for path in STREAMS.rglob("*.py") if re.search(r"\bConsole\(", path.read_text(encoding="utf-8"))]
    assert making == [STREAMS / "cli" / "console" / "output.py"]


def test_what_is_not_printed_to_a_terminal_is_wide_unless_columns_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console().width == 180
    monkeypatch.setenv("COLUMNS", "77")
    assert console().width == 77


@pytest.mark.parametrize("name", NASTY)
def test_commands_show_the_names_that_people_give_as_they_are(name: str, terminal: Terminal) -> None:
    quoted = json.dumps(name)
    subscription = f"{{name: desk, tenant: acme, teams: [{quoted}], channel: {{kafka: {{topic: risk.alerts}}}}}}"
    terminal.set(subscriptions_file=terminal.file("subscriptions.yaml", f"subscriptions: [{subscription}]"))
    terminal.set(whisper_hot_words=name)
    for command in (["alerts", "list"], ["config"]):
        shown = terminal.run(*command)
        assert (shown.code, shown.err) == (0, "")
        assert name in shown.out
