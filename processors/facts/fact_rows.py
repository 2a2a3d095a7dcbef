"""Rows of somebody's table as facts: which column is what, and why a row is none. Pure."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, tzinfo
from decimal import Decimal

from processors.pii.fact_fields import mask_field
from schemas.errors import InvalidCallError, InvalidMessageError, OperatorError
from schemas.messages.fact_received import FactReceived

LONGEST_VALUE = 256
MOST_FIELDS = 64

_SLASHES = re.compile(r"^(\d{4})[/.](\d{1,2})[/.](\d{1,2})(?=\D|$)")
_SHORT_TIME = re.compile(r"[ T](\d):")


class FactColumnsError(OperatorError):
    """The table as a whole cannot be used: a column is missing. The text names it."""

    exit_code = 1


class FactRowError(ValueError):
    """A row is no fact; the text names the column and what is wrong, and no value."""


@dataclass(frozen=True)
class FactColumns:
    """What the columns of a table mean. `fields` is column → name of the field; without any, every other column is one.

    Times without a zone are in `zone`. `customer_key` makes the key of a phone number, where the table has numbers.
    """

    tenant_id: str
    entity: str
    source: str
    key: str
    zone: tzinfo
    valid_from: str | None = None
    as_of: datetime | None = None
    """Where no column says since when it holds."""
    fields: Mapping[str, str] = field(default_factory=dict)
    customer_key: Callable[[str], str] | None = None

    def fields_of(self, columns: Sequence[str]) -> Mapping[str, str]:
        """Column → name of the field, for a table with these columns. Raises `FactColumnsError`."""
        needed = (self.key, *(() if self.valid_from is None else (self.valid_from,)), *self.fields)
        missing = [name for name in dict.fromkeys(needed) if name not in columns]
        if missing:
            raise FactColumnsError(f"there is no column {', '.join(missing)}: there are {', '.join(columns)}")
        doubled = sorted({name for name in columns if columns.count(name) > 1})
        if doubled:
            raise FactColumnsError(f"the column {', '.join(doubled)} stands there twice: give each a name of its own")
        found = self.fields or {name: name for name in columns if name not in (self.key, self.valid_from)}
        if not found:
            raise FactColumnsError("there is no column besides the key and the time: then there is nothing to tell")
        if len(found) > MOST_FIELDS:
            raise FactColumnsError(f"there are {len(found)} fields, more than {MOST_FIELDS}: name those that you need")
        return found

    def fact(self, row: Mapping[str, object], fields: Mapping[str, str]) -> FactReceived:
        """The fact of a row; `fields` as `fields_of` gives them. Cells without anything are left out; phone numbers,
        identity and bank card numbers and e-mail addresses are masked. Raises `FactRowError`."""
        key = text_of(row[self.key], self.zone, self.key)
        if key is None:
            raise FactRowError(f"{self.key}: is empty")
        if self.customer_key is not None:
            try:
                key = self.customer_key(key)
            except InvalidCallError:
                raise FactRowError(f"{self.key}: is not a phone number") from None
        told = {}
        for column, name in fields.items():
            text = text_of(row[column], self.zone, column)
            if text is None:
                continue
            if len(text) > LONGEST_VALUE:
                raise FactRowError(f"{column}: has more than {LONGEST_VALUE} letters")
            told[name] = mask_field(text)
        content = {
            "tenant_id": self.tenant_id,
            "entity": self.entity,
            "key": key,
            "valid_from": self._valid_from(row).isoformat(),
            "fields": told,
            "source": self.source,
        }
        try:
            return FactReceived.decode(json.dumps(content).encode())
        except InvalidMessageError as error:
            raise FactRowError("; ".join(error.problems)) from None

    def _valid_from(self, row: Mapping[str, object]) -> datetime:
        value = self.as_of if self.valid_from is None else row[self.valid_from]
        if isinstance(value, str):
            value = _moment(value)
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time())
        if not isinstance(value, datetime):
            raise FactRowError(f"{self.valid_from or 'as_of'}: is not a time, such as 2026-03-02 10:15:00")
        return (value if value.tzinfo else value.replace(tzinfo=self.zone)).astimezone(UTC)


def text_of(value: object, zone: tzinfo, column: str) -> str | None:
    """A cell as text: times as 2026-03-02T10:15:00+08:00, null and blanks as None. Raises `FactRowError`."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=zone)).isoformat(timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, int | float | str):
        return str(value).strip() or None
    raise FactRowError(f"{column}: is neither text nor a number nor a time")


def _moment(text: str) -> datetime | None:
    """As databases and spreadsheets write it; None where it is no time."""
    text = _SLASHES.sub(lambda day: f"{day[1]}-{day[2]:0>2}-{day[3]:0>2}", text.strip())
    try:
        return datetime.fromisoformat(_SHORT_TIME.sub(r" 0\1:", text))
    except ValueError:
        return None
