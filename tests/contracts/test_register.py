"""What the register promises, on SQLite and on PostgreSQL alike."""

import gc
import shutil
import stat
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, select, text, update
from sqlalchemy.engine import make_url

from processors.custody.ports import PURPOSES, KeyGoneError, KeyRefusedError, Purpose, WrappedKey
from schemas.errors import OperatorError, RetryableError
from schemas.messages.custody_changed import CustodyChanged
from streams.adapters.register import register as register_module
from streams.adapters.register.errors import RegisterAccessError, RegisterRefusedError, RegisterSchemaError
from streams.adapters.register.keys import DayKey, RegisterKeys, day_keys_under, find_day_key, replace_day_key
from streams.adapters.register.migrate import MIGRATIONS, migrate_register
from streams.adapters.register.outbox import Backlog, Outbox
from streams.adapters.register.partitions import drop_day, partition_of, prepare_days
from streams.adapters.register.register import Register, sqlite_url
from streams.adapters.register.tables import REVISIONS, call_keys, day_keys, metadata, outbox, wrapping_keys
from streams.adapters.register.wrapping_keys import (
    NoWrappingKeyError,
    add_wrapping_key,
    ensure_current,
    set_state,
    wrapping_key_rows,
)
from streams.embedded.ports import LOOPBACK, free_port
from streams.ports import SystemClock
from tests.contracts.faulty_proxy import faulty_proxy
from tests.support.postgresql_server import PostgresqlServer, running_postgresql
from tests.support.registers import MemoryWrapper, migrated

NOW = datetime(2026, 11, 30, 9, 15, 2, 417_250, tzinfo=UTC)
DAY = date(2026, 11, 30)


def event(number: int = 1, at: datetime = NOW) -> CustodyChanged:
    return CustodyChanged.of(
        "intake_announced", tenant_id="acme", call_id=f"c{number}", actor="key_1", at=at, capture_ms=number
    )


@pytest.fixture
def wrapper(register: Register) -> MemoryWrapper:
    """With a current wrapping key for each purpose."""
    wrapper = MemoryWrapper()
    for purpose in PURPOSES:
        ensure_current(register, wrapper, purpose, NOW)
    return wrapper


@pytest.fixture
def keys(register: Register, wrapper: MemoryWrapper) -> RegisterKeys:
    return RegisterKeys(register, wrapper, SystemClock())


