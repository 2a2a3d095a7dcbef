"""An archive in a store of its own: the contract of stores over the two of them, and what lies where."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import SecretStr

from processors.listening.audio import DecodeLimits, probe
from processors.listening.renditions import render
from streams.adapters.object_store.archive import ArchivedResult, ArchivedResults, RecordingArchive
from streams.adapters.object_store.folder import FolderSettings, FolderStore
from streams.adapters.object_store.from_settings import object_store_from, whole_store_from
from streams.adapters.object_store.purging import CallObjects
from streams.adapters.object_store.s3 import S3Settings
from streams.adapters.object_store.sealed_store import SealedStore
from streams.adapters.object_store.with_archive import with_archive
from streams.backup.from_settings import systems_from
from streams.ports import ForeignUriError, LocksObjects, ObjectMissingError, ObjectStore, StoreAccessError, SystemClock
from streams.settings import Settings, SettingsError, load_settings
from tests.contracts.object_store_contract import BUCKET, DIGITS, KEY, ObjectStoreContract
from tests.contracts.s3_server import S3Server
from tests.support.data_keys import MemoryDataKeys

ARCHIVE_BUCKET = "the-archive"
ARCHIVED = "archive/acme/2026/01/02/c1.0123456789abcdef.opus"


class ArchiveContract:
    """A subclass gives `archive`, the store of the archive, its bucket not yet made."""

    @pytest.fixture
    def at_hand(self, tmp_path: Path) -> ObjectStore:
        return FolderStore(tmp_path / "at_hand", BUCKET)

    @pytest.fixture
    def archive(self) -> ObjectStore:
        raise NotImplementedError

    @pytest.fixture
    def store(self, at_hand: ObjectStore, archive: ObjectStore) -> ObjectStore:
        store = with_archive(at_hand, archive)
        store.apply()
        return store

    def test_what_is_archived_lies_in_the_archive_and_the_rest_does_not(
        self, store: ObjectStore, at_hand: ObjectStore, archive: ObjectStore
    ) -> None:
        store.put(KEY, DIGITS)
        store.put(ARCHIVED, DIGITS)
        with store.writer(ARCHIVED + ".2") as writer:
            writer.write(DIGITS)
            writer.commit()

        assert [entry.key for entry in at_hand.entries()] == [KEY]
        assert [entry.key for entry in archive.entries()] == [ARCHIVED, ARCHIVED + ".2"]
        assert [entry.key for entry in store.entries()] == [ARCHIVED, ARCHIVED + ".2", KEY]
        assert store.read(ARCHIVED, start=2, length=3) == b"234"
        assert store.size(ARCHIVED) == 10

    def test_what_was_archived_before_is_found_where_it_was_and_destroyed_there(
        self, store: ObjectStore, at_hand: ObjectStore
    ) -> None:
        at_hand.put(ARCHIVED, b"before")
        assert store.read(ARCHIVED) == b"before"
        assert store.size(ARCHIVED) == 6

        store.put(ARCHIVED, b"again, and longer")
        assert store.read(ARCHIVED) == b"again, and longer"
        assert [entry.bytes for entry in store.entries("archive/acme/")] == [17], "once, as it is read"

        store.delete(ARCHIVED)
        assert list(store.entries()) == list(at_hand.entries()) == []
        for ask in (store.read, store.size):
            with pytest.raises(ObjectMissingError):
                ask(ARCHIVED)

    def test_a_purge_counts_and_destroys_what_is_archived_wherever_it_lies(
        self, store: ObjectStore, at_hand: ObjectStore
    ) -> None:
        day = date(2026, 1, 2)
        store.put(ARCHIVED, DIGITS)
        store.put(ArchivedResult("acme", "c1", day).key, DIGITS)
        at_hand.put("archive/acme/2026/01/02/c1.fedcba9876543210.opus", DIGITS)  # of before
        store.put(ArchivedResult("acme", "c1.1", day).key, DIGITS)
        objects = CallObjects(store)

        assert objects.left("acme", {"c1": [day]})["archive"] == 3
        assert objects.destroy("acme", {"c1": [day]})["archive"] == 3
        assert objects.left("acme", {"c1": [day]})["archive"] == 0
        assert [entry.key for entry in store.entries()] == [ArchivedResult("acme", "c1.1", day).key], "another call's"

    def test_what_lies_in_the_archive_is_sealed_like_all_else(self, store: ObjectStore, archive: ObjectStore) -> None:
        sealed, day = SealedStore(store, MemoryDataKeys()), date(2026, 1, 2)
        result = RecordingArchive(
            store, sealed, render, probe, DecodeLimits(60_000), 1_000_000, lambda *_: b"PAR1 what was said PAR1"
        )
        result.archive("acme", "c1", day)
        (entry,) = archive.entries()
        assert b"what was said" not in archive.read(entry.key)
        assert ArchivedResults(sealed).read("acme", "c1", day) == b"PAR1 what was said PAR1"

    def test_a_listing_is_sorted_over_both_and_may_go_on_anywhere(self, store: ObjectStore) -> None:
        keys = ["alerts/a", "archive/a", "archive/ä", "archive.txt", "archives/z", "transcripts/t"]
        for key in keys:
            store.put(key, DIGITS)
        keys.sort(key=str.encode)

        assert [entry.key for entry in store.entries()] == keys
        for number, key in enumerate(keys):
            assert [entry.key for entry in store.entries(after=key)] == keys[number + 1 :]
        assert [entry.key for entry in store.entries("arch")] == [key for key in keys if key.startswith("arch")]
        assert [entry.key for entry in store.entries("archive/")] == ["archive/a", "archive/ä"]
        assert [entry.key for entry in store.entries("archive/ä")] == ["archive/ä"]
        assert [entry.key for entry in store.entries("t")] == ["transcripts/t"]

    def test_a_uri_leads_back_to_its_key(self, store: ObjectStore, archive: ObjectStore) -> None:
        for key in (KEY, ARCHIVED):
            assert store.key_of(store.uri_of(key)) == key
        assert store.uri_of(ARCHIVED) == archive.uri_of(ARCHIVED) != store.uri_of(KEY)
        with pytest.raises(ForeignUriError):
            store.key_of(archive.uri_of(KEY))

    def test_an_archive_that_is_not_there_is_told_of(self, at_hand: ObjectStore, archive: ObjectStore) -> None:
        at_hand.apply()
        with pytest.raises(StoreAccessError, match="bucket apply"):
            with_archive(at_hand, archive).check()


class TestArchiveInAFolder(ArchiveContract):
    @pytest.fixture
    def archive(self, tmp_path: Path) -> ObjectStore:
        return FolderStore(tmp_path / "archive", ARCHIVE_BUCKET)


class TestStoreWithArchiveIsAStore(ObjectStoreContract):
    kind = FolderSettings.kind

    @pytest.fixture
    def unapplied_store(self, tmp_path: Path) -> ObjectStore:
        return with_archive(FolderStore(tmp_path / "at_hand", BUCKET), FolderStore(tmp_path / "far", ARCHIVE_BUCKET))

    @pytest.fixture
    def store(self, unapplied_store: ObjectStore) -> ObjectStore:
        unapplied_store.apply()
        return unapplied_store


class ArchiveInABucket(ArchiveContract):
    """A subclass names the fixture of its server, and a class of storage that it knows."""

    fixture: ClassVar[str]
    storage_class: ClassVar[str]

    @pytest.fixture
    def server(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
        server: S3Server = request.getfixturevalue(self.fixture)
        if server.certificate:
            monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        server.remove_bucket(ARCHIVE_BUCKET)
        return server

    @pytest.fixture
    def archive(self, server: S3Server) -> ObjectStore:
        return server.store(ARCHIVE_BUCKET)

    @pytest.fixture
    def settings(self, server: S3Server, tmp_path: Path) -> Iterator[Settings]:
        """A folder at hand, and the archive in a bucket."""
        settings = Settings(
            data_dir=tmp_path,
            store_bucket=BUCKET,
            archive_to=f"s3://{ARCHIVE_BUCKET}/",
            archive_s3_endpoint=server.endpoint,
            archive_s3_secure=server.certificate is not None,
            archive_s3_access_key=server.access_key,
            archive_s3_secret_key=SecretStr(server.secret_key),
        )
        yield settings
        server.remove_bucket(ARCHIVE_BUCKET)

    def test_settings_lead_there(self, settings: Settings, archive: ObjectStore) -> None:
        store = whole_store_from(settings)
        store.apply()
        store.put(ARCHIVED, DIGITS)
        assert archive.read(ARCHIVED) == DIGITS
        assert list(object_store_from(settings).entries()) == [], "who has no right there does not see it"

    def test_what_is_archived_has_its_class_of_storage(self, settings: Settings, server: S3Server) -> None:
        store = whole_store_from(settings.with_parts(S3Settings(s3_archive_class=self.storage_class)))
        store.apply()
        store.put(ARCHIVED, DIGITS)
        store.put(ARCHIVED + ".large", DIGITS * 600_000)
        for key in (ARCHIVED, ARCHIVED + ".large"):
            assert server.client().head_object(Bucket=ARCHIVE_BUCKET, Key=key).get("StorageClass") == self.storage_class


@pytest.mark.minio
class TestArchiveOnMinio(ArchiveInABucket):
    fixture = "minio"
    storage_class = "REDUCED_REDUNDANCY"

    def test_a_class_of_storage_that_the_server_does_not_know_is_told_of(self, settings: Settings) -> None:
        store = whole_store_from(settings.with_parts(S3Settings(s3_archive_class="NEAR_BY")))
        store.apply()
        with pytest.raises(StoreAccessError, match="s3_archive_class"):
            store.put(ARCHIVED, DIGITS)


@pytest.mark.versitygw
class TestArchiveOnVersitygw(ArchiveInABucket):
    fixture = "versitygw"
    storage_class = "STANDARD"


class Locking(FolderStore):
    """A store that can lock objects."""

    def put_locked(self, key: str, data: bytes, until: datetime, *, content_type: str) -> None:  # noqa: ARG002
        self.put(key, data)


def test_it_locks_objects_where_the_store_at_hand_can(tmp_path: Path) -> None:
    plain, archive = FolderStore(tmp_path, BUCKET), FolderStore(tmp_path / "far", ARCHIVE_BUCKET)
    locking = with_archive(Locking(tmp_path, BUCKET), archive)
    locking.apply()
    assert not isinstance(with_archive(plain, archive), LocksObjects)
    assert isinstance(locking, LocksObjects)
    locking.put_locked("audit/1", DIGITS, datetime(2030, 1, 1, tzinfo=UTC), content_type="text/plain")
    assert plain.read("audit/1") == DIGITS


def test_by_default_the_archive_lies_in_the_same_bucket(tmp_path: Path) -> None:
    store = whole_store_from(Settings(data_dir=tmp_path))
    assert isinstance(store, FolderStore)


def test_a_folder_of_its_own_holds_what_is_archived(tmp_path: Path) -> None:
    store = whole_store_from(Settings(data_dir=tmp_path / "data", archive_to=str(tmp_path / "far")))
    store.apply()
    store.put(ARCHIVED, DIGITS)
    assert (tmp_path / "far" / "archive" / ARCHIVED).read_bytes() == DIGITS


def test_a_backup_has_what_is_archived_elsewhere(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", archive_to=str(tmp_path / "far"))
    whole_store_from(settings).apply()
    whole_store_from(settings).put(ARCHIVED, DIGITS)
    systems = systems_from(settings, SystemClock(), "1")
    assert [entry.key for entry in systems.store.entries()] == [ARCHIVED]


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        pytest.param({"archive_to": "s3://far/"}, "archive_s3_endpoint is not set", id="a bucket of nobody"),
        pytest.param({"archive_to": "s3://far/deep/"}, "a bucket alone", id="a prefix"),
        pytest.param({"archive_to": "s3://F_ar/"}, "archive_to does not fit", id="no bucket's name"),
        pytest.param(
            {"archive_to": "s3://far/", "archive_s3_endpoint": "s3.example:443"},
            "archive_s3_access_key is not set",
            id="nobody's key",
        ),
        pytest.param({"archive_to": "s3://callstream/", "store_kind": "s3"}, "leave it empty", id="the same bucket"),
    ],
)
def test_settings_that_lead_nowhere_are_refused_by_name(how: dict[str, str], sentence: str, tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path, **how}).with_parts(
        S3Settings(s3_access_key="a", s3_secret_key=SecretStr("b"))
    )
    with pytest.raises(SettingsError, match=sentence):
        whole_store_from(settings)


@pytest.mark.parametrize("name", ["GLACIER", "DEEP_ARCHIVE", "glacier_ir", "A B"])
def test_a_class_that_must_be_thawed_first_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLSTREAM_S3_ARCHIVE_CLASS", name)
    with pytest.raises(SettingsError, match="S3_ARCHIVE_CLASS"):
        load_settings()
