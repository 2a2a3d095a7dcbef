"""`callstream metrics`: the closed list, and the page that is made of it."""

from pathlib import Path

import pytest

from streams.cli.pages.metrics import OPEN, metrics_markdown
from streams.runtime.metrics import METRICS, values_of_label
from tests.streams.cli.terminal import Terminal

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == metrics_markdown(), (
        "run `callstream metrics --markdown > docs/metrics.md`"
    )


@pytest.mark.parametrize("label", sorted({label for metric in METRICS for label in metric.labels}))
def test_each_label_has_its_values_or_a_word_about_them(label: str) -> None:
    assert bool(values_of_label(label)) != (label in OPEN)


def test_the_list_is_shown_to_people_and_to_programs(terminal: Terminal) -> None:
    shown = terminal.run("metrics", "--json")
    assert shown.code == 0
    assert [row["name"] for row in shown.json] == [metric.name for metric in METRICS]
    assert shown.json[0]["labels"] == list(METRICS[0].labels)
    assert "callstream_up_info" in terminal.run("metrics").out
