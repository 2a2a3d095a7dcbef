"""`callstream facts import`."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.messages.topics import FACTS_RECEIVED
from streams.cli.command_settings import command_settings
from streams.cli.console.output import end_with_problems
from streams.cli.console.times import parse_moment

if TYPE_CHECKING:
    from processors.facts.fact_rows import FactColumns
    from schemas.messages.fact_received import FactReceived
    from streams.cli.facts.tables import FactTable
    from streams.settings import Settings

BATCH = 1_000
NAMED_MOST = 50
"""Rows that are left out are named up to so many, and then counted."""

_SLUG = re.compile(r"[a-z][a-z0-9_]{0,63}")


def import_facts(
    file: Annotated[Path | None, typer.Argument(help="CSV file with a line of names: UTF-8 or GB 18030.")] = None,
    entity: Annotated[
        str, typer.Option(help="What the rows are about: order, customer, credit, agent, queue, course, call …")
    ] = "",
    key: Annotated[str, typer.Option(help="Column that says which one, by the id that calls have.")] = "",
    valid_from: Annotated[str | None, typer.Option(help="Column that says since when the row holds.")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Since when all rows hold, where no column says it: 2026-03-02 or a time.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Column to take, or COLUMN=FIELD to rename it; can be repeated. By default all others."),
    ] = None,
    tenant: Annotated[str, typer.Option(help="Tenant of all rows.")] = "default",
    source: Annotated[str, typer.Option(help="Who says so, such as orders or crm.")] = "import",
    key_is_phone: Annotated[
        bool, typer.Option("--key-is-phone", help="The key is a phone number: make the customer's key of it.")
    ] = False,
    encoding: Annotated[str, typer.Option(help="Encoding of the file, where it is neither UTF-8 nor GB 18030.")] = "",
    from_database: Annotated[
        str | None,
        typer.Option(
            help="In place of a file: address of a database as SQLAlchemy has it. Write - and give it on standard "
            "input, where no other user of the machine sees the password."
        ),
    ] = None,
    query: Annotated[str | None, typer.Option(help="The SELECT to ask that database.")] = None,
    since: Annotated[str | None, typer.Option(help="Value of :since in the query, to ask for what is new.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check, and publish nothing.")] = False,
) -> None:
    """Publish what another system knows of orders, customers, agents or courses.

    Each row says what holds of one thing from a moment on, and is joined to the calls that name it (views facts and
    call_facts). A row that is wrong is named with its line and the reason, and holds up no other. The same rows again
    change nothing, so an import that broke off is simply run again.

    docs/facts.md has examples for MySQL and PostgreSQL.
    """
    from streams.cli.facts.tables import table_of_file, table_of_query

    settings = command_settings()
    columns = _columns(settings, entity, key, valid_from, as_of, column, tenant, source, key_is_phone=key_is_phone)
    table: AbstractContextManager[FactTable]
    if (file is None) == (from_database is None):
        raise typer.BadParameter("name either a file or --from-database", param_hint="FILE")
    if file is not None:
        if query is not None or since is not None:
            raise typer.BadParameter("a file is not asked: leave out --query and --since", param_hint="--query")
        table = table_of_file(file, encoding)
    else:
        if query is None:
            raise typer.BadParameter("write the SELECT to ask the database", param_hint="--query")
        address = sys.stdin.readline().strip() if from_database == "-" else str(from_database)
        table = table_of_query(address, query, since)
    imported = Imported()
    publish = _nowhere if dry_run else _publisher(settings)
    with table as opened:
        publish(imported.facts_of(opened, columns))
    done = "read" if dry_run else "published"
    newest = "" if imported.newest is None else f", the newest valid from {imported.newest.isoformat()}"
    typer.echo(f"{done} {imported.facts} fact(s) of {entity}{newest}")
    if imported.wrong:
        end_with_problems([*imported.problems, f"left out {imported.wrong} row(s)"])


@dataclass
class Imported:
    """What a table came to. `problems` name lines and columns, and no value."""

    facts: int = 0
    wrong: int = 0
    newest: datetime | None = None
    problems: list[str] = field(default_factory=list)

    def facts_of(self, table: "FactTable", columns: "FactColumns") -> "Iterator[FactReceived]":
        """The facts of the rows. Raises `FactColumnsError` and `FactTableError`."""
        from processors.facts.fact_rows import FactRowError

        fields = columns.fields_of(table.columns)
        for row in table.rows:
            try:
                if row.problem:
                    raise FactRowError(row.problem)
                fact = columns.fact(row.cells, fields)
            except FactRowError as error:
                self.wrong += 1
                if len(self.problems) < NAMED_MOST:
                    self.problems.append(f"{row.place}: {error}")
                continue
            self.facts += 1
            self.newest = fact.valid_from if self.newest is None else max(self.newest, fact.valid_from)
            yield fact


def _columns(
    settings: "Settings",
    entity: str,
    key: str,
    valid_from: str | None,
    as_of: str | None,
    wanted: list[str] | None,
    tenant: str,
    source: str,
    *,
    key_is_phone: bool,
) -> "FactColumns":
    from processors.facts.fact_rows import FactColumns

    for name, value in (("--entity", entity), ("--source", source)):
        if not _SLUG.fullmatch(value):
            raise typer.BadParameter("write a word of small letters, digits and _, such as order", param_hint=name)
    if not key:
        raise typer.BadParameter("name the column that says which one", param_hint="--key")
    if (valid_from is None) == (as_of is None):
        raise typer.BadParameter("name either the column --valid-from or one time --as-of", param_hint="--valid-from")
    zone: tzinfo = settings.days.zone_of(tenant)
    customer_key: Callable[[str], str] | None = None
    if key_is_phone:
        keys = settings.customer_keys
        if not keys.secrets.get(keys.current):
            raise typer.BadParameter("needs the setting customer_key_secret", param_hint="--key-is-phone")

        def customer_key(number: str) -> str:
            return keys.of(tenant, number)

    pairs = [each.partition("=") for each in wanted or ()]
    return FactColumns(
        tenant_id=tenant,
        entity=entity,
        source=source,
        key=key,
        zone=zone,
        valid_from=valid_from,
        as_of=None if as_of is None else parse_moment(as_of, "--as-of", zone),
        fields={column: name or column for column, _, name in pairs},
        customer_key=customer_key,
    )


def _nowhere(facts: "Iterable[FactReceived]") -> None:
    for _ in facts:
        pass


def _publisher(settings: "Settings") -> "Callable[[Iterable[FactReceived]], None]":
    from streams.adapters.kafka.by_hand import publisher_by_hand

    def publish(facts: "Iterable[FactReceived]") -> None:
        publisher = publisher_by_hand(settings)
        remaining = iter(facts)
        try:
            while batch := list(islice(remaining, BATCH)):
                publisher.publish([FACTS_RECEIVED.record(fact) for fact in batch])
        finally:
            publisher.close()

    return publish
