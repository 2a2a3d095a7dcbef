"""What a file of telephony says of its call: its name, the JSON file beside it, and what holds for all. Pure."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any

from schemas.errors import InvalidCallError, OperatorError

GROUPS = frozenset(
    (
        *("call_id", "tenant_id", "started_at", "ended_at", "agent_id", "agent_team", "queue", "inquiry_type"),
        *("industry", "customer_number", "inbound", "outbound", "bot"),
    )
)
"""What a pattern of file names may name. `inbound`, `outbound`, `bot` say by matching, the others by what they hold."""

MAX_SIDE_FILE_BYTES = 512 * 1024
NUMBER = "customer_number"
"""In a side file or a name: the phone number, made the key of the customer before anything else is done with it."""


class NamePatternError(OperatorError):
    """A pattern of file names cannot be used; the text says why."""


@dataclass(frozen=True)
class NamePattern:
    """How telephony names recordings: a regular expression with named groups for the whole name, folders left out."""

    pattern: re.Pattern[str]
    time_format: str = "%Y%m%d-%H%M%S"

    @classmethod
    def of(cls, text: str, time_format: str) -> "NamePattern":
        """Raises `NamePatternError`."""
        try:
            pattern = re.compile(text)
        except re.error as error:
            raise NamePatternError(f"collect_names is no regular expression: {error.msg}") from None
        if unknown := sorted(pattern.groupindex.keys() - GROUPS):
            raise NamePatternError(
                f"collect_names has a group {', '.join(unknown)}: groups are {', '.join(sorted(GROUPS))}"
            )
        if "call_id" not in pattern.groupindex:
            raise NamePatternError("collect_names has no group call_id, by which a call is known: (?P<call_id>…)")
        return cls(pattern, time_format)

    def facts(self, name: str, zone_of: Callable[[str], tzinfo], tenant: str) -> dict[str, Any]:
        """Of the call. Raises `InvalidCallError`."""
        found = self.pattern.fullmatch(name)
        if found is None:
            raise InvalidCallError("name: is not as collect_names says")
        told = {group: text for group, text in found.groupdict().items() if text}
        facts: dict[str, Any] = {}
        for group, text in told.items():
            if group in ("started_at", "ended_at"):
                facts[group] = self._time(group, text, zone_of(told.get("tenant_id", tenant)))
            elif group in ("inbound", "outbound"):
                facts["direction"] = group
            elif group == "bot":
                facts["handled_by"] = "bot"
            elif group in ("agent_id", "agent_team"):
                facts.setdefault("agent", {})[group.removeprefix("agent_")] = text
            else:
                facts[group] = text
        return facts

    def _time(self, group: str, text: str, zone: tzinfo) -> str:
        try:
            if self.time_format == "epoch_s":
                return datetime.fromtimestamp(float(text), UTC).isoformat()
            moment = datetime.strptime(text, self.time_format)  # noqa: DTZ007 - the zone is the tenant's
        except (ValueError, OverflowError, OSError):
            raise InvalidCallError(f"{group}: is not a time as collect_name_times says") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).isoformat()


def side_facts(raw: bytes) -> dict[str, Any]:
    """What the JSON file beside a recording says: an object with fields of CallEnded. Raises `InvalidCallError`."""
    try:
        content = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise InvalidCallError("side file: is no JSON in UTF-8") from None
    if not isinstance(content, dict):
        raise InvalidCallError("side file: must hold one JSON object with fields of the call")
    return content


CustomerOf = Callable[[str, str], Mapping[str, Any]]
"""Tenant and phone number → what an event says of the customer. Raises `InvalidCallError` for what is no number."""


@dataclass(frozen=True)
class FileFacts:
    """Puts together what is known of the call of a file: what holds for all, the name, the side file; the last wins."""

    zone_of: Callable[[str], tzinfo]
    customer_of: CustomerOf | None = None
    names: NamePattern | None = None
    usual: Mapping[str, Any] = field(default_factory=dict)
    keeps_last_digits: Callable[[str], bool] = lambda _tenant: False
    """The policy of a tenant (R30): where it is not to keep them, a side file that says them is not believed."""

    def of(self, name: str, side: bytes | None, written_at: datetime) -> dict[str, Any]:
        """Fields of the event. A call that nothing tells the end of ended when its file was written last.

        Raises `InvalidCallError`, which names fields and no value.
        """
        facts = dict(self.usual)
        told = side_facts(side) if side is not None else {}
        if self.names is not None:
            tenant = str(told.get("tenant_id", facts.get("tenant_id", "default")))
            facts = _over(facts, self.names.facts(name, self.zone_of, tenant))
        facts = _over(facts, told)
        facts.setdefault("ended_at", written_at.isoformat())
        return self._without_number(facts)

    def _without_number(self, facts: dict[str, Any]) -> dict[str, Any]:
        tenant, customer = str(facts.get("tenant_id", "default")), facts.get("customer")
        if isinstance(customer, dict) and not self.keeps_last_digits(tenant):
            facts["customer"] = {name: value for name, value in customer.items() if name != "number_last4"}
        number = facts.pop(NUMBER, None)
        if number is None or number == "":
            return facts
        if not isinstance(number, str):
            raise InvalidCallError(f"{NUMBER}: must be a text")
        if self.customer_of is None:
            return facts
        try:
            told = dict(self.customer_of(tenant, number))
        except InvalidCallError:
            raise InvalidCallError(f"{NUMBER}: is not a phone number of 3 to 20 digits") from None
        return _over(facts, {"customer": told})


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the one over those of the other; of parts such as agent and audio field by field."""
    merged = dict(below)
    for name, value in above.items():
        former = merged.get(name)
        merged[name] = {**former, **value} if isinstance(former, dict) and isinstance(value, dict) else value
    return merged
