"""The contract of the object store port, on a folder and on a real MinIO; then what only one of them can do wrong."""

import json
import os
import resource
import shutil
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import ClassVar
from urllib.parse import urlencode, urlsplit, urlunsplit
from xml.etree import ElementTree

import minio.time
import pytest
import urllib3
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider
from minio.signer import presign_v4
from pydantic import SecretStr

from schemas.errors import RetryableError
from streams.adapters.object_store.folder import FolderSettings, FolderStore
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.object_store.s3 import S3Settings
from streams.adapters.object_store.s3.client import Patience, S3Store
from streams.embedded.ports import LOOPBACK, free_port
from streams.ports import ForeignUriError, ObjectMissingError, ObjectStore, StoreAccessError
from streams.settings import Settings, SettingsError, load_settings, object_stores, variable_of
from tests.contracts.faulty_proxy import Fault, faulty_proxy
from tests.contracts.minio_server import MinioServer, MinioUnavailableError, running_minio

KEY = "recordings/acme/2026/01/02/c1.wav"
DIGITS = b"0123456789"
BUCKET = "the-bucket"
SECRET = "a-secret-key-that-nobody-may-see"
IMPATIENT = Patience(connect_timeout_s=5, read_timeout_s=20, tries=3, first_pause_s=0.01, max_pause_s=0.02)


