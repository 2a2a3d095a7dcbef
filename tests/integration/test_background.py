"""Judging while ClickHouse is away, hangs, or comes back: it goes on, with what is known."""

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from math import log
from uuid import uuid4

import pytest

from processors.custody.customer_keys import CustomerKeys
from processors.detectors.duration_anomaly import DurationAnomalySettings
from processors.judging.baselines import STEPS_PER_UNIT
from processors.judging.call_context import Background
from processors.judging.earlier_contacts import EarlierContact
from processors.judging.pipeline import Judge, JudgeSettings
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import CallEnded
from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import CALLS_TRANSCRIBED
from schemas.messages.transcript import Transcript
from streams.adapters.clickhouse import history as clickhouse_background
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.history import SNAPSHOTS, STALE_AFTER, BaselineReader, ClickHouseHistory, ContactReader
from streams.adapters.clickhouse.migrate import migrate
from streams.embedded.ports import free_port
from streams.ports import History
from streams.settings import Settings
from streams.stages.judge import judge_stage
from tests.contracts.faulty_proxy import Fault, faulty_proxy
from tests.processors.transcripts import said
from tests.support.clickhouse_engine import RunningEngine, running_engine
from tests.support.databases import Databases
from tests.support.judged_calls import CUSTOMER, NOW, ClickHouseCalls, FixedClock, an_event, judged
from tests.support.processes import eventually
from tests.support.shipped_rules import shipped_judge, shipped_rules

DAY = timedelta(days=1)
THIS = an_event("this", NOW, customer=CUSTOMER)
LONG_ENOUGH_S = 60


class Watch:
    """A stopwatch that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests need not wait for as long as a judge does after a failure."""
    monkeypatch.setattr(clickhouse_background, "PAUSE_AFTER_FAILURE_S", 0.2)


@pytest.fixture
def history_on() -> Iterator[Callable[..., ClickHouseHistory]]:
    """Histories that are closed after the test; by default they wait for answers and never read a baseline again."""
    with ExitStack() as cleanup:

        def new(url: str, *, refresh_s: float = 3_600, timeout_s: int = LONG_ENOUGH_S) -> ClickHouseHistory:
            baselines = BaselineReader(url, window=28 * DAY, refresh_s=refresh_s, timeout_s=timeout_s)
            return cleanup.enter_context(ClickHouseHistory(baselines, ContactReader(url, timeout_s=timeout_s)))

        yield new


def a_transcript(call: CallEnded) -> Transcript:
    transcript = said(("customer", "我的快递还没到"))
    return transcript.model_copy(update={"tenant_id": call.tenant_id, "call_id": call.call_id, "call": call})


def judge_with(history: History) -> CallAnalysis:
    """What `judge` makes of the call."""
    judge = Judge(JudgeSettings((DurationAnomalySettings(baseline_min_calls=2),)), rulebooks=shipped_rules())
    stage = judge_stage(lambda: judge, FixedClock(), history)
    output, *_ = stage.handle(ConsumerRecord(CALLS_TRANSCRIBED.name, 0, 0, b"k", a_transcript(THIS).encode()))
    return CallAnalysis.decode(output.value)


def reasons(analysis: CallAnalysis) -> dict[str, str]:
    return {skipped.measure: skipped.reason for skipped in analysis.skipped_analysis}


@pytest.mark.loopback
class TestWithoutClickHouse:
    def test_judge_goes_on_with_the_fixed_range(
        self, history_on: Callable[..., ClickHouseHistory], caplog: pytest.LogCaptureFixture
    ) -> None:
        history = history_on(f"http://callstream:hush-hush@127.0.0.1:{free_port()}/callstream")
        analysis = judge_with(history)
        assert analysis.outcome == "analyzed"
        assert analysis.measures["duration_anomaly"] is True, "shorter than the fixed range"
        assert reasons(analysis)["duration_deviation"] == "baseline_unknown"
        assert reasons(analysis)["repeated_contact"] == "history_unknown"
        assert "did not answer" in caplog.text
        assert "hush-hush" not in caplog.text

    @pytest.mark.parametrize("fault", [Fault.SILENCE, Fault.RESET, Fault.BAD_GATEWAY])
    def test_judge_goes_on_when_it_answers_strangely_or_not_at_all(
        self, fault: Fault, history_on: Callable[..., ClickHouseHistory]
    ) -> None:
        with faulty_proxy(afterwards=fault) as proxy:
            history = history_on(f"http://callstream:x@{proxy.endpoint}/callstream", timeout_s=1)
            for _ in range(3):
                assert reasons(judge_with(history))["repeated_contact"] == "history_unknown"

    def test_after_one_call_has_waited_in_vain_the_next_do_not_wait(self, caplog: pytest.LogCaptureFixture) -> None:
        with faulty_proxy(afterwards=Fault.SILENCE) as proxy, caplog.at_level(logging.WARNING):
            stopwatch = Watch()
            reader = ContactReader(f"http://callstream:x@{proxy.endpoint}/callstream", timeout_s=1, stopwatch=stopwatch)
            assert reader.contacts(THIS) is None
            asked = proxy.connections
            for _ in range(100):
                assert reader.contacts(THIS) is None
            assert proxy.connections == asked
            stopwatch.now_s = 1
            assert reader.contacts(THIS) is None
            assert proxy.connections > asked

    def test_a_setting_switches_the_look_up_of_contacts_off(self) -> None:
        url = f"http://callstream:x@127.0.0.1:{free_port()}/callstream"
        settings = Settings.model_validate({"clickhouse_url": url, "contacts_lookup": False})
        with ClickHouseHistory.of(settings) as history:
            assert history.background(THIS) == Background(None, None, baseline_known=False)

    def test_without_a_history_nothing_is_known(self) -> None:
        judge = shipped_judge()
        stage = judge_stage(lambda: judge, FixedClock())
        output, *_ = stage.handle(ConsumerRecord(CALLS_TRANSCRIBED.name, 0, 0, b"k", a_transcript(THIS).encode()))
        assert reasons(CallAnalysis.decode(output.value))["duration_deviation"] == "no_baseline"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    with running_engine(tmp_path_factory.mktemp("clickhouse")) as running:
        yield running


