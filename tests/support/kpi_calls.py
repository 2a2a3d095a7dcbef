"""Generated calls for tests of KPIs, and what each KPI counts of them: written from the messages, not from the SQL."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, get_args
from uuid import NAMESPACE_OID, uuid5
from zoneinfo import ZoneInfo

import numpy as np

from processors.kpi.statistics import Sums
from schemas.config.rule_pack import Checklist, Procedure, load_rule_packs
from schemas.messages.alert import Alert
from schemas.messages.call_analysis import (
    TRIGGER_NAMES,
    CallAnalysis,
    MeasureValue,
    Risk,
    RiskLevel,
    RiskPart,
    Scorecard,
    ScoreGroup,
    ScoreItem,
    Selection,
    TopicMention,
    Trigger,
)
from schemas.messages.call_ended import Agent, Audio, CallEnded, Csat, Customer, DisconnectedBy
from schemas.messages.call_rated import CallRated
from schemas.messages.outcome import OUTCOMES
from schemas.messages.transcript import EngineIdentity

Pair = tuple[float, float]
"""Numerator and denominator of a call that counts."""

WINDOW = timedelta(days=7)
TOPICS = {"refund": "退款流程复杂", "logistics_delay": "物流延迟", "price": "价格咨询"}
PACKS = load_rule_packs()
SCRIPTS = tuple(
    dict.fromkeys(entry.measure for pack in PACKS for entry in pack.mandatory_scripts if entry.measure is not None)
)
CHECKED: tuple[Checklist | Procedure, ...] = (
    *(entry for pack in PACKS for entry in pack.checklists),
    *(entry for pack in PACKS for entry in pack.procedures),
)
COMPLETE = tuple(dict.fromkeys(entry.measure for entry in CHECKED if entry.measure is not None))
"""Measures of checklists and procedures."""

SECTIONS = ("mandatory_scripts", "procedures", "checklists")

YES_OR_NO = (
    *SCRIPTS,
    *COMPLETE,
    *("suitability_asked", "fraud_reminder_given", "allergy_asked", "duration_in_band", "duration_anomaly"),
    *("emotion_coping", "soothed_upset_customer", "soothing_said", "soothing_complete", "learner_need_deadline_told"),
    *("complaint_threat", "complaint_accepted", "repeated_contact"),
)
"""Measures that are a KPI of the same name: the share of calls in which they are true."""

MEANS = {
    "duration": "duration_ms",
    "agent_talk_share": "agent_talk_share",
    "response_delay": "response_delay_median_ms",
    "agent_speech_rate": "agent_speech_rate_cpm",
}
"""KPI → measure that it is the mean of."""


TENURES = ((3, "00-02"), (6, "03-05"), (12, "06-11"), (24, "12-23"))


@dataclass(frozen=True)
class World:
    """Everything that is known, each call by the analysis that stands."""

    analyses: tuple[CallAnalysis, ...]
    older: tuple[CallAnalysis, ...]
    ratings: tuple[CallRated, ...]
    alerts: tuple[Alert, ...]
    now: datetime


def a_world(now: datetime, calls: int, seed: int = 7) -> World:
    """Calls of three tenants in the twelve days before `now`, some of them judged twice, rated, and with alerts."""
    random = Random(seed)
    analyses: list[CallAnalysis] = []
    older: list[CallAnalysis] = []
    ratings: list[CallRated] = []
    alerts: list[Alert] = []
    for number in range(calls):
        # Minutes off the hour, so that no call lies close to the end of its window.
        ended_at = now.replace(minute=0, second=0, microsecond=0) - timedelta(
            hours=random.randrange(2, 12 * 24), minutes=random.randrange(20, 40), milliseconds=number
        )
        call = _a_call(random, number, ended_at)
        analyses.append(_an_analysis(random, call, version=2))
        if random.random() < 0.2:
            older.append(_an_analysis(random, call, version=1))
        if random.random() < 0.4:
            ratings.extend(_some_ratings(random, call))
        if random.random() < 0.1:
            alerts.extend(_an_alert(call, rule) for rule in range(random.randrange(1, 4)))
    return World(tuple(analyses), tuple(older), tuple(ratings), tuple(alerts), now)


def _a_call(random: Random, number: int, ended_at: datetime) -> CallEnded:
    tenant = random.choice(("acme", "bolt", "cord"))
    team = random.choice(("north", "south", None))
    return CallEnded(
        tenant_id=tenant,
        call_id=f"call-{number}",
        direction=random.choice(("inbound", "inbound", "outbound")),
        started_at=ended_at - timedelta(minutes=4),
        ended_at=ended_at,
        handled_by="bot" if number % 7 == 0 else "human",
        agent=_an_agent(f"{team or 'free'}-{random.randrange(3)}", team, ended_at, number),
        customer=Customer(
            key=None if random.random() < 0.1 else f"{random.randrange(40):064x}",
            tags=tuple(random.sample(("vip", "new", "late"), random.randrange(3))),
            value_tier=random.choice(("gold", "basic", None)),
        ),
        queue=random.choice(("main", "sales", None)),
        inquiry_type=random.choice(("orders", "bills", None)),
        industry={"acme": "ecommerce", "bolt": "finance", "cord": "education"}[tenant],
        course_type=random.choice(("k12", "adult", None)),
        order_status=random.choice(("paid", "sent", None)),
        audio=Audio(uri=f"s3://callstream/{number}.wav", sha256="0" * 64, bytes=44),
        csat=Csat(score=random.randrange(1, 6)) if random.random() < 0.3 else None,
        **_of_telephony(Random(f"telephony/{number}"), number),
    )


def _of_telephony(random: Random, number: int) -> dict[str, Any]:
    """Each of it of most calls; some were handed on to a call that is known, others to nobody knows whom."""
    ended: tuple[DisconnectedBy, ...] = ("agent", "customer", "system", "transfer")
    told = {
        "hold_ms": random.choice((0, 20_000, 75_500)),
        "queue_wait_ms": random.randrange(90_000),
        "after_call_work_ms": random.randrange(120_000),
        "disconnected_by": random.choice(ended),
        "transferred_to": f"call-{number + 1}" if random.random() < 0.2 else None,
    }
    return {name: value for name, value in told.items() if random.random() < 0.8}


def _an_agent(name: str, team: str | None, ended_at: datetime, number: int) -> Agent:
    """Hired on days around the ends of months, some after the call, as wrong data have it."""
    hired = (None, -3, 30, 89, 91, 92, 181, 365, 366, 730, 731, 2_000)[number % 12]
    return Agent(
        id=name,
        team=team,
        hired_on=None if hired is None else (ended_at - timedelta(days=hired)).date(),
        seniority=(None, "new", "regular", "senior")[number % 4],
    )


def _an_analysis(random: Random, call: CallEnded, version: int) -> CallAnalysis:
    heard = random.random() < 0.9
    risk = random.randrange(0, 9) * 10 if heard else None
    return CallAnalysis(
        tenant_id=call.tenant_id,
        call_id=call.call_id,
        call=call,
        analysis_version=version,
        lexicon_version="none",
        outcome="analyzed" if heard else random.choice(OUTCOMES[1:]),
        outcome_reason="complete" if heard else "because",
        engine=EngineIdentity(name="written", version="1", model="none"),
        measures=(measures := _measures(random) if heard else {"duration_ms": None}),
        response_delays_ms=_delays(measures),
        scorecard=_a_scorecard(random) if heard and random.random() < 0.9 else None,
        risk=_a_risk(risk) if risk is not None else None,
        selection=_a_selection(Random(f"{call.call_id}/{version}")) if heard else None,
        topics=tuple(_a_topic(random) for _ in range(random.randrange(4))) if heard else (),
        transcribed_at=call.ended_at,
        analyzed_at=call.ended_at + timedelta(minutes=version),
    )


def _measures(random: Random) -> dict[str, MeasureValue]:
    """Every fifth is not there at all, every fifth is null."""
    told = random.random() < 0.8
    turns = {side: random.randrange(0, 12) for side in ("agent", "customer")}
    checked = random.randrange(4)
    values: dict[str, MeasureValue] = {name: random.random() < 0.7 for name in YES_OR_NO}
    values |= {
        "duration_ms": random.randrange(10_000, 600_000),
        "recording_doubts": random.randrange(3),
        "sensitive_words": random.choice((0, 0, 0, 1, 3)),
        "claims_checked": checked,
        "claims_contradicted": random.randrange(checked + 1),
        "agent_talk_share": round(random.random(), 3),
        "non_talk_ms": random.randrange(20_000),
        "unexcused_silence_ms": random.randrange(9_000),
        "response_delay_median_ms": random.randrange(200, 4_000),
        "response_delay_p90_ms": random.randrange(2_000, 9_000),
        "agent_speech_rate_cpm": random.randrange(150, 420),
        "customer_agitated_segments": random.choice((0, 0, 1, 4)),
        "agent_agitation_max": random.choice((0.1, 0.5, 0.9)),
    }
    for side, count in turns.items():
        values[f"{side}_turns"] = count
        values[f"{side}_interruptions"] = random.randrange(count + 1)
    if not told:
        values |= {
            name: None
            for name in values
            if name.startswith(("agent_", "customer_", "response_", "unexcused_", "sensitive", "claims"))
        }
    kept = {}
    for name, value in values.items():
        chance = random.random()
        if name.endswith(("_turns", "_interruptions")) or name.startswith("claims") or chance < 0.6:
            kept[name] = value
        elif chance < 0.8:
            kept[name] = None
    return kept | _counts(Random(repr(kept)))


def _delays(measures: Mapping[str, MeasureValue]) -> tuple[int, ...]:
    """Of as many answers as it may be, where any were measured; a few calls have many slow ones."""
    slowest = measures.get("response_delay_p90_ms")
    if not isinstance(slowest, int):
        return ()
    random = Random(repr(measures))
    return tuple(random.randrange(100, slowest) for _ in range(random.randrange(1, 30)))


def _counts(random: Random) -> dict[str, MeasureValue]:
    """What was asked and kept, of most calls; not what the measures of single rules add up to, because a pack of a
    tenant's own has scripts without a measure."""
    counts: dict[str, MeasureValue] = {}
    if random.random() < 0.7:
        for section in SECTIONS:
            asked = random.randrange(6)
            counts |= {f"{section}_asked": asked, f"{section}_kept": random.randrange(asked + 1)}
    if "mandatory_scripts_asked" in counts and random.random() < 0.8:
        scripts, said = (int(counts[f"mandatory_scripts_{what}"] or 0) for what in ("asked", "kept"))
        required = random.randrange(scripts + 1)
        least, most = max(0, said - (scripts - required)), min(said, required)
        counts["required_disclosures_asked"] = required
        counts["required_disclosures_kept"] = random.randrange(least, most + 1)
    return counts


