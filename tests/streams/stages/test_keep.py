"""The stage `keep`, over years: decided when a call ends and whenever it is judged, held, and at last destroyed."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from processors.custody.audit_entry import AuditEntry
from processors.custody.holds import CustomerScope, HoldScope, Open, Release, telephony_case
from processors.custody.listed_call import ListedCall
from processors.custody.retention import EventCame, Keep, first_day_after, terms_of
from schemas.config.retention import RetentionPolicy, TenantPolicies, read_retention_policy
from schemas.config.tenants import ALL_ALIKE
from schemas.errors import OperatorError, RetryableError
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import CallEnded
from schemas.messages.dead_letter import DeadLetter
from schemas.messages.outcome import Outcome
from schemas.messages.records import ConsumerRecord, ProducerRecord
from schemas.messages.topics import CALLS_ANALYZED, CALLS_ENDED, CALLS_REANALYZED, AnyTopic
from streams.adapters.memory.broker import MemoryBroker
from streams.adapters.register.holds import RegisterCaseList, RegisterCases, RegisterHolds
from streams.adapters.register.register import Register
from streams.adapters.register.retentions import KeepDecision, KeptCall, RegisterRetentions, TenantCall
from streams.adapters.register.tables import leftovers
from streams.runtime.loop import in_own_thread
from streams.runtime.worker_context import WorkerContext
from streams.settings import Settings
from streams.stages import keep
from streams.stages.keep import KEEP, MOST_WAITS, PAUSE, CarriedOut, CarryOut, Decide, loop_of
from tests.processors.transcripts import audio
from tests.support.holding import ListedEntries
from tests.support.judged_calls import FixedClock, an_event
from tests.support.judged_calls import judged as analysed
from tests.support.processes import eventually

ENDED_AT = datetime(2026, 3, 1, 15, 30, tzinfo=UTC)
POLICY = read_retention_policy()
DAY = timedelta(days=1)
EVERY = timedelta(minutes=5)


def judged(
    call: CallEnded,
    of_class: str,
    days: int,
    *others: str,
    outcome: Outcome = "analyzed",
    duration_ms: int | None = 240_000,
) -> CallAnalysis:
    found = {"retention_class": of_class, "retention_days": days, "retention_classes": (of_class, *others)}
    return analysed(call, duration_ms, outcome=outcome).model_copy(
        update=found | {"audio": None if duration_ms is None else audio(duration_ms)}
    )


@dataclass
class House:
    """The stage over a register, with a purge that asks for holds in its transaction and writes tombstones there (here:
    rows of `leftovers`), as the real one does."""

    register: Register
    policy: RetentionPolicy = POLICY
    clock: FixedClock = field(default_factory=lambda: FixedClock(ENDED_AT))
    entries: ListedEntries = field(default_factory=ListedEntries)
    purged: list[tuple[str, str, str]] = field(default_factory=list)
    archived: list[str] = field(default_factory=list)
    stuck: dict[str, Exception] = field(default_factory=dict)
    """TenantCall → what destroying or archiving it raises."""

    def __post_init__(self) -> None:
        self.holds = RegisterHolds(self.register, self.clock)
        self.cases = RegisterCases(self.register, self.clock, self.entries, self.among)
        self.retentions = RegisterRetentions(self.register, self.clock)
        policies = TenantPolicies(self.policy, ALL_ALIKE)
        self.decide = Decide(self.retentions, self.cases, self.among, policies, self.clock)
        self.listed: dict[TenantCall, ListedCall] = {}
        self.carry_out = CarryOut(
            self.retentions, self.holds, self.purge, self.archive, self.clock, EVERY, listed=lambda _calls: self.listed
        )

    def among(self, calls: Collection[TenantCall]) -> frozenset[TenantCall]:
        with self.register.reading() as tx:
            keys = set(tx.execute(select(leftovers.c.object_key)).scalars())
        return frozenset(call for call in calls if "/".join(call) in keys)

    def purge(
        self, tenant_id: str, calls: Mapping[str, Sequence[date]], *, reason: str, policy_version: str
    ) -> Collection[str]:
        gone = []
        for call_id in calls:
            if call_id in self.stuck:
                raise self.stuck[call_id]
            with self.register.transaction("write a tombstone") as tx:
                if self.holds.cases_within(tx, tenant_id, call_id, self.listed.get((tenant_id, call_id))):
                    continue
                tx.insert_new(leftovers, object_key=f"{tenant_id}/{call_id}", left_at=self.clock.now())
            self.purged.append((call_id, reason, policy_version))
            gone.append(call_id)
        return gone

    def archive(self, kept: KeptCall) -> bool:
        if kept.call_id in self.stuck:
            raise self.stuck[kept.call_id]
        self.archived.append(kept.call_id)
        return True

    def take(self, *messages: CallEnded | CallAnalysis, again: bool = False) -> Sequence[ProducerRecord]:
        return self.decide.work([record(one, offset, again=again) for offset, one in enumerate(messages)])

    def after(self, days: float) -> CarriedOut:
        """A round of what is due so many days after the call."""
        self.clock.moment = ENDED_AT + timedelta(days=days)
        whole = CarriedOut()
        while (done := self.carry_out.step()) is not None:
            whole += done
        self.clock.moment += EVERY
        return whole

    def due_on(self, call_id: str = "c1") -> date | None:
        row = self.retentions.find("acme", call_id)
        assert row is not None
        return None if row.due is None else row.due.on


def record(message: CallEnded | CallAnalysis, offset: int, *, again: bool = False) -> ConsumerRecord:
    topic: AnyTopic = CALLS_ENDED
    if isinstance(message, CallAnalysis):
        topic = CALLS_REANALYZED if again else CALLS_ANALYZED
    written = topic.record(message)
    return ConsumerRecord(written.topic, 0, offset, written.key, written.value, ENDED_AT)


class Early(RegisterHolds):
    """Looked before the hold was opened."""

    def among(self, *_calls: object) -> Mapping[TenantCall, Sequence[str]]:
        return {}


@pytest.fixture
def house(register: Register) -> House:
    return House(register)


def ended(call_id: str = "c1", duration_ms: int = 240_000, **facts: Any) -> CallEnded:
    return an_event(call_id, ENDED_AT, duration_ms, **facts)


class TestDeciding:
    def test_when_a_call_ends_and_again_when_it_was_judged(self, house: House) -> None:
        call = ended(industry="education")
        house.take(call)
        assert house.due_on() == first_day_after(ENDED_AT, 365)
        house.take(judged(call, "education_refund_3y", 1095, "general", "education"))
        assert house.due_on() == first_day_after(ENDED_AT, 1095)

    def test_a_replay_cannot_shorten_it_any_more(self, house: House) -> None:
        """In ClickHouse, the row of the last analysis says 365 days again: that is what whoever deleted went by."""
        call = ended(industry="education")
        house.take(call, judged(call, "education_refund_3y", 1095, "general", "education"))
        house.take(judged(call, "education", 365, "general"), again=True)
        assert house.due_on() == first_day_after(ENDED_AT, 1095)
        house.after(366)
        assert house.purged == []

    def test_a_class_of_a_rule_pack_holds_as_well(self, house: House) -> None:
        call = ended(industry="finance")
        house.take(judged(call, "finance_insurance_10y", 3650))
        assert house.due_on() == first_day_after(ENDED_AT, 3650)

    def test_an_analysis_of_an_earlier_release_names_its_class_alone(self, house: House) -> None:
        call = ended(industry="education")
        house.take(judged(call, "education_refund_3y", 1095).model_copy(update={"retention_classes": ()}))
        assert house.due_on() == first_day_after(ENDED_AT, 1095)

    def test_the_same_messages_again_change_nothing(self, house: House) -> None:
        call = ended(industry="finance", legal_hold=True)
        for _ in range(2):
            house.take(call, judged(call, "finance", 1825))
        assert house.due_on() == first_day_after(ENDED_AT, 1825)
        assert len(house.entries.entries) == 1

    def test_what_cannot_be_read_holds_up_no_other(self, house: House) -> None:
        broken = ConsumerRecord(CALLS_ENDED.name, 0, 7, b"acme:c9", b"{}")
        assert house.decide.work([broken, record(ended(), 8)]) == []
        assert house.due_on() is not None

    @pytest.mark.parametrize("legal_hold", [False, True])
    def test_what_the_register_refuses_is_a_dead_letter_alone(self, legal_hold: bool, house: House) -> None:
        if house.register.file is not None:
            pytest.skip("SQLite takes every text")
        bad = ended("c5", crm={"contract_id": "p\x001"}, legal_hold=legal_hold)
        letters = house.take(*(ended(f"c{number}") for number in range(5)), bad, ended("c6"))
        assert [DeadLetter.decode(one.value).call_id for one in letters] == ["c5"]
        assert all(house.due_on(call) is not None for call in ("c0", "c4", "c6"))
        assert house.retentions.find("acme", "c5") is None, "it is kept for good"

    def test_nothing_is_decided_of_a_call_that_was_destroyed(self, house: House) -> None:
        call = ended(legal_hold=True)
        house.purge("acme", {"c1": ()}, reason="request", policy_version="")
        house.take(call, judged(call, "finance", 1825))
        assert RegisterCaseList(house.register).list() == []
        assert house.retentions.find("acme", "c1") is None


class TestAtTheEnd:
    def test_a_finance_call_is_destroyed_after_five_years_and_no_day_sooner(self, house: House) -> None:
        call = ended(industry="finance")
        house.take(call, judged(call, "finance", 1825))
        for days in (0, 180, 1_000, 1_824, 1_825):
            assert house.after(days) == CarriedOut()
        assert house.after(1_826) == CarriedOut(destroyed=1)
        assert house.purged == [("c1", "retention_over", "2")]
        assert house.after(1_827) == CarriedOut()

    def test_a_held_one_stays_until_every_case_let_go(self, house: House) -> None:
        house.take(ended(legal_hold=True), ended("c2"))
        assert house.after(3_000) == CarriedOut(destroyed=1, held=1)
        entry = AuditEntry(house.clock.now(), "wang", "inspector", "hold_released", "acme", "done", "cli")
        house.cases.tell("acme", telephony_case("c1"), Release("wang", is_person=True), entry)
        house.take(ended(legal_hold=True))  # the event is delivered once more
        assert house.after(3_001) == CarriedOut(destroyed=1)
        assert [call for call, *_ in house.purged] == ["c2", "c1"]

    def test_one_that_is_held_while_it_is_due_is_left_by_the_purge_itself(self, house: House) -> None:
        house.take(ended())
        house.carry_out.holds = Early(house.register, house.clock)
        house.take(ended(legal_hold=True))
        assert house.after(300) == CarriedOut(held=1)
        assert house.purged == []

    @pytest.mark.parametrize("archives", [False, True])
    def test_one_that_the_exchanges_list_alone_calls_a_held_customers_stays_as_it_is(
        self, archives: bool, house: House
    ) -> None:
        if archives:
            of_finance = next(one for one in POLICY.classes if one.id == "finance")
            terms = terms_of(
                [of_finance.model_copy(update={"at_end": "archive", "archive_days": 365})], 2, ENDED_AT, "capture"
            )
            house.retentions.decide([KeepDecision("acme", "c1", ENDED_AT, Keep(*terms))])
        else:
            house.take(ended(industry="finance"))
        entry = AuditEntry(house.clock.now(), "wang", "inspector", "hold_opened", "acme", "done", "cli")
        scope = HoldScope(customers=(CustomerScope(frozenset({"a" * 64})),))
        house.cases.tell("acme", "k-1", Open(scope, "lawsuit", "wang", ENDED_AT), entry)
        house.listed["acme", "c1"] = ListedCall(frozenset({"a" * 64}), ENDED_AT)
        assert house.after(1_826) == CarriedOut(held=1)
        assert (house.purged, house.archived) == ([], [])
        house.listed.clear()
        assert house.after(1_827) == (CarriedOut(archived=1) if archives else CarriedOut(destroyed=1))

    def test_while_nobody_tells_what_the_exchange_lists_nothing_is_destroyed(self, house: House) -> None:
        def refuse(_calls: Collection[TenantCall]) -> Mapping[TenantCall, ListedCall]:
            raise RetryableError("ClickHouse does not answer")

        house.take(ended())
        answering, house.carry_out.listed = house.carry_out.listed, refuse
        assert house.after(3_000) == CarriedOut(failed=1)
        house.carry_out.listed = answering
        assert house.after(3_001) == CarriedOut(destroyed=1)

    def test_a_misdial_goes_after_a_week_unless_it_is_held(self, house: House) -> None:
        short = [ended(call_id, 3_000, industry="finance", legal_hold=call_id == "c2") for call_id in ("c1", "c2")]
        house.take(*short)
        house.take(*(judged(one, "finance", 1825, outcome="too_short", duration_ms=2_000) for one in short))
        assert house.after(7) == CarriedOut()
        assert house.after(8) == CarriedOut(destroyed=1, held=1)
        assert house.purged == [("c1", "misdial", "2")]

    def test_what_waits_for_its_contract_to_end_outlasts_all_others(self, house: House) -> None:
        house.take(ended(industry="insurance_sale", crm={"contract_id": "p-1"}), ended("c2", industry="finance"))
        assert house.after(20_000) == CarriedOut(destroyed=1)
        entry = AuditEntry(house.clock.now(), "wang", "administrator", "retention_event_told", "acme", "done", "cli")
        contract_ended = ENDED_AT + timedelta(days=20_001)
        house.retentions.tell_of_contract(
            "acme", "p-1", EventCame("contract_ended", contract_ended), entry, house.entries
        )
        assert house.after(20_001 + 3_650) == CarriedOut()
        assert house.after(20_001 + 3_651) == CarriedOut(destroyed=1)

    def test_what_goes_into_the_archive_goes_from_there(self, register: Register, tmp_path: Path) -> None:
        file = tmp_path / "retention.yaml"
        shipped = Path("schemas/config/retention.yaml").read_text(encoding="utf-8")
        file.write_text(
            shipped.replace(
                "    days: 1825    # R18: the upper end",
                "    days: 1825\n    at_end: archive\n    archive_days: 365  #",
            ),
            encoding="utf-8",
        )
        house = House(register, read_retention_policy(file))
        house.take(ended(industry="finance"))
        assert house.after(1_826) == CarriedOut(archived=1)
        assert house.after(1_826 + 364) == CarriedOut()
        assert house.after(1_826 + 365) == CarriedOut(destroyed=1)
        assert (house.archived, house.purged) == (["c1"], [("c1", "archive_over", "2")])


class TestCallsThatCannotBeDestroyed:
    def test_one_holds_up_no_other_and_is_tried_again(self, house: House) -> None:
        house.take(*(ended(f"c{number}") for number in range(8)))
        house.carry_out.at_once = 3
        house.stuck = {"c1": OperatorError("its object is locked"), "c4": ValueError("a bug")}
        assert house.after(200) == CarriedOut(destroyed=6, failed=2)
        house.stuck = {}
        assert house.after(201) == CarriedOut(destroyed=2)

    def test_a_store_that_does_not_answer_makes_it_pause_and_go_on_behind(self, house: House) -> None:
        house.take(*(ended(f"{name}{number}") for name in "ab" for number in range(3)))
        house.carry_out.at_once = 1
        house.stuck = {f"a{number}": RetryableError("the store does not answer") for number in range(MOST_WAITS)}
        house.clock.moment = ENDED_AT + 200 * DAY
        assert [house.carry_out.step() for _ in range(MOST_WAITS)] == [CarriedOut(failed=1)] * MOST_WAITS
        assert house.carry_out.step() is None
        house.clock.moment += PAUSE
        assert house.carry_out.step() == CarriedOut(destroyed=1)

    def test_asked_to_stop_it_leaves_the_rest(self, house: House) -> None:
        house.take(ended())
        house.clock.moment = ENDED_AT + 200 * DAY
        stop = threading.Event()
        stop.set()
        assert house.carry_out.step(stop) == CarriedOut(failed=1)
        assert house.purged == []


class TestBesideEachOther:
    """Deciding and destroying, each in a loop of the worker."""

    @contextmanager
    def running(
        self, house: House, broker: MemoryBroker, folder: Path, has_caught_up: Callable[[], bool] = lambda: True
    ) -> Iterator[None]:
        worker = WorkerContext(KEEP, Settings(data_dir=folder, retry_max_wait_s=1), house.clock, lambda: broker)
        source = broker.consumer(KEEP, [CALLS_ENDED.name, CALLS_ANALYZED.name])
        loop = loop_of(worker, source, house.decide, house.carry_out, has_caught_up=has_caught_up)
        thread = in_own_thread(loop)
        try:
            yield
        finally:
            worker.stop.set()
            thread.join(60)

    def test_what_is_said_while_calls_are_destroyed_is_decided_meanwhile(self, house: House, tmp_path: Path) -> None:
        house.take(ended("old"))
        house.clock.moment = ENDED_AT + 200 * DAY
        destroys, may_go_on, broker = threading.Event(), threading.Event(), MemoryBroker()

        def slow_purge(*of: Any, **why: Any) -> Collection[str]:
            destroys.set()
            assert may_go_on.wait(60)
            return house.purge(*of, **why)

        house.carry_out.purge = slow_purge
        with self.running(house, broker, tmp_path):
            assert destroys.wait(60)
            broker.publish([CALLS_ENDED.record(ended("new"))])
            assert eventually(lambda: house.retentions.find("acme", "new") is not None)
            assert eventually(lambda: broker.committed.get((KEEP, CALLS_ENDED.name)) == 1)
            assert house.purged == []
            may_go_on.set()
            assert eventually(lambda: [call_id for call_id, *_ in house.purged] == ["old"])

    def test_nothing_is_destroyed_before_all_is_decided_that_was_there_at_the_start(
        self, house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keep, "LOOK_WHETHER_CAUGHT_UP_S", 0.01)
        house.take(ended("c1"), ended("longer", industry="education"))
        house.clock.moment = ENDED_AT + 400 * DAY
        asked, caught_up, broker = [], threading.Event(), MemoryBroker()

        def has_caught_up() -> bool:
            asked.append(house.clock.now())
            return caught_up.is_set()

        with self.running(house, broker, tmp_path, has_caught_up):
            assert eventually(lambda: len(asked) > 3)
            assert house.purged == []
            said = judged(ended("longer", industry="education"), "education_refund_3y", 1095, "general", "education")
            broker.publish([CALLS_ANALYZED.record(said)])
            assert eventually(lambda: broker.committed.get((KEEP, CALLS_ANALYZED.name)) == 1)
            caught_up.set()
            assert eventually(lambda: [call_id for call_id, *_ in house.purged] == ["c1"])
