"""What the twelve questions of docs/analysts.md should answer, by `recount`: rows of SQL, and figures of commands."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import exp, inf, nan, sqrt
from typing import Any

import numpy as np

from tests.analysts.recount import Call, Figure, Recount, Z, figure, grouped, spearman, wilson

MARCH = (date(2026, 3, 1), date(2026, 3, 31))
ALL_DAYS = (date(2026, 2, 1), date(2026, 3, 31))
THIS_WEEK = (date(2026, 3, 23), date(2026, 3, 29))
WEEK_BEFORE = (date(2026, 3, 16), date(2026, 3, 22))

Row = Mapping[str, Any]
"""Column → value. Numbers are exact here, and rounded where they are printed."""

Figures = Mapping[tuple[Any, ...], Figure]
"""Group → the figure in the unit of the KPI; limits that are not counted are `nan`."""


def repeats(counted: Recount, days: tuple[date, date]) -> Mapping[str, Figure]:
    """Topic → how many of its calls were by customers who had called within the week; agents are not asked for."""
    again: dict[str, list[bool]] = {}
    for call in counted.between(*days):
        if (is_repeat := counted.repeats(call)) is not None:
            for topic in set(call.topic_ids):
                again.setdefault(topic, []).append(is_repeat)
    return {topic: share(calls) for topic, calls in again.items()}


def share(calls: Sequence[bool]) -> Figure:
    """Of calls of which it is not known whose they are."""
    return Figure(len(calls), sum(calls) / len(calls), *wilson(sum(calls) / len(calls), len(calls)))


def demands_of_two_weeks(counted: Recount) -> list[Row]:
    """1: repeated contacts of each demand, and of the week before."""
    names = {
        topic: name for call in counted.calls for topic, name in zip(call.topic_ids, call.topic_names, strict=True)
    }
    now, before = repeats(counted, THIS_WEEK), repeats(counted, WEEK_BEFORE)
    rows: list[Row] = []
    for topic, found in now.items():
        if found.n >= 5:
            was = before.get(topic)
            since = {
                "calls_before": was.n if was else 0,
                "percent_before": 100 * was.value if was else None,
            }
            rows.append({"demand": names[topic], **percent(found, "calls"), **since})
    return rows


def repeats_of_topics(counted: Recount) -> Figures:
    known = {(topic,): found for topic, found in repeats(counted, THIS_WEEK).items()}
    without = [
        again
        for call in counted.between(*THIS_WEEK)
        if not call.topic_ids and (again := counted.repeats(call)) is not None
    ]
    return {**known, **({(None,): share(without)} if without else {})}


def scripts(calls: Sequence[Call]) -> Figure:
    counts = [
        (call.agent_id, *(call.measure(f"mandatory_scripts_{name}") for name in ("kept", "asked"))) for call in calls
    ]
    return figure([(agent, kept or 0.0, asked) for agent, kept, asked in counts if asked], "parts")


def of_teams(counted: Recount) -> list[Row]:
    """2: mandatory scripts said, of those that were asked."""
    rows = [
        {"team": team, **percent(found := scripts(calls), "calls"), "verdict": verdict(found, 1.0)}
        for team, calls in grouped(counted.between(*MARCH), lambda call: call.agent_team).items()
    ]
    return sorted(rows, key=lambda row: (row["percent"], row["team"]))


DAYS_OF_TRAINING = 29
"""On either side of the day from which the agents were trained."""


def trained(counted: Recount) -> Mapping[str, date]:
    """Agent → day of the training, by the personnel office."""
    told = {
        agent: counted.known("agent", agent).get("trained_on") for agent in {call.agent_id for call in counted.calls}
    }
    return {agent: date.fromisoformat(day) for agent, day in told.items() if day}


def words(call: Call) -> int:
    """Sensitive words that the agent claims."""
    return sum(
        detector == "sensitive_words" and role == "agent"
        for detector, role in zip(call.detectors, call.roles, strict=True)
    )


def around_training(counted: Recount, agents: Mapping[str, date]) -> tuple[list[Call], list[Call]]:
    """The calls of these agents before their training and after it, as far as speakers were told apart."""
    days = timedelta(days=DAYS_OF_TRAINING)
    calls = [call for call in counted.calls if call.agent_id in agents and call.measure("sensitive_words") is not None]
    before = [call for call in calls if agents[call.agent_id] - days <= call.day < agents[call.agent_id]]
    after = [call for call in calls if agents[call.agent_id] <= call.day < agents[call.agent_id] + days]
    return before, after


def of_trained(counted: Recount) -> list[Row]:
    """3: sensitive words of each trained agent before and after."""
    rows: list[Row] = []
    for agent, day in trained(counted).items():
        before, after = around_training(counted, {agent: day})
        said_before, said = sum(map(words, before)), sum(map(words, after))
        if before and after and said_before + said:
            was, now = 100 * said_before / len(before), 100 * said / len(after)
            row = {"agent": agent, "calls_before": len(before), "words_before": said_before, "per_100_before": was}
            rows.append(row | {"calls": len(after), "words": said, "per_100": now, "change": now - was})
    return rows


def words_around_training(counted: Recount) -> Figures:
    agents = trained(counted)
    (day,) = set(agents.values())
    everybody = dict.fromkeys({call.agent_id for call in counted.calls}, day)
    others = {agent: day for agent in everybody if agent not in agents}

    def per_100(calls: Sequence[Call]) -> Figure:
        found = figure([(call.agent_id, words(call), 1.0) for call in calls], "events")
        assert found.low is not None
        assert found.high is not None
        return Figure(found.n, 100 * found.value, 100 * found.low, 100 * found.high)

    sides = {"": around_training(counted, agents), "others_": around_training(counted, others)}
    return {
        (f"{whose}{name}",): per_100(calls)
        for whose, both in sides.items()
        for name, calls in zip(("before", "after"), both, strict=True)
    }


REFUNDS = {
    "ecommerce.refund_return",
    "ecommerce.refund_process",
    "ecommerce.refund_not_arrived",
    "ecommerce.refund_rejected",
}


def is_late(counted: Recount, call: Call) -> bool | None:
    """Whether the order had come after the time that was promised for it, or had not come by then."""
    order = counted.known("order", call.order_id, call.ended_at)
    if not REFUNDS.intersection(call.topic_ids) or "promised_at" not in order:
        return None
    came_at = datetime.fromisoformat(order["delivered_at"]) if "delivered_at" in order else call.ended_at
    return datetime.fromisoformat(order["promised_at"]) < came_at


def late(counted: Recount) -> Mapping[str, Figure]:
    """Status of the order → of calls for a refund of an order, how many were of one that came late."""
    known = [
        (call.newest("order_status"), was_late)
        for call in counted.between(*ALL_DAYS)
        if (was_late := is_late(counted, call)) is not None
    ]
    groups = grouped(known, lambda each: each[0])
    return {status: share([was_late for _, was_late in calls]) for status, calls in groups.items()}


def late_refunds(counted: Recount) -> list[Row]:
    """4: refunds of orders that came late, by the status of the order."""
    return [
        {
            "order_status": status,
            "refunds": found.n,
            "of_late_orders": round(found.n * found.value),
            "percent": 100 * found.value,
        }
        for status, found in late(counted).items()
    ]


def late_by_status(counted: Recount) -> Figures:
    return {(status,): found for status, found in late(counted).items()}


def handling_ms(call: Call) -> float | None:
    """From the start of the call to its end, and the work after it."""
    if call.after_call_work_ms is None:
        return None
    return float((call.ended_at - call.started_at) / timedelta(milliseconds=1) + call.after_call_work_ms)


def of_hours(counted: Recount) -> list[Row]:
    """5: handling time by the hour in which calls end."""
    told = [(call.hour, spent) for call in counted.between(*MARCH) if (spent := handling_ms(call)) is not None]
    return [
        {"hour": hour, "calls": len(calls), "seconds": float(np.mean([spent for _, spent in calls])) / 1000}
        for hour, calls in sorted(grouped(told, lambda call: call[0]).items())
        if len(calls) >= 30
    ]


WEEKS = (date(2026, 2, 2), date(2026, 3, 29))
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def silence(calls: Sequence[Call]) -> Figure:
    return figure([(call.agent_id, call.silence_ms, call.duration_ms) for call in calls], "mean")


def heat_map(counted: Recount) -> list[Row]:
    """6: silence by hour and weekday, from the times of what was said."""
    rows: list[Row] = []
    heard = (call for call in counted.between(*WEEKS) if call.is_heard)
    for hour, calls in sorted(grouped(heard, lambda call: call.hour).items()):
        if len(calls) >= 30:
            of_days = grouped(calls, lambda call: call.day.weekday())
            shares = {
                name: 100 * silence(of_days[place]).value if place in of_days else float("nan")
                for place, name in enumerate(WEEKDAYS)
            }
            rows.append({"hour": hour, "calls": len(calls), **shares})
    return rows


def lifts(counted: Recount) -> list[Row]:
    """7: share of gold customers' calls about a demand over that of all others, with the limits of Katz (1978)."""
    analyzed = [call for call in counted.between(*ALL_DAYS) if call.is_heard]
    gold = [call for call in analyzed if call.newest("customer_value_tier") == "gold"]
    others = [call for call in analyzed if call.newest("customer_value_tier") != "gold"]
    rows: list[Row] = []
    for name in {name for call in gold for name in call.topic_names}:
        about, of_others = (sum(name in call.topic_names for call in calls) for calls in (gold, others))
        if about >= 5 and of_others:
            lift = (about / len(gold)) / (of_others / len(others))
            times = exp(Z * sqrt(1 / about - 1 / len(gold) + 1 / of_others - 1 / len(others)))
            row = {"demand": name, "calls": about, "gold_calls": len(gold)}
            rows.append(row | {"lift": lift, "low": lift / times, "high": lift * times})
    return sorted(rows, key=lambda row: (-row["lift"], row["demand"]))


