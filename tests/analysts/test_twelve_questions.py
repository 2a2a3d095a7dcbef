"""The twelve questions of docs/analysts.md: what SQL and commands answer is what `recount` counts from raw rows.

An analyst asks, as a person with the role `bi_analyst`; the rows as they were delivered are read by the owner of the
tables. `make nightly` compares what stands on the page with what is printed, too: that changes with the heads.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import isnan, nan
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from schemas.config.kpis.kpi import DIMENSIONS
from streams.adapters.clickhouse.connection import connect
from streams.demo.sample_data import SAMPLE_TENANT
from tests.analysts.analysts_page import (
    Person,
    output_of,
    questions,
)
from tests.analysts.recount import Figure, Recount, grouped
from tests.analysts.twelve_answers import ANSWERS, Row
from tests.support.clickhouse_engine import RunningEngine

QUESTIONS = {question.number: question for question in questions()}
APPROXIMATE = 0.04
"""By how much of its width an interval may be off, for the approximation of the t distribution."""


@pytest.fixture(scope="module")
def person(sample_engine: RunningEngine, tmp_path_factory: pytest.TempPathFactory) -> Person:
    return Person.at(sample_engine, tmp_path_factory.mktemp("analyst"))


@pytest.fixture(scope="module")
def recount(sample_engine: RunningEngine) -> Recount:
    return recount_of(sample_engine)


def recount_of(engine: RunningEngine) -> Recount:
    client = connect(engine.url())
    try:
        return Recount.read(client, SAMPLE_TENANT, datetime.now(UTC))
    finally:
        client.close()


def test_there_are_twelve_questions_each_with_sql_a_command_and_what_it_does_not_tell() -> None:
    assert list(QUESTIONS) == list(ANSWERS) == list(range(1, 13))
    for question in QUESTIONS.values():
        counted = ANSWERS[question.number]
        assert 0 < len(question.queries) == len(counted.rows), question.title
        assert 0 < len(question.commands) == len(counted.figures), question.title
        assert "*Does not tell:*" in question.text, question.title


@pytest.mark.embedded
@pytest.mark.parametrize("number", QUESTIONS)
def test_sql_answers_what_was_counted(number: int, bi_analyst: Client, recount: Recount) -> None:
    compare_queries(number, bi_analyst, recount)


@pytest.mark.embedded
@pytest.mark.parametrize("number", QUESTIONS)
def test_a_command_answers_what_was_counted(number: int, person: Person, recount: Recount) -> None:
    compare_commands(number, person, recount)


@pytest.mark.embedded
def test_calls_whose_window_has_not_passed_are_pending_whatever_has_become_of_them(
    bi_analyst: Client, recount: Recount
) -> None:
    """With a window that reaches from the middle of the calls to now."""
    days = (recount.now - datetime(2026, 3, 1, tzinfo=UTC)).days
    found = bi_analyst.query(
        "SELECT inquiry_type, countIf(resolution = 'pending'), countIf(resolution = 'resolved'), countIf(is_repeat)\n"
        "FROM kpi_calls(start = '2026-01-01', end = '2026-05-01', window_days = {days:UInt32})\n"
        "GROUP BY inquiry_type",
        parameters={"days": days},
    ).result_rows
    later = Recount(recount.calls, recount.now, window=timedelta(days=days))
    expected = {
        (
            kind,
            sum(later.resolution(call) == "pending" for call in calls),
            sum(later.resolution(call) == "resolved" for call in calls),
            sum(later.is_repeat(call) for call in calls),
        )
        for kind, calls in grouped(later.calls, lambda call: call.inquiry_type).items()
    }
    assert set(found) == expected
    assert all(min(part) > 0 for part in zip(*((row[1], row[3]) for row in found if row[0] == "物流"), strict=True))


@pytest.mark.embedded
@pytest.mark.long
def test_what_stands_on_the_page_is_what_is_printed(bi_analyst: Client, person: Person) -> None:
    for question in QUESTIONS.values():
        assert [output_of(bi_analyst, query) for query in question.queries] == [
            query.output for query in question.queries
        ], "run python -m tests.analysts.analysts_page"
        assert [person.run(printed.command) for printed in question.commands] == [
            printed.output for printed in question.commands
        ], "run python -m tests.analysts.analysts_page"


def compare_queries(number: int, client: Client, counted: Recount) -> None:
    """Every query of a question with what was counted."""
    answer = ANSWERS[number]
    for query, rows, places in zip(QUESTIONS[number].queries, answer.rows, answer.places, strict=True):
        found, expected = (in_order(each) for each in (list(client.query(query.sql).named_results()), rows(counted)))
        assert len(found) == len(expected) > 0
        assert [wrong for pair in zip(found, expected, strict=True) if (wrong := difference(*pair, places))] == []


def in_order(rows: Sequence[Row]) -> list[Row]:
    """By what tells rows apart: the page orders some by rounded numbers."""
    return sorted(rows, key=lambda row: [str(value) for value in row.values() if isinstance(value, str | int)])


def difference(found: Row, expected: Row, places: int) -> str:
    """What is not what it should be; empty where all is."""
    if found.keys() != expected.keys():
        return f"{list(found)} instead of {list(expected)}"
    for name, value in expected.items():
        shown = found[name]
        same = shown == value
        if isinstance(value, float) and shown is not None:
            width = expected["high"] - expected["low"] if name in ("low", "high") else 0
            same = (isnan(value) and isnan(shown)) or abs(shown - value) <= 0.501 * 10**-places + APPROXIMATE * width
        if not same:
            return f"{name} is {shown} instead of {value} in {dict(found)}"
    return ""


def compare_commands(number: int, person: Person, counted: Recount) -> None:
    """Every command of a question, as JSON, with what was counted."""
    for printed, figures in zip(QUESTIONS[number].commands, ANSWERS[number].figures, strict=True):
        found, expected = lines_of(printed.command, person), figures(counted)
        assert found.keys() == expected.keys()
        assert expected
        assert [wrong for key in expected if (wrong := distance(found[key], expected[key]))] == []


def lines_of(command: str, person: Person) -> Mapping[tuple[Any, ...], Mapping[str, Any]]:
    """What a command answers as JSON: a line with n, value, low and high for each group."""
    _, *arguments = shlex.split(command)
    done = person.invoke(*arguments, "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    if "hours" in answer:
        return {(line["weekday"], line["hour"]): line for line in answer["hours"]}
    if "customer_demands" in answer:
        return {
            (each["count"]["name"],): {**each["share"], "n": each["count"]["calls"]}
            for each in answer["customer_demands"]
        }
    if "calls" in answer:
        return {(hit["call_id"],): {"n": 0, "value": nan, "low": None, "high": None} for hit in answer["calls"]}
    if "agents" in answer:
        (line,) = answer["kpis"]
        return {(name,): line[name] for name in ("before", "after", "others_before", "others_after")}
    columns = DIMENSIONS[answer["by"]] or ("kpi",)
    return {tuple(line[column] for column in columns): line for line in answer["kpis"]}


def distance(found: Mapping[str, Any], expected: Figure) -> str:
    """What of a figure is not what it should be; empty where all is."""
    if (found["n"], found["value"]) != (expected.n, pytest.approx(expected.value, nan_ok=True)):
        return f"{found} instead of {expected}"
    for shown, limit in ((found["low"], expected.low), (found["high"], expected.high)):
        if limit is None or expected.low is None or expected.high is None:
            if shown is not None:
                return f"{found} has limits"
        elif not isnan(limit) and (
            shown is None or abs(shown - limit) > APPROXIMATE * (expected.high - expected.low) + 1e-9
        ):
            return f"{found} instead of {expected}"
    return ""