class TestTables:
    def test_a_register_without_tables_says_what_to_run(self, register_url: str) -> None:
        register = Register(register_url)
        with pytest.raises(RegisterSchemaError, match="too old: run `callstream migrate`"):
            register.check()
        with (
            pytest.raises(RegisterSchemaError, match="too old: run `callstream migrate`"),
            register.transaction() as tx,
        ):
            tx.outbox(event())
        register.close()

    def test_migrating_makes_them_once(self, register_url: str) -> None:
        register = Register(register_url)
        assert migrate_register(register) == list(REVISIONS)
        register.check()
        assert migrate_register(register) == []
        register.close()

    def test_two_migrations_at_once_do_no_harm(self, register_url: str) -> None:
        registers = [Register(register_url) for _ in range(4)]
        with ThreadPoolExecutor(len(registers)) as pool:
            applied = list(pool.map(migrate_register, registers))
        assert sorted(applied) == [[], [], [], list(REVISIONS)]
        for register in registers:
            register.check()
            register.close()

    def test_they_are_those_that_the_code_knows(self, register: Register) -> None:
        with register.engine.connect() as connection:
            context = MigrationContext.configure(
                connection,
                opts={"include_name": lambda name, kind, _: kind != "table" or name in metadata.tables},
            )
            assert compare_metadata(context, metadata) == []

    def test_a_newer_release_has_made_them(self, register: Register) -> None:
        with register.transaction() as tx:
            tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
            tx.execute(text("DROP TABLE register_floor"))
        with pytest.raises(RegisterSchemaError, match="newer callstream"):
            register.check()
        with pytest.raises(RegisterSchemaError, match="newer callstream"):
            migrate_register(register)

    def test_a_newer_release_has_only_added_to_them(self, register: Register) -> None:
        with register.transaction() as tx:
            tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
            tx.execute(text("UPDATE register_floor SET revision = :r"), {"r": REVISIONS[-1]})
        register.check()
        with pytest.raises(RegisterSchemaError, match="newer callstream"):
            migrate_register(register)

    def test_a_newer_release_has_taken_away_what_this_one_uses(self, register: Register) -> None:
        with register.transaction() as tx:
            tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
            tx.execute(text("UPDATE register_floor SET revision = '9998'"))
        with pytest.raises(RegisterSchemaError, match="newer callstream"):
            register.check()

    def test_a_migration_that_fails_leaves_the_former_version_at_work(self, register: Register, tmp_path: Path) -> None:
        folder = tmp_path / "migrations"
        shutil.copytree(MIGRATIONS, folder)
        (folder / "versions" / "v_next.py").write_text(
            f"from alembic import op\nrevision = 'next'\ndown_revision = '{REVISIONS[-1]}'\n\n"
            "def upgrade():\n"
            "    op.execute('CREATE TABLE half (a INTEGER)')\n"
            "    op.execute('ALTER TABLE outbox ADD COLUMN half INTEGER')\n"
            "    op.execute('DROP TABLE no_such_table')\n"
        )
        with pytest.raises(RegisterSchemaError):
            migrate_register(register, folder)
        register.check()
        with register.transaction() as tx:
            tx.outbox(event())
        with pytest.raises(RegisterSchemaError), register.reading() as tx:
            tx.execute(text("SELECT a FROM half"))

    def test_every_migration_is_known_by_number(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
        assert tuple(reversed(revisions)) == REVISIONS


class TestTransactions:
    def test_a_change_and_its_event_are_undone_together(self, register: Register) -> None:
        def changes_and_fails() -> None:
            with register.transaction() as tx:
                add_wrapping_key(tx, "audio", "v1", "prepared", NOW)
                tx.outbox(event())
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            changes_and_fails()
        with register.reading() as tx:
            assert wrapping_key_rows(tx, "audio") == []
        assert Outbox(register).count_waiting() == 0

    def test_an_event_is_there_once_however_often_it_is_written(self, register: Register) -> None:
        for _ in range(2):
            with register.transaction() as tx:
                tx.outbox(event(1))
                tx.outbox(event(1))
                tx.outbox(event(2))
        assert Outbox(register).count_waiting() == 2

    def test_who_reads_keeps_nobody_from_writing(self, register: Register) -> None:
        with register.reading() as reading:
            before = reading.execute(select(outbox)).all()
            with register.transaction() as tx:
                tx.outbox(event())
            assert before == []
        assert Outbox(register).count_waiting() == 1

    def test_times_come_back_in_utc_to_the_microsecond(self, register: Register) -> None:
        shanghai = datetime.fromisoformat("2026-11-30T17:15:02.417250+08:00")
        with register.transaction() as tx:
            add_wrapping_key(tx, "audio", "v1", "prepared", shanghai)
        with register.reading() as tx:
            (row,) = wrapping_key_rows(tx, "audio")
        assert (row.prepared_at, row.prepared_at.utcoffset()) == (NOW, timedelta(0))

    def test_a_time_without_zone_is_refused(self, register: Register) -> None:
        with pytest.raises(RegisterRefusedError), register.transaction() as tx:
            add_wrapping_key(tx, "audio", "v1", "prepared", datetime(2026, 11, 30))  # noqa: DTZ001 - that is the point

    def test_who_waits_too_long_for_another_is_to_try_again(self, register: Register, register_url: str) -> None:
        hasty = Register(register_url, busy_s=0.05)
        with register.transaction() as tx:
            tx.outbox(event())
            with pytest.raises(RetryableError, match="the register cannot write"), hasty.transaction("write") as other:
                other.outbox(event())
        hasty.close()

    @pytest.mark.usefixtures("register")
    def test_so_is_a_thread_that_waits_too_long_for_another(self, register_url: str) -> None:
        hasty = Register(register_url, busy_s=0.05)

        def write() -> None:
            with hasty.transaction("write") as tx:
                tx.outbox(event())

        with ThreadPoolExecutor(1) as pool:
            with hasty.transaction() as tx:
                tx.outbox(event())
                with pytest.raises(RetryableError, match="the register cannot write"):
                    pool.submit(write).result()
            pool.submit(write).result()
        hasty.close()

    def test_a_statement_alone_is_durable_and_undone_where_it_fails(
        self, register: Register, register_url: str
    ) -> None:
        with register.statement() as tx:
            assert tx.insert_new(wrapping_keys, purpose="audio", version="v1", state="prepared", prepared_at=NOW)
        with pytest.raises(RegisterRefusedError), register.statement() as tx:
            tx.insert_new(wrapping_keys, purpose="audio", version="v2", state="no such state", prepared_at=NOW)
        other = Register(register_url)
        with other.reading() as tx:
            assert [row.version for row in wrapping_key_rows(tx, "audio")] == ["v1"]
        other.close()

    def test_what_is_refused_names_no_value(self, register: Register) -> None:
        row = {"purpose": "audio", "version": "s3cret-value", "state": "no such state", "prepared_at": NOW}
        with pytest.raises(RegisterRefusedError) as caught, register.transaction("keep it") as tx:
            tx.execute(insert(wrapping_keys).values(row))
        assert "s3cret" not in "".join(traceback.format_exception(caught.value))
        assert str(caught.value).startswith("the register refused to keep it (")


class TestOutbox:
    def test_events_come_in_the_order_in_which_they_were_written(self, register: Register) -> None:
        waiting = Outbox(register)
        for number in (3, 1, 2):
            with register.transaction() as tx:
                tx.outbox(event(number))
        first = waiting.waiting(2)
        assert [each.record.key for each in first] == [b"acme/c3", b"acme/c1"]
        waiting.mark_sent(first, NOW)
        (last,) = waiting.waiting(10)
        assert last.record.key == b"acme/c2"
        assert CustodyChanged.decode(last.record.value) == event(2)

    def test_what_was_sent_long_ago_goes_and_nothing_else(self, register: Register) -> None:
        waiting = Outbox(register)
        for number, sent_at in ((1, NOW - timedelta(days=8)), (2, NOW - timedelta(days=6)), (3, None)):
            with register.transaction() as tx:
                tx.outbox(event(number, NOW - timedelta(days=30)))
            if sent_at is not None:
                waiting.mark_sent(waiting.waiting(1), sent_at)
        assert [waiting.prune(NOW - timedelta(days=7)) for _ in range(2)] == [1, 0]
        with register.reading() as tx:
            assert len(tx.execute(select(outbox)).all()) == 2
        assert waiting.count_waiting() == 1

    def test_it_tells_how_many_wait_and_since_when_the_first_does(self, register: Register) -> None:
        waiting = Outbox(register)
        assert waiting.backlog() == Backlog(0, None)
        for number, written_at in ((1, NOW), (2, NOW + timedelta(minutes=1)), (3, NOW + timedelta(minutes=2))):
            with register.transaction() as tx:
                tx.outbox(event(number, written_at))
        assert waiting.backlog() == Backlog(3, NOW)
        waiting.mark_sent(waiting.waiting(1), NOW)
        assert waiting.backlog() == Backlog(2, NOW + timedelta(minutes=1))


class TestKeys:
    def test_a_key_is_made_once_and_is_the_same_every_time(self, register: Register, keys: RegisterKeys) -> None:
        made = keys.make("acme", "c1", DAY, "audio")
        assert len(made) == 32
        assert keys.make("acme", "c1", DAY, "audio") == made == keys.get("acme", "c1", DAY, "audio")
        with register.reading() as tx:
            (row,) = tx.execute(select(call_keys)).all()
        assert len(row.blob) == 60
        assert made not in row.blob

    def test_many_calls_of_a_day_whose_key_is_wrapped_anew_between_them(
        self, register: Register, wrapper: MemoryWrapper, keys: RegisterKeys
    ) -> None:
        made = [keys.make("acme", "c1", DAY, "audio"), keys.make("acme", "c2", DAY, "audio")]
        with register.transaction() as tx:
            former = find_day_key(tx, "acme", DAY, "audio")
            assert former is not None
            day_key = wrapper.unwrap("audio", former.wrapped, former.context)
            assert replace_day_key(tx, former, wrapper.wrap("audio", former.wrapped.version, day_key, former.context))
        made += [keys.make("acme", "c3", DAY, "audio"), keys.make("acme", "c1", DAY, "audio")]
        fresh = RegisterKeys(register, wrapper, SystemClock())
        assert made == [fresh.get("acme", call, DAY, "audio") for call in ("c1", "c2", "c3", "c1")]

    def test_every_call_and_purpose_has_its_own(self, keys: RegisterKeys) -> None:
        made = {
            keys.make(tenant, call, day, purpose)
            for tenant in ("acme", "globex")
            for call in ("c1", "c2")
            for day in (DAY, DAY - timedelta(days=1))
            for purpose in PURPOSES
        }
        assert len(made) == 24

    def test_many_who_ask_first_at_the_same_moment_get_one_key(self, register_url: str, register: Register) -> None:
        wrapper, at_once = MemoryWrapper(), 8
        wrapper.make_version("audio")
        barrier = threading.Barrier(at_once)

        def first_use(number: int) -> tuple[str, bytes, bytes]:
            own = Register(register_url)
            barrier.wait()
            current = ensure_current(own, wrapper, "audio", NOW)
            keys = RegisterKeys(own, wrapper, SystemClock())
            made = keys.make("acme", "c1", DAY, "audio"), keys.make("acme", f"own{number}", DAY, "audio")
            own.close()
            return current, *made

        with ThreadPoolExecutor(at_once) as pool:
            found = list(pool.map(first_use, range(at_once)))
        assert {current for current, _, _ in found} == {"v1"}
        assert len({shared for _, shared, _ in found}) == 1
        fresh = RegisterKeys(register, wrapper, SystemClock())
        assert [fresh.get("acme", f"own{n}", DAY, "audio") for n in range(at_once)] == [own for _, _, own in found]
        with register.reading() as tx:
            assert len(tx.execute(select(day_keys)).all()) == 1

    def test_a_key_that_was_never_made_or_was_destroyed_is_gone(self, keys: RegisterKeys) -> None:
        with pytest.raises(KeyGoneError):
            keys.get("acme", "c1", DAY, "audio")
        for purpose in PURPOSES:
            keys.make("acme", "c1", DAY, purpose)
        other = keys.make("acme", "c2", DAY, "audio")
        keys.destroy("acme", "c1", DAY)
        keys.destroy("acme", "c1", DAY)
        for purpose in PURPOSES:
            with pytest.raises(KeyGoneError):
                keys.get("acme", "c1", DAY, purpose)
        assert keys.get("acme", "c2", DAY, "audio") == other

    def test_the_keys_of_a_day_go_together_also_where_the_day_key_was_in_memory(
        self, register: Register, keys: RegisterKeys
    ) -> None:
        keys.make("acme", "c1", DAY, "audio")
        kept = keys.make("acme", "c1", DAY - timedelta(days=1), "audio")
        drop_day(register, DAY)
        drop_day(register, DAY)
        with pytest.raises(KeyGoneError):
            keys.get("acme", "c1", DAY, "audio")
        assert keys.get("acme", "c1", DAY - timedelta(days=1), "audio") == kept
        assert keys.make("acme", "c1", DAY, "audio") == keys.get("acme", "c1", DAY, "audio")

    @pytest.mark.parametrize(
        "moved",
        [
            pytest.param({"call_id": "c2"}, id="to another call"),
            pytest.param({"tenant_id": "globex"}, id="to another tenant"),
            pytest.param({"purpose": "transcript"}, id="to another purpose"),
            pytest.param({"day": DAY - timedelta(days=1)}, id="to another day"),
            pytest.param({"blob": bytes(60)}, id="overwritten"),
            pytest.param({"blob": bytes(59)}, id="cut"),
        ],
    )
    def test_a_row_that_was_changed_or_moved_does_not_open(
        self, register: Register, keys: RegisterKeys, moved: dict[str, object]
    ) -> None:
        keys.make("acme", "c1", DAY, "audio")
        place: dict[str, object] = {"tenant_id": "acme", "call_id": "c1", "day": DAY, "purpose": "audio"}
        with register.transaction() as tx:
            # There is a day key where it is moved to, so that only its binding can tell.
            for day_key in ({"tenant_id": "globex"}, {"purpose": "transcript"}, {"day": DAY - timedelta(days=1)}):
                row = tx.execute(select(day_keys).where(day_keys.c.tenant_id == "acme")).mappings().first()
                assert row is not None
                tx.execute(insert(day_keys).values({**row, **day_key}))
            tx.execute(update(call_keys).values(moved))
        place |= {name: value for name, value in moved.items() if name != "blob"}
        with pytest.raises(KeyRefusedError):
            keys.get(**place)  # type: ignore[arg-type]

    def test_the_wrapper_is_asked_once_for_a_day_and_remembers_a_bounded_number(
        self, register: Register, wrapper: MemoryWrapper
    ) -> None:
        keys = RegisterKeys(register, wrapper, SystemClock(), cached=2)
        for number in range(20):
            keys.make("acme", f"c{number}", DAY, "audio")
        assert wrapper.unwrapped == 1
        for back in range(3):
            keys.make("acme", "c1", DAY - timedelta(days=back), "audio")
        asked = wrapper.unwrapped
        assert asked == 3
        keys.get("acme", "c1", DAY - timedelta(days=2), "audio")
        keys.get("acme", "c1", DAY - timedelta(days=1), "audio")
        assert wrapper.unwrapped == asked
        keys.get("acme", "c1", DAY, "audio")
        assert wrapper.unwrapped == asked + 1

    def test_without_a_current_wrapping_key_a_sentence_says_so(self, register: Register) -> None:
        with pytest.raises(NoWrappingKeyError, match="no wrapping key for audio"):
            RegisterKeys(register, MemoryWrapper(), SystemClock()).make("acme", "c1", DAY, "audio")

    def test_a_version_that_has_stopped_being_current_wraps_no_new_day(self, register: Register) -> None:
        rotating = _RotatesMeanwhile(register)
        ensure_current(register, rotating, "audio", NOW)
        made = RegisterKeys(register, rotating, SystemClock()).make("acme", "c1", DAY, "audio")
        with register.reading() as tx:
            found = find_day_key(tx, "acme", DAY, "audio")
            needed = {row.version: row.needed_by for row in wrapping_key_rows(tx, "audio")}
        assert found is not None
        assert (found.wrapped.version, needed) == ("v2", {"v1": 0, "v2": 1})
        assert RegisterKeys(register, rotating, SystemClock()).get("acme", "c1", DAY, "audio") == made


class _RotatesMeanwhile(MemoryWrapper):
    """While it wraps the first day key, somebody makes another version current."""

    def __init__(self, register: Register) -> None:
        super().__init__()
        self._register = register

    def wrap(self, purpose: Purpose, version: str, key: bytes, context: bytes) -> WrappedKey:
        wrapped = super().wrap(purpose, version, key, context)
        if version == "v1":
            other = self.make_version(purpose)
            with self._register.transaction() as tx:
                set_state(tx, purpose, "v1", "retiring", NOW)
                add_wrapping_key(tx, purpose, other, "current", NOW)
        return wrapped


class TestRewrapping:
    def rewrapped(self, wrapper: MemoryWrapper, day_key: DayKey, version: str) -> WrappedKey:
        plain = wrapper.unwrap(day_key.purpose, day_key.wrapped, day_key.context)
        return wrapper.wrap(day_key.purpose, version, plain, day_key.context)

    def test_a_day_key_is_replaced_only_where_it_is_what_was_read(
        self, register: Register, wrapper: MemoryWrapper, keys: RegisterKeys
    ) -> None:
        before = keys.make("acme", "c1", DAY, "audio")
        with register.transaction() as tx:
            (current,) = wrapping_key_rows(tx, "audio")
            set_state(tx, "audio", current.version, "retiring", NOW)
            add_wrapping_key(tx, "audio", newer := wrapper.make_version("audio"), "current", NOW)
            (day_key,) = day_keys_under(tx, "audio", current.version, 10)
            assert replace_day_key(tx, day_key, self.rewrapped(wrapper, day_key, newer))
            assert not replace_day_key(tx, day_key, self.rewrapped(wrapper, day_key, newer))
            assert day_keys_under(tx, "audio", current.version, 10) == []
        wrapper.remove_version("audio", current.version)
        assert keys.get("acme", "c1", DAY, "audio") == before

    def test_there_is_one_current_version_of_a_purpose(self, register: Register) -> None:
        with register.transaction() as tx:
            assert add_wrapping_key(tx, "audio", "v1", "current", NOW)
            assert add_wrapping_key(tx, "transcript", "v1", "current", NOW)
            assert not add_wrapping_key(tx, "audio", "v2", "current", NOW)
            assert add_wrapping_key(tx, "audio", "v2", "prepared", NOW)
        with pytest.raises(RegisterRefusedError), register.transaction() as tx:
            set_state(tx, "audio", "v2", "current", NOW)

    def test_a_wrapping_key_of_which_the_register_knows_nothing_wraps_no_day(self, register: Register) -> None:
        row = {"tenant_id": "acme", "day": DAY, "purpose": "audio", "version": "v9", "blob": b"", "made_at": NOW}
        with pytest.raises(RegisterRefusedError), register.transaction() as tx:
            tx.execute(insert(day_keys).values(row))


class TestDays:
    def test_partitions_are_made_ahead_and_hold_their_day(self, register: Register, keys: RegisterKeys) -> None:
        late = keys.make("acme", "late", DAY, "audio")
        made = prepare_days(register, DAY, days_ahead=2)
        with register.reading() as tx:
            is_postgresql = tx.is_postgresql
        # The first day has begun in the default partition, and stays there.
        assert made == ([DAY + timedelta(days=1), DAY + timedelta(days=2)] if is_postgresql else [])
        assert prepare_days(register, DAY, days_ahead=2) == []
        days = [DAY + timedelta(days=ahead) for ahead in range(4)]
        found = [keys.make("acme", "c1", day, "audio") for day in days]
        if is_postgresql:
            with register.reading() as tx:
                there = tx.execute(text("SELECT day, tableoid::regclass::text FROM call_keys WHERE call_id = 'c1'"))
                default = "call_keys_default"
                assert dict(there.tuples().all()) == {
                    days[0]: default,
                    days[1]: partition_of(days[1]),
                    days[2]: partition_of(days[2]),
                    days[3]: default,
                }
        for day, key in zip(days, found, strict=True):
            assert keys.get("acme", "c1", day, "audio") == key
        assert keys.get("acme", "late", DAY, "audio") == late
        for day in days:
            drop_day(register, day)
            with pytest.raises(KeyGoneError):
                keys.get("acme", "c1", day, "audio")

    def test_two_who_make_them_at_once_do_no_harm(self, register: Register) -> None:
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: prepare_days(register, DAY, days_ahead=3), range(4)))
        with register.reading() as tx:
            is_postgresql = tx.is_postgresql
        all_days = [DAY + timedelta(days=ahead) for ahead in range(4)]
        assert sorted(day for days in made for day in days) == (all_days if is_postgresql else [])