def first_contacts(counted: Recount, calls: Sequence[Call]) -> list[tuple[str, float, float]]:
    firsts = [(call, counted.resolution(call)) for call in calls if not counted.is_repeat(call)]
    return [
        (call.agent_id, float(became == "resolved"), 1.0) for call, became in firsts if became not in (None, "pending")
    ]


def settled(counted: Recount) -> list[Row]:
    """8: first contacts after which nobody called again, and how many are pending."""
    rows: list[Row] = []
    for kind, calls in grouped(counted.between(*MARCH), lambda call: call.inquiry_type).items():
        decided = first_contacts(counted, calls)
        pending = sum(counted.resolution(call) == "pending" and not counted.is_repeat(call) for call in calls)
        if decided:
            found = figure(decided, "share")
            waiting = {"pending": pending, "pending_percent": 100 * pending / (len(decided) + pending)}
            rows.append({"inquiry_type": kind, **percent(found, "decided"), **waiting, "verdict": verdict(found, 0.7)})
    return sorted(rows, key=lambda row: (row["percent"], row["inquiry_type"]))


def rated(counted: Recount) -> list[tuple[float, float]]:
    """Settled score and rating of calls that have both."""
    scored = ((counted.settled_score(call), call.rating) for call in counted.between(*ALL_DAYS))
    return [(score, rating) for score, rating in scored if score is not None and rating is not None]


