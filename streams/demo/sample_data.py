"""Invented calls to try dashboards and queries on: `callstream sample-data`.

Only events and what was said are invented. The rest comes about as with a real call: the shipped rules judge the
transcripts, and rows are made and written by what `store` uses.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field

from processors.alerts.raising import alerts_of
from processors.clickhouse.rows import (
    TableRows,
    rows_for_alert,
    rows_for_alert_delivery,
    rows_for_analysis,
    rows_for_call_ended,
    rows_for_dead_letter,
    rows_for_fact_received,
    rows_for_transcript,
)
from processors.judging.baselines import Group, baseline_of, group_of, moment_of
from processors.judging.call_context import Background, DurationBaseline
from processors.judging.earlier_contacts import contacts_before
from processors.judging.pipeline import Judge, JudgeSettings
from schemas.config.tenants import Tenants
from schemas.config.yaml_files import read_yaml_file
from schemas.errors import OperatorError
from schemas.messages.alert import Alert
from schemas.messages.alert_delivery import AlertDelivery, DeliveryOutcome
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import Agent, Audio, CallEnded, Csat, Customer, Role
from schemas.messages.dead_letter import DeadLetter
from schemas.messages.emotion import SegmentEmotion
from schemas.messages.fact_received import FactReceived
from schemas.messages.interval import Interval
from schemas.messages.message import Record, Slug
from schemas.messages.outcome import Outcome
from schemas.messages.topics import CALLS_ENDED
from schemas.messages.transcript import AudioFacts, EngineIdentity, Segment, Transcript
from streams.demo.sample_facts import SampleFacts, SampleTelephony
from streams.ports import Sink

SAMPLE_TENANT = "sample"
SAMPLE_TENANTS = Tenants(version=1, claims=("ecommerce", "education", "finance", "medical", "telecom"))
"""The invented company sells what the example claims of the shipped packs say."""
DIALOGUES_FILE = Path(__file__).parent / "sample_dialogues.yaml"
ZONE = ZoneInfo("Asia/Shanghai")
BATCH_CALLS = 500

Seniority = Literal["new", "regular", "senior"]
Trait = Literal["notice", "angry", "soothes", "explains", "lapse", "resolved", "holds", "polite"]

_ENGINE = EngineIdentity(name="invented", version="1", model="sample-data")
_BAND_AIM_MS = 250_000
"""Calls are filled up to about this length, give or take."""
_SENIORITIES: tuple[tuple[Seniority, int, float], ...] = (
    ("new", 45, 0.4),
    ("regular", 500, 0.7),
    ("senior", 1_500, 0.82),
)
"""With days of work at least, and usual care."""
_DAILY_WEIGHTS = (1.15, 1.1, 1.0, 1.0, 1.05, 0.75, 0.6)
_HOURLY_WEIGHTS = {9: 6, 10: 10, 11: 9, 12: 4, 13: 5, 14: 8, 15: 9, 16: 8, 17: 6, 18: 4, 19: 5, 20: 6, 21: 3}


class DatabaseInUseError(OperatorError):
    """The database already contains calls."""


class SampleTurn(Record):
    """One turn; `when` is a trait that the call must have, or after `not` one that it must not."""

    by: Role
    say: tuple[str, ...] = Field(min_length=1)
    when: str = ""
    pause_s: tuple[float, float] = (0.4, 1.6)


class Scenario(Record):
    """What a call is about, and how often."""

    id: Slug
    industry: Slug
    weight: float
    direction: Literal["inbound", "outbound"] = "inbound"
    queue: str
    inquiry_type: str
    order_status: tuple[str, ...] = ()
    course_type: Slug | None = None
    angry: float
    turns: tuple[SampleTurn, ...]


class Dialogues(Record):
    """The file of sample dialogues."""

    openings: tuple[SampleTurn, ...]
    calling_out: tuple[SampleTurn, ...]
    closings: tuple[SampleTurn, ...]
    hold: tuple[SampleTurn, ...]
    fillers: tuple[tuple[SampleTurn, ...], ...]
    scenarios: tuple[Scenario, ...]


@dataclass(frozen=True)
class SampleAgent:
    """An invented agent, and how often they do what they should."""

    id: str
    team: str
    queues: tuple[str, ...]
    desk: str
    hired_on: date
    seniority: Seniority
    care: float
    """0 to 1; the higher, the more is said that must be, and the less that must not."""
    haste: float
    """Probability to cut in on a long turn of the customer."""


@dataclass(frozen=True)
class SampleSpan:
    """How many calls, over how many days up to when. The same span and seed give the same calls."""

    calls: int
    days: int
    until: datetime
    seed: int = 1


@dataclass
class _Past:
    """The calls before, as `judge` would find them in ClickHouse."""

    contacts: dict[str, list[CallAnalysis]] = field(default_factory=lambda: defaultdict(list))
    durations: dict[Group, list[tuple[datetime, int]]] = field(default_factory=lambda: defaultdict(list))
    baselines: dict[tuple[Group, datetime], DurationBaseline | None] = field(default_factory=dict)

    def background(self, call: CallEnded) -> Background:
        contacts = self.contacts[call.customer.key] if call.customer.key else ()
        return Background(self._baseline(call), contacts_before(call, contacts))

    def _baseline(self, call: CallEnded) -> DurationBaseline | None:
        group, until = group_of(call), moment_of(call.ended_at)
        if (group, until) not in self.baselines:
            known = self.durations[group]
            first, last = (bisect_left(known, (moment, 0)) for moment in (until - timedelta(days=28), until))
            found = [duration_ms for _, duration_ms in known[first:last]]
            self.baselines[group, until] = baseline_of(found) if found else None
        return self.baselines[group, until]

    def add(self, analysis: CallAnalysis) -> None:
        if analysis.outcome == "analyzed" and (duration_ms := analysis.measures.get("duration_ms")):
            self.durations[group_of(analysis.call)].append((analysis.call.ended_at, int(duration_ms)))
        if analysis.call.customer.key:
            self.contacts[analysis.call.customer.key].append(analysis)


def sample_rows(span: SampleSpan, judge: Judge | None = None) -> Iterator[TableRows]:
    """The rows of all calls in order of time, in batches of up to `BATCH_CALLS` calls."""
    random = Random(span.seed)  # noqa: S311 - nothing is secret here
    judge = judge or Judge(JudgeSettings(tenants=SAMPLE_TENANTS))
    past = _Past()
    calls = _Calls(span, random)
    facts = SampleFacts(SAMPLE_TENANT, span.seed, span.until, ZONE)
    first = span.until - timedelta(days=span.days)
    batch: dict[str, list[dict[str, object]]] = defaultdict(list)
    for fact in (*facts.of_agents(calls.agents, first), *facts.of_courses(first)):
        _add(batch, _rows_of_fact(fact))
    for number, call in enumerate(calls):
        for rows in _rows_of_call(call, random, judge, past, last=number >= span.calls - 3):
            _add(batch, rows)
        for fact in facts.of_call(call.event):
            _add(batch, _rows_of_fact(fact))
        if number % BATCH_CALLS == BATCH_CALLS - 1:
            yield dict(batch)
            batch.clear()
    if batch:
        yield dict(batch)


def _add(batch: dict[str, list[dict[str, object]]], rows: TableRows) -> None:
    for table, found in rows.items():
        batch[table].extend(found)


def _rows_of_fact(fact: FactReceived) -> TableRows:
    return rows_for_fact_received(fact, fact.valid_from, 0)


def write_sample(span: SampleSpan, sink: Sink, tenants: Sequence[str]) -> Iterator[int]:
    """Write the rows; yields how many calls are done after each batch.

    `tenants` are those whose calls the database holds already: raises `DatabaseInUseError` when there is any.
    """
    if tenants:
        raise DatabaseInUseError(
            f"The database holds calls already (tenant {tenants[0]}); sample data goes into an empty database only: "
            "name another one in CALLSTREAM_CLICKHOUSE_URL."
        )
    done = 0
    for rows in sample_rows(span):
        sink.write(rows)
        done = min(span.calls, done + BATCH_CALLS)
        yield done


@dataclass(frozen=True)
class _SampleCall:
    """The event of a call, and what happens in it."""

    event: CallEnded
    scenario: Scenario
    agent: SampleAgent
    traits: frozenset[Trait]
    turns: tuple[tuple[Role, int, int, str], ...]
    duration_ms: int


class _Calls:
    """Iterates over the calls in order of time."""

    def __init__(self, span: SampleSpan, random: Random) -> None:
        self._span = span
        self._random = random
        self._dialogues = read_yaml_file(DIALOGUES_FILE, Dialogues, lambda *_: "").content
        self._agents = _agents(random, span.until.date())
        self._recent: list[str] = []
        self._telephony = SampleTelephony(span.seed)

    @property
    def agents(self) -> list[tuple[str, date]]:
        """Number and first day of each agent."""
        return [(agent.id, agent.hired_on) for agent in self._agents]

    def __iter__(self) -> Iterator[_SampleCall]:
        for number, ended_at in enumerate(self._moments()):
            yield self._call(number, ended_at)

    def _moments(self) -> list[datetime]:
        """Ends of calls: fewer at the weekend, most before noon and in the afternoon, a few in the night."""
        random, until = self._random, self._span.until.astimezone(ZONE)
        days = [until - timedelta(days=age) for age in range(self._span.days)]
        weights = [_DAILY_WEIGHTS[day.weekday()] for day in days]
        hours, hour_weights = list(_HOURLY_WEIGHTS), list(_HOURLY_WEIGHTS.values())
        found: list[datetime] = []
        while len(found) < self._span.calls:
            (day,) = random.choices(days, weights)
            hour = random.choices(hours, hour_weights)[0] if random.random() < 0.97 else random.randrange(24)
            moment = day.replace(hour=hour, minute=random.randrange(60), second=random.randrange(60), microsecond=0)
            if until - timedelta(days=self._span.days) <= moment <= until - timedelta(seconds=40):
                found.append(moment.astimezone(UTC))
        return sorted(found)

    def _call(self, number: int, ended_at: datetime) -> _SampleCall:
        random = self._random
        scenarios = self._dialogues.scenarios
        late = (self._span.until - ended_at).days < self._span.days // 6  # parcels are late towards the end
        weights = [one.weight * (2.2 if late and one.id == "late_delivery" else 1) for one in scenarios]
        (scenario,) = random.choices(scenarios, weights)
        agent = random.choice([agent for agent in self._agents if scenario.queue in agent.queues])
        traits = self._traits(scenario, agent, ended_at)
        turns = self._turns(scenario, agent, traits)
        duration_ms = turns[-1][2] + random.randrange(300, 1_500)
        customer = self._customer()
        csat = None
        if random.random() < 0.38:
            mood = 4.6 - 1.7 * ("angry" in traits) - 1.3 * ("resolved" not in traits) + 0.4 * ("soothes" in traits)
            csat = Csat(score=float(max(1, min(5, round(random.gauss(mood, 0.7))))))
        call_id = f"{scenario.industry}-{number + 1:06d}"
        event = CallEnded(
            tenant_id=SAMPLE_TENANT,
            call_id=call_id,
            direction=scenario.direction,
            started_at=ended_at - timedelta(milliseconds=duration_ms),
            ended_at=ended_at,
            agent=Agent(id=agent.id, team=agent.team, hired_on=agent.hired_on, seniority=agent.seniority),
            customer=customer,
            queue=scenario.queue,
            inquiry_type=scenario.inquiry_type,
            industry=scenario.industry,
            course_type=scenario.course_type,
            order_id=f"SO{random.randrange(10**8):08d}" if scenario.order_status else None,
            order_status=random.choice(scenario.order_status) if scenario.order_status else None,
            recording_notice_played=None,
            language_hint="zh",
            audio=Audio(
                uri=f"s3://callstream/recordings/{SAMPLE_TENANT}/{call_id}.wav",
                sha256=sha256(call_id.encode()).hexdigest(),
                bytes=44 + duration_ms * 32,
                channel_roles=("agent", "customer"),
            ),
            csat=csat,
        )
        event = self._telephony.told(event, holds="holds" in traits)
        return _SampleCall(event, scenario, agent, traits, turns, duration_ms)

    def _customer(self) -> Customer:
        """A customer: some call again within days, a few withhold their number."""
        random = self._random
        if random.random() < 0.04:
            return Customer()
        again = self._recent and random.random() < 0.2
        name = random.choice(self._recent[-400:]) if again else str(random.randrange(10**9))
        self._recent.append(name)
        key = sha256(f"{SAMPLE_TENANT}/{name}".encode()).hexdigest()
        tier = ("gold", "silver", "silver", "regular", "regular", "regular", "regular")[int(key[:4], 16) % 7]
        tags = ("高价值客户",) if tier == "gold" else ("投诉过",) if key[4] == "0" else ()
        return Customer(key=key, value_tier=tier, tags=tags)

    def _traits(self, scenario: Scenario, agent: SampleAgent, ended_at: datetime) -> frozenset[Trait]:
        random = self._random
        tired = 0.05 if ended_at.astimezone(ZONE).hour >= 19 else 0.0
        care = agent.care - tired
        angry = random.random() < 0.6 * scenario.angry
        chances: dict[Trait, float] = {
            "notice": 0.82 + 0.18 * care,
            "soothes": (0.15 + 0.75 * care) if angry else 0.1,
            "explains": 0.45 + 0.5 * care,
            "lapse": 0.4 * (1 - care) ** 1.5 + (0.05 if angry else 0.0) * (1 - care),
            "holds": 0.55,
            "polite": 0.5 + 0.48 * care,
        }
        traits: set[Trait] = {trait for trait, chance in chances.items() if random.random() < chance}
        if angry:
            traits.add("angry")
        if random.random() < 0.35 + 0.4 * ("explains" in traits) + 0.2 * care - 0.2 * angry:
            traits.add("resolved")
        return frozenset(traits)

    def _turns(
        self, scenario: Scenario, agent: SampleAgent, traits: frozenset[Trait]
    ) -> tuple[tuple[Role, int, int, str], ...]:
        """Role, start, end, text; a hasty agent cuts in, a slow one lets the customer wait."""
        random, said = self._random, self._dialogues
        opening = said.calling_out if scenario.direction == "outbound" else said.openings
        script = [*opening, *scenario.turns[:2], *(said.hold if "holds" in traits else ()), *scenario.turns[2:]]
        aim_ms = _BAND_AIM_MS * random.lognormvariate(0, 0.42)
        spoken_ms = 6_500 * len(script)
        for exchange in random.sample(said.fillers, len(said.fillers)):
            if spoken_ms > aim_ms:
                break
            script.extend(exchange)
            spoken_ms += 14_500
        script.extend(said.closings)
        turns: list[tuple[Role, int, int, str]] = []
        at_ms = 300
        pace_ms = random.uniform(205, 275)
        for turn in script:
            trait = turn.when.removeprefix("not ")
            if turn.when and (trait in traits) == turn.when.startswith("not "):
                continue
            text = random.choice(turn.say).replace("{desk}", agent.desk)
            pause_ms = round(random.uniform(*turn.pause_s) * 1000)
            if turns and turns[-1][0] != turn.by:
                if self._cuts_in(turn.by, agent, traits, turns[-1]):
                    pause_ms = -random.randrange(900, 1_400)
                elif turn.by == "agent" and random.random() < 0.05 * (1.3 - agent.care):
                    pause_ms = random.randrange(4_000, 14_000)
            start_ms = max(0, at_ms + pause_ms)
            at_ms = start_ms + round(len(text) * pace_ms)
            turns.append((turn.by, start_ms, at_ms, text))
        return tuple(turns)

    def _cuts_in(
        self, by: Role, agent: SampleAgent, traits: frozenset[Trait], before: tuple[Role, int, int, str]
    ) -> bool:
        if before[2] - before[1] < 3_000:
            return False
        return self._random.random() < (agent.haste if by == "agent" else 0.25 if "angry" in traits else 0.03)


def _agents(random: Random, today: date) -> list[SampleAgent]:
    """Six teams; every team has somebody new and somebody careless."""
    teams: list[tuple[str, tuple[str, ...], str, int]] = [
        ("售后一组", ("售后",), "这里是售后服务中心", 6),
        ("售后二组", ("售后",), "这里是售后服务中心", 6),
        ("售前与会员组", ("售前", "会员外呼"), "这里是会员中心", 5),
        ("理财顾问组", ("理财咨询", "理财外呼"), "这里是理财中心", 5),
        ("银行卡服务组", ("银行卡服务",), "这里是客户服务中心", 3),
        ("课程服务组", ("学员服务", "课程顾问"), "这里是课程中心", 5),
    ]
    agents: list[SampleAgent] = []
    for number, (team, queues, desk, size) in enumerate(teams, start=1):
        lean = (0.08, -0.1, 0.0, -0.05, 0.1, -0.02)[number - 1]
        for place in range(size):
            seniority, least_days, usual_care = _SENIORITIES[min(place, len(_SENIORITIES) - 1)]
            worked_days = least_days + random.randrange(60)
            care = usual_care + lean + random.uniform(-0.12, 0.12)
            agents.append(
                SampleAgent(
                    id=f"A{number}{place + 1:03d}",
                    team=team,
                    queues=queues,
                    desk=desk,
                    hired_on=today - timedelta(days=worked_days),
                    seniority=seniority,
                    care=min(0.98, max(0.05, care)),
                    haste=random.uniform(0.02, 0.18) + (0.2 if place == size - 1 else 0),
                )
            )
    return agents


def _rows_of_call(call: _SampleCall, random: Random, judge: Judge, past: _Past, *, last: bool) -> Iterator[TableRows]:
    """What `store` would write for it, from the event to the deliveries of its alerts; the last calls are pending."""
    written_at = call.event.ended_at + timedelta(seconds=2)
    yield rows_for_call_ended(call.event, written_at)
    fate = random.random()
    if last:
        return
    if fate > 0.997:
        yield rows_for_dead_letter(_dead_letter(call.event, random, written_at))
        return
    transcript = _transcript(call, random, _outcome(fate), written_at)
    now = transcript.transcribed_at + timedelta(milliseconds=random.randrange(80, 900))
    analysis = judge.judge(transcript, now, past.background(call.event))
    past.add(analysis)
    yield rows_for_transcript(transcript)
    yield rows_for_analysis(analysis)
    for alert in alerts_of(analysis, judge.category_names(analysis)):
        yield rows_for_alert(alert)
        # Subscribers of the sample ask for alerts, none for selected calls.
        for delivery in () if alert.triggers else _deliveries(alert, random):
            yield rows_for_alert_delivery(delivery)


def _outcome(fate: float) -> tuple[Outcome, str] | None:
    for limit, outcome, reason in (
        (0.035, "too_short", "shorter_than_minimum"),
        (0.042, "no_audio", "recording_missing"),
        (0.050, "bad_audio", "not_decodable"),
        (0.053, "unsupported", "encryption"),
    ):
        if fate < limit:
            return outcome, reason  # type: ignore[return-value]
    return None


def _dead_letter(event: CallEnded, random: Random, failed_at: datetime) -> DeadLetter:
    partition, offset = random.randrange(12), random.randrange(10**6)
    return DeadLetter(
        dead_letter_id=DeadLetter.id_of("listen", CALLS_ENDED.name, partition, offset),
        step="listen",
        source_topic=CALLS_ENDED.name,
        source_partition=partition,
        source_offset=offset,
        exception_class="InvalidMessageError",
        problems=("audio.sha256: string_pattern_mismatch",),
        tenant_id=event.tenant_id,
        call_id=event.call_id,
        failed_at=failed_at,
    )


def _transcript(
    call: _SampleCall, random: Random, unheard: tuple[Outcome, str] | None, written_at: datetime
) -> Transcript:
    """As `listen` would have made it. A call in about three hundred waits long, as behind a worker that restarts."""
    factor = min(0.6, max(0.08, random.lognormvariate(-1.6, 0.25)))
    waited_s = random.lognormvariate(1.6, 0.8) * (40 if random.random() < 0.003 else 1)
    known_length = unheard is None or unheard[0] == "too_short"
    duration_ms = random.randrange(1_200, 4_800) if unheard else call.duration_ms
    segments = () if unheard else _segments(call, random)
    speech: dict[Role, tuple[Interval, ...]] = {}
    for one in segments:
        speech[one.role] = (*speech.get(one.role, ()), Interval(start_ms=one.start_ms, end_ms=one.end_ms))
    return Transcript(
        tenant_id=call.event.tenant_id,
        call_id=call.event.call_id,
        call=call.event,
        outcome=unheard[0] if unheard else None,
        outcome_reason=unheard[1] if unheard else None,
        language=None if unheard else "zh",
        engine=_ENGINE,
        audio=(
            AudioFacts(container="wav", codec="pcm_s16le", sample_rate_hz=8_000, channels=2, duration_ms=duration_ms)
            if known_length
            else None
        ),
        segments=segments,
        speech=speech,
        real_time_factor=None if unheard else round(factor, 3),
        transcribed_at=written_at + timedelta(seconds=round(waited_s + factor * call.duration_ms / 1000, 3)),
    )


def _segments(call: _SampleCall, random: Random) -> tuple[Segment, ...]:
    angry, soothed = "angry" in call.traits, "soothes" in call.traits
    # Anger begins with the second thing that the customer says, and ends after soothing words, or does not.
    customer_turns = sum(role == "customer" for role, *_ in call.turns)
    angry_turns = (
        range(1, min(4, customer_turns) if soothed else max(2, customer_turns * 2 // 3)) if angry else range(0)
    )
    heard = 0
    segments: list[Segment] = []
    for place, (role, start_ms, end_ms, text) in enumerate(sorted(call.turns, key=lambda turn: turn[1])):
        is_angry = role == "customer" and heard in angry_turns
        agitated = min(0.97, max(0.02, random.gauss(0.72 if is_angry else 0.12, 0.12)))
        valence = min(0.9, max(-0.9, random.gauss(-0.5 if is_angry else 0.08, 0.12)))
        heard += role == "customer"
        segments.append(
            Segment(
                segment_id=place,
                channel=0 if role == "agent" else 1,
                role=role,
                start_ms=start_ms,
                end_ms=end_ms,
                text=text,
                confidence=round(random.uniform(0.82, 0.98), 3),
                emotion=SegmentEmotion(
                    agitated=round(agitated, 3),
                    valence=round(valence, 3),
                    sound_agitated=round(agitated, 3),
                    source="sound",
                ),
            )
        )
    return tuple(segments)


def _deliveries(alert: Alert, random: Random) -> Iterator[AlertDelivery]:
    """Most alerts arrive at once, some at the second try; what is not grave is suppressed by the subscription."""
    at = alert.raised_at + timedelta(milliseconds=random.randrange(60, 400))

    def one(attempt: int, outcome: DeliveryOutcome, after_s: float = 0, **facts: object) -> AlertDelivery:
        return AlertDelivery.model_validate(
            {
                "alert_id": alert.alert_id,
                "tenant_id": alert.tenant_id,
                "rule_id": alert.rule_id,
                "subscriber": "compliance-desk",
                "channel": "webhook",
                "attempt": attempt,
                "outcome": outcome,
                "at": at + timedelta(seconds=after_s),
            }
            | facts
        )

    fate = random.random()
    latency_ms = round(random.lognormvariate(4.6, 0.5))
    if fate < 0.08:
        yield one(0, "suppressed", reason="min_interval")
    elif fate < 0.13:
        yield one(1, "failed", reason="http_error", status_code=503, latency_ms=latency_ms)
        if fate < 0.125:
            yield one(2, "delivered", 4, status_code=200, latency_ms=latency_ms)
        else:
            yield one(9, "gave_up", 86_400, reason="too_old", status_code=503)
    else:
        yield one(1, "delivered", status_code=200, latency_ms=latency_ms)
