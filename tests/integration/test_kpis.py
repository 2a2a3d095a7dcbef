"""Every KPI on the real engine against a reference that is written from the messages."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from math import isclose
from typing import Any

import numpy as np
import pytest
import yaml
from clickhouse_connect.driver.exceptions import DatabaseError
from jinja2 import Template

from processors.clickhouse.rows import (
    OUTCOMES,
    rows_for_analysis,
    rows_for_call_ended,
    rows_for_call_rated,
    rows_for_custody_changed,
    rows_for_verdict_given,
)
from processors.kpi.demands import DemandExample, share_of
from processors.kpi.problems import Key
from processors.kpi.reports import Period, SumsOf
from processors.kpi.rollups import BY_HAND, RollupDefinition
from processors.kpi.semantic import SEMANTIC_FILE, semantic_files
from processors.kpi.sql import AGENTS_OF, VIEW_OF_DIMENSION, WIDE, kpi_views
from processors.kpi.statistics import CallGroup, Sums, difference, estimate, estimate_group, target_status
from schemas.config.kpis.kpi import DIMENSIONS, Dimension, Kpi, KpiRegistry
from schemas.messages.call_analysis import (
    CallAnalysis,
    MeasureValue,
    Risk,
    Scorecard,
    ScoreItem,
    Selection,
    Trigger,
)
from schemas.messages.call_ended import Agent, Csat
from schemas.messages.call_rated import CallRated
from schemas.messages.custody_changed import CustodyChanged
from schemas.messages.verdict_given import VerdictAnswer, VerdictGiven
from streams.adapters.clickhouse.migrate import make_views
from streams.adapters.clickhouse.rollups import ClickHouseRollups
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.stages.rollup import Rollups
from tests.analysts.superset_bundle import read
from tests.support.cases import every_case
from tests.support.clickhouse_engine import RunningEngine
from tests.support.kpi_calls import TOPICS
from tests.support.kpi_store import DAYS, REGISTRY, WINDOW_DAYS, ZONE, Filled, filled_store

pytestmark = pytest.mark.embedded

CALLS = 400


@pytest.fixture(scope="module")
def filled(engine: RunningEngine) -> Iterator[Filled]:
    with filled_store(engine, CALLS) as store:
        yield store


def grouped(filled: Filled, dimension: Dimension) -> dict[tuple[str, Key], list[CallAnalysis]]:
    groups: dict[tuple[str, Key], list[CallAnalysis]] = defaultdict(list)
    for analysis in filled.world.analyses:
        for key in filled.reference.groups(analysis, DIMENSIONS[dimension]):
            groups[analysis.tenant_id, key].append(analysis)
    return groups


def expected_sums(filled: Filled, kpi: Kpi, dimension: Dimension) -> dict[tuple[str, Key], Sums]:
    found = {group: filled.reference.sums(kpi.id, analyses) for group, analyses in grouped(filled, dimension).items()}
    return {group: sums for group, sums in found.items() if sums.n or sums.pending}


def alike(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def same_sums(one: Sums, other: Sums) -> bool:
    return one.n == other.n and all(
        alike(getattr(one, name), getattr(other, name))
        for name in ("numerator", "denominator", "numerator_squares", "products", "denominator_squares", "pending")
    )


OF_OTHER_ROWS = (
    *("recording_completeness", "captured_in_time", "time_to_solution", "late_refunds", "lift_by_people"),
    *("satisfaction_match_by_people", "satisfaction_within_10_by_people", "selection_lift_by_people"),
    "second_reader_disagreement",
)
KPIS_OF_CALLS = [kpi for kpi in REGISTRY.kpis if kpi.id not in OF_OTHER_ROWS]
SOME: tuple[Dimension, ...] = ("tenant", "agent", "order_status", "team_inquiry_type", "topic")
"""Dimensions in which KPIs with a query are computed; they read all calls for each."""


@pytest.fixture(scope="module")
def rolled_up(filled: Filled) -> dict[Dimension, SumsOf]:
    """The sums of every ratio in every dimension."""
    return {
        dimension: filled.kpis.sums(REGISTRY.ratios, dimension, "day", filled.start, filled.end)
        for dimension in DIMENSIONS
    }


@pytest.mark.parametrize("kpi", KPIS_OF_CALLS, ids=lambda kpi: kpi.id)
def test_the_sql_of_a_kpi_counts_what_the_messages_say(
    kpi: Kpi, filled: Filled, rolled_up: dict[Dimension, SumsOf]
) -> None:
    for dimension in kpi.dimensions if kpi.ratio else SOME:
        sums = (
            rolled_up[dimension] if kpi.ratio else filled.kpis.sums([kpi], dimension, "day", filled.start, filled.end)
        )
        found = {(tenant, key): each for (tenant, key, name), each in sums.items() if name == kpi.id}
        expected = expected_sums(filled, kpi, dimension)
        assert set(found) == set(expected), dimension
        for group, each in found.items():
            assert same_sums(each, expected[group]), (dimension, group)
    tenants = expected_sums(filled, kpi, "tenant")
    assert len(tenants) == 3
    assert any(sums.numerator > 0 for sums in tenants.values())


def test_calls_without_an_outcome_and_without_a_recording_are_missing_from_completeness(filled: Filled) -> None:
    """Also one that is pending for long; one that is young does not count yet, and one of another time neither."""
    young, old = (
        filled.world.analyses[0].call.model_copy(
            update={"tenant_id": "dawn", "call_id": name, "ended_at": filled.world.now - timedelta(hours=2)}
        )
        for name in ("young", "old")
    )
    rows = [
        *rows_for_call_ended(young, filled.world.now - timedelta(minutes=10))[OUTCOMES],
        *rows_for_call_ended(old, filled.world.now - timedelta(hours=2))[OUTCOMES],
    ]
    ClickHouseSink(filled.client).write({OUTCOMES: rows})
    kpi = a_kpi("recording_completeness")
    found = filled.kpis.sums([kpi], "tenant", "day", filled.start, filled.end)
    assert found["dawn", (), kpi.id] == Sums.of([(0, 1)])
    for tenant in ("acme", "bolt", "cord"):
        there = [
            float(analysis.outcome in ("analyzed", "too_short", "unsupported", "purged"))
            for analysis in filled.world.analyses
            if analysis.tenant_id == tenant
        ]
        assert 0 in there
        assert found[tenant, (), kpi.id] == Sums.of((each, 1) for each in there)
    shown = filled.rows(
        "SELECT * FROM kpi_recording_completeness(first = {first:Date32}, last = {last:Date32}) ORDER BY tenant_id",
        first=filled.start.date(),
        last=filled.end.date(),
    )
    assert [row["tenant_id"] for row in shown] == ["acme", "bolt", "cord", "dawn"]
    assert shown[0]["value"] == pytest.approx(estimate(kpi, found["acme", (), kpi.id]).value)
    before = filled.kpis.sums([kpi], "tenant", "day", filled.start - timedelta(days=9), filled.start)
    assert before == {}


def test_recordings_are_in_time_by_what_the_register_measured(filled: Filled) -> None:
    """However often an event is delivered; what was removed, and what is of another time, does not count."""
    kpi = a_kpi("captured_in_time")
    sink = ClickHouseSink(filled.client)
    at = filled.world.now - timedelta(days=80)
    for number, (capture_ms, days_later) in enumerate([(3, 0), (1_000, 0), (1_001, 0), (5, 5)]):
        taken = CustodyChanged.of(
            "intake_announced",
            tenant_id="hazel",
            call_id=f"c{number}",
            actor="callstream",
            at=at + timedelta(days=days_later),
            source="serve",
            content_sha256="a" * 64,
            content_bytes=10,
            object_version="b" * 16,
            capture_ms=capture_ms,
        )
        for _ in range(2):
            sink.write(rows_for_custody_changed(taken))
    removed = CustodyChanged.of("intake_removed", tenant_id="hazel", call_id="c9", actor="callstream", at=at)
    sink.write(rows_for_custody_changed(removed))
    found = filled.kpis.sums([kpi], "tenant", "day", at - timedelta(days=1), at + timedelta(days=1))
    assert found["hazel", (), kpi.id] == Sums.of([(1, 1), (1, 1), (0, 1)])


def test_a_recording_that_lies_somewhere_else_is_not_kept(filled: Filled) -> None:
    first = filled.world.analyses[0]
    at = filled.world.now - timedelta(days=60)
    sink = ClickHouseSink(filled.client)
    for reason in ("foreign_uri", "foreign_key", "codec"):
        call = first.call.model_copy(update={"tenant_id": "fern", "call_id": reason, "started_at": at, "ended_at": at})
        analysis = {"tenant_id": "fern", "call_id": reason, "call": call, "outcome": "unsupported"}
        sink.write(rows_for_analysis(first.model_copy(update=analysis | {"outcome_reason": reason})))
    kpi = a_kpi("recording_completeness")
    found = filled.kpis.sums([kpi], "tenant", "day", at - timedelta(days=1), at + timedelta(days=1))
    assert found["fern", (), kpi.id] == Sums.of([(0, 1), (0, 1), (1, 1)])


def test_the_slow_tenth_of_answers_is_of_all_answers_and_not_the_mean_of_calls(filled: Filled) -> None:
    """Short calls with one slow answer each, and a long call with many quick ones: the mean of the percentiles of calls
    was 2.6 s, and nine tenths of the answers come within 1.1 s."""
    first = next(analysis for analysis in filled.world.analyses if analysis.outcome == "analyzed")
    at = filled.world.now - timedelta(days=70)
    calls = {"long": tuple(range(110, 1_110, 10)), **{f"short{number}": (3_000,) for number in range(5)}}
    sink = ClickHouseSink(filled.client)
    for call_id, delays in calls.items():
        call = first.call.model_copy(
            update={"tenant_id": "gorse", "call_id": call_id, "started_at": at, "ended_at": at}
        )
        changed = {"tenant_id": "gorse", "call_id": call_id, "call": call, "response_delays_ms": delays}
        sink.write(rows_for_analysis(first.model_copy(update=changed)))
    kpi = a_kpi("response_delay_p90")
    sums = filled.kpis.sums([kpi], "tenant", "day", at - timedelta(days=1), at + timedelta(days=1))
    found = estimate(kpi, sums["gorse", (), kpi.id])
    everything = sorted(delay for delays in calls.values() for delay in delays)
    assert found.n == 6
    assert found.value == pytest.approx(np.quantile(everything, 0.9))
    assert found.value == pytest.approx(1_045, abs=10)


@pytest.mark.parametrize(
    ("name", "delays_of_calls"),
    [
        ("none", [(), ()]),
        ("one", [(700,)]),
        ("ties", [(1_000, 1_000, 1_000)] * 11 + [(5_000,)]),
        ("at_once", [(0, 0)] * 5),
        ("a step at nine tenths", [(500,) * 9 + (2_000,)] * 4),
    ],
)
def test_the_slow_tenth_of_few_or_equal_answers(
    name: str, delays_of_calls: list[tuple[int, ...]], filled: Filled
) -> None:
    first = next(analysis for analysis in filled.world.analyses if analysis.outcome == "analyzed")
    at = filled.world.now - timedelta(days=80)
    tenant = f"hazel-{name}".replace(" ", "-")
    rows: dict[str, list[Any]] = defaultdict(list)
    for number, delays in enumerate(delays_of_calls):
        own = {"tenant_id": tenant, "call_id": str(number)}
        call = first.call.model_copy(update=own | {"started_at": at, "ended_at": at})
        changed = first.model_copy(update=own | {"call": call, "response_delays_ms": delays})
        for table, table_rows in rows_for_analysis(changed).items():
            rows[table] += table_rows
    ClickHouseSink(filled.client).write(rows)
    kpi = a_kpi("response_delay_p90")
    sums = filled.kpis.sums([kpi], "tenant", "day", at - timedelta(days=1), at + timedelta(days=1), tenant)
    found = estimate(kpi, sums.get((tenant, (), kpi.id), Sums()))
    everything = [delay for delays in delays_of_calls for delay in delays]
    assert found.n == sum(map(bool, delays_of_calls))
    assert found.value == (pytest.approx(np.quantile(everything, 0.9)) if everything else None)
    if found.n < 2:
        assert (found.low, found.high) == (None, None)


def test_risk_is_held_against_what_people_found_worth_hearing(filled: Filled) -> None:
    """Ten calls that people judged, two problems: one of them at the top by risk, one in the middle of three equals of
    which one has room; a call that people disagree about, one of another day and one without risk are none."""
    first = next(analysis for analysis in filled.world.analyses if analysis.risk is not None)
    at = filled.world.now - timedelta(days=75)
    sink = ClickHouseSink(filled.client)
    answers: list[tuple[int | None, tuple[VerdictAnswer, ...]]] = [
        (90, ("yes",)),
        *((50, (answer,)) for answer in ("yes", "no", "no")),
        (40, ("yes", "no")),
        *((10, ("no", "no")) for _ in range(5)),
        (None, ("yes",)),
    ]
    for number, (risk, said) in enumerate(answers):
        call = first.call.model_copy(
            update={"tenant_id": "iris", "call_id": f"c{number}", "started_at": at, "ended_at": at}
        )
        known = None if risk is None else Risk(level="low", score=risk)
        changed = {"tenant_id": "iris", "call_id": call.call_id, "call": call, "risk": known}
        sink.write(rows_for_analysis(first.model_copy(update=changed)))
        for person, answer in enumerate(said):
            verdict = VerdictGiven(
                tenant_id="iris",
                call_id=call.call_id,
                about="call",
                answer=answer,
                given_by=f"inspector-{person}",
                given_at=at,
            )
            sink.write(rows_for_verdict_given(verdict))
    kpi = a_kpi("lift_by_people")
    found = filled.kpis.sums([kpi], "tenant", "day", at - timedelta(days=1), at + timedelta(days=1), "iris")
    assert same_sums(found["iris", (), kpi.id], Sums.of([(1, 1), (1 / 3, 1)]))


def test_selected_calls_are_held_against_all_that_people_judged(filled: Filled) -> None:
    """Twenty selected calls of which something was confirmed in ten, and twenty others with two: the lift is 0.5 over
    0.3. However many people confirm, and whatever they confirm, a call counts once."""
    first = next(analysis for analysis in filled.world.analyses if analysis.selection is not None)
    at = filled.world.now - timedelta(days=75)
    sink = ClickHouseSink(filled.client)
    by_rule = Selection(selected=True, triggers=(Trigger(name="safety", reason="x"),), rules_version=1)
    guessed = Selection(selected=True, triggers=(Trigger(name="reading", reason="x"),), rules_version=1)
    neither = Selection(selected=False, rules_version=1)
    kinds: list[dict[str, object]] = [
        {"about": "call"},
        {"about": "finding", "finding_id": "f1", "detector": "safety", "rule_id": "r", "rule_version": "1"},
        {"about": "missed", "kind": "shirking", "quote": "不归我管"},
    ]
    calls: list[tuple[Selection | None, bool]] = [(by_rule, number < 10) for number in range(20)]
    calls += [(neither, number < 2) for number in range(19)]
    calls += [(guessed, False), (None, True)]

    def judge(tenant: str, said: Sequence[tuple[Selection | None, bool]]) -> None:
        for number, (selection, is_confirmed) in enumerate(said):
            named = {"tenant_id": tenant, "call_id": f"c{number}"}
            call = first.call.model_copy(update=named | {"started_at": at, "ended_at": at})
            sink.write(rows_for_analysis(first.model_copy(update=named | {"call": call, "selection": selection})))
            about = kinds[number % 3] if is_confirmed else kinds[0]
            for person, answer in enumerate(("yes", "yes", "no") if is_confirmed and number % 3 < 2 else ("yes",)):
                given = {"answer": answer if is_confirmed else "no", "given_by": f"p{person}", "given_at": at}
                sink.write(rows_for_verdict_given(VerdictGiven.model_validate(named | about | given)))

    judge("kale", calls)
    judge("leek", calls[:29])
    kpi = a_kpi("selection_lift_by_people")

    def found(tenant: str) -> Sums:
        sums = filled.kpis.sums([kpi], "tenant", "day", at - timedelta(days=1), at + timedelta(days=1), tenant)
        return sums.get((tenant, (), kpi.id), Sums())

    assert same_sums(found("kale"), Sums.of([(2.0, 1.0)] * 10 + [(0.0, 1.0)] * 2))
    assert estimate(kpi, found("kale")).value == pytest.approx(0.5 / 0.3)
    assert estimate(kpi, found("leek")).value is None, "nine calls that nothing selected are too few"


def test_a_second_reader_disagrees_where_it_read_and_only_there(filled: Filled) -> None:
    """Calls in which it found nothing count; calls that it could not read, or was not asked about, do not."""
    first = next(analysis for analysis in filled.world.analyses if analysis.outcome == "analyzed")
    at = filled.world.now - timedelta(days=75)
    sink = ClickHouseSink(filled.client)
    told: list[dict[str, MeasureValue]] = [
        {"second_reader_findings": 0, "second_reader_dropped": 1, "second_reader_disagrees": False},
        {"second_reader_findings": 0, "second_reader_dropped": 0, "second_reader_disagrees": True},
        {"second_reader_findings": 2, "second_reader_dropped": 0, "second_reader_disagrees": False},
        {"second_reader_findings": None, "second_reader_dropped": None, "second_reader_disagrees": None},
        {},
    ]
    for number, measures in enumerate(told):
        named = {"tenant_id": "mint", "call_id": f"c{number}"}
        call = first.call.model_copy(update=named | {"started_at": at, "ended_at": at})
        changed = {"call": call, "measures": first.measures | measures}
        sink.write(rows_for_analysis(first.model_copy(update=named | changed)))
    kpi = a_kpi("second_reader_disagreement")
    found = filled.kpis.sums([kpi], "tenant", "day", at - timedelta(days=1), at + timedelta(days=1), "mint")
    assert same_sums(found["mint", (), kpi.id], Sums.of([(0, 1), (1, 1), (0, 1)]))


def test_ratings_are_held_against_what_people_scored(filled: Filled) -> None:
    """Of several people the mean of what each said last. A call that nobody rated or scored does not count, nor does a
    score that was withdrawn, or that was followed by a verdict without one."""
    template = filled.world.analyses[0]
    at = filled.world.now - timedelta(days=75)
    sink = ClickHouseSink(filled.client)
    told: list[tuple[int | None, list[list[float | None]]]] = [
        (5, [[90]]),
        (5, [[70.5], [85]]),
        (4, [[10, 65]]),
        (4, [[80], [90], [85]]),
        (3, [[61]]),
        (3, [[40]]),
        (2, [[85]]),
        (1, [[0]]),
        (1, [[20], [50, None]]),
        (None, [[50]]),
        (2, [[30, None]]),
        (2, []),
    ]
    pairs: list[tuple[float, float]] = []
    for number, (stars, people) in enumerate(told):
        csat = None if stars is None else Csat(score=stars, scale_min=1, scale_max=5)
        named = {"tenant_id": "jade", "call_id": f"c{number}"}
        call = template.call.model_copy(update=named | {"started_at": at, "ended_at": at, "csat": csat})
        sink.write(rows_for_analysis(template.model_copy(update=named | {"call": call})))
        for person, said in enumerate(people):
            for minute, score in enumerate(said):
                about = {"about": "call", "given_by": f"inspector-{person}", "given_at": at + timedelta(minutes=minute)}
                answer = "withdrawn" if score is None and number % 2 else "yes"
                verdict = VerdictGiven.model_validate(named | about | {"answer": answer, "score": score})
                sink.write(rows_for_verdict_given(verdict))
        newest = [said[-1] for said in people if said[-1] is not None]
        if stars is not None and newest:
            pairs.append((sum(newest) / len(newest), 25.0 * (stars - 1)))
    assert len(pairs) == 9
    match, within = a_kpi("satisfaction_match_by_people"), a_kpi("satisfaction_within_10_by_people")
    found = filled.kpis.sums([match, within], "tenant", "day", at - timedelta(days=1), at + timedelta(days=1), "jade")

    near = [(float(abs(score - rating) <= 10), 1.0) for score, rating in pairs]
    assert 0 < sum(numerator for numerator, _ in near) < len(near)
    assert same_sums(found["jade", (), within.id], Sums.of(near))
    ranks = [_ranks([pair[side] for pair in pairs]) for side in (0, 1)]
    assert same_sums(found["jade", (), match.id], Sums.of(list(zip(*ranks, strict=True))))
    shown = estimate(match, found["jade", (), match.id])
    assert shown.value == pytest.approx(float(np.corrcoef(ranks[0], ranks[1])[0, 1]))
    assert (shown.n, shown.low is not None, shown.high is not None) == (9, True, True)


def _ranks(values: list[float]) -> list[float]:
    """Equal values share the mean of their ranks."""
    return [1 + sum(one < value for one in values) + (sum(one == value for one in values) - 1) / 2 for value in values]


def test_the_parts_of_a_change_add_up_to_what_the_kpi_changed_by(filled: Filled) -> None:
    """Of any KPI, by any grouping; also where a call counts for several topics."""
    middle = filled.world.now.astimezone(ZONE).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=6)
    before = Period.days((filled.start - timedelta(days=1)).date(), (middle - timedelta(days=1)).date(), ZONE)
    after = Period.days(middle.date(), filled.world.now.astimezone(ZONE).date(), ZONE)
    asked: list[tuple[str, Dimension]] = [
        ("score", "topic"),
    ]
    with every_case() as cases:
        for name, by in asked:
            kpi = a_kpi(name)
            was, now = (filled.kpis.sums([kpi], "tenant", "day", each.start, each.end) for each in (before, after))
            parts = filled.kpis.why_changed(kpi, by, before, after)
            for tenant in ("acme", "bolt", "cord"):
                with cases.case(name, by, tenant):
                    found = [each for each in parts if each.tenant_id == tenant]
                    sums = was[tenant, (), name], now[tenant, (), name]
                    values = [estimate(kpi, each).value for each in sums]
                    assert [found[0].kpi_before, found[0].kpi_after] == [pytest.approx(each) for each in values]
                    whole = (values[1] or 0) - (values[0] or 0)
                    assert sum(each.value or 0 for each in found) == pytest.approx(whole, abs=1e-9, rel=1e-9)
                    amount = sums[1].numerator - sums[0].numerator
                    assert sum(each.amount or 0 for each in found) == pytest.approx(amount, abs=1e-6, rel=1e-9)
                    assert {each.part for each in found} >= {"mix", "within", "volume"}
    (shown,) = filled.rows(
        "SELECT sum(value) AS whole, any(kpi_after - kpi_before) AS difference FROM why_changed(kpi = 'score', "
        "by = 'topic', first_before = {a:Date32}, last_before = {b:Date32}, first = {c:Date32}, last = {d:Date32}) "
        "WHERE tenant_id = 'acme'",
        a=before.start.date(),
        b=before.last_day,
        c=after.start.date(),
        d=after.last_day,
    )
    assert shown["whole"] == pytest.approx(shown["difference"])
    with pytest.raises(DatabaseError, match="by must be a dimension, such as tenant"):
        filled.rows(
            "SELECT * FROM why_changed(kpi = 'score', by = 'moon', first_before = {first:Date32}, "
            "last_before = {first:Date32}, first = {last:Date32}, last = {last:Date32})",
            first=before.last_day,
            last=after.start.date(),
        )


def test_rated_calls_are_held_against_unrated_ones(filled: Filled) -> None:
    days = Period.days(filled.start.date(), filled.world.now.astimezone(ZONE).date(), ZONE)
    told = filled.kpis.rated_and_unrated(days.start, days.end)
    rows = {(each.tenant_id, each.about, each.name): each for each in told}
    apart: dict[tuple[str, bool], list[CallAnalysis]] = defaultdict(list)
    for analysis in filled.world.analyses:
        is_rated = filled.reference.rating(analysis) is not None
        if is_rated or analysis.outcome != "too_short":
            apart[analysis.tenant_id, is_rated].append(analysis)
    for tenant in ("acme", "bolt", "cord"):
        kpi, found = a_kpi("score"), rows[tenant, "kpi", "score"]
        sides = [estimate(kpi, filled.reference.sums("score", apart[tenant, side])) for side in (True, False)]
        assert (found.n_rated, found.n_unrated) == tuple(side.n for side in sides)
        assert [found.rated, found.rated_low, found.unrated, found.unrated_high] == [
            pytest.approx(each) for each in (sides[0].value, sides[0].low, sides[1].value, sides[1].high)
        ]
        expected = difference(*sides)
        assert expected
        assert [found.difference, found.difference_low, found.difference_high] == [
            pytest.approx(each) for each in (expected.value, expected.low, expected.high)
        ]
        for topic in TOPICS:
            found = rows[tenant, "topic", topic]
            shares = [
                share_of(sum(any(one.topic_id == topic for one in each.topics) for each in heard), len(heard))
                for side in (True, False)
                for heard in [[each for each in apart[tenant, side] if each.outcome == "analyzed"]]
            ]
            assert (found.n_rated, found.n_unrated) == (shares[0].n, shares[1].n)
            assert [found.rated, found.unrated_low] == [
                pytest.approx(each) for each in (shares[0].value, shares[1].low)
            ]
            assert found.difference_high == pytest.approx(getattr(difference(*shares), "high", None))


def test_one_tenant_can_be_asked_for(filled: Filled) -> None:
    kpis = [a_kpi("score"), a_kpi("alerts")]
    found = filled.kpis.sums(kpis, "tenant", "day", filled.start, filled.end, "bolt")
    assert set(found) == {("bolt", (), "score"), ("bolt", (), "alerts")}


# --- views


@pytest.mark.parametrize("dimension", list(VIEW_OF_DIMENSION))
def test_a_view_shows_value_interval_and_verdict_of_each_day(dimension: Dimension, filled: Filled) -> None:
    keys = DIMENSIONS[dimension]
    days: dict[tuple[Any, str, Key], list[CallAnalysis]] = defaultdict(list)
    for (tenant, key), analyses in grouped(filled, dimension).items():
        for analysis in analyses:
            days[analysis.call.ended_at.astimezone(ZONE).date(), tenant, key].append(analysis)
    shown = filled.rows("SELECT * FROM {view:Identifier}", view=VIEW_OF_DIMENSION[dimension])
    chosen = {"first_contact_resolution", "resolution_per_call", "sensitive_words", "mandatory_scripts", "duration"}
    chosen |= {"score", "satisfaction"}
    compared = 0
    for row in shown:
        if row["kpi"] not in chosen:
            continue
        kpi = a_kpi(row["kpi"])
        group = (row["day"], row["tenant_id"], tuple(row[key] for key in keys))
        same_as_shown(kpi, group_of(filled, kpi, days[group], dimension), row)
        compared += 1
    everything = (filled.reference.sums(kpi_id, analyses) for analyses in days.values() for kpi_id in chosen)
    expected = sum(bool(sums.n or sums.pending) for sums in everything)
    assert compared == expected


def group_of(filled: Filled, kpi: Kpi, analyses: list[CallAnalysis], dimension: Dimension) -> CallGroup:
    """With its agents, where views know them."""
    agents: dict[str, list[CallAnalysis]] = defaultdict(list)
    for analysis in analyses:
        agents[analysis.call.agent.id].append(analysis)
    of_agents = {agent: filled.reference.sums(kpi.id, each) for agent, each in agents.items()}
    return CallGroup(filled.reference.sums(kpi.id, analyses), of_agents if dimension in AGENTS_OF else None)


def same_as_shown(kpi: Kpi, group: CallGroup, row: dict[str, Any]) -> None:
    sums, found = group.calls, estimate_group(kpi, group)
    assert row["n"] == found.n
    assert alike(row["value"], found.value), row
    assert alike(row["low"], found.low), row
    assert alike(row["high"], found.high), row
    assert row["target"] == kpi.target
    assert row["verdict"] == target_status(kpi, found)
    assert alike(row["numerator"], sums.numerator)
    assert alike(row["denominator"], sums.denominator)
    assert row["pending"] == sums.pending


def test_the_share_of_pending_calls_is_shown_and_the_value_is_not_while_it_is_large(filled: Filled) -> None:
    """The newest days are those of customers who answered, and they are not like the others (R44)."""
    rows = filled.rows("SELECT * FROM kpi_daily WHERE kpi = 'first_contact_resolution'")
    wide = {
        (row["day"], row["tenant_id"]): row["first_contact_resolution"]
        for row in filled.rows("SELECT day, tenant_id, first_contact_resolution FROM kpi_daily_wide")
    }
    early = (filled.world.now - timedelta(days=4)).astimezone(ZONE).date()
    late = (filled.world.now - timedelta(days=8)).astimezone(ZONE).date()
    assert any(row["n"] for row in rows if row["day"] > early)  # somebody has answered
    for row in rows:
        is_withheld = row["value"] is None
        assert is_withheld == (row["n"] < 9 * row["pending"]), row
        assert is_withheld == (row["verdict"] == "pending")
        assert not is_withheld or row["low"] is None
        assert wide[row["day"], row["tenant_id"]] == row["value"]
        assert not (row["day"] > early and not is_withheld and row["pending"])
        assert row["day"] >= late or not is_withheld


PERIODS = {"weekly": "week", "monthly": "month"}


def first_of(period: str, day: date) -> date:
    """The first day of the week, a Monday, or month that the day lies in."""
    return day - timedelta(days=day.weekday()) if period == "week" else day.replace(day=1)


@pytest.mark.parametrize("name", list(PERIODS))
def test_a_week_and_a_month_are_their_days_together(name: str, filled: Filled) -> None:
    """An agent of several days is one agent, and the week that is not over is marked."""
    period = PERIODS[name]
    chosen = {"first_contact_resolution", "sensitive_words", "mandatory_scripts", "duration", "satisfaction"}
    views: dict[str, dict[Dimension, list[dict[str, Any]]]] = {
        f"kpi_{name}": {"tenant": filled.rows("SELECT * FROM {view:Identifier}", view=f"kpi_{name}")},
        f"kpi_{name}_by": {},
    }
    every = {key for columns in DIMENSIONS.values() for key in columns}
    for row in filled.rows("SELECT * FROM {view:Identifier}", view=f"kpi_{name}_by"):
        assert {key for key in every if row[key] is not None} <= set(DIMENSIONS[row["dimension"]])
        views[f"kpi_{name}_by"].setdefault(row["dimension"], []).append(row)
    assert views[f"kpi_{name}_by"].keys() == DIMENSIONS.keys()
    partial = set()
    for of_dimensions in views.values():
        for dimension, rows in of_dimensions.items():
            groups: dict[tuple[Any, str, Key], list[CallAnalysis]] = defaultdict(list)
            for (tenant, key), analyses in grouped(filled, dimension).items():
                for analysis in analyses:
                    day = analysis.call.ended_at.astimezone(ZONE).date()
                    groups[first_of(period, day), tenant, key].append(analysis)
            seen = set()
            for row in rows:
                group = (row[period], row["tenant_id"], tuple(row[key] for key in DIMENSIONS[dimension]))
                seen.add(group)
                if row["kpi"] in chosen:
                    kpi = a_kpi(row["kpi"])
                    same_as_shown(kpi, group_of(filled, kpi, groups[group], dimension), row)
                partial |= {row[period]} if row["is_partial"] else set()
            assert seen == groups.keys(), dimension
    assert partial == {first_of(period, filled.world.now.astimezone(ZONE).date())} & {
        first_of(period, analysis.call.ended_at.astimezone(ZONE).date()) for analysis in filled.world.analyses
    }


def test_a_day_is_marked_while_calls_of_it_have_no_outcome(filled: Filled) -> None:
    """One that is lost does not mark its day for ever, and one whose outcome comes no longer."""
    zone_day = {name: (filled.world.now - timedelta(days=ago)).astimezone(ZONE).date() for name, ago in AGO.items()}

    def marked() -> set[date]:
        rows = filled.rows("SELECT DISTINCT day FROM kpi_daily WHERE is_partial AND tenant_id = 'acme'")
        return {row["day"] for row in rows}

    today = {filled.world.now.astimezone(ZONE).date()}
    assert marked() <= today
    calls = {
        name: filled.world.analyses[0].call.model_copy(
            update={
                "tenant_id": "acme",
                "call_id": f"pending-{name}",
                "ended_at": filled.world.now - timedelta(days=ago),
            }
        )
        for name, ago in AGO.items()
    }
    sink = ClickHouseSink(filled.client)
    try:
        for call in calls.values():
            sink.write(rows_for_call_ended(call, filled.world.now))
        assert marked() - today == {zone_day["late"]}
        (fresh,) = filled.rows(
            "SELECT * FROM kpi_freshness WHERE tenant_id = 'acme' AND day = {day:Date32}", day=zone_day["late"]
        )
        assert (fresh["pending_calls"], fresh["is_partial"], fresh["is_waiting"]) == (1, True, False)
        weeks = filled.rows("SELECT DISTINCT week FROM kpi_weekly WHERE is_partial AND tenant_id = 'acme'")
        assert first_of("week", zone_day["late"]) in {row["week"] for row in weeks}
    finally:
        ids = [call.call_id for call in calls.values()]
        filled.client.command(
            "DELETE FROM outcome_versions WHERE call_id IN {ids:Array(String)}", parameters={"ids": ids}
        )
    assert marked() <= today


AGO = {"late": 3, "lost": 20}
"""Days ago that a call ended which has no outcome."""


def test_freshness_says_of_each_day_what_has_come_and_what_is_in_the_roll_up(filled: Filled) -> None:
    rows = {(row["tenant_id"], row["day"]): row for row in filled.rows("SELECT * FROM kpi_freshness")}
    counts: dict[tuple[str, date], list[datetime]] = defaultdict(list)
    for analysis in filled.world.analyses:
        counts[analysis.tenant_id, analysis.call.ended_at.astimezone(ZONE).date()].append(analysis.call.ended_at)
    known = {key: row for key, row in rows.items() if row["tenant_id"] in ("acme", "bolt", "cord")}
    assert {key: row["calls"] for key, row in known.items()} == {key: len(ended) for key, ended in counts.items()}
    for key, row in known.items():
        assert row["newest_call_at"] == max(counts[key])
        assert row["rolled_up_at"] > row["newest_stored_at"]
        assert not row["is_waiting"]
        assert row["is_partial"] == (key[1] == filled.world.now.astimezone(ZONE).date())


# --- the last days, without parameters


def test_plain_views_show_the_calls_that_those_with_parameters_do(filled: Filled) -> None:
    columns = filled.rows("DESCRIBE TABLE kpi_calls(start = '2026-01-01', end = '2026-01-02', window_days = 7)")
    shown = filled.rows("DESCRIBE TABLE kpi_calls_recent")
    assert [(row["name"], row["type"]) for row in shown] == [(row["name"], row["type"]) for row in columns], (
        "put the columns of kpi_calls into CALL_COLUMNS of processors/kpi/recent.py, too"
    )
    rows = filled.rows("SELECT * FROM kpi_calls_recent WHERE tenant_id IN ('acme', 'bolt', 'cord') ORDER BY call_id")
    by_parameters = filled.rows(
        "SELECT * FROM kpi_calls(start = {start:String}, end = {end:String}, window_days = 7) "
        "WHERE tenant_id IN ('acme', 'bolt', 'cord') ORDER BY call_id",
        start=f"{filled.start:%Y-%m-%d %H:%M:%S}",
        end=f"{filled.end:%Y-%m-%d %H:%M:%S}",
    )
    assert len(rows) == len(filled.world.analyses)
    assert [str(row) for row in rows] == [str(row) for row in by_parameters]


def test_kpis_that_are_no_ratios_have_a_row_for_each_day(filled: Filled) -> None:
    day = (filled.world.now - timedelta(days=5)).astimezone(ZONE).date()
    start = datetime(day.year, day.month, day.day, tzinfo=ZONE)
    rows = filled.rows("SELECT * FROM kpi_queries_recent WHERE day = {day:Date32}", day=day)
    found = {(row["tenant_id"], row["kpi"]): row for row in rows if row["tenant_id"] in ("acme", "bolt", "cord")}
    sums = filled.kpis.sums(REGISTRY.queries, "tenant", "day", start, start + timedelta(hours=12))
    expected = {(tenant, name): each for (tenant, _, name), each in sums.items() if tenant in ("acme", "bolt", "cord")}
    assert found.keys() == expected.keys()
    assert len({name for _, name in expected}) >= 4
    for key, row in found.items():
        same_as_shown(a_kpi(key[1]), CallGroup(expected[key]), row)


def test_demands_of_days_add_up_and_those_of_customers_are_of_all_of_them(filled: Filled) -> None:
    times = {"first": (filled.world.now - timedelta(days=95)).date(), "last": filled.end.date()}
    of_days = (
        "SELECT tenant_id, inquiry_type, topic_id, sum(d.calls) AS calls, sum(d.agitated) AS agitated, "
        "sum(d.unresolved) AS unresolved FROM demands_recent AS d "
        "GROUP BY tenant_id, inquiry_type, topic_id ORDER BY ALL"
    )
    whole = filled.rows(
        "SELECT tenant_id, inquiry_type, topic_id, calls, agitated, unresolved "
        "FROM demands(first = {first:Date32}, last = {last:Date32}) ORDER BY ALL",
        **times,
    )
    assert len(whole) > 10
    assert filled.rows(of_days) == whole
    shown = filled.rows("SELECT * FROM customer_demands_recent ORDER BY ALL")
    by_parameters = "SELECT * FROM customer_demands(first = {first:Date32}, last = {last:Date32}) ORDER BY ALL"
    assert shown == filled.rows(by_parameters, **times)
    assert shown


# --- what is joined to figures


def test_teams_and_queues_are_those_that_calls_name(filled: Filled) -> None:
    calls = [analysis.call for analysis in filled.world.analyses]
    teams = {(row["tenant_id"], row["agent_team"]): row for row in filled.rows("SELECT * FROM dim_teams")}
    queues = {(row["tenant_id"], row["queue"]): row for row in filled.rows("SELECT * FROM dim_queues")}
    for (tenant, name), row in {**teams, **queues}.items():
        theirs = [
            call
            for call in calls
            if call.tenant_id == tenant and name in (call.queue, call.agent.team if call.agent else "")
        ]
        days = [call.ended_at.astimezone(ZONE).date() for call in theirs]
        assert (row["first_day"], row["last_day"], row["calls"]) == (min(days), max(days), len(theirs))
    for (tenant, team), row in teams.items():
        assert row["agents"] == len({c.agent.id for c in calls if c.tenant_id == tenant and c.agent.team == team})
    assert set(teams) == {(call.tenant_id, call.agent.team) for call in calls if call.agent.team}
    assert set(queues) == {(call.tenant_id, call.queue) for call in calls if call.queue}


def test_hours_are_counted_too(filled: Filled) -> None:
    hours: dict[tuple[datetime, str], list[CallAnalysis]] = defaultdict(list)
    for analysis in filled.world.analyses:
        hour = analysis.call.ended_at.replace(minute=0, second=0, microsecond=0)
        hours[hour, analysis.tenant_id].append(analysis)
    rows = filled.rows("SELECT * FROM kpi_hourly WHERE kpi = 'ai_coverage'")
    assert {(row["hour_start"], row["tenant_id"]): row["n"] for row in rows} == {
        group: len(analyses) for group, analyses in hours.items()
    }
    for row in rows:
        kpi = a_kpi("ai_coverage")
        same_as_shown(kpi, group_of(filled, kpi, hours[row["hour_start"], row["tenant_id"]], "tenant"), row)


@pytest.mark.parametrize("view", list(WIDE))
def test_a_wide_view_has_a_column_for_every_ratio(view: str, filled: Filled) -> None:
    dimension = WIDE[view]
    keys = DIMENSIONS[dimension]
    long = {
        (row["day"], row["tenant_id"], *(row[key] for key in keys), row["kpi"]): row["value"]
        for row in filled.rows("SELECT * FROM {view:Identifier}", view=VIEW_OF_DIMENSION[dimension])
        if row["value"] is not None
    }
    wide = {
        (row["day"], row["tenant_id"], *(row[key] for key in keys), kpi.id): row[kpi.id]
        for row in filled.rows("SELECT * FROM {view:Identifier}", view=view)
        for kpi in REGISTRY.ratios
        if row[kpi.id] is not None
    }
    assert wide == pytest.approx(long)


@pytest.mark.parametrize("dimension", ["tenant", "team", "agent", "queue"])
def test_days_can_be_taken_together(dimension: Dimension, filled: Filled) -> None:
    """An agent of several days is one agent; so is one who took calls for several teams, for the tenant."""
    first = (filled.world.now - timedelta(days=11)).astimezone(ZONE).date()
    last = (filled.world.now - timedelta(days=3)).astimezone(ZONE).date()
    rows = filled.rows(
        "SELECT * FROM kpi_between(dimension = {dimension:String}, first = {first:String}, last = {last:String})",
        dimension=dimension,
        first=str(first),
        last=str(last),
    )
    expected = {
        group: [a for a in analyses if first <= a.call.ended_at.astimezone(ZONE).date() <= last]
        for group, analyses in grouped(filled, dimension).items()
    }
    compared = with_limits = 0
    for row in rows:
        key = tuple(row[column] for column in DIMENSIONS[dimension])
        kpi = a_kpi(row["kpi"])
        same_as_shown(kpi, group_of(filled, kpi, expected[row["tenant_id"], key], dimension), row)
        compared += 1
        with_limits += row["low"] is not None
    assert compared > 150
    assert with_limits > 0


@pytest.mark.parametrize("kpi", [kpi for kpi in REGISTRY.queries if kpi in KPIS_OF_CALLS], ids=lambda kpi: kpi.id)
def test_a_kpi_with_a_query_has_a_view_of_its_own(kpi: Kpi, filled: Filled) -> None:
    rows = filled.rows(
        f"SELECT * FROM kpi_{kpi.id}(first = {{first:Date32}}, last = {{last:Date32}})",  # noqa: S608 - of the registry
        first=filled.start.date(),
        last=filled.end.date(),
    )
    expected = expected_sums(filled, kpi, "tenant")
    assert {row["tenant_id"] for row in rows} == {tenant for tenant, _ in expected}
    for row in rows:
        same_as_shown(kpi, CallGroup(expected[row["tenant_id"], ()]), row)


def test_the_registry_can_be_queried(filled: Filled) -> None:
    rows = {row["kpi"]: row for row in filled.rows("SELECT * FROM kpis")}
    assert list(rows) == [kpi.id for kpi in REGISTRY.kpis]
    for kpi in REGISTRY.kpis:
        row = rows[kpi.id]
        assert (row["name_zh"], row["name_en"], row["target"]) == (kpi.name.zh, kpi.name.en, kpi.target)
        assert (row["requirements"], row["null_rule"]) == (list(kpi.requirements), kpi.null_rule)
        assert row["does_not_tell"] == kpi.does_not_tell
        assert (row["kind"], row["scale"], row["dimensions"]) == (kpi.kind, kpi.scale, list(kpi.dimensions))
        if kpi.ratio is not None:
            assert (row["numerator"], row["denominator"], row["query"]) == (
                *(" ".join(text.split()) for text in (kpi.ratio.numerator, kpi.ratio.denominator)),
                None,
            )
        else:
            assert row["numerator"] is None
            assert "tenant_id$keys" in row["query"]


def test_every_view_and_column_says_what_it_holds(filled: Filled) -> None:
    views = kpi_views(REGISTRY, DAYS, WINDOW_DAYS)
    tables = {
        row["name"]: row["comment"]
        for row in filled.rows("SELECT name, comment FROM system.tables WHERE database = currentDatabase()")
    }
    assert [view for view in views if not tables.get(view)] == []
    silent = filled.rows("SELECT table, name FROM system.columns WHERE database = currentDatabase() AND comment = ''")
    assert silent == []


def test_views_are_made_again_from_another_registry(filled: Filled) -> None:
    """And a tenant has the target of the industry that most of its calls are of."""
    kpi = a_kpi("first_contact_resolution").model_copy(update={"targets_by_industry": {"finance": 0.01}})
    registry = KpiRegistry(version=2, kpis=(kpi,))
    try:
        make_views(filled.url, kpi_views(registry, DAYS, WINDOW_DAYS))
        rows = filled.rows("SELECT * FROM kpi_daily WHERE kpi = 'first_contact_resolution'")
        assert {(row["tenant_id"], row["target"]) for row in rows} == {("acme", 0.7), ("bolt", 0.01), ("cord", 0.7)}
        between = filled.rows(
            "SELECT * FROM kpi_between(dimension = 'tenant', first = {first:String}, last = {last:String}) "
            "WHERE kpi = 'first_contact_resolution'",
            first=f"{filled.start:%Y-%m-%d}",
            last=f"{filled.end:%Y-%m-%d}",
        )
        assert {row["tenant_id"]: row["verdict"] for row in between} == {
            tenant: target_status(
                kpi, estimate(kpi, sums), {"acme": "ecommerce", "bolt": "finance", "cord": "education"}[tenant]
            )
            for (tenant, _), sums in expected_sums(filled, kpi, "tenant").items()
        }
        assert filled.kpis.industries() == {"acme": "ecommerce", "bolt": "finance", "cord": "education"}
    finally:
        make_views(filled.url, kpi_views(REGISTRY, DAYS, WINDOW_DAYS))


# --- demands


def test_demands_are_counted_with_their_best_examples(filled: Filled) -> None:
    expected: dict[tuple[str, str | None, str], list[CallAnalysis]] = defaultdict(list)
    for analysis in filled.world.analyses:
        for topic in {topic.topic_id for topic in analysis.topics}:
            expected[analysis.tenant_id, analysis.call.inquiry_type, topic].append(analysis)
    found = filled.kpis.demands("day", filled.start, filled.end)
    assert {(each.tenant_id, each.inquiry_type, each.topic_id): each.calls for each in found} == {
        key: len(analyses) for key, analyses in expected.items()
    }
    for each in found:
        analyses = expected[each.tenant_id, each.inquiry_type, each.topic_id]
        agitated = [
            value > 0
            for analysis in analyses
            if (value := analysis.measures.get("customer_agitated_segments")) is not None
        ]
        assert (each.agitated, each.agitation_known) == (sum(agitated), len(agitated))
        said = [filled.reference.resolution(analysis) for analysis in analyses]
        known = [what for what in said if what in ("resolved", "unresolved")]
        assert (each.unresolved, each.resolution_known) == (known.count("unresolved"), len(known))
        assert each.resolution_pending == said.count("pending")
        mentions = {
            analysis.call_id: max(
                (topic.confidence, topic.quote) for topic in analysis.topics if topic.topic_id == each.topic_id
            )
            for analysis in analyses
        }
        best = sorted(((-confidence, call_id, quote) for call_id, (confidence, quote) in mentions.items()))[:5]
        assert each.examples == tuple(DemandExample(call_id, quote, -negative) for negative, call_id, quote in best)


def test_demands_of_customers_are_told_from_those_of_all_others(filled: Filled) -> None:
    found = filled.kpis.customer_demands("day", filled.start, filled.end, "acme")
    analyzed = [
        analysis
        for analysis in filled.world.analyses
        if analysis.tenant_id == "acme" and analysis.outcome == "analyzed"
    ]
    seen = set()
    for each in found:
        theirs = [
            analysis
            for analysis in analyzed
            if (
                each.customers in analysis.call.customer.tags
                if each.attribute == "tag"
                else filled.reference.value_tier(analysis) == each.customers
            )
        ]
        about = [a for a in analyzed if each.topic_id in {topic.topic_id for topic in a.topics}]
        both = [analysis for analysis in about if analysis in theirs]
        assert (each.calls, each.calls_of_customers) == (len(both), len(theirs))
        assert each.calls_of_others_about_it == len(about) - len(both)
        assert each.calls_of_others == len(analyzed) - len(theirs)
        seen.add((each.attribute, each.customers))
    assert seen == {("tag", "vip"), ("tag", "new"), ("tag", "late"), ("value_tier", "gold"), ("value_tier", "basic")}


def test_analysed_calls_are_counted_by_inquiry_type(filled: Filled) -> None:
    expected: dict[tuple[str, str | None], int] = defaultdict(int)
    for analysis in filled.world.analyses:
        if analysis.outcome == "analyzed":
            expected[analysis.tenant_id, analysis.call.inquiry_type] += 1
    assert filled.kpis.analyzed_calls("day", filled.start, filled.end) == expected


# --- calls of one tenant more, after all others were counted


def test_a_repeat_is_no_first_contact_and_cannot_make_good_nor_pay_for_the_call_that_it_repeats(filled: Filled) -> None:
    day = filled.world.now.replace(hour=4, minute=0, second=0, microsecond=0) - timedelta(days=40)
    first = filled.world.analyses[0]
    items = tuple(
        ScoreItem(item_id=name, name=name, group=group, points=points, max_points=most, reason=reason)
        for name, group, points, most, reason in (
            ("words", "compliance", 72.0, 80.0, None),
            ("settled", "resolution", None, 20.0, "pending"),
        )
    )
    card = Scorecard(form_id="general", form_version=2, score=90, groups={"compliance": 90.0}, items=items)
    analyses = []
    # Ten customers: four call again the day after, and then no more. Six of ten were settled at the first contact.
    for customer in range(10):
        for contact in range(2 if customer < 4 else 1):
            ended_at = day + timedelta(days=contact, minutes=customer)
            call = first.call.model_copy(
                update={
                    "tenant_id": "echo",
                    "call_id": f"{customer}-{contact}",
                    "direction": "inbound",
                    "inquiry_type": "orders",
                    "started_at": ended_at - timedelta(minutes=3),
                    "ended_at": ended_at,
                    "customer": first.call.customer.model_copy(update={"key": f"{customer:064x}"}),
                }
            )
            analyses.append(
                first.model_copy(
                    update={
                        "tenant_id": "echo",
                        "call_id": call.call_id,
                        "call": call,
                        "outcome": "analyzed",
                        "topics": (),
                        "scorecard": card,
                        "transcribed_at": ended_at,
                        "analyzed_at": ended_at,
                    }
                )
            )
    sink = ClickHouseSink(filled.client)
    for analysis in analyses:
        sink.write(rows_for_analysis(analysis))
    Rollups(ClickHouseRollups(filled.url), RollupDefinition(REGISTRY, DAYS, WINDOW_DAYS), BY_HAND).refresh()
    rows = filled.rows(
        "SELECT kpi, n, value FROM kpi_between(dimension = 'tenant', first = {first:String}, last = {last:String}) "
        "WHERE tenant_id = 'echo' AND kpi IN ('first_contact_resolution', 'resolution_per_call')",
        first=f"{day - timedelta(days=1):%Y-%m-%d}",
        last=f"{day + timedelta(days=2):%Y-%m-%d}",
    )
    points = filled.rows(
        "SELECT call_id, settled_score, score FROM kpi_calls(start = {start:String}, end = {end:String}, "
        "window_days = 7) WHERE tenant_id = 'echo'",
        start=moment(day - timedelta(days=1)),
        end=moment(day + timedelta(days=2)),
    )
    assert {row["score"] for row in points} == {90}
    assert {row["call_id"] for row in points if row["settled_score"] != 92} == {f"{number}-0" for number in range(4)}
    assert {row["settled_score"] for row in points} == {92, 72}
    found = {row["kpi"]: (row["n"], row["value"]) for row in rows}
    assert found["first_contact_resolution"] == (10, pytest.approx(0.6))
    assert found["resolution_per_call"] == (14, pytest.approx(10 / 14))


def a_kpi(kpi_id: str) -> Kpi:
    found = REGISTRY.kpi(kpi_id)
    assert found is not None
    return found


def moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"


# --- dashboards

DATASETS = read("datasets")


def in_superset(filled: Filled, dataset: str, keys: tuple[str, ...], metrics: dict[str, str]) -> list[dict[str, Any]]:
    """What Superset shows of a dataset for the days of `filled`, by some of its columns."""
    chosen = ", ".join((*keys, *(f"{sql} AS `metric {name}`" for name, sql in metrics.items())))
    return filled.rows(
        f"SELECT {chosen} FROM ({DATASETS[dataset]['sql']}) AS dataset "  # noqa: S608 - of the repository
        f"WHERE day BETWEEN {{first:Date32}} AND {{last:Date32}} GROUP BY {', '.join(keys)}",
        first=filled.start.date(),
        last=filled.end.date(),
    )


def kpis_of_dataset(dataset: str) -> dict[str, str]:
    """KPI → SQL."""
    metrics = {metric["metric_name"]: metric["expression"] for metric in DATASETS[dataset]["metrics"]}
    return {name: sql for name, sql in metrics.items() if REGISTRY.kpi(name)}


@pytest.mark.parametrize(
    ("dimension", "columns"),
    [
        ("tenant", ()),
        ("agent", ("agent_team", "agent_id")),
        ("inquiry_type", ("inquiry_type",)),
        ("order_status", ("newest_order_status",)),
        ("customer_value_tier", ("newest_customer_value_tier",)),
    ],
)
def test_dashboards_of_calls_show_the_numbers_of_the_registry(
    dimension: Dimension, columns: tuple[str, ...], filled: Filled, rolled_up: dict[Dimension, SumsOf]
) -> None:
    metrics = kpis_of_dataset("calls")
    assert metrics.keys() == {kpi.id for kpi in REGISTRY.ratios}
    groups = set()
    for row in in_superset(filled, "calls", ("tenant_id", *columns), metrics):
        key = tuple(None if row[column] == "-" else row[column] for column in columns)
        groups.add((row["tenant_id"], key))
        for kpi_id in metrics:
            sums = rolled_up[dimension].get((row["tenant_id"], key, kpi_id), Sums())
            assert alike(row[f"metric {kpi_id}"], estimate(a_kpi(kpi_id), sums).value), (kpi_id, row["tenant_id"], key)
    assert groups == {(tenant, key) for tenant, key, _ in rolled_up[dimension]}


@pytest.mark.parametrize(
    ("dataset", "dimension"), [("kpi_daily", "tenant"), ("kpi_team", "team"), ("kpi_agent", "agent")]
)
def test_dashboards_of_kpis_show_the_numbers_of_the_registry(
    dataset: str, dimension: Dimension, filled: Filled, rolled_up: dict[Dimension, SumsOf]
) -> None:
    """Those of the calls of several days are withheld as those of a day are."""
    columns = {"kpi_daily": (), "kpi_team": ("agent_team",), "kpi_agent": ("agent_id",)}[dataset]
    (value,) = (one["expression"] for one in DATASETS[dataset]["metrics"] if one["metric_name"] == "value")
    expected: dict[tuple[str, Key, str], Sums] = defaultdict(Sums)
    for (tenant, key, kpi_id), sums in rolled_up[dimension].items():
        expected[tenant, key[-1:], kpi_id] += sums
    rows = in_superset(filled, dataset, ("tenant_id", *columns, "kpi"), {"value": value})
    assert len(rows) == len(expected)
    for row in rows:
        key = tuple(None if row[column] == "-" else row[column] for column in columns)
        found = estimate(a_kpi(row["kpi"]), expected[row["tenant_id"], key, row["kpi"]])
        assert alike(row["metric value"], found.value), row
    assert any(row["metric value"] is None for row in rows)


RATED_BY_HAND = """
SELECT 100 * (rated.3 - rated.4) / (rated.5 - rated.4) AS rating
FROM
(
    SELECT call_id, max((rated_at, rating_id, csat_score, csat_scale_min, csat_scale_max)) AS rated
    FROM rating_versions
    WHERE tenant_id = 'ivy' AND isNotNull(csat_score)
        AND call_id IN (SELECT call_id FROM call_versions WHERE tenant_id = 'ivy')
    GROUP BY call_id
)
"""


def test_one_number_is_shown_of_ratings_out_of_order_of_turns_that_are_not_and_of_calls_that_moved(
    filled: Filled,
) -> None:
    """By SQL of our own on raw rows, by the sums of `callstream kpi`, by days, by a stretch, and on the dashboard."""
    first = next(analysis for analysis in filled.world.analyses if analysis.outcome == "analyzed")
    at = filled.world.now.replace(minute=30) - timedelta(days=5)
    sink = ClickHouseSink(filled.client)

    def judge(call_id: str, version: int, agent: str, interruptions: int, turns: int | None) -> None:
        own = {"tenant_id": "ivy", "call_id": call_id}
        call = first.call.model_copy(
            update=own | {"agent": Agent(id=agent, team=agent), "csat": None, "started_at": at, "ended_at": at}
        )
        measures = {"agent_interruptions": interruptions, "agent_turns": turns}
        judged = {"call": call, "measures": measures, "analysis_version": version, "outcome": "analyzed"}
        later = {"transcribed_at": at + timedelta(hours=version), "analyzed_at": at + timedelta(hours=version)}
        sink.write(rows_for_analysis(first.model_copy(update=own | judged | later)))

    def rate(call_id: str, hours: int, csat: Csat | None, resolved: bool | None = None) -> None:
        rated = CallRated(
            tenant_id="ivy",
            call_id=call_id,
            rated_at=at + timedelta(hours=hours),
            source="tests",
            csat=csat,
            resolved=resolved,
        )
        sink.write(rows_for_call_rated(rated))

    judge("moved", 2, "new", 1, 20)  # before the older judgement, which another agent had
    judge("moved", 1, "old", 9, 10)
    judge("no-turns", 1, "new", 4, 0)  # more events than could be
    judge("unknown-turns", 1, "new", 3, None)
    rate("moved", 2, Csat(score=2, scale_min=0, scale_max=10))
    rate("moved", 1, Csat(score=5, scale_min=1, scale_max=5))  # comes later and is older, on another scale
    rate("moved", 3, None, resolved=True)  # newer, and no rating
    rate("no-turns", 1, Csat(score=4, scale_min=1, scale_max=7))
    rate("never-called", 1, Csat(score=1, scale_min=1, scale_max=5))
    Rollups(ClickHouseRollups(filled.url), RollupDefinition(REGISTRY, DAYS, WINDOW_DAYS), BY_HAND).refresh()
    ratings = [row["rating"] for row in filled.rows(RATED_BY_HAND)]
    expected = {"satisfaction": sum(ratings) / len(ratings), "agent_interruption_rate": 0.05, "ai_coverage": 1.0}
    assert expected["satisfaction"] == pytest.approx((20 + 50) / 2)
    kpis = [a_kpi(name) for name in expected]
    sums = filled.kpis.sums(kpis, "tenant", "day", filled.start, filled.end, "ivy")
    named = f"WHERE tenant_id = 'ivy' AND kpi IN {tuple(expected)}"
    days = filled.rows(f"SELECT kpi, n, value FROM kpi_daily {named}")  # noqa: S608 - of this test
    stretch = filled.rows(
        "SELECT kpi, n, value FROM kpi_between(dimension = 'tenant', first = '2000-01-01', last = '2100-01-01') "  # noqa: S608
        + named
    )
    metrics = {name: sql for name, sql in kpis_of_dataset("calls").items() if name in expected}
    (shown,) = (row for row in in_superset(filled, "calls", ("tenant_id",), metrics) if row["tenant_id"] == "ivy")
    with every_case() as cases:
        for kpi in kpis:
            with cases.case(kpi.id):
                value = pytest.approx(expected[kpi.id])
                assert estimate(kpi, sums["ivy", (), kpi.id]).value == value
                assert [row["value"] for row in days if row["kpi"] == kpi.id] == [value]
                assert [row["value"] for row in stretch if row["kpi"] == kpi.id] == [value]
                assert shown[f"metric {kpi.id}"] == value
    assert {row["kpi"]: row["n"] for row in days} == {
        "satisfaction": 2,
        "agent_interruption_rate": 1,
        "ai_coverage": 3,
    }


def test_the_dashboard_of_completeness_shows_the_number_of_the_registry(filled: Filled) -> None:
    """Refused events and recordings that lie somewhere else are in neither, and pending events in both for an hour."""
    kpi = a_kpi("recording_completeness")
    sink = ClickHouseSink(filled.client)
    first = filled.world.analyses[0]
    for outcome, reason in (("unsupported", "foreign_uri"), ("unsupported", "codec"), ("refused", "because")):
        call = first.call.model_copy(update={"tenant_id": "gull", "call_id": reason})
        changed = {"tenant_id": "gull", "call_id": reason, "call": call, "outcome": outcome, "outcome_reason": reason}
        sink.write(rows_for_analysis(first.model_copy(update=changed)))
    sums = filled.kpis.sums([kpi], "tenant", "day", filled.start, filled.end)
    rows = in_superset(filled, f"kpi_{kpi.id}", ("tenant_id",), kpis_of_dataset(f"kpi_{kpi.id}"))
    shown = {row["tenant_id"]: row[f"metric {kpi.id}"] for row in rows}
    assert shown == pytest.approx({tenant: estimate(kpi, each).value for (tenant, _, _), each in sums.items()})
    assert shown["gull"] == pytest.approx(1 / 3)


def test_the_dashboard_of_demands_shows_kpis_of_the_calls_about_each(filled: Filled) -> None:
    metrics = kpis_of_dataset("topics")
    assert "satisfaction" in metrics
    compared = 0
    for row in in_superset(filled, "topics", ("tenant_id", "topic_id"), metrics):
        if row["tenant_id"] not in ("acme", "bolt", "cord"):  # those of the tests above
            continue
        about = [
            analysis
            for analysis in filled.world.analyses
            if analysis.tenant_id == row["tenant_id"] and row["topic_id"] in {one.topic_id for one in analysis.topics}
        ]
        for kpi_id in metrics:
            found = estimate(a_kpi(kpi_id), filled.reference.sums(kpi_id, about))
            assert alike(row[f"metric {kpi_id}"], found.value), (kpi_id, row)
            compared += 1
    assert compared == 3 * len(TOPICS) * len(metrics)


# --- semantic model


def in_dbt(filled: Filled, metrics: Sequence[str], keys: tuple[str, ...]) -> dict[tuple[str, ...], dict[str, Any]]:
    """Metrics of the exported model as MetricFlow asks for them: sums of measures, divided, then derived."""
    database = filled.client.command("SELECT currentDatabase()")
    files = semantic_files(REGISTRY, WINDOW_DAYS, "elsewhere")
    content = yaml.safe_load(files[SEMANTIC_FILE])
    (calls,) = (model for model in content["semantic_models"] if model["name"] == "calls")
    measures = {each["name"]: f"{each['agg']}({each['expr']})" for each in calls["measures"]}
    every = {metric["name"]: metric for metric in content["metrics"]}

    def sql(name: str) -> str:
        parameters = every[name]["type_params"] if name in every else {}
        if name in measures:
            return measures[name]
        if every[name]["type"] == "ratio":
            above, below = (sql(parameters[part]["name"]) for part in ("numerator", "denominator"))
            return f"{above} / nullIf({below}, 0)"
        inputs = "|".join(each["name"] for each in parameters["metrics"])
        return re.sub(rf"\b({inputs})\b", lambda found: f"({sql(found[1])})", parameters["expr"])

    model = Template(files["callstream_calls.sql"]).render(config=lambda **_: "", var=lambda *_: database)
    chosen = ", ".join((*keys, *(f"{sql(name)} AS `metric {name}`" for name in metrics)))
    rows = filled.rows(
        f"SELECT {chosen} FROM ({model}) AS callstream_calls "  # noqa: S608 - of the repository
        f"WHERE day BETWEEN {{first:Date32}} AND {{last:Date32}} GROUP BY {', '.join(keys)}",
        first=filled.start.date(),
        last=filled.end.date(),
    )
    return {tuple(row[key] for key in keys): row for row in rows}


def test_the_semantic_model_of_dbt_gives_the_values_of_kpi_between(filled: Filled) -> None:
    ratios = [kpi.id for kpi in REGISTRY.ratios]
    of_dbt = in_dbt(filled, ratios, ("tenant_id", "inquiry_type"))
    # The days of "gull", which another test writes, are not rolled up.
    of_dbt = {key: row for key, row in of_dbt.items() if key[0] != "gull"}
    rows = filled.rows(
        "SELECT tenant_id, inquiry_type, kpi, value FROM kpi_between(dimension = 'inquiry_type', "
        "first = {first:String}, last = {last:String})",
        first=str(filled.start.date()),
        last=str(filled.end.date()),
    )
    of_views = {(row["tenant_id"], row["inquiry_type"], row["kpi"]): row["value"] for row in rows}
    assert {key[:2] for key in of_views} == of_dbt.keys()
    for (tenant, inquiry_type), row in of_dbt.items():
        for kpi in ratios:
            shown = of_views.get((tenant, inquiry_type, kpi))
            assert alike(row[f"metric {kpi}"], shown), (tenant, inquiry_type, kpi)
    assert any(value is not None for value in of_views.values())
