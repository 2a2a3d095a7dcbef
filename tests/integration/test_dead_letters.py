"""Refused messages are published again, and what then happens is what the dry run said: on tansu and on Apache Kafka.

The command is run as people run it; `judge` and `store` run in this process, on a real broker and a real ClickHouse.
Each test has a tenant of its own.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from processors.custody.audit_entry import AuditEntry
from schemas.errors import EndedTheWorkerError, InvalidMessageError
from schemas.messages.dead_letter import DeadLetter, dead_letter_for
from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import (
    ALERTS_RAISED,
    CALLS_DEAD_LETTERS,
    CALLS_ENDED,
    CALLS_TRANSCRIBED,
    TRANSCRIPTS_RECEIVED,
)
from streams import wiring
from streams.adapters.kafka.client import TopicReader, client_config
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.register.register import Register
from streams.cli.console import access, audit
from streams.ports import SystemClock
from streams.wiring import received_store_from, transcript_store_from
from tests.streams.cli.terminal import Terminal
from tests.support.databases import Databases
from tests.support.people import OPERATOR, MemoryAuditLog, Town
from tests.support.refused import RefusedHouse, refused_house, transcript, transcripts
from tests.support.sealing import Sealing
from tests.support.stored_calls import Call

TANSU = pytest.param("tansu", marks=pytest.mark.embedded)
ON_BOTH_AT_NIGHT = pytest.mark.parametrize(
    "house",
    [TANSU, pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.long])],
    indirect=True,
    scope="module",
)
EXAMPLES = Path(__file__).parents[1] / "examples" / "transcripts.received.v1"
EXAMPLE_CALLS = Path(__file__).parents[2] / "examples" / "calls"
FEW = 110
"""More than a batch."""

REFUSED = InvalidMessageError(["call.hold_ms: extra_forbidden"])


@pytest.fixture(scope="module")
def house(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RefusedHouse]:
    folder = tmp_path_factory.mktemp(f"house-{request.param}")
    with databases.lending() as new, refused_house(request.param, folder, new()) as made:
        yield made


@pytest.fixture
def tenant() -> str:
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> MemoryAuditLog:
    """Entries that commands make, beside those of the register."""
    kept = MemoryAuditLog()
    entered = audit.enter

    def enter(settings: Any, *entries: AuditEntry) -> None:
        entered(settings, *entries)
        kept.entries += entries

    monkeypatch.setattr("streams.cli.dead_letters.options.enter", enter)
    return kept


@pytest.fixture
def command(
    house: RefusedHouse, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], log: MemoryAuditLog
) -> Terminal:
    """The command line with the settings of the house."""
    assert log.entries == []
    terminal = Terminal(house.settings.data_dir, monkeypatch, capsys)
    for name, value in house.settings.environment().items():
        monkeypatch.setenv(name, value)
    return terminal


def place_of(house: RefusedHouse, key: bytes) -> ConsumerRecord:
    """The last message with that key."""
    reader = TopicReader(house.settings, CALLS_TRANSCRIBED.name)
    try:
        return [record for record in reader.read_to_end() if record.key == key][-1]
    finally:
        reader.close()


def letters_of(house: RefusedHouse, tenant: str) -> list[tuple[Any, ...]]:
    return house.rows(
        "SELECT retries, state, retry_of, origin, dead_letter_id FROM dead_letters WHERE tenant_id = {t:String} "
        "ORDER BY retries",
        t=tenant,
    )


def copies_in_topic(house: RefusedHouse, tenant: str) -> int:
    """Messages of the tenant that were published again."""
    reader = TopicReader(house.settings, CALLS_TRANSCRIBED.name)
    try:
        prefix = f"{tenant}/".encode()
        return sum(bool(one.headers) for one in reader.read_to_end() if (one.key or b"").startswith(prefix))
    finally:
        reader.close()


def redriven(house: RefusedHouse, command: Terminal, tenant: str, count: int) -> None:
    """So many letters, tried and retried; what comes of it must be what was foretold."""
    house.refuse(transcripts(count, tenant=tenant))
    assert house.states(tenant) == {"open": count}
    assert house.outcomes(tenant) == {"refused": count}
    about = ("--tenant", tenant, "--step", "judge", "--error", "InvalidMessageError", "--most", str(count))

    foretold = command.run("dead-letters", "retry", *about, "--dry-run", "--json")
    assert foretold.code == 0, foretold.err
    told = foretold.json
    assert (told["letters"], told["calls_changed"], told["hindered"]) == (count, count, {})
    assert told["outcomes"] == {"refused → analyzed": count}
    assert told["findings_more"] > count
    assert told["alerts"] > 0
    assert house.judged(tenant) == {"calls_changed": 0, "findings_more": 0, "alerts": 0}, "it writes nothing"
    assert house.states(tenant) == {"open": count}
    assert copies_in_topic(house, tenant) == 0

    done = command.run("dead-letters", "retry", *about, "--reason", "upgraded", "--json")
    assert (done.code, done.json["published"], done.json["hindered"]) == (0, count, {}), done.err
    again = command.run("dead-letters", "retry", *about, "--json")
    assert again.json["published"] == 0, "the letters are marked, though nothing has stored that yet"
    house.work_off()
    assert house.judged(tenant) == {name: told[name] for name in ("calls_changed", "findings_more", "alerts")}
    assert house.states(tenant) == {"resolved": count}
    assert house.outcomes(tenant) == {"analyzed": count}
    assert copies_in_topic(house, tenant) == count


@ON_BOTH_AT_NIGHT
def test_what_happens_is_what_the_dry_run_said(
    house: RefusedHouse, command: Terminal, tenant: str, log: MemoryAuditLog
) -> None:
    redriven(house, command, tenant, FEW)
    entered = [(each.action, each.result, each.details["letters"]) for each in log.entries]
    assert entered == [
        ("dead_letters_tried", "allowed", FEW),
        ("dead_letters_retried", "allowed", FEW),
        ("dead_letters_retried", "done", FEW),
        ("dead_letters_retried", "allowed", FEW),
        ("dead_letters_retried", "done", 0),
    ]
    assert {each.tenant_id for each in log.entries} == {tenant}
    assert log.entries[1].details["step"] == "judge"
    assert log.entries[1].purpose == "upgraded"


@ON_BOTH_AT_NIGHT
@pytest.mark.long
def test_ten_thousand_letters(house: RefusedHouse, command: Terminal, tenant: str) -> None:
    redriven(house, command, tenant, 10_000)


KILLED = """
import os, signal, sys
from streams.adapters.kafka import client
whole, calls = client.Publisher.publish, 0
def publish(self, outputs):
    global calls
    whole(self, outputs)
    calls += 1
    if calls == {after}:
        os.kill(os.getpid(), signal.SIGKILL)