def _a_scorecard(random: Random) -> Scorecard:
    groups: dict[ScoreGroup, float | None] = {
        group: random.choice((None, 40.0, 77.5, 100.0)) for group in get_args(ScoreGroup)
    }
    score = None if random.random() < 0.1 else float(random.randrange(0, 21) * 5)
    items = _items(Random(repr((groups, score))))
    return Scorecard(form_id="general", form_version=1, score=score, groups=groups, items=items)


def _items(random: Random) -> tuple[ScoreItem, ...]:
    """Some that are measured and some that are not; in most cards one that waits for later calls of the customer."""
    items = [
        ScoreItem(
            item_id=group,
            name=group,
            group=group,
            points=None if random.random() < 0.2 else float(random.randrange(13)),
            max_points=12,
        )
        for group in get_args(ScoreGroup)
    ]
    if random.random() < 0.8:
        items.append(
            ScoreItem(
                item_id="settled", name="settled", group="resolution", points=None, max_points=8, reason="pending"
            )
        )
    return tuple(items)


def _a_risk(score: int) -> Risk:
    level: RiskLevel = "high" if score >= 60 else "medium" if score >= 25 else "low"
    parts = (RiskPart(part="sensitive_word", points=score, reason="坐席敏感词"),) if score else ()
    return Risk(level=level, score=score, parts=parts)


