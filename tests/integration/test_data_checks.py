"""Each check of the data fires on what it is about, and on nothing else."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from clickhouse_connect.driver.client import Client

from processors.clickhouse.rows import (
    ALERTS,
    CALLS,
    OUTCOMES,
    TRANSCRIPTS,
    rows_for_alert,
    rows_for_alert_delivery,
    rows_for_analysis,
    rows_for_call_ended,
    rows_for_transcript,
)
from schemas.messages.alert_delivery import AlertDelivery
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import Agent, CallEnded
from schemas.messages.topics import CALLS_REANALYZED, CALLS_TRANSCRIBED
from schemas.messages.transcript import Segment, Transcript
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.adapters.memory.broker import MemoryBroker
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.transcripts import TranscriptStore
from streams.ports import FormerJudgements
from streams.queries.data_checks import DATA_CHECKS, CheckLimits, as_json, results_table, run_checks
from streams.stages.repairing import Repaired, Repairing
from streams.stages.replay import BatchJudge
from tests.streams.cli.terminal import Terminal
from tests.support.alerts import HandClock, an_alert
from tests.support.judged_calls import NOW, an_event, judged
from tests.support.shipped_rules import shipped_judge
from tests.support.stored_keys import DerivedKeys, transcripts_in

pytestmark = pytest.mark.embedded

ENDED_AT = NOW - timedelta(hours=2)
LIMITS = CheckLimits(now=NOW, minimum_calls=3)
IDS = [check.id for check in DATA_CHECKS]


@dataclass
class Data:
    """A migrated database with three calls in order; rows can be added, changed or left out."""

    url: str
    client: Client
    sink: ClickHouseSink

    def put(self, table: str, number: int = 0, **columns: object) -> None:
        """The row of that call for a table, with other values in some columns."""
        row = self.rows_of(number)[table][0]
        assert columns.keys() <= row.keys()
        self.sink.write({table: [row | columns]})

    def put_whole(self, call: CallEnded) -> None:
        """Everything that there is about a call."""
        self.sink.write(rows_for_transcript(a_transcript(call)))
        self.sink.write(rows_for_analysis(an_analysis(call)))

    def remove(self, table: str, number: int = 0) -> None:
        key = {"call": f"c-{number}"}
        self.client.command(f"DELETE FROM {table} WHERE call_id = {{call:String}}", parameters=key)  # noqa: S608

    def rows_of(self, number: int) -> Mapping[str, list[dict[str, object]]]:
        call = a_call(number)
        alert = an_alert(number, raised_at=ENDED_AT, call_id=call.call_id, tenant_id=call.tenant_id)
        return {
            **rows_for_analysis(an_analysis(call)),
            **rows_for_transcript(a_transcript(call)),
            **rows_for_alert(alert),
            **rows_for_alert_delivery(
                AlertDelivery(
                    alert_id=alert.alert_id,
                    tenant_id=alert.tenant_id,
                    rule_id=alert.rule_id,
                    subscriber="desk",
                    channel="webhook",
                    attempt=1,
                    outcome="delivered",
                    at=ENDED_AT,
                )
            ),
        }

    def found(self, limits: CheckLimits = LIMITS) -> dict[str, list[tuple[str, int, int, str]]]:
        """Check → subject, count, total and example, of those that found something."""
        result: dict[str, list[tuple[str, int, int, str]]] = {}
        for hit in run_checks(self.client, limits):
            assert hit.tenant_id == "acme"
            result.setdefault(hit.check.id, []).append((hit.subject, hit.count, hit.total, hit.example))
        return result


def unmeasured(reason: str) -> dict[str, object]:
    """Columns of a call, one measure of which could not be taken."""
    skipped = {"skipped.measure": ["recording_doubts"], "skipped.reason": [reason]}
    return IN_ORDER | {"measures": {"recording_doubts": None}, "version": 2**127} | skipped


def a_call(number: int) -> CallEnded:
    return an_event(
        f"c-{number}",
        ENDED_AT + timedelta(minutes=number),
        agent=Agent(id="A1", team="east"),
        customer=f"{number:064x}",
        queue="refunds",
        inquiry_type="refund",
    )


def an_analysis(call: CallEnded) -> CallAnalysis:
    measures = {"duration_ms": 240_000, "duration_in_band": True, "agent_talk_share": 0.5, "interruptions": 1}
    return judged(call, topics=["refund"]).model_copy(update={"measures": measures, "language": "zh"})


def a_transcript(call: CallEnded) -> Transcript:
    return Transcript(
        tenant_id=call.tenant_id,
        call_id=call.call_id,
        call=call,
        language="zh",
        engine=judged(call).engine,
        segments=(Segment(segment_id=0, channel=0, role="agent", start_ms=0, end_ms=241_000, text="好", confidence=1),),
        transcribed_at=call.ended_at,
    )


@pytest.fixture
def data(new_database: Callable[[], str]) -> Iterator[Data]:
    url = new_database()
    client = connect(url)
    data = Data(url, client, ClickHouseSink(client))
    for number in range(3):
        for table, rows in data.rows_of(number).items():
            complete = {"risk_level": "low", "score": 90.0, "retention_class": "general"} if table == CALLS else {}
            data.sink.write({table: [row | complete for row in rows]})
    yield data
    client.close()


def test_nothing_is_found_where_all_is_in_order(data: Data) -> None:
    assert data.found() == {}


def test_nothing_is_found_where_nothing_is(new_database: Callable[[], str]) -> None:
    client = connect(new_database())
    assert list(run_checks(client, LIMITS)) == []
    client.close()


IN_ORDER = {"risk_level": "low", "score": 90.0, "retention_class": "general"}


@pytest.mark.parametrize(
    ("check", "breaks", "hit"),
    [
        pytest.param(
            "unaccounted",
            lambda data: data.sink.write(rows_for_call_ended(a_call(9), NOW - timedelta(minutes=16))),
            ("", 1, 4, "c-9"),
            id="an event waits for longer than the objective",
        ),
        pytest.param(
            "unaccounted",
            lambda data: data.sink.write(rows_for_call_ended(a_call(9), NOW - timedelta(days=400))),
            ("", 1, 4, "c-9"),
            id="an event waits for so long that status does not look there any more",
        ),
        pytest.param(
            "transcript_without_call",
            lambda data: data.sink.write(rows_for_transcript(a_transcript(a_call(9)))),
            ("", 1, 4, "c-9"),
            id="a transcript that nobody judged",
        ),
        pytest.param(
            "call_without_transcript", lambda data: data.remove(TRANSCRIPTS), ("", 1, 3, "c-0"), id="no words"
        ),
        pytest.param("call_without_outcome", lambda data: data.remove(OUTCOMES), ("", 1, 3, "c-0"), id="no outcome"),
        pytest.param(
            "outcome_without_call",
            lambda data: data.put(OUTCOMES, 9),
            ("", 1, 4, "c-9"),
            id="an outcome of a call that is not there",
        ),
        pytest.param(
            "outcome_contradicts_call",
            lambda data: data.put(OUTCOMES, outcome="no_audio", version=2**127),
            ("", 1, 3, "c-0"),
            id="two outcomes of one call",
        ),
        pytest.param(
            "alert_without_call",
            lambda data: data.put(ALERTS, call_id="c-9"),
            ("", 1, 3, "c-9"),
            id="an alert about no call",
        ),
        pytest.param(
            "future",
            lambda data: data.put_whole(a_call(9).model_copy(update={"ended_at": NOW + timedelta(minutes=6)})),
            ("", 1, 4, "c-9"),
            id="a call of tomorrow",
        ),
        pytest.param(
            "ends_before_start",
            lambda data: data.put(CALLS, 0, **IN_ORDER, started_at=NOW, version=2**127),
            ("", 1, 3, "c-0"),
            id="a call that ends before it starts",
        ),
        pytest.param(
            "judged_before_end",
            lambda data: data.put(CALLS, 0, **IN_ORDER, analyzed_at=ENDED_AT - timedelta(minutes=6), version=2**127),
            ("", 1, 3, "c-0"),
            id="a call that was judged before it ended",
        ),
        pytest.param(
            "out_of_range",
            lambda data: data.put(CALLS, 0, **IN_ORDER, measures={"agent_talk_share": 1.5}, version=2**127),
            ("measures.agent_talk_share", 1, 3, "c-0"),
            id="a share above one",
        ),
        pytest.param(
            "out_of_range",
            lambda data: data.put(CALLS, 0, **(IN_ORDER | {"score": -1.0}), version=2**127),
            ("score", 1, 3, "c-0"),
            id="a score below nothing",
        ),
        pytest.param(
            "out_of_range",
            lambda data: data.put(TRANSCRIPTS, 0, **{"segments.agitated": [1.5]}, version=2**63),
            ("segments.agitated", 1, 3, "c-0"),
            id="a probability above one",
        ),
        pytest.param(
            "segment_behind_end",
            lambda data: data.put(TRANSCRIPTS, 0, **{"segments.end_ms": [242_001]}, version=2**63),
            ("", 1, 3, "c-0"),
            id="words behind the end",
        ),
        pytest.param(
            "two_places",
            lambda data: data.put(CALLS, 0, **IN_ORDER, ended_at=ENDED_AT + timedelta(minutes=1)),
            ("", 1, 3, "c-0"),
            id="a call that ended twice",
        ),
        pytest.param(
            "same_version_twice",
            lambda data: data.put(CALLS, 0, **(IN_ORDER | {"score": 10.0})),
            ("", 1, 3, "c-0"),
            id="two judgements of one version",
        ),
        pytest.param(
            "null_share",
            lambda data: [data.put(CALLS, n, **IN_ORDER, agent_team=None, version=2**127) for n in (0, 1)],
            ("agent_team", 2, 3, "c-0"),
            id="most calls without a team",
        ),
        pytest.param(
            "null_share",
            lambda data: [
                data.put(CALLS, n, **IN_ORDER, measures={"interruptions": None}, version=2**127) for n in (0, 1)
            ],
            ("measures.interruptions", 2, 3, "c-0"),
            id="a measure that most calls lack",
        ),
        pytest.param(
            "null_share",
            lambda data: [
                data.put(CALLS, n, **unmeasured(reason))
                for n, reason in enumerate(("no_speech", "no_speech", "no_sound"))
            ],
            ("measures.recording_doubts: no_speech", 3, 3, "c-0"),
            id="a measure that most calls lack, with the reason that most have",
        ),
    ],
)
def test_a_check_fires_on_what_it_is_about_alone(
    check: str, breaks: Callable[[Data], object], hit: tuple[str, int, int, str], data: Data
) -> None:
    breaks(data)
    assert data.found() == {check: [hit]}


def test_an_alert_between_others_that_were_delivered_and_of_which_nothing_is_recorded(data: Data) -> None:
    middle = str(data.rows_of(1)[ALERTS][0]["alert_id"])
    for number in range(3):
        row = data.rows_of(number)[ALERTS][0]
        raised_at = ENDED_AT + timedelta(minutes=number)
        data.sink.write({ALERTS: [row | {"raised_at": raised_at, "version": 2**62}]})
    data.client.command("DELETE FROM alert_delivery_versions WHERE alert_id = {id:String}", parameters={"id": middle})
    assert data.found() == {"alert_without_delivery": [("finance.no_loss", 1, 3, middle)]}


def test_a_call_that_is_judged_by_another_transcript_than_is_shown(data: Data) -> None:
    late = a_transcript(a_call(0))
    data.sink.write(
        rows_for_transcript(late.model_copy(update={"transcribed_at": late.transcribed_at + timedelta(seconds=1)}))
    )
    assert data.found() == {"judged_by_other_transcript": [("", 1, 3, "c-0")]}


def test_a_delivery_of_no_alert(data: Data) -> None:
    alert_id = str(data.rows_of(0)[ALERTS][0]["alert_id"])
    data.client.command("DELETE FROM alert_versions WHERE alert_id = {id:String}", parameters={"id": alert_id})
    assert data.found() == {"delivery_without_alert": [("", 1, 3, alert_id)]}


def test_what_is_new_to_nobody_is_stale_and_only_then(data: Data) -> None:
    late = replace(LIMITS, now=NOW + timedelta(days=2))
    assert data.found(late) == {
        "stale": [
            ("events and outcomes", 49, 0, ""),
            ("judged calls", 49, 0, ""),
            ("transcripts", 49, 0, ""),
        ]
    }
    assert data.found(replace(late, stale_after=timedelta(days=3))) == {}


@pytest.mark.parametrize(
    ("limits", "fires"),
    [
        pytest.param(LIMITS, True, id="within the days that are looked at"),
        pytest.param(replace(LIMITS, last=timedelta(hours=1)), False, id="older than them"),
        pytest.param(replace(LIMITS, tenant="acme"), True, id="of the tenant"),
        pytest.param(replace(LIMITS, tenant="other"), False, id="of another tenant"),
    ],
)
def test_a_check_looks_at_the_calls_that_are_asked_for(limits: CheckLimits, fires: bool, data: Data) -> None:
    data.remove(OUTCOMES)
    assert ("call_without_outcome" in data.found(limits)) is fires


@pytest.mark.parametrize(
    ("limits", "fires"),
    [
        pytest.param(replace(LIMITS, null_share=0.7), False, id="a share that is allowed"),
        pytest.param(replace(LIMITS, minimum_calls=4), False, id="too few calls to say"),
        pytest.param(replace(LIMITS, null_share=0.6), True, id="more than is allowed"),
    ],
)
def test_nulls_count_from_a_share_and_a_number_on(limits: CheckLimits, fires: bool, data: Data) -> None:
    for number in (0, 1):
        data.put(CALLS, number, **IN_ORDER, queue=None, version=2**127)
    assert ("null_share" in data.found(limits)) is fires


@pytest.mark.parametrize("reason", ["not_applicable", "no_negative_run", "outbound_call"])
def test_what_could_not_be_measured_because_there_was_nothing_is_no_hole(reason: str, data: Data) -> None:
    for number in range(3):
        data.put(CALLS, number, **unmeasured(reason))
    assert data.found() == {}


def test_what_has_just_come_is_given_its_time(data: Data) -> None:
    fresh = a_call(9).model_copy(update={"ended_at": NOW})
    data.sink.write(rows_for_call_ended(fresh, NOW - timedelta(minutes=14)))
    data.sink.write(rows_for_transcript(a_transcript(fresh)))
    assert data.found() == {}


def test_json_has_every_check_and_the_table_every_hit(data: Data) -> None:
    data.remove(OUTCOMES)
    found = list(run_checks(data.client, LIMITS))
    by_id: dict[str, Any] = {check["id"]: check for check in as_json(found)}
    assert list(by_id) == IDS
    assert by_id["call_without_outcome"]["hits"] == [
        {"tenant_id": "acme", "subject": "", "count": 1, "total": 3, "example": "c-0"}
    ]
    assert [len(check["hits"]) for check in by_id.values()].count(0) == len(IDS) - 1
    assert results_table(found).row_count == 1


# --- repairs


def one_more(data: Data, table: str, **columns: object) -> None:
    """A row of the first call that comes after the one that is there, and is wrong."""
    version = data.rows_of(0)[table][0]["version"]
    assert isinstance(version, int)
    data.put(table, 0, **columns, version=version + 1)


@dataclass
class Workshop:
    """What repairs, over the transcripts of the calls in order; what it publishes is stored as `store` would."""

    data: Data
    transcripts: TranscriptStore
    broker: MemoryBroker = field(default_factory=MemoryBroker)

    def judging(self) -> BatchJudge:
        return BatchJudge(self.transcripts, shipped_judge(), NOTHING_BEFORE, HandClock(NOW))

    def repair(self, *checks: str, writes: bool = True) -> list[Repaired]:
        publisher, sink = (self.broker, self.data.sink) if writes else (None, None)
        repairing = Repairing(self.data.client, self.judging, publisher, sink, most_per_s=10_000)
        wanted = [check for check in DATA_CHECKS if check.id in checks]
        done = list(repairing.repair(wanted, LIMITS))
        judge = shipped_judge()
        for record in self.broker.records[CALLS_TRANSCRIBED.name]:
            analysis = judge.judge(CALLS_TRANSCRIBED.read(record), NOW)
            self.data.sink.write(rows_for_analysis(analysis))
        for record in self.broker.records[CALLS_REANALYZED.name]:
            self.data.sink.write(rows_for_analysis(CALLS_REANALYZED.read(record)))
        return done


class NothingBefore:
    def risks(self, calls: Collection[Transcript]) -> Mapping[tuple[str, str], str]:
        raise AssertionError(f"nobody asks for {len(calls)}")


NOTHING_BEFORE = cast("FormerJudgements", NothingBefore())


@pytest.fixture
def workshop(data: Data, tmp_path: Path) -> Workshop:
    store = FolderStore(tmp_path / "objects", "bucket")
    store.apply()
    transcripts = transcripts_in(store, DerivedKeys())
    for number in (*range(3), 9):
        transcripts.save(a_transcript(a_call(number)))
    return Workshop(data, transcripts)


REPAIRED: dict[str, Callable[[Data], object]] = {
    "transcript_without_call": lambda data: data.sink.write(rows_for_transcript(a_transcript(a_call(9)))),
    "call_without_transcript": lambda data: data.remove(TRANSCRIPTS),
    "call_without_outcome": lambda data: data.remove(OUTCOMES),
    "outcome_without_call": lambda data: data.put(OUTCOMES, 9),
    "outcome_contradicts_call": lambda data: one_more(data, OUTCOMES, outcome="no_audio"),
    "alert_without_call": lambda data: data.put(ALERTS, call_id="c-9"),
    "judged_before_end": lambda data: one_more(data, CALLS, **IN_ORDER, analyzed_at=ENDED_AT - timedelta(minutes=6)),
    "out_of_range": lambda data: one_more(data, CALLS, **(IN_ORDER | {"score": -1.0})),
    "same_version_twice": lambda data: data.put(CALLS, 0, **(IN_ORDER | {"score": 10.0})),
}
"""Check → damage that a repair mends."""


def test_every_repair_that_there_is_is_tried() -> None:
    of_a_test_of_its_own = {"judged_by_other_transcript"}
    assert {check.id for check in DATA_CHECKS if check.repair} == {*REPAIRED, *of_a_test_of_its_own}


@pytest.mark.parametrize("check", REPAIRED)
def test_a_repair_mends_what_its_check_finds(check: str, data: Data, workshop: Workshop) -> None:
    REPAIRED[check](data)
    assert check in data.found()
    (would,) = workshop.repair(check, writes=False)
    assert check in data.found(), "a dry run changes nothing"
    (done,) = workshop.repair(check)
    assert (done.calls, done.left) == (would.calls, would.left) == (1, ())
    assert check not in data.found()


def test_a_call_whose_words_are_newer_than_its_judgement_is_judged_again(data: Data, workshop: Workshop) -> None:
    late = a_transcript(a_call(0)).model_copy(update={"transcribed_at": ENDED_AT + timedelta(seconds=1)})
    data.sink.write(rows_for_transcript(late))
    workshop.transcripts.save(late)
    assert list(data.found()) == ["judged_by_other_transcript"]
    workshop.repair("judged_by_other_transcript")
    assert data.found() == {}


def test_what_has_no_transcript_is_named_and_does_not_hold_up_the_others(data: Data, workshop: Workshop) -> None:
    for number in (9, 8):
        data.put(OUTCOMES, number)
    (done,) = workshop.repair("outcome_without_call")
    assert (done.calls, done.left) == (1, ("c-8",))
    assert data.found()["outcome_without_call"] == [("", 1, 5, "c-8")]


def test_a_repair_that_is_done_twice_gives_the_same(data: Data, workshop: Workshop) -> None:
    data.remove(OUTCOMES)
    workshop.repair("call_without_outcome")
    before = data.client.query("SELECT * FROM whole_calls ORDER BY call_id").result_rows
    assert workshop.repair("call_without_outcome") == []
    assert data.client.query("SELECT * FROM whole_calls ORDER BY call_id").result_rows == before


def test_ids_are_unique_and_the_page_says_of_each_what_the_command_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    assert len(set(IDS)) == len(IDS)
    rows = [f"| `{check.id}` | {check.meaning} | {check.advice} |" for check in DATA_CHECKS]
    assert [row for row in rows if row not in page] == []


class TestCommand:
    @pytest.fixture
    def terminal(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: Data
    ) -> Terminal:
        terminal = Terminal(tmp_path, monkeypatch, capsys)
        terminal.set(clickhouse_url=data.url)
        return terminal

    def test_it_ends_with_1_and_says_what_to_do_where_there_is_something_to_see(self, terminal: Terminal) -> None:
        ended = terminal.run("check", "data", "--last", "9999w")
        assert ended.code == 1
        assert "stale" in ended.out
        assert "ask the telephony side" in ended.out

    def test_it_ends_with_0_where_nothing_is_wrong(self, terminal: Terminal) -> None:
        ended = terminal.run("check", "data", "--stale-after", "9999w", "--tenant", "acme")
        assert (ended.code, ended.out) == (0, f"{len(IDS)} checks found no problems\n")

    def test_what_is_not_printed_to_a_terminal_is_not_cut(self, terminal: Terminal, data: Data) -> None:
        call_id = "a-call-with-an-id-that-is-wider-than-a-table-of-eighty-columns"
        for table in (CALLS, OUTCOMES, TRANSCRIPTS):
            data.client.command(f"TRUNCATE TABLE {table}")
        data.sink.write(rows_for_transcript(a_transcript(a_call(4).model_copy(update={"call_id": call_id}))))
        ended = terminal.run("check", "data", "--last", "9999w")
        assert call_id in ended.out

    def test_json_is_for_programs(self, terminal: Terminal) -> None:
        ended = terminal.run("check", "data", "--json")
        assert [check["id"] for check in ended.json] == IDS

    def test_a_span_that_is_none_is_refused(self, terminal: Terminal) -> None:
        ended = terminal.run("check", "data", "--last", "week")
        assert ended.code == 2
        assert "12h, 7d or 4w" in ended.err
