"""Judged calls for tests about other calls: baselines, earlier contacts, counts of topics."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from clickhouse_connect.driver.client import Client

from processors.clickhouse.rows import rows_for_analysis
from schemas.messages.call_analysis import CallAnalysis, TopicMention
from schemas.messages.call_ended import Agent, Audio, CallEnded, Customer
from schemas.messages.outcome import Outcome
from schemas.messages.transcript import EngineIdentity
from streams.adapters.clickhouse.sink import ClickHouseSink

NOW = datetime(2026, 3, 31, 22, 37, 11, tzinfo=UTC)
"""Close to the end of a month, so that a week of calls lies in two partitions with a look a few hours later."""

CUSTOMER = "c" * 64
NAMES = {"logistics_delay": "物流延迟", "refund": "退款流程复杂"}


def an_event(call_id: str, ended_at: datetime, duration_ms: int = 240_000, **facts: Any) -> CallEnded:
    """A call of tenant acme that ended then; `customer` may be a key."""
    key = facts.pop("customer", None)
    return CallEnded.model_validate(
        {
            "tenant_id": "acme",
            "call_id": call_id,
            "direction": "inbound",
            "started_at": ended_at - timedelta(milliseconds=duration_ms),
            "ended_at": ended_at,
            "agent": Agent(id="A1"),
            "customer": Customer(key=key),
            "audio": Audio(uri=f"s3://callstream/{call_id}.wav", sha256="0" * 64, bytes=44),
        }
        | facts
    )


def judged(
    call: CallEnded,
    duration_ms: int | None = 240_000,
    *,
    topics: Iterable[str] = (),
    outcome: Outcome = "analyzed",
    version: int = 1,
) -> CallAnalysis:
    """The analysis of that call; `topics` may name one twice, as a caller may."""
    return CallAnalysis(
        tenant_id=call.tenant_id,
        call_id=call.call_id,
        call=call,
        analysis_version=version,
        lexicon_version="none",
        outcome=outcome,
        outcome_reason="complete",
        engine=EngineIdentity(name="written", version="1", model="none"),
        measures={"duration_ms": duration_ms},
        topics=tuple(
            TopicMention(topic_id=topic, name=NAMES[topic], role="customer", quote="快递还没到", confidence=0.9)
            for topic in topics
        ),
        transcribed_at=call.ended_at,
        analyzed_at=call.ended_at + timedelta(minutes=version),
    )


@dataclass
class FixedClock:
    """A clock that a test sets."""

    moment: datetime = NOW

    def now(self) -> datetime:
        return self.moment


@dataclass
class ClickHouseCalls:
    """Takes analyses as `store` does."""

    client: Client
    sink: ClickHouseSink = field(init=False)

    def __post_init__(self) -> None:
        self.sink = ClickHouseSink(self.client)

    def add(self, *analyses: CallAnalysis) -> None:
        """One delivery, in one insert."""
        rows: dict[str, list[Any]] = {}
        for analysis in analyses:
            for table, table_rows in rows_for_analysis(analysis).items():
                rows.setdefault(table, []).extend(table_rows)
        self.sink.write(rows)

    def close(self) -> None:
        with suppress(Exception):
            self.client.close()