class ObjectStoreContract:
    """Every object store passes this; a subclass says its kind and gives the fixtures `store` (applied) and
    `unapplied_store`."""

    kind: ClassVar[str]

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"", id="nothing at all"),
            pytest.param(b"\x00", id="one byte"),
            pytest.param(bytes(range(256)) * 47_000, id="12 MB, which S3 takes in three parts"),
        ],
    )
    def test_an_object_is_read_as_it_was_put(self, store: ObjectStore, data: bytes) -> None:
        store.put(KEY, data)

        assert store.read(KEY) == data
        assert store.size(KEY) == len(data)

    @pytest.mark.parametrize(
        ("start", "length", "expected"),
        [
            pytest.param(0, None, b"0123456789", id="all of it"),
            pytest.param(0, 1, b"0", id="the first byte"),
            pytest.param(3, 4, b"3456", id="the middle"),
            pytest.param(7, None, b"789", id="from somewhere to the end"),
            pytest.param(8, 100, b"89", id="a range that ends behind the end is cut"),
            pytest.param(10, None, b"", id="from exactly the end"),
            pytest.param(10, 5, b"", id="a range from exactly the end"),
            pytest.param(99, 5, b"", id="a range behind the end"),
            pytest.param(4, 0, b"", id="no bytes, which S3 cannot ask for"),
            pytest.param(0, 0, b"", id="no bytes from the start, which must not mean all"),
        ],
    )
    def test_a_range_is_read_like_a_slice(
        self, store: ObjectStore, start: int, length: int | None, expected: bytes
    ) -> None:
        store.put(KEY, DIGITS)

        assert store.read(KEY, start=start, length=length) == expected

    def test_a_range_of_an_empty_object_is_empty(self, store: ObjectStore) -> None:
        store.put(KEY, b"")

        assert store.read(KEY, length=5) == b""

    @pytest.mark.parametrize(
        ("start", "length"), [pytest.param(-1, None, id="start"), pytest.param(0, -1, id="length")]
    )
    def test_a_negative_range_is_refused(self, store: ObjectStore, start: int, length: int | None) -> None:
        store.put(KEY, DIGITS)

        with pytest.raises(ValueError, match="not negative"):
            store.read(KEY, start=start, length=length)

    @pytest.mark.parametrize(
        "key",
        [
            pytest.param("recordings/acme/2026/01/02/other.wav", id="another name"),
            pytest.param("recordings/other/c1.wav", id="another folder"),
            pytest.param("recordings/acme", id="what is only the beginning of a key"),
            pytest.param(KEY + "/deeper.wav", id="something below an object"),
        ],
    )
    @pytest.mark.parametrize(
        "ask",
        [
            pytest.param(lambda store, key: store.read(key), id="read"),
            pytest.param(lambda store, key: store.read(key, start=1, length=2), id="range"),
            pytest.param(lambda store, key: store.read(key, length=0), id="no bytes"),
            pytest.param(lambda store, key: store.size(key), id="size"),
        ],
    )
    def test_an_object_that_is_not_there_is_missing(
        self, store: ObjectStore, key: str, ask: Callable[[ObjectStore, str], object]
    ) -> None:
        store.put(KEY, DIGITS)

        with pytest.raises(ObjectMissingError) as raised:
            ask(store, key)

        assert key not in str(raised.value)

    def test_a_second_put_replaces_the_whole_object(self, store: ObjectStore) -> None:
        store.put(KEY, DIGITS * 100)
        store.put(KEY, b"short", content_type="text/plain")

        assert store.read(KEY) == b"short"

    def test_writers_at_once_leave_one_whole_object(self, store: ObjectStore) -> None:
        candidates = [bytes([letter]) * 300_000 for letter in b"abcd"]
        store.put(KEY, candidates[0])

        with ThreadPoolExecutor(8) as pool:
            writes = [pool.submit(store.put, KEY, data) for data in candidates]
            reads = [pool.submit(store.read, KEY) for _ in range(12)]
            for write in writes:
                write.result()

        assert all(read.result() in candidates for read in reads)
        assert store.read(KEY) in candidates

    @pytest.mark.parametrize(
        "pieces",
        [
            pytest.param([], id="nothing at all"),
            pytest.param([b""], id="an empty piece"),
            pytest.param([b"0123", b"", b"456789"], id="small pieces"),
            pytest.param([b"x" * 5_242_880], id="exactly one part of S3"),
            pytest.param([b"x" * 5_242_880, b"y"], id="one byte more than a part"),
            pytest.param([bytes(range(256)) * 500] * 100, id="12.8 MB, which S3 takes in three parts"),
            pytest.param([bytes(range(256)) * 50_000], id="several parts in one piece"),
        ],
    )
    def test_what_is_written_in_pieces_is_one_object(self, store: ObjectStore, pieces: list[bytes]) -> None:
        with store.writer(KEY) as writer:
            for piece in pieces:
                writer.write(piece)
            writer.commit()

        assert store.read(KEY) == b"".join(pieces)

    @pytest.mark.parametrize("written_bytes", [pytest.param(10, id="little"), pytest.param(11_000_000, id="parts")])
    def test_nobody_sees_an_object_before_it_is_whole(self, store: ObjectStore, written_bytes: int) -> None:
        store.put(KEY, b"the old one")

        with store.writer(KEY) as writer:
            writer.write(b"n" * written_bytes)
            assert store.read(KEY) == b"the old one"
            assert [entry.bytes for entry in store.entries()] == [len(b"the old one")]
            writer.commit()
            assert store.size(KEY) == written_bytes

        assert store.size(KEY) == written_bytes
        assert [entry.bytes for entry in store.entries()] == [written_bytes]

    @pytest.mark.parametrize("written_bytes", [pytest.param(10, id="little"), pytest.param(11_000_000, id="parts")])
    @pytest.mark.parametrize("broken_off", [False, True], ids=["left", "broken off by an exception"])
    def test_what_was_not_committed_was_never_there(
        self, store: ObjectStore, written_bytes: int, broken_off: bool
    ) -> None:
        with suppress(InterruptedError), store.writer(KEY) as writer:
            writer.write(b"n" * written_bytes)
            if broken_off:
                raise InterruptedError

        with pytest.raises(ObjectMissingError):
            store.read(KEY)
        assert list(store.entries()) == []

    def test_the_last_of_two_writers_to_commit_stays(self, store: ObjectStore) -> None:
        with store.writer(KEY) as first, store.writer(KEY) as second:
            first.write(b"1" * 6_000_000)
            second.write(b"2" * 6_000_000)
            second.commit()
            first.commit()

        assert store.read(KEY, length=3) == b"111"

    def test_a_deleted_object_is_gone_with_all_its_versions(self, store: ObjectStore) -> None:
        neighbours = [f"{KEY}2", KEY[:-1], "recordings/acme/2026/01/02/c1/c1.wav"]
        for key in neighbours:
            store.put(key, b"another")
        for data in (b"first", b"second", b"third"):
            store.put(KEY, data)

        store.delete(KEY)

        with pytest.raises(ObjectMissingError):
            store.read(KEY)
        assert {entry.key for entry in store.entries()} == set(neighbours)
        assert all(store.read(key) == b"another" for key in neighbours)

    @pytest.mark.parametrize(
        "key",
        [
            pytest.param("recordings/acme/2026/01/02/other.wav", id="another name"),
            pytest.param("nothing/like/it", id="another folder"),
            pytest.param("recordings/acme", id="what is only the beginning of a key"),
            pytest.param(KEY + "/deeper.wav", id="something below an object"),
        ],
    )
    def test_deleting_what_is_not_there_does_nothing(self, store: ObjectStore, key: str) -> None:
        store.put(KEY, DIGITS)

        store.delete(key)
        store.delete(key)

        assert store.read(KEY) == DIGITS

    def test_a_deleted_object_may_be_put_again(self, store: ObjectStore) -> None:
        store.put(KEY, b"before")
        store.delete(KEY)
        store.put(KEY, b"again")

        assert store.read(KEY) == b"again"

    ORDERED = ("a.wav", "a/b.wav", "a/c", "a0", "b/a/c.wav", "b/ä", "b/录音", "c")
    """In the order of their bytes, in which `a.` comes before `a/`, and `a/` before `a0`."""

    @pytest.mark.parametrize(
        ("prefix", "after", "expected"),
        [
            pytest.param("", "", ORDERED, id="all of them"),
            pytest.param("a", "", ORDERED[:4], id="the beginning of a name"),
            pytest.param("a/", "", ORDERED[1:3], id="a folder"),
            pytest.param("b/a/c", "", ORDERED[4:5], id="a folder and the beginning of a name"),
            pytest.param("a.wav", "", ORDERED[:1], id="a whole key"),
            pytest.param("z", "", (), id="nothing begins so"),
            pytest.param("a/b.wav/c", "", (), id="below an object"),
            pytest.param("", "a.wav", ORDERED[1:], id="behind a key"),
            pytest.param("", "a/b.wav", ORDERED[2:], id="behind a key in a folder"),
            pytest.param("", "a/", ORDERED[1:], id="behind the beginning of a folder"),
            pytest.param("", "a/bb", ORDERED[2:], id="behind a key that is not there"),
            pytest.param("b", "a/c", ORDERED[4:7], id="behind a key outside of the prefix"),
            pytest.param("a", "b", (), id="behind all that begin so"),
            pytest.param("", "c", (), id="behind the last"),
        ],
    )
    def test_objects_are_listed_in_order_from_any_place(
        self, store: ObjectStore, prefix: str, after: str, expected: tuple[str, ...]
    ) -> None:
        for number, key in enumerate(reversed(self.ORDERED)):
            store.put(key, b"x" * number)

        entries = list(store.entries(prefix, after=after))

        assert tuple(entry.key for entry in entries) == expected
        assert [entry.bytes for entry in entries] == [7 - self.ORDERED.index(key) for key in expected]

    def test_a_listing_says_when_an_object_was_written(self, store: ObjectStore) -> None:
        before = datetime.now(UTC) - timedelta(seconds=2)
        store.put(KEY, DIGITS)

        (entry,) = store.entries()

        assert before <= entry.modified_at <= datetime.now(UTC) + timedelta(seconds=2)

    def test_more_objects_than_one_answer_holds_are_all_listed(self, store: ObjectStore) -> None:
        keys = [f"many/{number:04}.wav" for number in range(1003)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: store.put(key, b""), keys))

        assert [entry.key for entry in store.entries("many/")] == keys
        assert [entry.key for entry in store.entries("many/", after=keys[700])] == keys[701:]

    def test_objects_may_be_deleted_while_they_are_listed(self, store: ObjectStore) -> None:
        for number in range(5):
            store.put(f"day{number}/{number}.wav", DIGITS)

        for entry in store.entries():
            store.delete(entry.key)

        assert list(store.entries()) == []

    def test_a_key_becomes_a_uri_and_a_key_again(self, store: ObjectStore) -> None:
        uri = store.uri_of(KEY)

        assert uri == f"s3://{BUCKET}/{KEY}"
        assert store.key_of(uri) == KEY

    @pytest.mark.parametrize(
        "uri",
        [
            pytest.param(f"s3://another-bucket/{KEY}", id="another bucket"),
            pytest.param(f"s3://{BUCKET}-2/{KEY}", id="a bucket whose name begins alike"),
            pytest.param(f"https://{BUCKET}/{KEY}", id="another scheme"),
            pytest.param(f"file:///{KEY}", id="a file"),
            pytest.param(f"s3://{BUCKET}/", id="no key"),
            pytest.param(f"s3://{BUCKET}/../{BUCKET}/{KEY}", id="out of the bucket and in again"),
            pytest.param(f"s3://{BUCKET}//etc/passwd", id="an absolute path"),
            pytest.param(f"s3://{BUCKET}/ ", id="a blank key, which the S3 client refuses"),
            pytest.param("", id="nothing"),
        ],
    )
    def test_a_uri_that_leads_elsewhere_is_foreign(self, store: ObjectStore, uri: str) -> None:
        with pytest.raises(ForeignUriError):
            store.key_of(uri)

    @pytest.mark.parametrize(
        "key",
        [
            pytest.param("", id="empty"),
            pytest.param("  ", id="blank"),
            pytest.param("/etc/passwd", id="absolute"),
            pytest.param("../other-bucket/c1.wav", id="out of the bucket"),
            pytest.param("recordings/../../c1.wav", id="out of the bucket in the middle"),
            pytest.param("recordings/..", id="ends in .."),
            pytest.param("recordings/./c1.wav", id="a part that means nothing"),
            pytest.param("recordings//c1.wav", id="an empty part"),
            pytest.param("recordings/", id="ends in a slash"),
            pytest.param("recordings/c1\x00.wav", id="a NUL byte"),
            pytest.param("recordings/c1\n.wav", id="a line feed"),
            pytest.param("recordings/c1\x7f.wav", id="a DEL"),
            pytest.param("recordings/\ud800.wav", id="half a surrogate pair"),
            pytest.param("x" * 256, id="a part longer than a file name may be"),
            pytest.param("/".join(["录" * 80] * 4), id="322 characters but 963 bytes"),
        ],
    )
    @pytest.mark.parametrize(
        "use",
        [
            pytest.param(lambda store, key: store.uri_of(key), id="uri_of"),
            pytest.param(lambda store, key: store.put(key, b"x"), id="put"),
            pytest.param(lambda store, key: store.read(key), id="read"),
            pytest.param(lambda store, key: store.size(key), id="size"),
            pytest.param(lambda store, key: store.writer(key).__enter__(), id="writer"),
            pytest.param(lambda store, key: store.delete(key), id="delete"),
        ],
    )
    def test_a_key_that_no_object_may_have_is_refused(
        self, store: ObjectStore, key: str, use: Callable[[ObjectStore, str], object]
    ) -> None:
        with pytest.raises(ValueError, match="a key"):
            use(store, key)

    @pytest.mark.parametrize(
        "key",
        [
            pytest.param("recordings/acme/a:b@c_d-e.f.wav", id="every sign an id may have"),
            pytest.param("录音/客服 1.wav", id="Chinese and a space"),
            pytest.param("a+b%20c?d=e#f&g.wav", id="signs that mean something in a URL"),
            pytest.param("a\\b/..c/d..", id="a backslash, and dots that are no .."),
            pytest.param("y" * 255, id="the longest part"),
            pytest.param("/".join(["z" * 179] * 5), id="899 bytes"),
        ],
    )
    def test_an_unusual_key_is_a_key_like_any_other(self, store: ObjectStore, key: str) -> None:
        store.put(key, DIGITS)

        assert store.read(store.key_of(store.uri_of(key)), start=2, length=3) == b"234"

    def test_applying_twice_keeps_what_is_stored(self, store: ObjectStore) -> None:
        store.put(KEY, DIGITS)
        store.apply()

        store.check()
        assert store.read(KEY) == DIGITS

    @pytest.mark.parametrize(
        "ask",
        [
            pytest.param(lambda store: store.check(), id="check"),
            pytest.param(lambda store: store.put(KEY, DIGITS), id="put"),
            pytest.param(lambda store: store.read(KEY), id="read"),
            pytest.param(lambda store: store.size(KEY), id="size"),
            pytest.param(lambda store: store.delete(KEY), id="delete"),
            pytest.param(lambda store: list(store.entries()), id="entries"),
        ],
    )
    def test_a_bucket_that_was_never_made_is_said_so(
        self, unapplied_store: ObjectStore, ask: Callable[[ObjectStore], object]
    ) -> None:
        with pytest.raises(StoreAccessError, match=r"does not exist.*callstream bucket apply"):
            ask(unapplied_store)

    def test_workers_that_apply_at_once_do_not_disturb_each_other(self, unapplied_store: ObjectStore) -> None:
        with ThreadPoolExecutor(8) as pool:
            for applied in [pool.submit(unapplied_store.apply) for _ in range(8)]:
                applied.result()

        unapplied_store.check()

    def test_apply_makes_the_bucket_usable(self, unapplied_store: ObjectStore) -> None:
        unapplied_store.apply()

        unapplied_store.check()
        unapplied_store.put(KEY, DIGITS)
        assert unapplied_store.read(KEY) == DIGITS


