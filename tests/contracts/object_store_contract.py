"""What every object store does; the tests of each kind inherit it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from streams.ports import ForeignUriError, ObjectMissingError, ObjectStore, StoreAccessError

KEY = "recordings/acme/2026/01/02/c1.wav"
DIGITS = b"0123456789"
BUCKET = "the-bucket"
SECRET = "a-secret-key-that-nobody-may-see"


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


def assert_tells_no_secret(error: BaseException, *secrets: str) -> None:
    """Neither the error nor what a traceback shows beside it."""
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    assert not any(secret in str(error) for secret in secrets)
