"""Messages to rows, without a database."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from processors.clickhouse.rows import (
    ACCESS_LOG,
    ALERT_DELIVERIES,
    ALERTS,
    CALLS,
    CUSTODY_EVENTS,
    DEAD_LETTERS,
    FACTS,
    OUTCOMES,
    RATINGS,
    RULE_PACKS,
    RULES,
    TRANSCRIPTS,
    VERDICTS,
    Row,
    rows_for_alert,
    rows_for_alert_delivery,
    rows_for_analysis,
    rows_for_call_ended,
    rows_for_call_rated,
    rows_for_custody_changed,
    rows_for_dead_letter,
    rows_for_fact_received,
    rows_for_recording_accessed,
    rows_for_rules_published,
    rows_for_transcript,
    rows_for_unreadable,
    rows_for_verdict_given,
    version_of_analysis,
)
from schemas.errors import InvalidMessageError
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import CallEnded
from schemas.messages.call_rated import CallRated
from schemas.messages.dead_letter import DeadLetter
from schemas.messages.fact_received import FactReceived
from schemas.messages.topics import (
    ALERTS_DELIVERED,
    ALERTS_RAISED,
    CALLS_ANALYZED,
    CALLS_DEAD_LETTERS,
    CALLS_ENDED,
    CALLS_RATED,
    CALLS_TRANSCRIBED,
    CUSTODY_CHANGED,
    FACTS_RECEIVED,
    RECORDINGS_ACCESSED,
    RULES_PUBLISHED,
    VERDICTS_GIVEN,
)
from schemas.messages.transcript import Transcript
from schemas.messages.verdict_given import VerdictGiven
from tests.support.clickhouse_columns import columns_of_table

EXAMPLES = Path(__file__).parents[2] / "examples"
READ_AT = datetime(2026, 3, 12, 4, 0, tzinfo=UTC)


def example(topic: str, name: str) -> bytes:
    return (EXAMPLES / topic / f"{name}.json").read_bytes()


def an_event() -> CallEnded:
    return CALLS_ENDED.decode(example("calls.ended.v1", "human_inbound_with_everything"))


def a_transcript(name: str = "heard") -> Transcript:
    return CALLS_TRANSCRIBED.decode(example("calls.transcribed.v1", name))


def an_analysis(name: str = "with_findings") -> CallAnalysis:
    return CALLS_ANALYZED.decode(example("calls.analyzed.v1", name))


def a_rating() -> CallRated:
    return CALLS_RATED.decode(example(CALLS_RATED.name, "answer_of_the_customer"))


def a_verdict(name: str = "violation_missed") -> VerdictGiven:
    return VERDICTS_GIVEN.decode(example(VERDICTS_GIVEN.name, name))


def a_fact(**fields: str) -> FactReceived:
    fact = FACTS_RECEIVED.decode(example(FACTS_RECEIVED.name, "order_that_was_solved"))
    return fact.model_copy(update={"fields": fields}) if fields else fact


def a_letter(name: str = "conflicting_call") -> DeadLetter:
    return CALLS_DEAD_LETTERS.decode(example("calls.dead_letters.v1", name))


FILLED_BY_A_PURGE = {"purged_at", "kept_contact"}


@pytest.mark.parametrize(
    ("table", "row"),
    [
        pytest.param(CALLS, rows_for_analysis(an_analysis())[CALLS][0], id="a judged call"),
        pytest.param(TRANSCRIPTS, rows_for_transcript(a_transcript())[TRANSCRIPTS][0], id="a transcript"),
        pytest.param(OUTCOMES, rows_for_analysis(an_analysis())[OUTCOMES][0], id="the outcome of an analysis"),
        pytest.param(OUTCOMES, rows_for_call_ended(an_event(), READ_AT)[OUTCOMES][0], id="a pending call"),
        pytest.param(OUTCOMES, rows_for_dead_letter(a_letter())[OUTCOMES][0], id="a refused call"),
        pytest.param(DEAD_LETTERS, rows_for_dead_letter(a_letter())[DEAD_LETTERS][0], id="a dead letter"),
        pytest.param(RATINGS, rows_for_call_rated(a_rating())[RATINGS][0], id="what a customer said later"),
        pytest.param(FACTS, rows_for_fact_received(a_fact(), READ_AT, 7)[FACTS][0], id="what another system knows"),
        pytest.param(VERDICTS, rows_for_verdict_given(a_verdict())[VERDICTS][0], id="a verdict"),
        pytest.param(
            ALERTS,
            rows_for_alert(ALERTS_RAISED.decode(example(ALERTS_RAISED.name, "call_with_evidence")))[ALERTS][0],
            id="an alert",
        ),
        pytest.param(
            ALERT_DELIVERIES,
            rows_for_alert_delivery(ALERTS_DELIVERED.decode(example(ALERTS_DELIVERED.name, "delivered")))[
                ALERT_DELIVERIES
            ][0],
            id="an attempt to deliver an alert",
        ),
        pytest.param(
            RULE_PACKS,
            rows_for_rules_published(RULES_PUBLISHED.decode(example(RULES_PUBLISHED.name, "a_tenants_own_version")))[
                RULE_PACKS
            ][0],
            id="a rule pack",
        ),
        pytest.param(
            RULES,
            rows_for_rules_published(RULES_PUBLISHED.decode(example(RULES_PUBLISHED.name, "a_tenants_own_version")))[
                RULES
            ][0],
            id="a rule",
        ),
        pytest.param(
            ACCESS_LOG,
            rows_for_recording_accessed(RECORDINGS_ACCESSED.decode(example(RECORDINGS_ACCESSED.name, "listened")))[
                ACCESS_LOG
            ][0],
            id="an access",
        ),
        pytest.param(
            CUSTODY_EVENTS,
            rows_for_custody_changed(CUSTODY_CHANGED.decode(example(CUSTODY_CHANGED.name, "recording_announced")))[
                CUSTODY_EVENTS
            ][0],
            id="an event of custody",
        ),
    ],
)
def test_a_row_has_exactly_the_columns_of_its_table(table: str, row: Row) -> None:
    columns = columns_of_table(table)
    filled = [name for name, column in columns.items() if not column.filled_by_database]
    assert list(row) == [name for name in filled if name not in FILLED_BY_A_PURGE]


def test_an_event_of_custody_keeps_whose_account_which_role_and_which_case_it_is_about() -> None:
    def kept(name: str) -> tuple[object, ...]:
        row = rows_for_custody_changed(CUSTODY_CHANGED.decode(example(CUSTODY_CHANGED.name, name)))[CUSTODY_EVENTS][0]
        return row["account_id"], row["role"], row["case_id"]

    assert kept("role_granted") == ("li_na", "approver", None)
    assert kept("hold_opened") == (None, None, "court:7-C-12")
    assert kept("recording_announced") == (None, None, None)


def test_a_call_is_pending_since_its_event_was_written() -> None:
    event = an_event()
    assert rows_for_call_ended(event, READ_AT) == {
        OUTCOMES: [
            {
                "tenant_id": event.tenant_id,
                "call_id": event.call_id,
                "outcome": "pending",
                "reason": "",
                "ended_at": event.ended_at,
                "since": READ_AT,
                "version": 0,
            }
        ]
    }


def test_an_unreadable_event_whose_key_tells_the_call_leaves_that_call_pending() -> None:
    row = rows_for_unreadable(CALLS_ENDED.name, 3, 1204, ("demo", "c-1"), READ_AT)[OUTCOMES][0]
    assert (row["tenant_id"], row["call_id"], row["outcome"]) == ("demo", "c-1", "pending")
    assert (row["ended_at"], row["since"], row["version"]) == (None, READ_AT, 0)


def test_an_unreadable_event_of_an_unknown_call_and_its_dead_letter_are_the_same_call() -> None:
    letter = a_letter("undecodable")
    pending = rows_for_unreadable(letter.source_topic, letter.source_partition, letter.source_offset, None, READ_AT)
    refused = rows_for_dead_letter(letter)[OUTCOMES][0]
    key = ("unknown", "calls.ended.v1/7/90412")
    assert (pending[OUTCOMES][0]["tenant_id"], pending[OUTCOMES][0]["call_id"]) == key
    assert (refused["tenant_id"], refused["call_id"]) == key
    assert refused["outcome"] == "refused"


def test_an_unreadable_message_of_another_topic_needs_no_outcome() -> None:
    assert rows_for_unreadable(CALLS_TRANSCRIBED.name, 0, 0, ("demo", "c-1"), READ_AT) == {}


def test_a_dead_letter_that_knows_its_call_refuses_it_with_the_class_of_the_error() -> None:
    letter = a_letter("conflicting_call")
    rows = rows_for_dead_letter(letter)
    assert rows[OUTCOMES] == [
        {
            "tenant_id": "demo",
            "call_id": "out-7f3a91",
            "outcome": "refused",
            "reason": "ConflictingCallError",
            "ended_at": None,
            "since": letter.failed_at,
            "version": 1,
        }
    ]
    assert rows[DEAD_LETTERS][0]["problems"] == list(letter.problems)


def test_a_dead_letter_of_a_later_topic_that_knows_no_call_refuses_none() -> None:
    letter = a_letter("undecodable").model_copy(update={"source_topic": CALLS_TRANSCRIBED.name})
    assert set(rows_for_dead_letter(letter)) == {DEAD_LETTERS}


def test_a_higher_analysis_version_wins_even_when_it_was_made_earlier() -> None:
    newer_rules = an_analysis().model_copy(
        update={"analysis_version": 2, "analyzed_at": datetime(2026, 1, 1, tzinfo=UTC)}
    )
    older_rules = an_analysis().model_copy(
        update={"analysis_version": 1, "analyzed_at": datetime(2026, 6, 1, tzinfo=UTC)}
    )
    assert version_of_analysis(newer_rules) > version_of_analysis(older_rules)


def test_within_one_analysis_version_the_later_analysis_wins_by_the_millisecond() -> None:
    first = an_analysis().model_copy(update={"analyzed_at": datetime(2026, 1, 1, 0, 0, 0, 1_000, tzinfo=UTC)})
    second = an_analysis().model_copy(update={"analyzed_at": datetime(2026, 1, 1, 0, 0, 0, 2_000, tzinfo=UTC)})
    assert version_of_analysis(second) - version_of_analysis(first) == 1


def test_a_judgement_of_the_newest_transcript_wins_over_later_ones_and_newer_versions_of_an_older_one() -> None:
    heard_at = datetime(2026, 1, 1, tzinfo=UTC)
    newest = an_analysis().model_copy(update={"transcribed_at": heard_at + timedelta(milliseconds=1)})
    late = {"transcribed_at": heard_at, "analyzed_at": newest.analyzed_at + timedelta(days=400)}
    for update in (late, late | {"analysis_version": 2**32 - 1}):
        assert version_of_analysis(newest) > version_of_analysis(newest.model_copy(update=update))


def test_an_analysis_outranks_a_refusal_of_the_same_call() -> None:
    refused = rows_for_dead_letter(a_letter())[OUTCOMES][0]["version"]
    assert isinstance(refused, int)
    assert version_of_analysis(an_analysis()) > refused


def test_a_measure_that_could_not_be_taken_is_null_and_never_zero() -> None:
    row = rows_for_analysis(an_analysis("too_short"))[CALLS][0]
    measures = row["measures"]
    assert isinstance(measures, dict)
    assert row["duration_in_band"] is None
    assert measures["duration_in_band"] is None


def test_booleans_are_numbers_among_the_measures_and_truth_values_in_their_own_column() -> None:
    row = rows_for_analysis(an_analysis())[CALLS][0]
    measures = row["measures"]
    assert isinstance(measures, dict)
    assert (row["duration_in_band"], measures["duration_in_band"]) == (True, 1.0)


def test_the_findings_of_a_call_lie_in_its_row_with_every_attribute_as_text() -> None:
    analysis = an_analysis()
    row = rows_for_analysis(analysis)[CALLS][0]
    finding = analysis.findings[0]
    assert row["findings.finding_id"] == [finding.finding_id]
    assert row["findings.quote"] == [finding.quote]
    attributes = row["findings.attributes"]
    assert isinstance(attributes, list)
    assert all(isinstance(value, str) for value in attributes[0].values())
    assert attributes[0].keys() == finding.attributes.keys()


def test_a_transcript_keeps_each_word_with_its_segment() -> None:
    transcript = a_transcript()
    row = rows_for_transcript(transcript)[TRANSCRIPTS][0]
    assert row["segments.text"] == [segment.text for segment in transcript.segments]
    assert row["segments.word_text"] == [[word.text for word in segment.words] for segment in transcript.segments]
    assert row["segments.word_end_ms"] == [[word.end_ms for word in segment.words] for segment in transcript.segments]


def test_a_recording_that_was_not_heard_has_an_outcome_and_no_segments() -> None:
    row = rows_for_transcript(a_transcript("not_heard_bad_audio"))[TRANSCRIPTS][0]
    assert (row["outcome"], row["outcome_reason"]) == ("bad_audio", "checksum_mismatch")
    assert row["segments.text"] == []


HUGE = 10**30


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"analysis_version": HUGE}, "analysis_version: too large", id="no column holds that version"),
        pytest.param({"measures": {"duration_ms": HUGE}}, "duration_ms: too large", id="a length beyond 64 bits"),
        pytest.param({"measures": {"duration_ms": -1}}, "duration_ms: negative", id="a negative length"),
        pytest.param({"measures": {"x": 10**400}}, "x: too large", id="a measure that no float can hold"),
        pytest.param({"measures": {"duration_in_band": 1}}, "duration_in_band: not a truth value", id="a number"),
        pytest.param({"analyzed_at": datetime(9999, 1, 1, tzinfo=UTC)}, "analyzed_at: too late", id="the year 9999"),
        pytest.param({"transcribed_at": datetime(9999, 1, 1, tzinfo=UTC)}, "transcribed_at: too late", id="heard then"),
        pytest.param({"analyzed_at": datetime(1900, 1, 1, tzinfo=UTC)}, "analyzed_at: negative", id="before 1970"),
    ],
)
def test_an_analysis_that_no_column_can_hold_is_refused_alone(change: dict[str, object], problem: str) -> None:
    with pytest.raises(InvalidMessageError) as refused:
        rows_for_analysis(an_analysis().model_copy(update=change))
    assert refused.value.problems == (problem,)


def test_a_recording_size_that_no_column_can_hold_is_refused() -> None:
    analysis = an_analysis()
    call = analysis.call.model_copy(update={"audio": analysis.call.audio.model_copy(update={"bytes": HUGE})})
    with pytest.raises(InvalidMessageError, match=r"audio\.bytes: too large"):
        rows_for_analysis(analysis.model_copy(update={"call": call}))


def test_a_time_that_no_column_can_hold_is_refused() -> None:
    transcript = a_transcript()
    segment = transcript.segments[0].model_copy(update={"end_ms": HUGE})
    with pytest.raises(InvalidMessageError, match="end_ms: too large"):
        rows_for_transcript(transcript.model_copy(update={"segments": (segment,)}))


def test_the_words_of_a_verdict_are_masked_also_where_another_program_wrote_them() -> None:
    told = a_verdict().model_copy(update={"quote": "您打13800138000找我", "note": "客户手机13900139000"})
    (row,) = rows_for_verdict_given(told)[VERDICTS]
    assert "138001" not in str(row)
    assert "139001" not in str(row)
    assert row["thing"] == rows_for_verdict_given(told.model_copy(update={"note": None}))[VERDICTS][0]["thing"]


def test_of_verdicts_of_one_moment_the_same_one_stands_in_whatever_order_they_come() -> None:
    one, other = a_verdict("call_worth_hearing"), a_verdict("call_worth_hearing").model_copy(update={"answer": "no"})
    rows = [rows_for_verdict_given(each)[VERDICTS][0] for each in (one, other)]
    assert rows[0]["version"] != rows[1]["version"]
    later = one.model_copy(update={"given_at": one.given_at + timedelta(milliseconds=1)})
    (last,) = rows_for_verdict_given(later)[VERDICTS]
    assert all(int(str(last["version"])) > int(str(row["version"])) for row in rows)


def test_of_one_moment_what_was_written_last_stands() -> None:
    """Also within the same millisecond: all of one thing lies in one partition."""
    later = READ_AT + timedelta(milliseconds=1)
    versions = [
        int(str(rows_for_fact_received(a_fact(), written_at, offset)[FACTS][0]["version"]))
        for written_at, offset in ((READ_AT, 2**62), (READ_AT, 2**63 - 1), (later, 0))
    ]
    assert versions == sorted(versions)
    assert len(set(versions)) == 3


def test_personal_numbers_in_fields_are_masked_whoever_wrote_them() -> None:
    (row,) = rows_for_fact_received(a_fact(phone="13800138000", paid="13800138000.50"), READ_AT, 0)[FACTS]
    assert row["fields"] == {"phone": "[手机号]", "paid": "13800138000.50"}