class TestSqliteFile:
    def test_it_is_for_its_owner_alone(self, tmp_path: Path) -> None:
        file = tmp_path / "data" / "register" / "register.db"
        with migrated(sqlite_url(file)) as register, register.transaction() as tx:
            tx.outbox(event())
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
            assert modes == dict.fromkeys(("register.db", "register.db-wal", "register.db-shm"), 0o600)
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700

    @pytest.mark.processes
    def test_who_opens_it_twice_is_still_seen_to_use_it(self, tmp_path: Path) -> None:
        """To close any other handle of a file gives up the locks of the whole process. Whoever came and went then took
        the log away, as the last one does, and what was written to it afterwards was lost."""
        file = tmp_path / "register.db"
        with migrated(sqlite_url(file)) as register:
            another = Register(sqlite_url(file))
            another.check()
            comes_and_goes = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM outbox')"
            subprocess.run([sys.executable, "-c", f"{comes_and_goes}; c.close()", file], check=True)
            with register.transaction() as tx:
                tx.outbox(event())
            another.close()
            counts = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM outbox'))"
            seen = subprocess.run([sys.executable, "-c", counts, file], check=True, capture_output=True, text=True)
        assert seen.stdout == "(1,)\n"

    @pytest.mark.parametrize(
        ("spoil", "says"),
        [
            pytest.param(lambda file: file.write_bytes(b"no database " * 400), "backup", id="another file"),
            pytest.param(lambda file: (file.unlink(), file.mkdir()), "cannot be made", id="a folder in its place"),
        ],
    )
    def test_a_file_that_is_none_of_ours_is_named(
        self, tmp_path: Path, spoil: Callable[[Path], object], says: str
    ) -> None:
        file = tmp_path / "register.db"
        with migrated(sqlite_url(file)):
            pass
        spoil(file)
        with pytest.raises(RegisterAccessError, match=says):
            Register(sqlite_url(file)).check()


