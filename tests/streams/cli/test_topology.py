"""`callstream topology`, and the pages that show what it prints."""

from pathlib import Path

import pytest

from streams.cli.topology import NoMarkersError, with_topology
from streams.topology import STAGES
from tests.streams.cli.terminal import Terminal

REPOSITORY = Path(__file__).parents[3]
PAGES = [path for path in REPOSITORY.glob("*.md") if "topology-" in path.read_text(encoding="utf-8")] + [
    path for path in (REPOSITORY / "docs").glob("*.md") if "<!-- topology-" in path.read_text(encoding="utf-8")
]


def test_every_stage_is_shown(terminal: Terminal) -> None:
    shown = terminal.run("topology").out
    assert [stage.name for stage in STAGES if stage.name not in shown] == []


def test_the_pages_show_the_present_table() -> None:
    assert {"README.md", "README.zh-CN.md", "architecture.md"} <= {page.name for page in PAGES}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert with_topology(text, page.name) == text, f"run `callstream topology --write {page.name}`"


def test_it_is_written_between_the_markers_and_the_rest_stays(terminal: Terminal, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    markers = "<!-- topology-table:begin -->\nold\n<!-- topology-table:end -->"
    page.write_text(f"before\n{markers}\nafter\n", encoding="utf-8")
    assert terminal.run("topology", "--write", str(page)).code == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| `listen` |" in text
    assert "\nold\n" not in text


def test_a_page_without_markers_is_refused_with_what_to_do() -> None:
    with pytest.raises(NoMarkersError, match=r"page\.md has no line <!-- topology-diagram:begin -->"):
        with_topology("no markers", "page.md")


def test_the_diagram_has_an_arrow_from_each_that_writes_a_topic_to_each_that_reads_it(terminal: Terminal) -> None:
    """But none to `store` of what others read as well: it reads nearly everything."""
    lines = [line.strip() for line in terminal.run("topology", "--markdown").out.splitlines()]
    assert "listen & receive & repair -->|calls.transcribed.v1| judge" in lines
    assert "rate -->|calls.rated.v1| store" in lines
    assert "capture & serve -->|transcripts.received.v1| receive" in lines