@pytest.fixture(scope="module")
def lent(engine: RunningEngine) -> Databases:
    return Databases(engine)


@pytest.fixture
def url(lent: Databases) -> Iterator[str]:
    """A migrated database with two calls of the group and the customer."""
    with lent.lending() as new:
        url = new()
        deliver(url, 2)
        yield url


def deliver(url: str, calls: int, prefix: str = "c") -> None:
    store = ClickHouseCalls(connect(url))
    events = [an_event(f"{prefix}-{number}", NOW - DAY, customer=CUSTOMER) for number in range(calls)]
    store.add(*map(judged, events))
    store.close()


def calls_behind(background: Background) -> int:
    assert background.baseline is not None
    return background.baseline.calls


@pytest.mark.embedded
class TestWithClickHouse:
    def test_judge_measures_by_the_baseline_and_the_contacts(
        self, url: str, history_on: Callable[..., ClickHouseHistory]
    ) -> None:
        analysis = judge_with(history_on(url))
        assert analysis.measures["duration_anomaly"] is True
        (finding,) = (finding for finding in analysis.findings if finding.detector == "duration_anomaly")
        assert (finding.attributes["basis"], finding.attributes["baseline_calls"]) == ("baseline", 2)
        assert analysis.measures["contacts_before_7d"] == 2

    def test_it_is_the_same_for_a_judge_that_was_started_again(
        self, url: str, history_on: Callable[..., ClickHouseHistory]
    ) -> None:
        first = history_on(url).background(THIS)
        assert calls_behind(first) == 2
        assert history_on(url).background(THIS) == first

    def test_judging_a_call_again_after_it_was_stored_changes_nothing(
        self, url: str, history_on: Callable[..., ClickHouseHistory]
    ) -> None:
        first = judge_with(history_on(url))
        store = ClickHouseCalls(connect(url))
        store.add(first)
        store.add(first)
        store.close()
        assert judge_with(history_on(url)) == first

    def test_calls_that_were_judged_late_come_in_when_the_baseline_is_old(self, url: str) -> None:
        stopwatch = Watch()
        reader = BaselineReader(url, window=28 * DAY, refresh_s=60, timeout_s=LONG_ENOUGH_S, stopwatch=stopwatch)
        history = ClickHouseHistory(reader, None)
        with history:
            assert calls_behind(history.background(THIS)) == 2
            deliver(url, 3, "late")
            assert calls_behind(history.background(THIS)) == 2
            stopwatch.now_s = 60
            assert eventually(lambda: calls_behind(history.background(THIS)) == 5)

    def test_the_last_known_baseline_stays_while_clickhouse_is_away_and_is_read_again_afterwards(
        self, url: str, engine: RunningEngine, history_on: Callable[..., ClickHouseHistory]
    ) -> None:
        history = history_on(url, refresh_s=0.01)
        before = history.background(THIS)
        assert before.contacts is not None
        engine.stop(signal.SIGKILL)
        assert eventually(lambda: history.background(THIS).contacts is None)
        for _ in range(20):
            assert history.background(THIS).baseline == before.baseline
            time.sleep(0.02)
        # A later moment, whose baseline was never read, is served by the last before it.
        later = an_event("later", NOW + STALE_AFTER / 2, customer=CUSTOMER)
        assert history.background(later).baseline == before.baseline
        # Much later it tells too little; then nothing is known, which is something else than no calls.
        much_later = history.background(an_event("much-later", NOW + 2 * STALE_AFTER, customer=CUSTOMER))
        assert (much_later.baseline, much_later.baseline_known) == (None, False)
        # An earlier one is not: that baseline would hold calls that came later.
        assert history.background(an_event("earlier", NOW - timedelta(hours=3))).baseline is None
        engine.start()
        deliver(url, 3, "late")
        assert eventually(lambda: calls_behind(history.background(THIS)) == 5)
        assert eventually(lambda: history.background(THIS).contacts is not None)
        found = history.background(THIS).contacts
        assert found is not None
        assert len(found) == 5

    def test_a_database_without_tables_is_said_and_costs_nothing_else(
        self, engine: RunningEngine, history_on: Callable[..., ClickHouseHistory], caplog: pytest.LogCaptureFixture
    ) -> None:
        history = history_on(engine.url(f"test_{uuid4().hex}"))
        assert history.background(THIS) == Background(None, None, baseline_known=False)
        assert "run `callstream migrate`" in caplog.text

    def test_many_moments_do_not_fill_the_memory(self, url: str) -> None:
        reader = BaselineReader(url, window=28 * DAY, refresh_s=3_600, timeout_s=LONG_ENOUGH_S)
        with ClickHouseHistory(reader, None) as history:
            moments = [NOW + number * timedelta(minutes=10) for number in range(SNAPSHOTS + 10)]
            for moment in moments:
                assert calls_behind(history.background(an_event("c", moment))) == 2
            deliver(url, 3, "late")
            # What is still known is not asked for again; to ask for it drops nothing.
            behind = [calls_behind(history.background(an_event("c", moment))) for moment in reversed(moments)]
            assert behind == [2] * SNAPSHOTS + [5] * 10

    def test_earlier_calls_are_those_under_the_same_version_of_the_key(
        self, url: str, history_on: Callable[..., ClickHouseHistory]
    ) -> None:
        """A number that was hashed cannot be hashed again: after a change the count begins anew."""
        secrets = {0: "the secret of before", 1: "a new secret"}
        former, new = (CustomerKeys(version, secrets).of("acme", "13800138000") for version in (0, 1))
        store = ClickHouseCalls(connect(url))
        keys = {"old-1": former, "old-2": former, "new-1": new}
        store.add(*(judged(an_event(call_id, NOW - DAY, customer=key)) for call_id, key in keys.items()))
        store.close()
        history = history_on(url)

        found = {
            key: {contact.call_id for contact in history.background(an_event("this", NOW, customer=key)).contacts or ()}
            for key in (former, new)
        }
        assert found == {former: {"old-1", "old-2"}, new: {"new-1"}}

    def test_a_blocked_call_is_counted_by_nothing(self, url: str, history_on: Callable[..., ClickHouseHistory]) -> None:
        store = ClickHouseCalls(connect(url))
        store.add(
            *(
                judged(an_event(call_id, NOW - DAY, customer=CUSTOMER, tenant_id="hides"))
                for call_id in ("kept", "erased")
            )
        )
        store.sink.write({"blocked_calls": [{"tenant_id": "hides", "call_id": "erased"}]})
        store.close()

        background = history_on(url).background(an_event("this", NOW, customer=CUSTOMER, tenant_id="hides"))

        assert [contact.call_id for contact in background.contacts or ()] == ["kept"]
        assert calls_behind(background) == 1

    def test_a_customer_who_calls_without_end_is_counted_to_a_limit(self, url: str) -> None:
        deliver(url, 150, "robot")
        reader = ContactReader(url, timeout_s=LONG_ENOUGH_S)
        found = reader.contacts(THIS)
        reader.close()
        assert found is not None
        assert len(found) == clickhouse_background.MOST_CONTACTS

    def test_a_look_up_of_contacts_reads_few_of_many_rows(self, engine: RunningEngine) -> None:
        """The key leads to the tenant and the week, the index to the customer."""
        url = engine.url(f"test_{uuid4().hex}")
        migrate(url)
        client = connect(url)
        # Ten weeks of calls, 20 a minute; every customer calls once but ours, who called a day ago.
        client.command(
            "INSERT INTO call_versions (tenant_id, call_id, ended_at, customer_key, outcome, direction, version) "
            "SELECT 'acme', toString(number), toDateTime64('2026-01-21 00:00:00', 3, 'UTC') + number * 3, "
            "hex(SHA256(toString(number))), 'analyzed', 'inbound', 1 FROM numbers(2000000) "
            "SETTINGS max_partitions_per_insert_block = 0"
        )
        deliver(url, 1)
        query_id = f"contacts-{uuid4().hex}"
        # The statement of the adapter, whose own client is not asked here for what it read.
        result = client.query(
            clickhouse_background.CONTACTS_SQL,
            parameters={
                "tenant_id": "acme",
                "customer_key": CUSTOMER,
                "call_id": "this",
                "start": int((NOW - 7 * DAY).timestamp() * 1000),
                "end": int(NOW.timestamp() * 1000),
                "most": 100,
                "timeout_s": 60,
            },
            settings={"query_id": query_id},
        )
        client.close()
        assert [row[0] for row in result.result_rows] == ["c-0"]
        assert int(result.summary["read_rows"]) < 100_000

    def test_contacts_have_the_same_times_as_their_calls(
        self, url: str, history_on: Callable[..., ClickHouseHistory]
    ) -> None:
        background = history_on(url).background(THIS)
        assert background.contacts == tuple(
            EarlierContact(call_id, NOW - DAY, (), "inbound") for call_id in ("c-1", "c-0")
        )
        assert background.baseline is not None
        assert background.baseline.median == pytest.approx(log(240_000), abs=1 / STEPS_PER_UNIT)
        assert background.baseline.mad == 0