@pytest.mark.postgresql
class TestPostgresqlServer:
    @pytest.fixture(autouse=True)
    def sockets_are_closed(self) -> Iterator[None]:
        """pg8000 leaves that of a connection which is refused to the collector."""
        yield
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    def test_a_wrong_password_is_for_the_operator_and_not_repeated(self, postgresql: PostgresqlServer) -> None:
        register = Register(postgresql.url("postgres", password="not-the-passw0rd"))
        with pytest.raises(OperatorError, match="user or password") as caught:
            register.check()
        assert "passw0rd" not in "".join(traceback.format_exception(caught.value))

    def test_a_database_that_is_not_there_is_for_the_operator(self, postgresql: PostgresqlServer) -> None:
        with pytest.raises(OperatorError, match="does not exist"):
            Register(postgresql.url("nowhere")).check()

    def test_a_user_without_rights_is_for_the_operator(self, postgresql: PostgresqlServer) -> None:
        url = postgresql.new_database()
        with migrated(url):
            pass
        parsed = make_url(url)
        with postgresql.connection(str(parsed.database)) as connection:
            connection.run("CREATE ROLE powerless LOGIN PASSWORD 'powerless'")
        other = parsed.set(username="powerless", password="powerless").render_as_string(hide_password=False)
        with pytest.raises(OperatorError, match="lacks a right"):
            Register(other).check()

    def test_no_server_is_tried_again(self) -> None:
        register = Register(f"postgresql+pg8000://postgres:s3cret@{LOOPBACK}:{free_port()}/postgres")
        with pytest.raises(RetryableError, match="does not answer") as caught:
            register.check()
        assert "s3cret" not in "".join(traceback.format_exception(caught.value))

    def test_a_server_that_dies_is_tried_again_and_what_was_committed_is_there(self) -> None:
        with running_postgresql() as server, migrated(server.new_database()) as register:
            with register.transaction() as tx:
                tx.outbox(event(1))

            def loses_its_server() -> None:
                with register.transaction() as tx:
                    tx.outbox(event(2))
                    server.kill()

            with pytest.raises(RetryableError):
                loses_its_server()
            with pytest.raises(RetryableError):
                register.check()
            server.start_again()
            register.check()
            assert Outbox(register).count_waiting() == 1

    @pytest.mark.parametrize("host", ["db.example.org", "192.0.2.7"])
    def test_another_machine_is_asked_over_tls(self, host: str) -> None:
        """Without it there is no connection, so that no password goes out in clear."""
        assert Register(f"postgresql+pg8000://u:p@{host}/d").speaks_tls
        assert not Register(f"postgresql+pg8000://u:p@{host}/d", allow_plain=True).speaks_tls
        assert not Register(f"postgresql+pg8000://u:p@{LOOPBACK}/d").speaks_tls


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("mysql://root:s3cret@127.0.0.1/d", id="another database"),
        pytest.param("postgresql://u:s3cret@127.0.0.1/d", id="another driver"),
        pytest.param("s3cret", id="no URL"),
        pytest.param("postgresql+pg8000://u:s3cret@127.0.0.1:port/d", id="a port that is no number"),
    ],
)
def test_another_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(RegisterAccessError) as caught:
        Register(url)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.postgresql
def test_a_server_that_stood_still_is_asked_by_new_connections_at_once(
    postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register_module, "ANSWER_S", 3)
    url = make_url(postgresql.new_database())
    with faulty_proxy(f"{url.host}:{url.port}") as proxy:
        host, _, port = proxy.endpoint.partition(":")
        register = Register(url.set(host=host, port=int(port)).render_as_string(hide_password=False))
        migrate_register(register)
        together = threading.Barrier(4)

        def ask(_: int) -> None:
            with register.transaction() as tx:
                tx.execute(text("SELECT 1"))
                together.wait(10)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ask, range(4)))
        assert proxy.connections >= 4
        proxy.silent_until = proxy.connections
        with pytest.raises(RetryableError):
            register.check()
        for _ in range(4):
            register.check()
        register.close()