def _a_selection(random: Random) -> Selection | None:
    """Every tenth is from before there was any."""
    names = sorted(name for name in TRIGGER_NAMES if random.random() < 0.2)
    triggers = tuple(Trigger(name=name, reason=name) for name in names)
    return Selection(selected=bool(triggers), triggers=triggers) if random.random() < 0.9 else None


def _a_topic(random: Random) -> TopicMention:
    topic = random.choice(tuple(TOPICS))
    confidence = round(random.random(), 3)
    return TopicMention(
        topic_id=topic,
        name=TOPICS[topic],
        role="customer",
        quote=f"{TOPICS[topic]} {confidence}",
        confidence=confidence,
    )


def _some_ratings(random: Random, call: CallEnded) -> Iterable[CallRated]:
    """One or two statements, of which the newer one may leave something out."""
    for day in range(random.randrange(1, 3)):
        csat = Csat(score=random.randrange(0, 11), scale_min=0, scale_max=10) if random.random() < 0.6 else None
        resolved = random.choice((True, False, None))
        if csat is None and resolved is None:
            resolved = True
        yield CallRated(
            tenant_id=call.tenant_id,
            call_id=call.call_id,
            rated_at=call.ended_at + timedelta(hours=1 + day),
            source="sms_survey",
            csat=csat,
            resolved=resolved,
            order_status=random.choice(("returned", None)),
            customer_value_tier=random.choice(("gold", None, None)),
        )