def bands(counted: Recount) -> list[Row]:
    """9: satisfaction of calls with low, middling and high scores."""

    def band(score: float) -> str:
        return "1 below 75" if score < 75 else "2 75 to 90" if score < 90 else "3 90 and more"

    scored = [(score, call.rating) for call in counted.calls if (score := counted.settled_score(call)) is not None]
    rows: list[Row] = []
    for name, pairs in sorted(grouped(scored, lambda pair: band(pair[0])).items()):
        answers = [rating for _, rating in pairs if rating is not None]
        worst = 100 * sum(rating == 0 for rating in answers) / len(answers)
        row = {"band": name, "calls": len(pairs), "rated": len(answers)}
        rows.append(row | {"satisfaction": float(np.mean(answers)), "worst_percent": worst})
    return rows


def agreement(counted: Recount) -> list[Row]:
    """9: how alike scores and ratings rank the calls."""
    found = spearman(rated(counted))
    return [{"calls": found.n, "correlation": found.value, "low": found.low, "high": found.high}]


def delays(counted: Recount) -> list[Row]:
    """10: delays of all answers of a team together."""
    rows: list[Row] = []
    for team, calls in grouped(counted.between(*MARCH), lambda call: call.agent_team).items():
        answers = [delay for call in calls for delay in call.response_delays_ms]
        median, slow = (float(np.percentile(answers, part)) / 1000 for part in (50, 90))
        rows.append({"team": team, "answers": len(answers), "median_s": median, "p90_s": slow})
    return sorted(rows, key=lambda row: (-round(row["p90_s"], 2), row["team"]))


