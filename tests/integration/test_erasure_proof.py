"""A customer is erased, on a real ClickHouse, a register and a folder: raw bytes of every file are searched
afterwards, and after the same calls were replayed and delivered again."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from processors.custody.ports import CallPurgedError
from processors.custody.receipts import signed_receipt
from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import CALLS_ANALYZED, CALLS_ENDED, CALLS_REANALYZED, CALLS_TRANSCRIBED
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.clickhouse.purging import ClickHousePurge
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.adapters.object_store.purging import CallObjects
from streams.adapters.object_store.transcripts import TranscriptStore
from streams.adapters.register.erasures import RegisterErasures
from streams.adapters.register.register import Register, sqlite_url
from streams.adapters.register.tombstones import RegisterPurges, RegisterTombstones
from streams.ports import SystemClock
from streams.proof.erasure import ErasureStep, Exemption, prove_erasure
from streams.proof.searching import Needles, Searched, search_files
from streams.stages.erase import Eraser
from streams.stages.purge import Purger
from streams.stages.store import Store as StoreStage
from tests.streams.stages.intake_house import FACTS, House, house_in
from tests.support.clickhouse_engine import RunningEngine, running_engine
from tests.support.later_clock import LaterClock
from tests.support.old_parts import remove_old_parts_at_once
from tests.support.purging import Entries, FloorsOfTests, HeldBySomebody
from tests.support.registers import migrated
from tests.support.stored_calls import Call

pytestmark = pytest.mark.embedded

SAID, ORDER, CUSTOMER, OTHER_CUSTOMER = "灰鹤里的那套房子", "ORDER-5599-GREY", "5c" * 32, "6d" * 32
TOLD = Call("c1", (("customer", SAID),), customer=CUSTOMER, order_id=ORDER, rules=(("rules", "r", "灰鹤里"),))
OTHER = Call("c2", (("customer", "没有关系"),), customer=OTHER_CUSTOMER)
PLANTED = {
    "words": frozenset({SAID.encode(), "灰鹤里".encode()}),
    "order": frozenset({ORDER.encode()}),
    "key": frozenset({CUSTOMER.encode()}),
}
STAYS = {"key of another": [OTHER_CUSTOMER.encode()]}
NEEDLES = Needles({**PLANTED, **STAYS})


@dataclass
class World:
    """All that keeps something of calls."""

    folder: Path
    engine: RunningEngine
    url: str
    register: Register
    intake: House

    def purger(self, ahead: timedelta = timedelta()) -> Purger:
        key, clock, audit = Ed25519PrivateKey.generate(), LaterClock(ahead), Entries()
        return Purger(
            RegisterPurges(self.register, clock, HeldBySomebody(self.register), FloorsOfTests(), audit),
            CallObjects(self.intake.store),
            ClickHousePurge(self.url, 7),
            [],
            lambda body: signed_receipt(body, key),
            clock,
            kafka_masked_days=7,
            compares_clocks=not ahead,
        )

    def eraser(self, ahead: timedelta = timedelta()) -> Eraser:
        purger, clock = self.purger(ahead), LaterClock(ahead)
        erasures = RegisterErasures(self.register, clock, Entries())
        tables = ClickHousePurge(self.url, 7)
        return Eraser(erasures, purger, tables, lambda _keys, _calls: 0, purger.sign, clock)

    def store(self, *calls: Call) -> None:
        """What `store` does with their messages."""
        client = connect(self.url)
        stage = StoreStage(
            ClickHouseSink(client), SystemClock(), tombstones=RegisterTombstones(self.register, SystemClock())
        )
        records = [
            record
            for call in calls
            for record in (
                CALLS_ENDED.record(call.event),
                CALLS_TRANSCRIBED.record(call.transcript()),
                CALLS_ANALYZED.record(call.analysis()),
                CALLS_REANALYZED.record(call.analysis(version=2)),
            )
        ]
        stage.work([ConsumerRecord(r.topic, 0, n, r.key, r.value, TOLD.ended_at) for n, r in enumerate(records)])
        client.close()

    def rows(self) -> Searched:
        """Unpacked, because compressed ones would hide it."""
        found, client = Searched("rows"), connect(self.url)
        for (table,) in client.query(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
        ).result_rows:
            raw = client.raw_query(f"SELECT * FROM {table}", fmt="RowBinary")  # noqa: S608 - names of ClickHouse
            found.add(table, NEEDLES.found_in(raw), frozenset(STAYS))
        client.close()
        return found

    def search(self) -> list[Searched]:
        return [search_files([self.folder], NEEDLES, frozenset(STAYS)), self.rows()]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with (
        running_engine(tmp_path / "clickhouse") as engine,
        migrated(sqlite_url(tmp_path / "register" / "register.db")) as register,
    ):
        url = engine.url(f"erasing_{uuid4().hex}")
        migrate(url)
        client = connect(url)
        remove_old_parts_at_once(client)
        client.close()
        yield World(tmp_path, engine, url, register, house_in(register, tmp_path / "objects"))


def test_nothing_of_an_erased_customer_is_in_any_file_also_when_it_comes_again(world: World) -> None:
    facts = FACTS | {"ended_at": TOLD.ended_at.isoformat(), "customer": {"key": CUSTOMER}, "order_id": ORDER}
    transcripts = TranscriptStore(world.intake.store, world.intake.sealed)

    def upload() -> None:
        with suppress(CallPurgedError):
            world.intake.take(facts)

    def keep_transcript() -> None:
        with suppress(CallPurgedError):
            transcripts.save(TOLD.transcript())

    upload()
    keep_transcript()
    world.store(TOLD, OTHER)
    later = timedelta(hours=3)

    def deliver_again() -> None:
        upload()
        keep_transcript()
        world.store(TOLD)

    # Until the request is done the customer's key is in the register, to find what was under way.
    request = Exemption(f"{world.folder / 'register'}/", "in the request", "key")
    proof = prove_erasure(
        PLANTED,
        world.search,
        [
            ErasureStep("erased", lambda: world.eraser().erase("acme", [CUSTOMER], reason="request", actor="li_na")),
            ErasureStep("delivered again", deliver_again),
            ErasureStep("looked for late", lambda: world.purger(later).go_on()),
        ],
        stays=frozenset(STAYS),
        exempt=[request],
    )

    assert proof.holds, (proof.left, proof.unseen, proof.blind)
    assert proof.steps[1].let_pass == {"in the request": 1}
    assert world.eraser(later).go_on() == 1
    assert not any(one.where for one in world.search())  # the register has let go of the keys, too
    assert transcripts.load("acme", "c1") is None
    assert world.intake.objects == []
    client = connect(world.url)
    assert client.query("SELECT call_id, outcome, isNull(purged_at) FROM calls ORDER BY call_id").result_rows == [
        ("c1", "analyzed", 0),
        ("c2", "analyzed", 1),
    ]
    client.close()