def test_every_object_store_that_there_is_passes_the_contract() -> None:
    under_contract = {contract.kind for contract in ObjectStoreContract.__subclasses__()}
    assert set(object_stores()) - under_contract == set(), "add a subclass of ObjectStoreContract to this file"


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


@pytest.mark.minio
class TestS3Store(ObjectStoreContract):
    kind = S3Settings.kind

    @pytest.fixture
    def server(self, minio: MinioServer) -> Iterator[MinioServer]:
        """The shared server, with the bucket absent at the start and at the end."""
        remove_bucket(minio)
        yield minio
        remove_bucket(minio)

    @pytest.fixture
    def unapplied_store(self, server: MinioServer) -> ObjectStore:
        return s3_store(server)

    @pytest.fixture
    def store(self, unapplied_store: ObjectStore) -> ObjectStore:
        unapplied_store.apply()
        return unapplied_store

    @pytest.mark.parametrize(
        ("access_key", "secret_key", "sentence"),
        [
            pytest.param("nobody", SECRET, "does not know the access key: check s3_access_key", id="wrong access key"),
            pytest.param(None, SECRET, "refuses the signature: check s3_secret_key", id="wrong secret key"),
        ],
    )
    @pytest.mark.parametrize(
        "ask",
        [
            pytest.param(lambda store: store.check(), id="check"),
            pytest.param(lambda store: store.apply(), id="apply"),
            pytest.param(lambda store: store.put(KEY, DIGITS), id="put"),
            pytest.param(lambda store: store.read(KEY), id="read"),
            pytest.param(lambda store: store.size(KEY), id="size"),
        ],
    )
    def test_wrong_credentials_are_named_but_never_shown(
        self,
        server: MinioServer,
        access_key: str | None,
        secret_key: str,
        sentence: str,
        ask: Callable[[ObjectStore], object],
    ) -> None:
        store = s3_store(server, access_key=access_key or server.access_key, secret_key=secret_key)

        with pytest.raises(StoreAccessError, match=sentence) as raised:
            ask(store)

        assert_tells_no_secret(raised.value, server.access_key, server.secret_key, secret_key)

    def test_a_wrong_clock_is_named(self, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
        right_time = minio.time.utcnow

        with monkeypatch.context() as patch:
            patch.setattr(minio.time, "utcnow", lambda: right_time() - timedelta(hours=1))
            with pytest.raises(StoreAccessError, match="disagree about the time"):
                store.read(KEY)

    @pytest.mark.usefixtures("store")
    def test_a_key_of_least_privilege_is_enough(self, server: MinioServer, tmp_path: Path) -> None:
        with limited_user(server, tmp_path, objects=["GetObject", "PutObject"], bucket=["ListBucket"]) as user:
            limited = s3_store(user)

            limited.apply()
            limited.put(KEY, DIGITS * 1_200_000)
            assert limited.size(KEY) == 12_000_000
            with pytest.raises(ObjectMissingError):
                limited.read("recordings/acme/other.wav")

    @pytest.mark.usefixtures("store")
    def test_a_right_that_is_missing_is_named(self, server: MinioServer, tmp_path: Path) -> None:
        with limited_user(server, tmp_path, objects=["GetObject"], bucket=["ListBucket"]) as user:
            limited = s3_store(user)

            limited.check()
            with pytest.raises(StoreAccessError, match="forbids this to the access key: grant it"):
                limited.put(KEY, DIGITS)

    def test_an_object_with_a_content_encoding_is_read_as_it_is_stored(
        self, store: ObjectStore, server: MinioServer
    ) -> None:
        server.client().put_object(BUCKET, KEY, BytesIO(DIGITS), len(DIGITS), metadata={"Content-Encoding": "gzip"})

        assert store.read(KEY) == DIGITS

    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param(Fault.RESET, id="the connection is cut before the answer"),
            pytest.param(Fault.CUT_ANSWER, id="the connection is cut in the middle of the answer"),
            pytest.param(Fault.SLOW_DOWN, id="the store is overloaded"),
            pytest.param(Fault.BAD_GATEWAY, id="a proxy has lost the store"),
        ],
    )
    def test_a_fault_that_passes_is_not_noticed_by_the_reader(
        self, store: ObjectStore, server: MinioServer, fault: Fault
    ) -> None:
        store.put(KEY, DIGITS * 1000)

        with faulty_proxy(server.endpoint, [fault, fault]) as proxy:
            behind = s3_store(server, endpoint=proxy.endpoint)

            assert behind.read(KEY) == DIGITS * 1000
            assert proxy.connections == 3

    @pytest.mark.parametrize("fault", [Fault.RESET, Fault.SLOW_DOWN, Fault.BAD_GATEWAY])
    def test_a_fault_that_passes_is_not_noticed_by_the_writer(
        self, store: ObjectStore, server: MinioServer, fault: Fault
    ) -> None:
        with faulty_proxy(server.endpoint, [fault, fault]) as proxy:
            s3_store(server, endpoint=proxy.endpoint).put(KEY, DIGITS * 1000)

        assert store.read(KEY) == DIGITS * 1000

    def test_an_upload_in_parts_survives_a_fault_in_one_of_them(self, store: ObjectStore, server: MinioServer) -> None:
        with faulty_proxy(server.endpoint, [Fault.NONE, Fault.SLOW_DOWN]) as proxy:
            s3_store(server, endpoint=proxy.endpoint).put(KEY, DIGITS * 1_200_000)

        assert store.size(KEY) == 12_000_000
        assert not list_unfinished_uploads(server)

    def test_an_answer_that_is_always_cut_is_never_passed_on(self, store: ObjectStore, server: MinioServer) -> None:
        store.put(KEY, DIGITS * 1000)

        with (
            faulty_proxy(server.endpoint, afterwards=Fault.CUT_ANSWER) as proxy,
            pytest.raises(RetryableError, match="ProtocolError"),
        ):
            s3_store(server, endpoint=proxy.endpoint).read(KEY)

    def test_tls_asked_of_a_plain_server_is_named(self, server: MinioServer) -> None:
        with pytest.raises(StoreAccessError, match="set s3_secure to false"):
            s3_store(server, secure=True).check()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("certificates")
    subject = ["-subj", "/CN=callstream-test", "-addext", f"subjectAltName=IP:{LOOPBACK}"]
    files = ["-keyout", str(folder / "private.key"), "-out", str(folder / "public.crt")]
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def tls_server(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    try:
        with running_minio(tmp_path_factory.mktemp("minio-tls"), certificates) as server:
            yield server
    except MinioUnavailableError as reason:
        pytest.skip(str(reason))


@pytest.mark.minio
class TestS3StoreOverTls:
    def test_a_certificate_of_a_ca_that_is_named_is_trusted(
        self, tls_server: MinioServer, certificates: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "public.crt"))
        store = s3_store(tls_server, secure=True)

        store.apply()
        store.put(KEY, DIGITS)

        assert store.read(KEY) == DIGITS

    def test_a_certificate_of_an_unknown_ca_is_refused(
        self, tls_server: MinioServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)

        with pytest.raises(StoreAccessError, match="is not trusted: let SSL_CERT_FILE name its CA"):
            s3_store(tls_server, secure=True).check()

    def test_plain_http_asked_of_a_tls_server_is_named(self, tls_server: MinioServer) -> None:
        with pytest.raises(StoreAccessError, match="set s3_secure to true"):
            s3_store(tls_server, secure=False).check()


