"""Dead letters as `store` wrote them, by what people ask for; and what is stored of the calls that they are about."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from clickhouse_connect.driver.client import Client

from processors.dead_letters.again import LetterState, StoredLetter
from processors.dead_letters.difference import JudgementInShort
from schemas.messages.dead_letter import DeadLetter
from schemas.messages.records import EPOCH
from streams.adapters.clickhouse.statements import read_rows
from streams.ports import CallKey

_COLUMNS = (
    *("dead_letter_id", "step", "source_topic", "source_partition", "source_offset", "exception_class", "problems"),
    *("tenant_id", "call_id", "value_sha256", "value_bytes", "failed_at", "retries", "retry_of", "origin"),
)
_ROUNDING = timedelta(seconds=1)
"""A column holds milliseconds, and the table is sorted by it."""

_HANDLED = ("handling", "handled_at", "handled_by", "handled_reason")


@dataclass(frozen=True)
class LetterFilter:
    """Which dead letters; None and nothing mean any. Times are of the refusal, from `since` to before `until`."""

    tenant_id: str | None = None
    step: str | None = None
    exception_class: str | None = None
    source_topic: str | None = None
    call_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    states: tuple[LetterState, ...] = ()
    ids: tuple[str, ...] = ()

    def conditions(self) -> tuple[str, dict[str, object]]:
        """For WHERE, on the view `dead_letters`, and the parameters: values never become part of the SQL."""
        parts, values = ["1"], dict[str, object]()
        for name in ("tenant_id", "step", "exception_class", "source_topic", "call_id"):
            if (value := getattr(self, name)) is not None:
                parts.append(f"{name} = {{{name}:String}}")
                values[name] = value
        for name, sign, moment in (("since", ">=", self.since), ("until", "<", self.until)):
            if moment is not None:
                parts.append(f"failed_at {sign} fromUnixTimestamp64Milli({{{name}:Int64}}, 'UTC')")
                values[name] = (moment - EPOCH) // timedelta(milliseconds=1)
        for name, column, several in (("states", "state", self.states), ("ids", "dead_letter_id", self.ids)):
            if several:
                parts.append(f"{column} IN {{{name}:Array(String)}}")
                values[name] = list(several)
        return " AND ".join(parts), values

    def described(self) -> Mapping[str, str]:
        """For the audit log: words of ours, ids and times; the tenant is that of the entry."""
        told = {
            "step": self.step,
            "error": self.exception_class,
            "topic": self.source_topic,
            "from": self.since and self.since.isoformat(),
            "to": self.until and self.until.isoformat(),
            "states": ",".join(self.states),
            "ids": str(len(self.ids)) if self.ids else "",
            "one_call": "yes" if self.call_id else "",
        }
        return {name: value for name, value in told.items() if value}


@dataclass(frozen=True)
class LetterCount:
    """How many letters there are of one kind."""

    step: str
    exception_class: str
    source_topic: str
    state: LetterState
    letters: int


@dataclass(frozen=True)
class StoredLetters:
    """Asks the view `dead_letters`. Every method raises as `connect` does."""

    client: Client

    def count(self, wanted: LetterFilter) -> int:
        """How many there are."""
        where, values = wanted.conditions()
        query = f"SELECT count() FROM dead_letters WHERE {where}"  # noqa: S608 - names of ours, values are parameters
        return int(self._rows("the number of dead letters", query, values)[0][0])

    def kinds(self, wanted: LetterFilter, most: int = 200) -> list[LetterCount]:
        """By kind, the most frequent first."""
        where, values = wanted.conditions()
        names = "step, exception_class, source_topic, state"
        rows = self._rows(
            "the kinds of dead letters",
            f"SELECT {names}, count() AS letters FROM dead_letters WHERE {where} "  # noqa: S608
            f"GROUP BY {names} ORDER BY letters DESC, {names} LIMIT {{most:UInt32}}",
            {**values, "most": most},
        )
        return [LetterCount(*row) for row in rows]

    def newest(self, wanted: LetterFilter, most: int) -> list[StoredLetter]:
        """The last that were refused first."""
        return self._letters(*wanted.conditions(), "failed_at DESC, dead_letter_id", most)

    def in_order(self, wanted: LetterFilter, most: int, behind: StoredLetter | None = None) -> list[StoredLetter]:
        """As their messages lie in Kafka: the oldest of each partition first; those behind that one."""
        where, values = wanted.conditions()
        if behind is not None:
            last = behind.letter
            where += " AND (source_topic, source_partition, source_offset, step) > "
            where += "({of_topic:String}, {of_partition:UInt32}, {of_offset:UInt64}, {of_step:String})"
            values |= {
                "of_topic": last.source_topic,
                "of_partition": last.source_partition,
                "of_offset": last.source_offset,
                "of_step": last.step,
            }
        return self._letters(where, values, "source_topic, source_partition, source_offset, step", most)

    def _letters(self, where: str, values: Mapping[str, object], order: str, most: int) -> list[StoredLetter]:
        rows = self._rows(
            "dead letters",
            f"SELECT {', '.join(_COLUMNS)}, state FROM dead_letters WHERE {where} "  # noqa: S608
            f"ORDER BY {order} LIMIT {{most:UInt32}}",
            {**values, "most": most},
        )
        handled = self._handled([row[0] for row in rows if row[-1] != "open"])
        return [
            StoredLetter(_letter(dict(zip(_COLUMNS, row, strict=False)), handled.get(row[0], {})), row[-1])
            for row in rows
        ]

    def _handled(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What was done about which letter by whom, which the view tells in part only."""
        if not ids:
            return {}
        rows = self._rows(
            "what was done about dead letters",
            f"SELECT dead_letter_id, {', '.join(_HANDLED)} FROM dead_letter_versions FINAL "  # noqa: S608
            "WHERE dead_letter_id IN {ids:Array(String)} AND handling != ''",
            {"ids": list(ids)},
        )
        return {row[0]: dict(zip(_HANDLED, row[1:], strict=True)) for row in rows}

    def calls(self, ended: Mapping[CallKey, datetime]) -> dict[CallKey, JudgementInShort]:
        """What is stored of these calls, of which it is known when they ended; those never judged are not in it."""
        if not ended:
            return {}
        asked = {
            "tenants": sorted({tenant for tenant, _ in ended}),
            "calls": sorted({call for _, call in ended}),
            "first": min(ended.values()) - _ROUNDING,
            "last": max(ended.values()) + _ROUNDING,
        }
        rows = self._rows(
            "the stored judgements",
            "SELECT tenant_id, call_id, outcome, version, findings.finding_id FROM call_versions FINAL "
            "WHERE tenant_id IN {tenants:Array(String)} AND call_id IN {calls:Array(String)} "
            "AND ended_at BETWEEN {first:DateTime64(3, 'UTC')} AND {last:DateTime64(3, 'UTC')}",
            asked,
        )
        return {(row[0], row[1]): JudgementInShort(row[2], int(row[3]), frozenset(row[4])) for row in rows}

    def outcomes(self, keys: Collection[CallKey]) -> dict[CallKey, str]:
        """The outcomes of these calls; those that are not known are not in it."""
        if not keys:
            return {}
        rows = self._rows(
            "outcomes",
            "SELECT tenant_id, call_id, outcome FROM outcome_versions FINAL "
            "WHERE tenant_id IN {tenants:Array(String)} AND call_id IN {calls:Array(String)}",
            {"tenants": sorted({tenant for tenant, _ in keys}), "calls": sorted({call for _, call in keys})},
        )
        return {(row[0], row[1]): row[2] for row in rows}

    def known_alerts(self, keys: Collection[CallKey]) -> frozenset[str]:
        """Ids of the alerts that were raised of these calls."""
        if not keys:
            return frozenset()
        rows = self._rows(
            "alerts",
            "SELECT alert_id FROM alert_versions WHERE tenant_id IN {tenants:Array(String)} "
            "AND call_id IN {calls:Array(String)}",
            {"tenants": sorted({tenant for tenant, _ in keys}), "calls": sorted({call for _, call in keys})},
        )
        return frozenset(row[0] for row in rows)

    def _rows(self, operation: str, query: str, values: Mapping[str, object]) -> Sequence[Sequence[Any]]:
        return read_rows(self.client, operation, query, **values)


def _letter(row: dict[str, Any], handled: dict[str, Any]) -> DeadLetter:
    """Built without a look at the forms: what an older release wrote, or a forger, must be told of, too."""
    return DeadLetter.model_construct(
        **{**row, "problems": tuple(row["problems"])}, **{**dict.fromkeys(_HANDLED), **handled}
    )