HOTLINE = ("12315", "一二三一五", "幺二三幺五", "一二三幺五", "幺二三一五")
APOLOGIES = ("抱歉", "对不起", "不好意思", "道歉")


def unsoothed(counted: Recount) -> list[Row]:
    """11: the customer says 12315, and nothing that the agent says meanwhile or begins within 30 s apologises."""
    rows: list[Row] = []
    for call in counted.calls:
        for said in sorted(call.turns, key=lambda turn: turn.start_ms):
            if said.role != "customer" or not any(number in said.text for number in HOTLINE):
                continue
            answers = [
                turn.text
                for turn in call.turns
                if turn.role == "agent" and turn.end_ms > said.start_ms and turn.start_ms <= said.end_ms + 30_000
            ]
            if not any(word in answer for answer in answers for word in APOLOGIES):
                place = {"at_s": said.end_ms / 1000, "text": said.text}
                rows.append({"call_id": call.call_id, "agent_id": call.agent_id, **place})
    return rows


def tenure(call: Call) -> str:
    """Whole months since the first day of work of the agent, in bands."""
    since, day = call.agent_hired_on, call.day
    months = 12 * (day.year - since.year) + day.month - since.month - (day.day < since.day)
    return next(
        (band for band, most in (("00-02", 3), ("03-05", 6), ("06-11", 12), ("12-23", 24)) if months < most), "24+"
    )


def scores_by_tenure(counted: Recount) -> Figures:
    def mean(calls: Sequence[Call]) -> Figure:
        parts = [(call.agent_id, found, 1.0) for call in calls if (found := counted.settled_score(call)) is not None]
        return figure(parts, "mean", highest=100)

    scored = [call for call in counted.between(*MARCH) if counted.settled_score(call) is not None]
    return by(lambda call: (tenure(call), call.direction), scored, mean)


def newcomers(counted: Recount) -> list[Row]:
    """12: score by tenure and direction."""
    return [
        {"tenure_months": band, "direction": direction, "calls": found.n}
        | {"score": found.value, "low": found.low, "high": found.high}
        for (band, direction), found in scores_by_tenure(counted).items()
    ]


def verdict(found: Figure, target: float) -> str:
    """Of a KPI that should be high, and needs 30 calls."""
    return "too_few" if found.n < 30 else "reached" if found.value >= target else "missed"


def percent(found: Figure, n: str) -> dict[str, Any]:
    """As a row has it."""
    limits = {
        name: None if limit is None else 100 * limit for name, limit in (("low", found.low), ("high", found.high))
    }
    return {n: found.n, "percent": 100 * found.value, **limits}