@pytest.mark.loopback
class TestS3StoreWithoutAStore:
    """What needs no MinIO: an endpoint that is away, or is something else."""

    ASKED = (
        pytest.param(lambda store: store.check(), id="check"),
        pytest.param(lambda store: store.put(KEY, DIGITS), id="put"),
        pytest.param(lambda store: store.read(KEY), id="read"),
        pytest.param(lambda store: store.size(KEY), id="size"),
    )

    @pytest.mark.parametrize("ask", ASKED)
    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            pytest.param(Fault.RESET, "ProtocolError", id="every connection is reset"),
            pytest.param(Fault.SLOW_DOWN, "SlowDown", id="it is always overloaded"),
            pytest.param(Fault.BAD_GATEWAY, "HTTP 502", id="a proxy has lost it for good"),
        ],
    )
    def test_a_fault_that_stays_is_retried_and_then_left_to_the_stage(
        self, fault: Fault, reason: str, ask: Callable[[ObjectStore], object]
    ) -> None:
        with faulty_proxy(afterwards=fault) as proxy:
            with pytest.raises(RetryableError, match=reason) as raised:
                ask(absent_store(proxy.endpoint))

            assert proxy.connections == IMPATIENT.tries
        assert_tells_no_secret(raised.value, SECRET)

    def test_a_server_that_never_answers_does_not_hold_the_worker_for_ever(self) -> None:
        patience = Patience(connect_timeout_s=0.2, read_timeout_s=0.2, tries=2, first_pause_s=0, max_pause_s=0)

        with faulty_proxy(afterwards=Fault.SILENCE) as proxy:
            with pytest.raises(RetryableError, match="ReadTimeoutError"):
                absent_store(proxy.endpoint, patience).read(KEY)

            assert proxy.connections == 2

    def test_of_a_server_that_takes_no_notice_of_the_range_no_more_is_read_than_was_asked_for(self) -> None:
        sent_bytes: list[int] = []

        class Endless(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("ETag", '"e"')
                self.end_headers()
                with suppress(OSError):
                    while sum(sent_bytes) < 512 * 1024 * 1024:
                        sent_bytes.append(self.wfile.write(bytes(1024 * 1024)))

            def log_message(self, *_: object) -> None:
                pass

        server = HTTPServer((LOOPBACK, 0), Endless)
        threading.Thread(target=server.handle_request).start()
        assert absent_store(f"{LOOPBACK}:{server.server_port}").read(KEY, length=10) == bytes(10)
        server.server_close()
        assert sum(sent_bytes) < 64 * 1024 * 1024

    def test_a_port_where_nobody_listens_is_retryable(self) -> None:
        with pytest.raises(RetryableError, match="NewConnectionError"):
            absent_store(f"{LOOPBACK}:{free_port()}").check()

    @pytest.mark.names
    def test_a_host_that_does_not_resolve_is_retryable(self) -> None:
        with pytest.raises(RetryableError, match="NameResolutionError"):
            absent_store("object-store.invalid:9000").check()

    @pytest.mark.parametrize("ask", ASKED)
    def test_another_server_is_not_asked_twice(self, ask: Callable[[ObjectStore], object]) -> None:
        with faulty_proxy(afterwards=Fault.NOT_FOUND_PAGE) as proxy:
            with pytest.raises(StoreAccessError, match=r"no S3 object store \(HTTP 404\): check s3_endpoint"):
                ask(absent_store(proxy.endpoint))

            assert proxy.connections == 1

    @pytest.mark.parametrize(
        ("failures", "longest_s"),
        [
            pytest.param(1, 0.2, id="first"),
            pytest.param(3, 0.8, id="doubled twice"),
            pytest.param(9, 5, id="capped"),
            pytest.param(500, 5, id="still capped where doubling would overflow"),
        ],
    )
    def test_pauses_grow_to_a_cap_and_differ(self, failures: int, longest_s: float) -> None:
        pauses_s = [Patience().pause_s(failures) for _ in range(1000)]

        assert 0 <= min(pauses_s) < 0.1 * longest_s
        assert 0.9 * longest_s < max(pauses_s) <= longest_s

    @pytest.mark.parametrize(
        "endpoint",
        [pytest.param("http://127.0.0.1:9000", id="a scheme"), pytest.param("127.0.0.1:9000/path", id="a path")],
    )
    def test_an_endpoint_that_cannot_be_is_refused(self, endpoint: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            absent_store(endpoint)


class TestObjectStoreFromSettings:
    def test_the_default_is_a_folder(self, tmp_path: Path) -> None:
        store = object_store_from(Settings(data_dir=tmp_path, store_bucket=BUCKET))
        store.apply()
        store.put(KEY, DIGITS)

        assert (tmp_path / "objects" / BUCKET / KEY).read_bytes() == DIGITS

    @pytest.mark.minio
    def test_an_s3_bucket_is_reached_with_the_settings_alone(self, minio: MinioServer) -> None:
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


def assert_tells_no_secret(error: BaseException, *secrets: str) -> None:
    """Neither the error nor what a traceback shows beside it."""
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    assert not any(secret in str(error) for secret in secrets)


def s3_store(
    server: MinioServer,
    *,
    endpoint: str | None = None,
    access_key: str | None = None,
    secret_key: str | None = None,
    secure: bool = False,
) -> S3Store:
    return S3Store(
        endpoint or server.endpoint,
        BUCKET,
        access_key=access_key or server.access_key,
        secret_key=SecretStr(secret_key or server.secret_key),
        secure=secure,
        patience=IMPATIENT,
    )


def absent_store(endpoint: str, patience: Patience = IMPATIENT) -> S3Store:
    return S3Store(
        endpoint, BUCKET, access_key="somebody", secret_key=SecretStr(SECRET), secure=False, patience=patience
    )


def remove_bucket(server: MinioServer) -> None:
    admin = server.client()
    if admin.bucket_exists(BUCKET):
        for entry in admin.list_objects(BUCKET, recursive=True):
            admin.remove_object(BUCKET, str(entry.object_name))
        admin.remove_bucket(BUCKET)


def list_unfinished_uploads(server: MinioServer) -> list[str]:
    """Keys of uploads that were begun and neither completed nor aborted; they would take space for ever."""
    address = urlsplit(f"http://{server.endpoint}/{BUCKET}?{urlencode({'uploads': '', 'prefix': KEY})}")
    credentials = StaticProvider(server.access_key, server.secret_key).retrieve()
    now = datetime.now(UTC)
    signed = presign_v4(method="GET", url=address, region="us-east-1", credentials=credentials, date=now, expires=60)
    answer = urllib3.request("GET", urlunsplit(signed))
    assert answer.status == 200, answer.data
    return [found.text or "" for found in ElementTree.fromstring(answer.data).iterfind("{*}Upload/{*}Key")]  # noqa: S314


@contextmanager
def limited_user(server: MinioServer, folder: Path, *, objects: list[str], bucket: list[str]) -> Iterator[MinioServer]:
    """A user of the server with these rights on the bucket only."""
    root = MinioAdmin(
        endpoint=server.endpoint, credentials=StaticProvider(server.access_key, server.secret_key), secure=False
    )
    user = MinioServer(server.endpoint, f"user-{token_hex(4)}", token_hex(16))
    policy = folder / "policy.json"
    rights = [(objects, f"{BUCKET}/*"), (bucket, BUCKET)]
    statements = [
        {"Effect": "Allow", "Action": [f"s3:{right}" for right in names], "Resource": f"arn:aws:s3:::{on}"}
        for names, on in rights
    ]
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": statements}))
    root.user_add(user.access_key, user.secret_key)
    root.policy_add(user.access_key, policy)
    root.attach_policy([user.access_key], user.access_key)
    try:
        yield user
    finally:
        root.user_remove(user.access_key)
        root.policy_remove(user.access_key)


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
