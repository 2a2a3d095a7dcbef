"""The contract of the object store port on a folder; what only a folder can do wrong; which store settings choose."""

import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pydantic import SecretStr

from schemas.errors import RetryableError
from streams.adapters.object_store.folder import FolderSettings, FolderStore
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.object_store.s3 import S3Settings
from streams.ports import ObjectMissingError, ObjectStore, StoreAccessError
from streams.settings import Settings, SettingsError, load_settings, object_stores, variable_of
from tests.contracts.object_store_contract import (
    BUCKET,
    DIGITS,
    KEY,
    SECRET,
    ObjectStoreContract,
    assert_tells_no_secret,
)
from tests.contracts.s3_contract import S3Contract
from tests.contracts.s3_server import S3Server


class TestFolderStore(ObjectStoreContract):
    kind = FolderSettings.kind

    @pytest.fixture
    def unapplied_store(self, tmp_path: Path) -> ObjectStore:
        return FolderStore(tmp_path / "data" / "objects", BUCKET)

    @pytest.fixture
    def store(self, unapplied_store: ObjectStore) -> ObjectStore:
        unapplied_store.apply()
        return unapplied_store

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / "data" / "objects" / BUCKET

    def test_only_the_owner_may_enter_and_read(self, unapplied_store: ObjectStore, tmp_path: Path) -> None:
        with umask(0):
            unapplied_store.apply()
            unapplied_store.put(KEY, DIGITS)

        made = list((tmp_path / "data").rglob("*"))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [tmp_path / "data", *made]}
        assert modes.pop("c1.wav") == 0o600
        assert set(modes) == {"data", "objects", BUCKET, "recordings", "acme", "2026", "01", "02"}
        assert set(modes.values()) == {0o700}

    def test_a_write_that_fails_leaves_the_old_object_and_nothing_else(self, store: ObjectStore, folder: Path) -> None:
        store.put(KEY, DIGITS)

        with largest_file(1000), pytest.raises(RetryableError, match="cannot write an object"):
            store.put(KEY, b"x" * 5000)

        assert store.read(KEY) == DIGITS
        assert [path.name for path in (folder / KEY).parent.iterdir()] == ["c1.wav"]

    def test_a_disk_that_is_full_leaves_nothing_of_a_stream(self, store: ObjectStore, folder: Path) -> None:
        with store.writer(KEY) as writer:
            writer.write(b"x" * 500)
            with largest_file(1000), pytest.raises(RetryableError, match="cannot write an object"):
                writer.write(b"x" * 5000)

        assert list((folder / KEY).parent.iterdir()) == []

    def test_a_listing_shows_no_link_no_pipe_and_nothing_unfinished(
        self, store: ObjectStore, folder: Path, tmp_path: Path
    ) -> None:
        store.put("a.wav", DIGITS)
        (folder / "folder").symlink_to(tmp_path)
        (folder / "link.wav").symlink_to(folder / "a.wav")
        os.mkfifo(folder / "pipe.wav")
        (folder / os.fsdecode(b"no-utf-8-\xff.wav")).write_bytes(DIGITS)

        with store.writer("b.wav") as writer:
            writer.write(DIGITS)
            assert [entry.key for entry in store.entries()] == ["a.wav"]

    def test_deleting_a_link_leaves_what_it_leads_to(self, store: ObjectStore, folder: Path) -> None:
        store.put("a.wav", DIGITS)
        (folder / "link.wav").symlink_to(folder / "a.wav")

        store.delete("link.wav")

        assert store.read("a.wav") == DIGITS

    def test_a_linked_object_is_not_followed(self, store: ObjectStore, folder: Path, tmp_path: Path) -> None:
        secret = tmp_path / "outside.wav"
        secret.write_bytes(b"not ours")
        (folder / "link.wav").symlink_to(secret)

        for ask in (store.read, store.size):
            with pytest.raises(ObjectMissingError):
                ask("link.wav")

    def test_a_linked_folder_is_not_followed(self, store: ObjectStore, folder: Path, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "c1.wav").write_bytes(b"not ours")
        (folder / "linked").symlink_to(outside)

        with pytest.raises(ObjectMissingError):
            store.read("linked/c1.wav")
        with pytest.raises(StoreAccessError):
            store.put("linked/c2.wav", DIGITS)
        with pytest.raises(StoreAccessError):
            store.put("linked/deeper/c2.wav", DIGITS)
        assert [path.name for path in outside.rglob("*")] == ["c1.wav"]

    def test_putting_over_a_link_replaces_the_link(self, store: ObjectStore, folder: Path, tmp_path: Path) -> None:
        outside = tmp_path / "outside.wav"
        outside.write_bytes(b"not ours")
        (folder / "c1.wav").symlink_to(outside)

        store.put("c1.wav", DIGITS)

        assert store.read("c1.wav") == DIGITS
        assert outside.read_bytes() == b"not ours"

    def test_a_named_pipe_is_no_object_and_holds_nobody_up(self, store: ObjectStore, folder: Path) -> None:
        os.mkfifo(folder / "pipe.wav")

        with pytest.raises(ObjectMissingError):
            store.read("pipe.wav")

    def test_a_put_below_an_object_asks_for_an_operator(self, store: ObjectStore) -> None:
        store.put(KEY, DIGITS)

        with pytest.raises(StoreAccessError, match="cannot write an object"):
            store.put(KEY + "/deeper.wav", DIGITS)

    def test_a_bucket_that_is_a_file_is_no_bucket(self, unapplied_store: ObjectStore, folder: Path) -> None:
        folder.parent.mkdir(parents=True)
        folder.write_bytes(b"a file")

        with pytest.raises(StoreAccessError, match="there is no folder"):
            unapplied_store.apply()

    def test_a_folder_above_that_is_a_file_cannot_hold_a_bucket(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"a file")

        with pytest.raises(StoreAccessError, match="cannot create its folder"):
            FolderStore(tmp_path / "file", BUCKET).apply()

    @pytest.mark.parametrize(
        "ask",
        [
            pytest.param(lambda store: store.check(), id="check"),
            pytest.param(lambda store: store.put(KEY, DIGITS), id="put"),
            pytest.param(lambda store: store.read(KEY), id="read"),
            pytest.param(lambda store: store.apply(), id="apply"),
        ],
    )
    def test_a_folder_of_somebody_else_asks_for_an_operator(
        self, store: ObjectStore, folder: Path, ask: Callable[[ObjectStore], object]
    ) -> None:
        store.put(KEY, DIGITS)
        folder.chmod(0)
        try:
            with without_root(), pytest.raises(StoreAccessError, match="Permission denied"):
                ask(store)
        finally:
            folder.chmod(0o700)

    def test_a_folder_that_may_only_be_read_does_not_pass_the_check(self) -> None:
        with TemporaryDirectory() as everybodys:  # the folders of pytest are root's alone
            root = Path(everybodys)
            store = FolderStore(root, BUCKET)
            store.apply()
            root.chmod(0o755)
            (root / BUCKET).chmod(0o555)

            with without_root(), pytest.raises(StoreAccessError, match="may not be read and written"):
                store.check()

    def test_a_bucket_may_itself_be_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "big-disk").mkdir()
        (tmp_path / BUCKET).symlink_to(tmp_path / "big-disk")
        store = FolderStore(tmp_path, BUCKET)

        store.put(KEY, DIGITS)

        assert (tmp_path / "big-disk" / KEY).read_bytes() == DIGITS


