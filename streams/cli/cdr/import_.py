"""`callstream cdr import`."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import InvalidCallError
from schemas.messages.topics import CALLS_LISTED
from streams.cli.command_settings import command_settings
from streams.cli.console.output import end_with_problems

if TYPE_CHECKING:
    from schemas.messages.call_listed import CallListed
    from streams.settings import Settings

BATCH = 1_000


def import_calls(
    files: Annotated[list[Path], typer.Argument(help="CSV, or JSON with one object a line, as the mapping says.")],
    mapping: Annotated[
        str, typer.Option(help="What the columns mean: one of `callstream cdr mappings`, or a YAML file of your own.")
    ],
    tenant: Annotated[str, typer.Option(help="Tenant of all calls, where the mapping does not tell it.")] = "default",
    listed_at: Annotated[
        str | None,
        typer.Option(
            help="When the list was written, such as 2026-03-02T10:15:00+08:00; by default when the file was. Of two "
            "lists with the same call the later one counts."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check, and publish nothing.")] = False,
) -> None:
    """Publish the calls of the exchange's own list.

    A call that the list says was recorded, and of which no recording comes in time, becomes `not_received`: it lowers
    recording completeness, and raises an alert. A row that is wrong is named with its line and the reason, one that
    stands twice with its line; neither holds up the others. The same file again changes nothing. Phone numbers are
    made customer keys at once.

    docs/telephony.md describes mappings.
    """
    from processors.telephony.cdr_rows import RowReader
    from schemas.config.cdr_mapping import read_mapping
    from streams.cli.cdr.list_file import Counts, read_list

    settings = command_settings()
    read = read_mapping(mapping)
    days = settings.days

    def zone_of(of_tenant: str) -> tzinfo:
        return days.zone_of(of_tenant)

    publish = _nowhere if dry_run else _publisher(settings)
    problems: list[str] = []
    for file in files:
        counts = Counts()
        written_at = _time(listed_at) if listed_at else _written_at(file)
        reader = RowReader(read, tenant, written_at, zone_of, _customer_key(settings))
        publish(read_list(file, reader, counts))
        for line in counts.doubles:
            typer.echo(f"{file.name}: {line}")
        typer.echo(
            f"{file.name}: {'read' if dry_run else 'published'} {counts.calls} call(s), {counts.further_rows} further "
            f"row(s) of them, passed over {counts.passed_over} row(s), {counts.double} double"
        )
        problems += (f"{file.name}: {problem}" for problem in counts.problems)
        if counts.wrong:
            problems.append(f"{file.name}: left out {counts.wrong} row(s)")
    if problems:
        end_with_problems(problems)


def _nowhere(calls: "Iterable[CallListed]") -> None:
    for _ in calls:
        pass


def _publisher(settings: "Settings") -> "Callable[[Iterable[CallListed]], None]":
    from streams.adapters.kafka.by_hand import publisher_by_hand

    def publish(calls: "Iterable[CallListed]") -> None:
        publisher = publisher_by_hand(settings)
        try:
            for batch in _batches(calls):
                publisher.publish([CALLS_LISTED.record(call) for call in batch])
        finally:
            publisher.close()

    return publish


def _batches(calls: "Iterable[CallListed]") -> "Iterator[list[CallListed]]":
    remaining = iter(calls)
    while batch := list(islice(remaining, BATCH)):
        yield batch


def _customer_key(settings: "Settings") -> Callable[[str, str], str] | None:
    """None without the secret: then customers are not told apart, which no reconciliation needs."""
    return settings.customer_keys.of if settings.customer_key_secret.get_secret_value() else None


def _time(text: str) -> datetime:
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    raise typer.BadParameter("write it as 2026-03-02T10:15:00+08:00", param_hint="--listed-at")


def _written_at(file: Path) -> datetime:
    try:
        return datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except OSError as error:
        raise InvalidCallError(f"{file} cannot be read: {error.strerror}") from None