client.Publisher.publish = publish
from streams.cli.main import main
sys.argv = ["callstream", "dead-letters", "retry", "--tenant", "{tenant}"]
main()
"""


@ON_BOTH_AT_NIGHT
@pytest.mark.parametrize(
    "after",
    [
        pytest.param(1, id="published, not marked"),
        pytest.param(2, id="marked", marks=pytest.mark.long),
        pytest.param(3, id="the second batch published", marks=pytest.mark.long),
    ],
)
def test_a_retry_that_is_killed_is_run_again_and_loses_and_doubles_nothing(
    house: RefusedHouse, command: Terminal, tenant: str, after: int
) -> None:
    house.refuse(transcripts(FEW, tenant=tenant))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED.format(after=after, tenant=tenant)],
        env={**os.environ, **house.settings.environment()},
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    rest = command.run("dead-letters", "retry", "--tenant", tenant, "--json")
    assert rest.code == 0, rest.err
    published = rest.json["published"]
    assert published == {1: FEW, 2: FEW - 100, 3: FEW - 100}[after]
    assert copies_in_topic(house, tenant) <= FEW + 100
    house.work_off()
    assert house.outcomes(tenant) == {"analyzed": FEW}
    assert house.states(tenant) == {"resolved": FEW}
    assert house.judged(tenant)["calls_changed"] == FEW


@ON_BOTH_AT_NIGHT
def test_a_message_that_is_refused_every_time_is_guarded_against(
    house: RefusedHouse, command: Terminal, tenant: str
) -> None:
    house.refuse(transcripts(1, tenant=tenant))
    about = ("--tenant", tenant, "--json")
    for _ in range(3):
        assert command.run("dead-letters", "retry", *about).json["published"] == 1
        house.refuse_again()
    letters = letters_of(house, tenant)
    assert [(retries, state) for retries, state, *_ in letters] == [
        *((0, "retried"), (1, "retried"), (2, "retried"), (3, "open"))
    ]
    first = letters[0][4]
    assert letters[1][2] == first
    assert len({origin for *_, origin, _id in letters[1:]}) == 1
    kept_back = command.run("dead-letters", "retry", *about)
    assert (kept_back.code, kept_back.json["hindered"]) == (1, {"quarantined": 1})
    assert command.run("dead-letters", "retry", *about, "--dry-run").json["hindered"] == {"quarantined": 1}
    assert command.run("dead-letters", "retry", *about, "--again-anyway").json["published"] == 1
    house.work_off()
    assert house.outcomes(tenant) == {"analyzed": 1}
    assert {state for _, state, *_ in letters_of(house, tenant)} == {"resolved"}


@ON_BOTH_AT_NIGHT
def test_a_dry_run_says_what_would_be_refused_again_and_what_it_did_not_try(
    house: RefusedHouse, command: Terminal, tenant: str
) -> None:
    good, bad, ender = transcripts(3, tenant=tenant)
    house.refuse([good, replace(bad, value=b'{"call_id": 13800138000}')])
    house.refuse([ender], EndedTheWorkerError(["the worker ended 3 times while it worked on this message"]))
    told = command.run("dead-letters", "retry", "--tenant", tenant, "--dry-run", "--json").json
    assert told["refused_again"] == {"judge: InvalidMessageError": 1}
    assert told["untried"] == {"ended_a_worker": 1}
    assert (told["letters"], told["calls_changed"]) == (3, 1)


@ON_BOTH_AT_NIGHT
def test_a_dry_run_hears_recordings_and_masks_transcripts_and_keeps_nothing_of_it(
    house: RefusedHouse, command: Terminal, tenant: str
) -> None:
    sealing = Sealing.of(house.settings)
    heard, missing = (Call(call_id, tenant=tenant).event for call_id in ("heard", "missing"))
    recording = (EXAMPLE_CALLS / "s02_finance_violation.flac").read_bytes()
    audio = {"sha256": sha256(recording).hexdigest(), "bytes": len(recording)}
    heard = heard.model_copy(update={"audio": heard.audio.model_copy(update=audio), "industry": "finance"})
    heard = sealing.put(heard.model_copy(update={"audio": heard.audio}), recording, "flac")
    house.refuse_of("listen", [CALLS_ENDED.record(heard), CALLS_ENDED.record(missing)])
    received = TRANSCRIPTS_RECEIVED.decode((EXAMPLES / "with_times_on_two_channels.json").read_bytes())
    call = received.call.model_copy(update={"tenant_id": tenant, "call_id": "received"})
    received = received.model_copy(update={"call": call})
    originals = received_store_from(house.settings, object_store_from(house.settings))
    house.refuse_of("receive", [TRANSCRIPTS_RECEIVED.record(originals.put(received))])
    before = house.objects()

    told = command.run("dead-letters", "retry", "--tenant", tenant, "--dry-run", "--json")
    assert told.code == 0, told.err
    assert told.json["outcomes"] == {"refused → analyzed": 2, "refused → unsupported": 1}
    assert told.json["findings_more"] > 0
    assert house.objects() == before, "nothing is kept of it, and no original is removed"
    assert house.judged(tenant) == {"calls_changed": 0, "findings_more": 0, "alerts": 0}


def forged(house: RefusedHouse, letter: DeadLetter) -> None:
    house.publish([CALLS_DEAD_LETTERS.record(letter)])


@ON_BOTH_AT_NIGHT
def test_letters_that_lie_and_messages_of_others_are_not_published(
    house: RefusedHouse, command: Terminal, tenant: str
) -> None:
    """Whoever may write to the topic of dead letters could else have any message published anywhere."""
    other = f"{tenant}_other"
    (mine,) = transcripts(1, tenant=tenant)
    (theirs,) = transcripts(1, tenant=other)
    house.refuse([theirs, mine])
    record, own = place_of(house, theirs.key), place_of(house, mine.key)
    honest = dead_letter_for("judge", record, None, REFUSED, SystemClock().now())
    of_others = honest.model_copy(update={"tenant_id": tenant, "call_id": "c9"})
    place = (record.topic, record.partition, record.offset)
    lies = {
        "foreign_topic": of_others.model_copy(
            update={"step": "listen", "dead_letter_id": DeadLetter.id_of("listen", *place)}
        ),
        "forged": of_others.model_copy(update={"dead_letter_id": str(uuid4())}),
        "never_again": of_others.model_copy(
            update={
                "step": "store",
                "source_topic": ALERTS_RAISED.name,
                "dead_letter_id": DeadLetter.id_of("store", ALERTS_RAISED.name, *place[1:]),
            }
        ),
        "another_tenant": of_others.model_copy(
            update={"step": "store", "dead_letter_id": DeadLetter.id_of("store", *place)}
        ),
        "another_message": of_others.model_copy(
            update={
                "step": "store",
                "source_partition": own.partition,
                "source_offset": own.offset,
                "value_sha256": sha256(b"something else").hexdigest(),
                "dead_letter_id": DeadLetter.id_of("store", own.topic, own.partition, own.offset),
            }
        ),
    }
    for lie in lies.values():
        forged(house, lie)
    house.run("store", house.store.work)
    shown = command.run("dead-letters", "show", lies["another_tenant"].dead_letter_id, "--tenant", tenant, "--json")
    assert (shown.json["not_shown"], shown.json["masked"]) == ("another_tenant", [])
    done = command.run("dead-letters", "retry", "--tenant", tenant, "--most", "1", "--json")
    assert done.json["published"] == 1, "none of them keeps the honest one back"
    rest = command.run("dead-letters", "retry", "--tenant", tenant, "--json")
    assert (rest.code, rest.json["published"], rest.json["hindered"]) == (1, 0, dict.fromkeys(lies, 1))
    assert copies_in_topic(house, other) == 0
    assert copies_in_topic(house, tenant) == 1


@ON_BOTH_AT_NIGHT
def test_a_letter_of_another_tenant_is_none(house: RefusedHouse, command: Terminal, tenant: str) -> None:
    house.refuse(transcripts(1, tenant=tenant))
    ((*_, letter_id),) = letters_of(house, tenant)
    for what in (("show",), ("retry",), ("discard", "--reason", "test")):
        ended = command.run("dead-letters", *what, letter_id, "--tenant", f"{tenant}_other")
        assert ended.code == 2 if what == ("show",) else ended.out.startswith("0 letter(s)"), ended.err
    assert house.states(tenant) == {"open": 1}


@ON_BOTH_AT_NIGHT
def test_nothing_comes_back_of_a_call_that_was_destroyed(house: RefusedHouse, command: Terminal, tenant: str) -> None:
    house.refuse(transcripts(2, tenant=tenant))
    house.destroy(tenant, "c0")
    ((gone,),) = house.rows(
        "SELECT dead_letter_id FROM dead_letters WHERE tenant_id = {t:String} AND call_id = 'c0'", t=tenant
    )
    tried = command.run("dead-letters", "retry", "--tenant", tenant, "--dry-run", "--json")
    assert (tried.json["letters"], tried.json["hindered"]) == (1, {"purged": 1})
    shown = command.run("dead-letters", "show", gone, "--json")
    assert (shown.json["not_shown"], shown.json["masked"]) == ("purged", [])
    done = command.run("dead-letters", "retry", "--tenant", tenant, "--again-anyway", "--json")
    assert (done.json["published"], done.json["hindered"]) == (1, {"purged": 1})
    house.work_off()
    assert house.outcomes(tenant) == {"analyzed": 1, "refused": 1}


@ON_BOTH_AT_NIGHT
def test_what_is_discarded_stays_countable_and_refused(house: RefusedHouse, command: Terminal, tenant: str) -> None:
    house.refuse(transcripts(2, tenant=tenant))
    about = ("--tenant", tenant, "--call", "c1")
    assert command.run("dead-letters", "discard", *about).code == 2, "not without a reason"
    assert command.run("dead-letters", "discard", "--tenant", tenant, "--reason", "test").code == 2, "not all of them"
    assert command.run("dead-letters", "discard", *about, "--reason", "sent_by_a_test", "--json").json == {
        "discarded": 1
    }
    house.run("store", house.store.work)
    assert house.states(tenant) == {"open": 1, "discarded": 1}
    assert house.outcomes(tenant) == {"refused": 2}
    (listed,) = command.run("dead-letters", "list", *about, "--state", "all", "--json").json["letters"]
    assert (listed["handling"], listed["handled_reason"]) == ("discarded", "sent_by_a_test")
    assert listed["handled_by"].startswith("os:")
    assert command.run("dead-letters", "retry", *about, "--json").json["published"] == 0
    # Its stage meets the message once more, as after a restore.
    record = place_of(house, f"{tenant}/c1".encode())
    house.publish([CALLS_DEAD_LETTERS.record(dead_letter_for("judge", record, None, REFUSED, SystemClock().now()))])
    house.run("store", house.store.work)
    assert house.states(tenant) == {"open": 1, "discarded": 1}
    taken_up = command.run("dead-letters", "retry", listed["dead_letter_id"], "--json")
    assert taken_up.json["published"] == 1


@ON_BOTH_AT_NIGHT
def test_what_kafka_keeps_no_more_is_made_again_from_the_object_store_or_said(
    house: RefusedHouse, command: Terminal, tenant: str
) -> None:
    """Of two messages that retention has deleted, the transcript of one lies in the object store."""
    house.refuse(transcripts(2, tenant=tenant))
    store = transcript_store_from(house.settings, object_store_from(house.settings))
    store.save(transcript(0, tenant=tenant))
    if house.settings.kafka_flavour == "apache":
        admin = AdminClient(client_config(house.settings))
        for number in range(2):
            record = place_of(house, f"{tenant}/c{number}".encode())
            behind = TopicPartition(record.topic, record.partition, record.offset + 1)
            next(iter(admin.delete_records([behind]).values())).result(30)
    else:  # it deletes nothing: the letters name places that the topic does not have
        for number in range(2):
            house.rows(
                "ALTER TABLE dead_letter_versions UPDATE source_offset = 1000000 WHERE tenant_id = {t:String} "
                "AND call_id = {c:String} SETTINGS mutations_sync = 2",
                t=tenant,
                c=f"c{number}",
            )
    done = command.run("dead-letters", "retry", "--tenant", tenant, "--json")
    if house.settings.kafka_flavour == "tansu":
        assert done.json["hindered"] == {"forged": 2}, "their ids are not those of such places"
        return
    assert (done.json["published"], done.json["remade"], done.json["hindered"]) == (1, 1, {"gone": 1})
    said = command.run("dead-letters", "retry", "--tenant", tenant)
    assert "publish the recording again" in said.err
    house.work_off()
    assert house.outcomes(tenant) == {"analyzed": 1, "refused": 1}


@ON_BOTH_AT_NIGHT
def test_who_looks_after_one_tenant_sees_and_touches_no_other(
    house: RefusedHouse, command: Terminal, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"{tenant}_other"
    house.refuse([*transcripts(1, tenant=tenant), *transcripts(1, tenant=other)])
    kept = MemoryAuditLog()
    monkeypatch.setattr(wiring, "audit_log_of", lambda _register, _clock: kept)
    monkeypatch.setattr(access, "account", lambda: "lina")
    monkeypatch.setattr(access, "is_operator", lambda _folder: False)
    register = Register.of(house.settings)
    town = Town(register, SystemClock(), kept)
    town.accounts.add(OPERATOR, f"li_{tenant}", tenant, os_user="lina")
    town.person(f"li_{tenant}", "data_engineer", tenant_id=tenant)
    try:
        for refused in (("--tenant", other), ()):
            for what in (
                ("list",),
                ("retry",),
                ("retry", "--dry-run"),
                ("discard", "--step", "judge", "--reason", "x"),
            ):
                ended = command.run("dead-letters", *what, *refused)
                assert ended.code == 1, (what, refused)
                assert "needs a role" in ended.err
        assert len(kept.of("dead_letters_listed", "refused")) == 2
        assert len(kept.of("dead_letters_retried", "refused")) == 2
        assert command.run("dead-letters", "retry", "--tenant", tenant, "--json").json["published"] == 1
    finally:
        register.close()
    house.run("store", house.store.work)
    assert (house.states(tenant), house.states(other)) == ({"retried": 1}, {"open": 1})
    (one,) = command.run("dead-letters", "list", "--tenant", tenant, "--state", "retried", "--json").json["letters"]
    assert one["handled_by"] == f"li_{tenant}"


@ON_BOTH_AT_NIGHT
def test_a_message_is_shown_masked(house: RefusedHouse, command: Terminal, tenant: str, log: MemoryAuditLog) -> None:
    (message,) = transcripts(1, tenant=tenant)
    phone = b'{"13800138000": "13900139000", "call_id": "c0", "text": "' + "我叫王小明".encode() + b'"}'
    house.refuse([replace(message, value=phone)])
    ((*_, letter_id),) = letters_of(house, tenant)
    for form in ((), ("--json",)):
        shown = command.run("dead-letters", "show", letter_id, *form)
        assert shown.code == 0, shown.err
        assert "<unknown field>: <11 characters>" in shown.out
        assert "call_id: c0" in shown.out
        for secret in ("13800138000", "13900139000", "王小明"):
            assert secret not in shown.out + shown.err
    entry = log.of("dead_letter_viewed")[0]
    assert (entry.object_kind, entry.object_id) == ("dead_letter", letter_id)


@ON_BOTH_AT_NIGHT
@pytest.mark.parametrize(
    "hostile",
    [
        ("--step", "judge' OR '1'='1"),
        ("--error", "x\\'; DROP TABLE dead_letter_versions; --"),
        ("--topic", "../../etc/passwd"),
        ("--tenant", "a' UNION SELECT"),
        ("--call", "13800138000 OR 1=1"),
        ("--state", "open','discarded"),
        ("--from", "2026-01-01' OR ''='"),
        ("--last", "99999999999999d"),
        ("--most", "0"),
        ("not-a-letter",),
    ],
    ids=lambda hostile: hostile[0],
)
def test_hostile_filters_are_refused_and_not_repeated(
    house: RefusedHouse, command: Terminal, hostile: tuple[str, ...]
) -> None:
    ended = command.run("dead-letters", "retry", *hostile)
    assert ended.code == 2
    assert "DROP TABLE" not in ended.err
    assert "13800138000" not in ended.err
    assert house.rows("SELECT count() FROM dead_letter_versions")[0][0] >= 0


@ON_BOTH_AT_NIGHT
def test_two_stages_that_refuse_one_message_have_it_published_once(
    house: RefusedHouse, command: Terminal, tenant: str
) -> None:
    house.refuse(transcripts(1, tenant=tenant))
    record = place_of(house, f"{tenant}/c0".encode())
    house.publish([CALLS_DEAD_LETTERS.record(dead_letter_for("store", record, None, REFUSED, SystemClock().now()))])
    house.run("store", house.store.work)
    done = command.run("dead-letters", "retry", "--tenant", tenant, "--json")
    assert (done.json["letters"], done.json["published"]) == (2, 1)
    house.work_off()
    assert house.states(tenant) == {"resolved": 2}