def test_every_object_store_that_there_is_passes_the_contract() -> None:
    assert {TestFolderStore.kind, S3Contract.kind} == set(object_stores()), "add what passes ObjectStoreContract"


class TestObjectStoreFromSettings:
    def test_the_default_is_a_folder(self, tmp_path: Path) -> None:
        store = object_store_from(Settings(data_dir=tmp_path, store_bucket=BUCKET))
        store.apply()
        store.put(KEY, DIGITS)

        assert (tmp_path / "objects" / BUCKET / KEY).read_bytes() == DIGITS

    @pytest.mark.minio
    def test_an_s3_bucket_is_reached_with_the_settings_alone(self, minio: S3Server) -> None:
        how = S3Settings(
            s3_endpoint=minio.endpoint,
            s3_secure=False,
            s3_access_key=minio.access_key,
            s3_secret_key=SecretStr(minio.secret_key),
        )
        store = object_store_from(Settings(store_kind="s3", store_bucket="from-settings").with_parts(how))
        store.apply()
        store.put(KEY, DIGITS)

        assert store.read(KEY) == DIGITS

    @pytest.mark.parametrize(
        ("wrong", "named"),
        [
            pytest.param({"s3_access_key": ""}, "s3_access_key is not set", id="no access key"),
            pytest.param({"s3_secret_key": ""}, "s3_secret_key is not set", id="no secret key"),
            pytest.param({"s3_endpoint": "minio:nine-thousand"}, "s3_endpoint", id="a port that is no number"),
            pytest.param({"s3_region": "eu west"}, "s3_region", id="a region with a space"),
            pytest.param({"store_bucket": "a..b"}, "store_bucket does not fit", id="two dots in the bucket"),
            pytest.param({"store_bucket": "10.0.0.1"}, "store_bucket does not fit", id="an IP address as bucket"),
            pytest.param({"store_bucket": "bucket-"}, "store_bucket does not fit", id="a bucket ending in a hyphen"),
        ],
    )
    def test_a_setting_that_does_not_fit_is_named(self, wrong: dict[str, str], named: str) -> None:
        given = {"store_kind": "s3", "s3_access_key": "somebody", "s3_secret_key": SECRET} | wrong
        settings = load_settings({variable_of(name): value for name, value in given.items()}).settings

        with pytest.raises(SettingsError, match=named) as raised:
            object_store_from(settings)

        assert_tells_no_secret(raised.value, SECRET)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """The operating system refuses to write further than this into any file, as it would on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def without_root() -> Iterator[None]:
    """Modes of files mean nothing to root: be nobody for a while, where the tests run as root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if before == 0:
            os.seteuid(before)
