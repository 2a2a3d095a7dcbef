"""A row of a list of calls as the message `CallListed`, as a mapping says. Pure."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Protocol

from schemas.config.cdr_mapping import CdrCondition, CdrConditions, CdrMapping, Source
from schemas.config.time_zones import time_zone
from schemas.errors import InvalidCallError, InvalidMessageError
from schemas.messages.call_listed import CallListed

CustomerKey = Callable[[str, str], str]
"""Tenant and phone number → the key of the customer. Raises `InvalidCallError` for what is no number."""

_EPOCHS_S = {"epoch_s": 1.0, "epoch_ms": 1e-3, "epoch_us": 1e-6}
_WITHHELD = re.compile(r"(?i)|anonymous|unknown|unavailable|private|restricted|withheld|0+")
"""What exchanges write where a caller does not show a number."""


class Cells(Protocol):
    """The values of a row."""

    def get(self, column: str) -> str:
        """As text; empty where there is none."""
        ...


@dataclass(frozen=True)
class CsvCells:
    """A row of CSV."""

    cells: Mapping[str, str]

    def get(self, column: str) -> str:
        return self.cells.get(column, "").strip()


@dataclass(frozen=True)
class JsonCells:
    """An object of JSON, whose values are found by path."""

    content: Any
    url_encoded: bool = False

    def get(self, column: str) -> str:
        node = self.content
        for step in column.split("."):
            if isinstance(node, Mapping):
                node = node.get(step)
            elif isinstance(node, list) and step.isdecimal() and int(step) < len(node):
                node = node[int(step)]
            else:
                return ""
        if isinstance(node, bool):
            return str(node).lower()
        if not isinstance(node, str | int | float):
            return ""
        text = str(node)
        return (_unquoted(text) if self.url_encoded else text).strip()


@dataclass(frozen=True)
class RowReader:
    """Makes messages of rows.

    A time without a zone is on the clock that the mapping names, else on the tenant's, which `zone_of` gives.
    """

    mapping: CdrMapping
    tenant: str
    listed_at: datetime
    zone_of: Callable[[str], tzinfo]
    customer_key: CustomerKey | None = None
    """None: customers are not told apart."""

    def call(self, cells: Cells) -> CallListed | None:
        """The call of a row; None where the row is no call. Raises `InvalidMessageError`, which names no value."""
        mapping = self.mapping
        if not _holds(mapping.calls_when, cells):
            return None
        tenant = self._text("tenant_id", cells) or self.tenant
        direction = self._text("direction", cells)
        started_at = self._time("started_at", cells, tenant)
        fields: dict[str, Any] = {
            "tenant_id": tenant,
            "call_id": self._text("call_id", cells) or "",
            "recorded": _holds(mapping.recorded_when, cells),
            "started_at": started_at.isoformat(),
            "ended_at": self._end(cells, tenant, started_at).isoformat(),
            "direction": direction,
            "handled_by": self._text("handled_by", cells) or "human",
            "answered": None if mapping.answered_when is None else _holds(mapping.answered_when, cells),
            "agent_id": self._text("agent_id", cells, direction),
            "queue": self._text("queue", cells, direction),
            "customer_key": self._key(cells, tenant, direction),
            "listed_at": self.listed_at.isoformat(),
        }
        return CallListed.decode(json.dumps(fields).encode())

    def _end(self, cells: Cells, tenant: str, started_at: datetime) -> datetime:
        if self.mapping.fields.ended_at is not None:
            return self._time("ended_at", cells, tenant)
        try:
            seconds = float(self._text("duration_s", cells) or "")
            return started_at + timedelta(seconds=seconds)
        except (ValueError, OverflowError):
            raise InvalidMessageError(["duration_s: is not a number of seconds"]) from None

    def _text(self, field: str, cells: Cells, direction: str | None = None) -> str | None:
        source: Source | None = getattr(self.mapping.fields, field)
        return None if source is None else _value(source, cells, direction)

    def _time(self, field: str, cells: Cells, tenant: str) -> datetime:
        """In UTC. Raises `InvalidMessageError`."""
        text = self._text(field, cells)
        if not text:
            raise InvalidMessageError([f"{field}: missing"])
        try:
            moment = _read_time(text, self.mapping.time_format)
        except (ValueError, OverflowError, OSError):
            raise InvalidMessageError([f"{field}: is not a time as the mapping has it"]) from None
        if moment.tzinfo is None:
            zone = time_zone(self.mapping.time_zone) if self.mapping.time_zone else self.zone_of(tenant)
            moment = moment.replace(tzinfo=zone)
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            raise InvalidMessageError([f"{field}: is not in the years that a call may have"]) from None

    def _key(self, cells: Cells, tenant: str, direction: str | None) -> str | None:
        number = self._text("customer_number", cells, direction)
        if self.customer_key is None or number is None or _WITHHELD.fullmatch(number):
            return None
        try:
            return self.customer_key(tenant, number)
        except InvalidCallError:
            raise InvalidMessageError(["customer_number: is not a phone number of 3 to 20 digits"]) from None


def _unquoted(text: str) -> str:
    """`%2B86` as `+86`; what is no UTF-8 is replaced."""
    raw = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), text.encode())
    return raw.decode("utf-8", errors="replace")


def _holds(conditions: CdrConditions, cells: Cells) -> bool:
    return all(_is(condition, cells.get(column)) for column, condition in conditions.items())


def _is(condition: CdrCondition, text: str) -> bool:
    if condition.is_ is not None and text not in condition.is_:
        return False
    if condition.is_not is not None and text in condition.is_not:
        return False
    if condition.matches is not None and not _compiled(condition.matches).search(text):
        return False
    if condition.more_than is None:
        return True
    try:
        return float(text) > condition.more_than
    except ValueError:
        return False


def _value(source: Source, cells: Cells, direction: str | None) -> str | None:
    of_direction = {"inbound": source.inbound, "outbound": source.outbound}.get(direction or "", ())
    for column in of_direction or source.columns:
        text = cells.get(column)
        if text and source.pattern is not None:
            found = _compiled(source.pattern).search(text)
            text = "" if found is None else found[found.re.groups] or ""
        if text:
            return text if source.values is None else source.values.get(text, source.otherwise or text)
    return source.otherwise


def _read_time(text: str, time_format: str) -> datetime:
    """Raises `ValueError`, `OverflowError` and `OSError`."""
    if time_format in _EPOCHS_S:
        return datetime.fromtimestamp(float(text) * _EPOCHS_S[time_format], UTC)
    return datetime.fromisoformat(text) if time_format == "iso" else datetime.strptime(text, time_format)  # noqa: DTZ007


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
