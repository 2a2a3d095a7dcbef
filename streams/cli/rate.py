"""`callstream rate` and `callstream rollup`: what becomes known of calls later, and the roll-ups of KPIs."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from schemas.errors import InvalidMessageError, OperatorError
from schemas.messages.call_rated import CallRated
from schemas.messages.topics import CALLS_RATED
from streams.cli.command_settings import command_settings

EXIT_PROBLEM = 1
BATCH = 1_000


class RatingsError(OperatorError):
    """A statement about a call cannot be used; the sentence names the line and what is wrong with it."""


def rate(
    call_id: Annotated[str | None, typer.Argument(help="The call; not with --file.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant of the call.")] = None,
    score: Annotated[float | None, typer.Option(help="Answer of the customer.")] = None,
    scale: Annotated[str, typer.Option(help="Lowest and highest possible answer.")] = "1,5",
    resolved: Annotated[
        bool | None, typer.Option("--resolved/--unresolved", help="Whether the customer says that it is settled.")
    ] = None,
    order_status: Annotated[str | None, typer.Option(help="Status of the order.")] = None,
    value_tier: Annotated[str | None, typer.Option(help="Value tier of the customer.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Tag of the customer; may be repeated.")] = None,
    source: Annotated[str, typer.Option(help="Who says so, such as sms_survey, crm, orders.")] = "operator",
    at: Annotated[str | None, typer.Option(help="When it was said; by default now.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="Statements as JSON lines (fields of CallRated); - is standard input.")
    ] = None,
) -> None:
    """Publish what became known of a call after it: satisfaction, whether it was settled, order, CRM data.

    A file is read through before anything is published; a line that is wrong is named, and nothing is published.
    """
    from streams.adapters.kafka.client import Publisher

    if (file is None) == (call_id is None):
        raise typer.BadParameter("name either a call or --file", param_hint="CALL_ID")
    if file is not None:
        statements = list(statements_of(_lines(file)))
    else:
        if tenant is None:
            raise typer.BadParameter("say whose call it is", param_hint="--tenant")
        fields: dict[str, Any] = {
            "tenant_id": tenant,
            "call_id": call_id,
            "rated_at": at or datetime.now(UTC).isoformat(timespec="milliseconds"),
            "source": source,
            "csat": None if score is None else _csat(score, scale),
            "resolved": resolved,
            "order_status": order_status,
            "customer_value_tier": value_tier,
            "customer_tags": tag or None,
        }
        statements = list(statements_of([json.dumps(fields)]))
    publisher = Publisher(command_settings())
    try:
        outputs = [CALLS_RATED.record(s) for s in statements]
        for start in range(0, len(outputs), BATCH):
            publisher.publish(outputs[start : start + BATCH])
    finally:
        publisher.close()
    sys.stdout.write(f"published {len(statements)} statement(s)\n")


def statements_of(lines: Iterator[str] | list[str]) -> Iterator[CallRated]:
    """The statements of JSON lines, empty ones left out. Raises `RatingsError`, which names the line but no value."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield CallRated.decode(line.encode("utf-8", errors="surrogateescape"))
        except InvalidMessageError as error:
            raise RatingsError(f"statement {number}: {'; '.join(error.problems)}") from None


def rollup() -> None:
    """Make the roll-ups of KPIs for every day of which something was stored since; `worker rollup` does it for ever."""
    from streams.stages.rollup import build_rollups

    days = build_rollups(command_settings()).refresh()
    for day in days:
        sys.stdout.write(f"{day.isoformat()}\n")
    sys.stderr.write(f"made {len(days)} day(s)\n")


def _lines(file: Path) -> Iterator[str]:
    if str(file) == "-":
        yield from sys.stdin
        return
    try:
        with file.open(encoding="utf-8", errors="surrogateescape") as stream:
            yield from stream
    except OSError as error:
        raise RatingsError(f"{file} cannot be read: {error.strerror}") from None


def _csat(score: float, scale: str) -> dict[str, float]:
    try:
        low, high = (float(end) for end in scale.split(","))
    except ValueError:
        raise typer.BadParameter("write it as 1,5", param_hint="--scale") from None
    return {"score": score, "scale_min": low, "scale_max": high}
