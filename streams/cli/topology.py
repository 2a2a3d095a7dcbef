"""`callstream topology`: every stage with what it reads and writes, as a table or as the documentation shows it."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from schemas.errors import OperatorError
from schemas.messages.topics import TOPICS
from streams.cli.console.output import console
from streams.topology import STAGES, Reads, StageEntry, Writes


class NoMarkersError(OperatorError):
    """A page has no place for the diagram or the table."""


def topology(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a diagram and the table as Markdown.")] = False,
    write: Annotated[
        list[Path] | None,
        typer.Option(
            help="Page to write them into, between <!-- topology-diagram:begin --> and …:end; can be repeated."
        ),
    ] = None,
) -> None:
    """Show every stage, its topics and how it scales."""
    if markdown:
        typer.echo("\n".join(line for block in BLOCKS.values() for line in (*block(), "")), nl=False)
    for page in write or ():
        page.write_text(with_topology(page.read_text(encoding="utf-8"), page.name), encoding="utf-8")
    if markdown or write:
        return
    table = Table("stage", "does", "reads", "writes", "scales by")
    for stage in STAGES:
        table.add_row(stage.name, stage.summary, _names(stage.reads), _names(stage.writes), stage.scales_by)
    console().print(table)


def with_topology(page: str, name: str) -> str:
    """The page with the present diagram and table between its markers. Raises `NoMarkersError` where it has none."""
    written = page
    for block, lines in BLOCKS.items():
        begin, end = f"<!-- {block}:begin -->", f"<!-- {block}:end -->"
        text = "\n".join([begin, *lines(), end])
        written = re.sub(f"{begin}.*?{end}", lambda _match, text=text: text, written, flags=re.DOTALL)  # type: ignore[misc]
    if "<!-- topology-" not in page:
        raise NoMarkersError(f"{name} has no line <!-- topology-diagram:begin --> and no <!-- topology-table:begin -->")
    return written


def _diagram() -> Iterator[str]:
    """Stages are boxes, topics the arrows between them: from each stage that writes one to each that reads it.

    Who reads most topics gets arrows only for those that nobody else reads: with all of them nothing could be seen.
    """
    yield "```mermaid"
    yield "flowchart LR"
    yield from (f"    {stage.name}" for stage in STAGES if not (stage.reads or stage.writes or stage.asks))
    for topic in TOPICS:
        writers = [stage for stage in STAGES if topic in (write.topic for write in stage.writes)]
        readers = [stage for stage in STAGES if topic in (read.topic for read in stage.reads)]
        particular = [stage for stage in readers if len(stage.reads) <= len(TOPICS) // 2]
        yield f"    {_each(writers)} -->|{topic.name}| {_each(particular or readers)}"
    for other in dict.fromkeys(other for stage in STAGES for other in stage.asks):
        yield f"    {_each(stage for stage in STAGES if other in stage.asks)} -.- {other.replace(' ', '_')}[({other})]"
    yield "```"


def _each(stages: Iterable[StageEntry]) -> str:
    return " & ".join(stage.name for stage in stages)


def _table() -> Iterator[str]:
    yield "| stage | what it does | reads | writes | scales by |"
    yield "| --- | --- | --- | --- | --- |"
    for stage in STAGES:
        reads, writes = (", ".join(f"`{edge.topic.name}`" for edge in edges) for edges in (stage.reads, stage.writes))
        yield f"| `{stage.name}` | {stage.summary} | {reads} | {writes} | {stage.scales_by} |"


def _names(edges: Iterable[Reads | Writes]) -> str:
    return "\n".join(edge.topic.name for edge in edges)


BLOCKS: dict[str, Callable[[], Iterator[str]]] = {"topology-diagram": _diagram, "topology-table": _table}
"""Name of the markers → what stands between them."""
