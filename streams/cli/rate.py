"""`callstream rate`: what becomes known about calls later."""

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

BATCH = 1_000


class RatingsError(OperatorError):
    """A statement about a call cannot be used; the sentence names the line and what is wrong with it."""


def rate(
    call_id: Annotated[str | None, typer.Argument(help="Id of the call; leave it out with --file.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant of the call.")] = None,
    score: Annotated[float | None, typer.Option(help="The customer's rating.")] = None,
    scale: Annotated[str, typer.Option(help="Lowest and highest possible rating.")] = "1,5",
    resolved: Annotated[
        bool | None, typer.Option("--resolved/--unresolved", help="Whether the customer considers the matter settled.")
    ] = None,
    order_status: Annotated[str | None, typer.Option(help="Status of the order the call was about.")] = None,
    value_tier: Annotated[str | None, typer.Option(help="The customer's value tier.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Tag of the customer; can be repeated.")] = None,
    source: Annotated[str, typer.Option(help="Where this comes from, such as sms_survey, crm or orders.")] = "operator",
    at: Annotated[
        str | None,
        typer.Option(help="When it became known, with its time zone: 2026-03-02T10:15:00+08:00; by default now."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Statements as JSON lines (fields of CallRated); - reads standard input.")
    ] = None,
) -> None:
    """Publish what became known about a call afterwards.

    This can be the customer's rating, whether the matter was settled, the order status, or CRM data. A file is
    checked as a whole first: if a line is wrong, it is named and nothing is published.
    """
    from streams.adapters.kafka.by_hand import publisher_by_hand

    if (file is None) == (call_id is None):
        raise typer.BadParameter("name either a call or a --file", param_hint="CALL_ID")
    if file is not None:
        statements = list(statements_of(_lines(file)))
    else:
        if tenant is None:
            raise typer.BadParameter("name the tenant of the call", param_hint="--tenant")
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
    publisher = publisher_by_hand(command_settings())
    try:
        outputs = [CALLS_RATED.record(s) for s in statements]
        for start in range(0, len(outputs), BATCH):
            publisher.publish(outputs[start : start + BATCH])
    finally:
        publisher.close()
    typer.echo(f"published {len(statements)} statement(s)")


def statements_of(lines: Iterator[str] | list[str]) -> Iterator[CallRated]:
    """The statements of JSON lines, empty ones left out. Raises `RatingsError`, which names the line but no value."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield CallRated.decode(line.encode("utf-8", errors="surrogateescape"))
        except InvalidMessageError as error:
            raise RatingsError(f"statement {number}: {'; '.join(error.problems)}") from None


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
        raise typer.BadParameter("write the lowest and the highest rating, as in 1,5", param_hint="--scale") from None
    return {"score": score, "scale_min": low, "scale_max": high}