def by(
    key: Callable[[Call], Hashable], calls: Sequence[Call], of: Callable[[Sequence[Call]], Figure]
) -> dict[tuple[Any, ...], Figure]:
    """The figure of each group; groups of several columns have tuples as they are."""
    groups = grouped(calls, key)
    return {name if isinstance(name, tuple) else (name,): of(found) for name, found in groups.items()}


def scripts_of_teams(counted: Recount) -> Figures:
    return by(lambda call: call.agent_team, counted.between(*MARCH), scripts)


def handling_of_hours(counted: Recount) -> Figures:
    def mean(calls: Sequence[Call]) -> Figure:
        parts = [(call.agent_id, spent, 1.0) for call in calls if (spent := handling_ms(call)) is not None]
        return figure(parts, "mean", highest=inf)

    return by(lambda call: (None, call.hour), [call for call in counted.between(*MARCH) if handling_ms(call)], mean)


def silence_of_hours(counted: Recount) -> Figures:
    heard = [call for call in counted.between(*WEEKS) if call.is_heard]
    return by(lambda call: (call.day.isoweekday(), call.hour), heard, silence)


def settled_of_kinds(counted: Recount) -> Figures:
    found = {
        (kind,): first_contacts(counted, calls)
        for kind, calls in grouped(counted.between(*MARCH), lambda call: call.inquiry_type).items()
    }
    return {kind: figure(parts, "share") for kind, parts in found.items() if parts}


def agreements(counted: Recount) -> Figures:
    close = [
        (call.agent_id, float(abs(score - call.rating) <= 10), 1.0)
        for call in counted.between(*ALL_DAYS)
        if (score := counted.settled_score(call)) is not None and call.rating is not None
    ]
    return {("satisfaction_match",): spearman(rated(counted)), ("satisfaction_within_10",): figure(close, "share")}


def delays_of_teams(counted: Recount) -> Figures:
    def slow(calls: Sequence[Call]) -> Figure:
        answers = [delay for call in calls for delay in call.response_delays_ms]
        return Figure(len(calls), float(np.percentile(answers, 90)), nan, nan)

    return by(lambda call: call.agent_team, [call for call in counted.between(*MARCH) if call.response_delays_ms], slow)


def shares_of_gold(counted: Recount) -> Figures:
    gold = [
        call for call in counted.between(*ALL_DAYS) if call.is_heard and call.newest("customer_value_tier") == "gold"
    ]
    names = {name for call in gold for name in call.topic_names}
    counts = {name: sum(name in call.topic_names for call in gold) for name in names}
    return {(name,): Figure(n, n / len(gold), *wilson(n / len(gold), len(gold))) for name, n in counts.items()}


@dataclass(frozen=True)
class Answer:
    """What is counted for a question: a list of rows for each query, and figures for each command."""

    rows: Sequence[Callable[[Recount], list[Row]]]
    figures: Sequence[Callable[[Recount], Figures]]
    places: Sequence[int]
    """To how many places the numbers of each query are rounded."""


def unsoothed_calls(counted: Recount) -> Figures:
    """The same calls; a search says nothing of them that could be added up."""
    return {(row["call_id"],): Figure(0, nan) for row in unsoothed(counted)}


ANSWERS: Mapping[int, Answer] = {
    1: Answer([demands_of_two_weeks], [repeats_of_topics], [1]),
    2: Answer([of_teams], [scripts_of_teams], [1]),
    3: Answer([of_trained], [words_around_training], [1]),
    4: Answer([late_refunds], [late_by_status], [1]),
    5: Answer([of_hours], [handling_of_hours], [1]),
    6: Answer([heat_map], [silence_of_hours], [1]),
    7: Answer([lifts], [shares_of_gold], [2]),
    8: Answer([settled], [settled_of_kinds], [1]),
    9: Answer([bands, agreement], [agreements], [1, 3]),
    10: Answer([delays], [delays_of_teams], [2]),
    11: Answer([unsoothed], [unsoothed_calls], [1]),
    12: Answer([newcomers], [scores_by_tenure], [1]),
}