def _an_alert(call: CallEnded, rule: int) -> Alert:
    return Alert(
        alert_id=str(uuid5(NAMESPACE_OID, f"{call.call_id}-{rule}")),
        kind="call",
        tenant_id=call.tenant_id,
        rule_id=f"rule-{rule}",
        rule_version="1",
        category="tested",
        severity="high",
        title="试",
        call_id=call.call_id,
        agent_id=call.agent.id,
        happened_at=call.ended_at,
        raised_at=call.ended_at + timedelta(minutes=3),
    )


def tenure(call: CallEnded) -> str | None:
    """The band of whole months that the agent had worked, on a calendar of Shanghai."""
    hired, day = call.agent.hired_on, call.ended_at.astimezone(ZoneInfo("Asia/Shanghai")).date()
    if hired is None or hired > day:
        return None
    months = 12 * (day.year - hired.year) + day.month - hired.month - (day.day < hired.day)
    return next((name for limit, name in TENURES if months < limit), "24+")


class Reference:
    """What is known of a call besides its analysis, and the pairs of every KPI."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ratings: dict[tuple[str, str], list[CallRated]] = defaultdict(list)
        for rated in sorted(world.ratings, key=lambda rated: rated.rated_at):
            self._ratings[rated.tenant_id, rated.call_id].append(rated)
        self._alerts: dict[tuple[str, str], int] = defaultdict(int)
        for alert in world.alerts:
            self._alerts[alert.tenant_id, str(alert.call_id)] += 1
        self._contacts: dict[tuple[str, str], list[CallAnalysis]] = defaultdict(list)
        for analysis in world.analyses:
            key = analysis.call.customer.key
            if key is not None and _is_contact(analysis):
                self._contacts[analysis.tenant_id, key].append(analysis)

    def groups(self, analysis: CallAnalysis, columns: Sequence[str]) -> list[tuple[str | None, ...]]:
        """The values of these columns, once for each topic of the call where `topic` is one of them."""
        call = analysis.call
        topics: Iterable[str | None] = {topic.topic_id for topic in analysis.topics} or {None}
        return [
            tuple(topic if column == "topic" else self._value(analysis, call, column) for column in columns)
            for topic in (topics if "topic" in columns else (None,))
        ]

    def _value(self, analysis: CallAnalysis, call: CallEnded, column: str) -> str | None:
        values = {
            "industry": call.industry,
            "agent_team": call.agent.team,
            "agent_id": call.agent.id,
            "queue": call.queue,
            "inquiry_type": call.inquiry_type,
            "course_type": call.course_type,
            "newest_order_status": self._newest(analysis, "order_status") or call.order_status,
            "newest_customer_value_tier": self.value_tier(analysis),
            "direction": call.direction,
            "handled_by": call.handled_by,
            "agent_seniority": call.agent.seniority,
            "agent_tenure": tenure(call),
            "rated": self.rated(analysis),
        }
        return values[column]

    def value_tier(self, analysis: CallAnalysis) -> str | None:
        return self._newest(analysis, "customer_value_tier") or analysis.call.customer.value_tier

    def rating(self, analysis: CallAnalysis) -> float | None:
        """0 to 100."""
        said: Csat | None = self._newest(analysis, "csat") or analysis.call.csat
        return None if said is None else 100 * (said.score - said.scale_min) / (said.scale_max - said.scale_min)

    def rated(self, analysis: CallAnalysis) -> str | None:
        """Whether the customer rated the call; null for misdials, about which nobody is asked."""
        if self.rating(analysis) is not None:
            return "rated"
        return None if analysis.outcome == "too_short" else "unrated"

    def answer(self, analysis: CallAnalysis) -> bool | None:
        """Whether the customer says that the matter is settled."""
        found: bool | None = self._newest(analysis, "resolved")
        return found

    def resolution(self, analysis: CallAnalysis) -> str | None:
        """R44."""
        answer = self.answer(analysis)
        if answer is not None:
            return "resolved" if answer else "unresolved"
        call, topics = analysis.call, {topic.topic_id for topic in analysis.topics}
        if call.customer.key is None or not _is_contact(analysis) or not (topics or call.inquiry_type):
            return None
        if self._world.now < call.ended_at + WINDOW:
            return "pending"
        others = self._contacts[analysis.tenant_id, call.customer.key]
        return "unresolved" if any(_repeats(other, analysis) for other in others) else "resolved"

    def settled_score(self, analysis: CallAnalysis) -> tuple[float | None, Mapping[ScoreGroup, float | None]]:
        """Score and groups, with the points of items that were pending when the call was judged."""
        card = analysis.scorecard
        if card is None:
            return None, {}
        resolution = self.resolution(analysis)
        is_over = self._world.now >= analysis.call.ended_at + WINDOW
        if not is_over or resolution is None or not any(item.reason == "pending" for item in card.items):
            return card.score, card.groups
        groups: dict[ScoreGroup, float | None] = {}
        reached, weights = 0.0, 0.0
        for group in get_args(ScoreGroup):
            items = [item for item in card.items if item.group == group]
            points = [
                (
                    item.max_points * (resolution == "resolved") if item.reason == "pending" else item.points,
                    item.max_points,
                )
                for item in items
            ]
            known = [(each, most) for each, most in points if each is not None]
            groups[group] = None
            if known:
                percent = 100 * sum(each for each, _ in known) / sum(most for _, most in known)
                groups[group] = round(percent, 2)
                weight = sum(item.max_points for item in items)
                reached, weights = reached + percent * weight, weights + weight
        return (round(reached / weights, 2) if weights else None), groups

    def is_repeat(self, analysis: CallAnalysis) -> bool:
        """Whether an earlier contact was about the same."""
        key = analysis.call.customer.key
        if key is None or not _is_contact(analysis):
            return False
        return any(_repeats(analysis, other) for other in self._contacts[analysis.tenant_id, key])

    def pending(self, kpi: str, analyses: Sequence[CallAnalysis]) -> int:
        """How many calls of one group will count for a KPI, and do not yet."""
        if kpi not in ("first_contact_resolution", "resolution_per_call"):
            return 0
        return sum(
            self.resolution(analysis) == "pending" and (kpi == "resolution_per_call" or not self.is_repeat(analysis))
            for analysis in analyses
        )

    def alerts(self, analysis: CallAnalysis) -> int:
        return self._alerts[analysis.tenant_id, analysis.call_id]

    def pairs(self, kpi: str, analyses: Sequence[CallAnalysis]) -> list[Pair]:
        """Of a KPI, for the calls of one group."""
        if kpi == "satisfaction_match":
            return self._ranks(analyses)
        if kpi == "lift":
            return self._found(analyses)
        if kpi == "response_delay_p90":
            return slow_answers([analysis.response_delays_ms for analysis in analyses if analysis.response_delays_ms])
        rule = RULES[kpi]
        return [pair for pair in (rule(self, analysis) for analysis in analyses) if pair is not None]

    def sums(self, kpi: str, analyses: Sequence[CallAnalysis]) -> Sums:
        """Of a KPI, for the calls of one group."""
        return replace(Sums.of(self.pairs(kpi, analyses)), pending=self.pending(kpi, analyses))

    def _newest(self, analysis: CallAnalysis, field: str) -> Any:
        statements = self._ratings[analysis.tenant_id, analysis.call_id]
        told = [value for rated in statements if (value := getattr(rated, field)) is not None]
        return told[-1] if told else None

    def _ranks(self, analyses: Sequence[CallAnalysis]) -> list[Pair]:
        both = [
            (score, rating)
            for analysis in analyses
            if (score := self.settled_score(analysis)[0]) is not None and (rating := self.rating(analysis)) is not None
        ]
        scores, ratings = sorted(pair[0] for pair in both), sorted(pair[1] for pair in both)
        return [(_middle_rank(scores, score), _middle_rank(ratings, rating)) for score, rating in both]

    def _found(self, analyses: Sequence[CallAnalysis]) -> list[Pair]:
        known = [
            (analysis.risk.score, bool(rating is not None and rating < 50) or self.answer(analysis) is False)
            for analysis in analyses
            if analysis.risk is not None
            and ((rating := self.rating(analysis)) is not None or self.answer(analysis) is not None)
        ]
        room = 0.2 * len(known)
        pairs = []
        for risk, is_problem in known:
            riskier = sum(other > risk for other, _ in known)
            alike = sum(other == risk for other, _ in known)
            if is_problem:
                pairs.append((max(0.0, min(1.0, (room - riskier) / alike)), 1.0))
        return pairs


def slow_answers(calls: Sequence[Sequence[int]]) -> list[Pair]:
    """What each call adds to the 90th percentile of all answers: by how many more of its answers are sooner."""
    everything = [delay for call in calls for delay in call]
    if not everything:
        return []
    before, slow, after = np.quantile(everything, [0.85, 0.9, 0.95])
    sooner = [sum(delay <= slow for delay in call) for call in calls]
    share = sum(sooner) / len(everything)
    return [
        (float(slow * len(call) - (count - len(call) * share) * (after - before) / 0.1), float(len(call)))
        for call, count in zip(calls, sooner, strict=True)
    ]


def _repeats(later: CallAnalysis, earlier: CallAnalysis) -> bool:
    """Whether two contacts of one customer are about the same, one within the window after the other."""
    if not earlier.call.started_at < later.call.started_at <= earlier.call.ended_at + WINDOW:
        return False
    ours, theirs = ({topic.topic_id for topic in analysis.topics} for analysis in (later, earlier))
    if ours and theirs:
        return bool(ours & theirs)
    return later.call.inquiry_type is not None and later.call.inquiry_type == earlier.call.inquiry_type


def _is_contact(analysis: CallAnalysis) -> bool:
    return analysis.call.direction == "inbound" and analysis.outcome != "too_short"


def _middle_rank(ordered: Sequence[float], value: float) -> float:
    places = [place for place, each in enumerate(ordered, start=1) if each == value]
    return sum(places) / len(places)


Rule = Callable[[Reference, CallAnalysis], Pair | None]


def _share(of: Callable[[Reference, CallAnalysis], bool | None]) -> Rule:
    def rule(reference: Reference, analysis: CallAnalysis) -> Pair | None:
        found = of(reference, analysis)
        return None if found is None else (float(found), 1.0)

    return rule


def _mean(of: Callable[[Reference, CallAnalysis], float | None]) -> Rule:
    def rule(reference: Reference, analysis: CallAnalysis) -> Pair | None:
        found = of(reference, analysis)
        return None if found is None else (float(found), 1.0)

    return rule


def _measured(name: str) -> Callable[[Reference, CallAnalysis], MeasureValue]:
    return lambda _, analysis: analysis.measures.get(name)


def _ratio(numerator: str, denominator: str) -> Rule:
    def rule(_: Reference, analysis: CallAnalysis) -> Pair | None:
        above, below = analysis.measures.get(numerator), analysis.measures.get(denominator)
        return None if above is None or not below else (float(above), float(below))

    return rule


def _scripts(sections: Sequence[str], names_of_old: Sequence[str]) -> Rule:
    """What `judge` counted; of an analysis from before it did, the measures of the rules that were shipped."""

    def rule(_: Reference, analysis: CallAnalysis) -> Pair | None:
        measures = analysis.measures
        if "mandatory_scripts_asked" in measures:
            kept, asked = (sum(measures.get(f"{each}_{what}") or 0 for each in sections) for what in ("kept", "asked"))
        else:
            told = [value for name in names_of_old if (value := measures.get(name)) is not None]
            kept, asked = sum(map(bool, told)), len(told)
        return (float(kept), float(asked)) if asked else None

    return rule


def _at_least(name: str, least: float) -> Rule:
    return _share(lambda _, analysis: None if (value := analysis.measures.get(name)) is None else value >= least)


def _claims(_: Reference, analysis: CallAnalysis) -> Pair | None:
    checked, wrong = (analysis.measures.get(f"claims_{what}") for what in ("checked", "contradicted"))
    return None if not checked or wrong is None else (float(checked - wrong), float(checked))


def _house_scripts(_: Reference, analysis: CallAnalysis) -> Pair | None:
    """What no law asks for."""
    measures = analysis.measures
    if measures.get("required_disclosures_asked") is None:
        return None
    kept, asked = (
        float((measures.get(f"mandatory_scripts_{what}") or 0) - (measures.get(f"required_disclosures_{what}") or 0))
        for what in ("kept", "asked")
    )
    return (kept, asked) if asked else None


def _told(name: str) -> Rule:
    """What telephony tells of a call, and nothing where it does not."""
    return _mean(lambda _, analysis: getattr(analysis.call, name))


def _handling_ms(_: Reference, analysis: CallAnalysis) -> float | None:
    call = analysis.call
    if call.after_call_work_ms is None:
        return None
    return (call.ended_at - call.started_at) / timedelta(milliseconds=1) + call.after_call_work_ms


def _was_handed_on(_: Reference, analysis: CallAnalysis) -> bool | None:
    call = analysis.call
    if call.transferred_to is not None:
        return True
    return None if call.disconnected_by is None else call.disconnected_by == "transfer"


def _settled(reference: Reference, analysis: CallAnalysis) -> bool | None:
    resolution = reference.resolution(analysis)
    return None if resolution in (None, "pending") else resolution == "resolved"


def _settled_at_first_contact(reference: Reference, analysis: CallAnalysis) -> bool | None:
    return None if reference.is_repeat(analysis) else _settled(reference, analysis)


def _within_10(reference: Reference, analysis: CallAnalysis) -> bool | None:
    score, rating = reference.settled_score(analysis)[0], reference.rating(analysis)
    return None if score is None or rating is None else abs(score - rating) <= 10


def _group(group: ScoreGroup) -> Rule:
    return _mean(lambda reference, analysis: reference.settled_score(analysis)[1].get(group))


RULES: Mapping[str, Rule] = {
    **{name: _share(_measured(name)) for name in YES_OR_NO},  # type: ignore[arg-type]
    **{kpi: _mean(_measured(name)) for kpi, name in MEANS.items()},
    **{f"score_{group}": _group(group) for group in get_args(ScoreGroup)},
    "ai_coverage": _share(lambda _, analysis: analysis.outcome == "analyzed"),
    "recording_doubts": _at_least("recording_doubts", 1),
    "mandatory_scripts": _scripts(("mandatory_scripts",), SCRIPTS),
    "required_disclosures": _ratio("required_disclosures_kept", "required_disclosures_asked"),
    "house_scripts": _house_scripts,
    "script_adherence": _scripts(SECTIONS, (*SCRIPTS, *COMPLETE)),
    "sensitive_words": _mean(_measured("sensitive_words")),
    "sensitive_calls": _at_least("sensitive_words", 1),
    "claims_accuracy": _claims,
    "agent_interruption_rate": _ratio("agent_interruptions", "agent_turns"),
    "customer_interruption_rate": _ratio("customer_interruptions", "customer_turns"),
    "non_talk": _ratio("non_talk_ms", "duration_ms"),
    "unexcused_silence": _ratio("unexcused_silence_ms", "duration_ms"),
    "queue_wait": _told("queue_wait_ms"),
    "hold_time": _told("hold_ms"),
    "after_call_work": _told("after_call_work_ms"),
    "handling_time": _mean(_handling_ms),
    "transfer_rate": _share(_was_handed_on),
    "customer_disconnects": _share(
        lambda _, analysis: None if (by := analysis.call.disconnected_by) is None else by == "customer"
    ),
    "customer_agitation": _at_least("customer_agitated_segments", 1),
    "agent_agitation": _at_least("agent_agitation_max", 0.5),
    "first_contact_resolution": _share(_settled_at_first_contact),
    "resolution_per_call": _share(_settled),
    "satisfaction": _mean(lambda reference, analysis: reference.rating(analysis)),
    "survey_response_rate": _share(
        lambda reference, analysis: None if reference.rated(analysis) is None else reference.rated(analysis) == "rated"
    ),
    "satisfaction_within_10": _share(_within_10),
    "score": _mean(lambda reference, analysis: reference.settled_score(analysis)[0]),
    "high_risk": _share(lambda _, analysis: analysis.risk.level == "high" if analysis.risk else None),
    "selection_coverage": _share(lambda _, analysis: bool(analysis.selection.certain) if analysis.selection else None),
    "alerts": lambda reference, analysis: (
        (float(reference.alerts(analysis)), 1.0) if analysis.outcome == "analyzed" else None
    ),
}
