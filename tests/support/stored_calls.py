"""Calls in a database, as tests of search tell them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from clickhouse_connect.driver.client import Client

from processors.clickhouse.rows import (
    CALLS,
    OUTCOMES,
    TRANSCRIPT_STEP,
    TRANSCRIPTS,
    Row,
    TableRows,
    rows_for_analysis,
    rows_for_transcript,
)
from processors.clickhouse.search_sql import FoundCall, Page, SearchQuery
from processors.custody.customer_keys import customer_key
from schemas.messages.call_analysis import (
    CallAnalysis,
    Risk,
    RiskLevel,
    RiskPart,
    Scorecard,
    Selection,
    TopicMention,
    Trigger,
    TriggerName,
)
from schemas.messages.call_ended import Agent, Audio, CallEnded, Customer, Role
from schemas.messages.finding import Finding
from schemas.messages.outcome import Outcome
from schemas.messages.transcript import EngineIdentity, Segment, Transcript
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.queries.search import search
from tests.support.judged_calls import NAMES

T0 = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
"""The calls of the tests lie in several months before it."""
ENGINE = EngineIdentity(name="written", version="1", model="none")
SECRET = "a secret of the tests"
PHONE = "138 0013 8000"


LATER_OF_LETTERS = ("retries", "retry_of", "origin", "handling", "handled_at", "handled_by", "handled_reason")
"""Columns of dead letters that came with what is done about them."""


def as_before_migration_16(rows: TableRows) -> TableRows:
    """With the version that an analysis had while its transcript did not count for it, without later columns."""
    return {
        table: [
            _without_later_columns(row) | {"version": int(str(row["version"])) % TRANSCRIPT_STEP} for row in of_table
        ]
        if table in (CALLS, OUTCOMES)
        else [_without_later_columns(row) for row in of_table]
        for table, of_table in rows.items()
    }


def _without_later_columns(row: Row) -> Row:
    later = (
        *("response_delays_ms", "selected", "roles_doubtful", "sounds"),
        *("initial_call_id", "previous_call_id", "related_call_ids", "transferred_to"),
        *("hold_ms", "queue_wait_ms", "after_call_work_ms", "disconnected_by"),
        *(LATER_OF_LETTERS if "dead_letter_id" in row else ()),
    )
    return {name: value for name, value in row.items() if not name.startswith(later)}


@dataclass(frozen=True)
class Call:
    """A call as a test tells it: what was said, and what was found in it."""

    call_id: str
    said: tuple[tuple[Role, str], ...] = (("agent", "您好"), ("customer", "我要退款"))
    tenant: str = "acme"
    ended_at: datetime = T0
    agent: str = "A1"
    team: str | None = None
    customer: str | None = None
    queue: str | None = None
    inquiry_type: str | None = None
    order_id: str | None = None
    order_status: str | None = None
    direction: Literal["inbound", "outbound"] = "inbound"
    tags: tuple[str, ...] = ()
    tier: str | None = None
    topics: tuple[str, ...] = ()
    risk: RiskLevel | None = None
    triggers: tuple[TriggerName, ...] | None = None
    rules: tuple[tuple[str, str, str], ...] = ()
    """Detector, rule and what was matched."""
    score: float | None = None
    agitation: float | None = None
    duration_ms: int | None = None
    silence_ms: int | None = None
    outcome: Outcome = "analyzed"

    @property
    def event(self) -> CallEnded:
        return CallEnded(
            tenant_id=self.tenant,
            call_id=self.call_id,
            direction=self.direction,
            started_at=self.ended_at - timedelta(minutes=3),
            ended_at=self.ended_at,
            agent=Agent(id=self.agent, team=self.team),
            customer=Customer(key=self.customer, tags=self.tags, value_tier=self.tier),
            queue=self.queue,
            inquiry_type=self.inquiry_type,
            order_id=self.order_id,
            order_status=self.order_status,
            audio=Audio(uri=f"s3://callstream/{self.call_id}.wav", sha256="0" * 64, bytes=44),
        )

    def transcript(self, *, after_s: float = 60) -> Transcript:
        return Transcript(
            tenant_id=self.tenant,
            call_id=self.call_id,
            call=self.event,
            engine=ENGINE,
            segments=tuple(
                Segment(
                    segment_id=number,
                    channel=number % 2,
                    role=role,
                    start_ms=number * 1_000,
                    end_ms=number * 1_000 + 900,
                    text=text,
                    confidence=0.5,
                )
                for number, (role, text) in enumerate(self.said)
            ),
            transcribed_at=self.ended_at + timedelta(seconds=after_s),
        )

    def _selection(self) -> Selection | None:
        if self.triggers is None:
            return None
        triggers = tuple(Trigger(name=name, reason="told") for name in sorted(self.triggers))
        return Selection(selected=bool(triggers), triggers=triggers)

    def analysis(self, *, version: int = 1) -> CallAnalysis:
        scorecard = None
        if self.score is not None:
            scorecard = Scorecard(form_id="general", form_version=1, score=self.score, groups={}, items=())
        return CallAnalysis(
            tenant_id=self.tenant,
            call_id=self.call_id,
            call=self.event,
            analysis_version=version,
            lexicon_version="1",
            outcome=self.outcome,
            outcome_reason="told",
            engine=ENGINE,
            measures={
                "duration_ms": self.duration_ms,
                "customer_agitation_max": self.agitation,
                "longest_silence_ms": self.silence_ms,
            },
            findings=tuple(
                Finding(
                    finding_id=f"{self.call_id}/{number}",
                    detector=detector,
                    rule_id=rule_id,
                    rule_version="1",
                    category="promise",
                    role="agent",
                    start_ms=2_000,
                    end_ms=2_900,
                    quote=f"我们{matched}的",
                    matched=matched,
                    severity="high",
                )
                for number, (detector, rule_id, matched) in enumerate(self.rules)
            ),
            topics=tuple(
                TopicMention(
                    topic_id=topic, name=NAMES.get(topic, topic), role="customer", quote="我要退款", confidence=0.5
                )
                for topic in self.topics
            ),
            scorecard=scorecard,
            selection=self._selection(),
            risk=Risk(
                level=self.risk, score=1, reasons=("told",), parts=(RiskPart(part="told", points=1, reason="told"),)
            )
            if self.risk
            else None,
            transcribed_at=self.ended_at,
            analyzed_at=self.ended_at + timedelta(seconds=90),
        )


@dataclass
class Store:
    """A migrated database with calls in it."""

    url: str
    client: Client
    sink: ClickHouseSink = field(init=False)

    def __post_init__(self) -> None:
        self.sink = ClickHouseSink(self.client)

    def write(self, *calls: Call, version: int = 1, after_s: float = 60, without: tuple[str, ...] = ()) -> None:
        """One delivery of each call; a `store` of earlier did not know the columns `without`, of transcripts."""
        rows: TableRows = {}
        for call in calls:
            transcript, analysis = call.transcript(after_s=after_s), call.analysis(version=version)
            for made in (rows_for_transcript(transcript), rows_for_analysis(analysis)):
                for table, more in made.items():
                    rows.setdefault(table, []).extend(more)
        for row in rows.get(TRANSCRIPTS, []):
            for column in without:
                del row[column]
        self.sink.write(as_before_migration_16(rows) if without else rows)

    def merge_texts(self) -> None:
        """What ClickHouse does by itself after a while: the text index exists from then on."""
        self.client.command("OPTIMIZE TABLE search_text_versions FINAL")

    def page(self, *, limit: int = 20, cursor: str | None = None, **conditions: object) -> Page:
        query = SearchQuery.model_validate({"tenants": ("acme",), **conditions})
        return search(self.client, query, limit=limit, cursor=cursor)

    def ids(self, **conditions: Any) -> list[str]:
        return [hit.call_id for hit in self.all(**conditions)]

    def all(self, *, limit: int = 50, **conditions: object) -> list[FoundCall]:
        """Every page."""
        hits: list[FoundCall] = []
        cursor: str | None = None
        while True:
            page = self.page(limit=limit, cursor=cursor, **conditions)
            hits += page.hits
            cursor = page.next_cursor
            if cursor is None:
                return hits


KEY = customer_key(PHONE, SECRET)
LONELY = Call("plain", (), agent="A2", ended_at=T0 - timedelta(days=100))
RICH = Call(
    "rich",
    (("customer", "我要退款"),),
    ended_at=T0 - timedelta(days=40),
    agent="A1",
    team="north",
    customer=KEY,
    queue="售后",
    inquiry_type="退款",
    order_id="O-1",
    topics=("refund", "delay"),
    risk="high",
    triggers=("sensitive_word", "duration_anomaly"),
    rules=(("sensitive_words", "finance.promise", "保本"), ("rules", "finance.notice", "录音")),
    score=59.5,
    agitation=0.8,
    duration_ms=200_000,
    order_status="退款中",
    direction="outbound",
    tags=("老客户",),
    tier="gold",
    silence_ms=12_000,
)
