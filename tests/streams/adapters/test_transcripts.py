"""Transcripts on a folder store: sealed, filed by day, found again, and what becomes of those that cannot be used."""

import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path

import pytest

from processors.custody.ports import KeyGoneError, SealedIdentity
from schemas.messages.call_ended import Agent, Audio, CallEnded
from schemas.messages.transcript import EngineIdentity, Segment, Transcript
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.sealed_store import SealedStore
from streams.adapters.object_store.transcripts import (
    NotReadableError,
    TranscriptPlace,
    TranscriptStore,
    compressed,
    expanded,
)
from streams.ports import StoreAccessError
from tests.support.data_keys import MemoryDataKeys
from tests.support.stored_keys import transcripts_in

BUCKET = "the-bucket"
ENDED_AT = datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=8)))
DAY = date(2026, 2, 28)
WORDS = "我的电话是一三八"
KEY = "transcripts/acme/2026/02/28/c1.1"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    store = FolderStore(tmp_path, BUCKET)
    store.apply()
    return store


@pytest.fixture
def keys() -> MemoryDataKeys:
    return MemoryDataKeys()


@pytest.fixture
def transcripts(store: FolderStore, keys: MemoryDataKeys) -> TranscriptStore:
    return transcripts_in(store, keys)


def transcript_of(tenant_id: str, call_id: str, text: str = WORDS, ended_at: datetime = ENDED_AT) -> Transcript:
    call = CallEnded(
        tenant_id=tenant_id,
        call_id=call_id,
        direction="inbound",
        started_at=ended_at - timedelta(minutes=3),
        ended_at=ended_at,
        agent=Agent(id="A1"),
        audio=Audio(uri=f"s3://{BUCKET}/recordings/x.wav", sha256=sha256(b"x").hexdigest(), bytes=1),
    )
    segment = Segment(segment_id=0, channel=0, role="customer", start_ms=0, end_ms=900, text=text, confidence=0.9)
    return Transcript(
        tenant_id=tenant_id,
        call_id=call_id,
        call=call,
        engine=EngineIdentity(name="a", version="1", model="m"),
        segments=(segment,),
        transcribed_at=ended_at,
    )


def in_clear(store: FolderStore, transcript: Transcript) -> str:
    """As releases before wrote it."""
    key = f"transcripts/{transcript.tenant_id}/{transcript.call_id}.json"
    store.put(key, transcript.encode())
    return key


def test_a_transcript_is_loaded_as_it_was_saved_and_lies_sealed_under_the_utc_day_of_its_call(
    transcripts: TranscriptStore, store: FolderStore, tmp_path: Path
) -> None:
    transcript = transcript_of("acme", "c1")
    transcripts.save(transcript)

    assert transcripts.load("acme", "c1") == transcript
    assert [entry.key for entry in store.entries("transcripts/")] == [KEY]
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or WORDS.encode() not in path.read_bytes()


def test_a_transcript_that_was_never_saved_is_none(transcripts: TranscriptStore) -> None:
    transcripts.save(transcript_of("acme", "c1"))

    assert transcripts.load("acme", "c2") is None
    assert transcripts.load("other", "c1") is None


def test_a_later_transcript_replaces_the_earlier(transcripts: TranscriptStore, store: FolderStore) -> None:
    later = transcript_of("acme", "c1", "第二次")
    transcripts.save(transcript_of("acme", "c1"))
    transcripts.save(later)

    assert transcripts.load("acme", "c1") == later
    assert len(list(store.entries("transcripts/"))) == 1


def test_one_whose_key_was_destroyed_is_not_there(transcripts: TranscriptStore, keys: MemoryDataKeys) -> None:
    transcripts.save(transcript_of("acme", "c1"))
    keys.destroy("acme", "c1", DAY)

    assert transcripts.load("acme", "c1") is None
    with pytest.raises(KeyGoneError):
        transcripts.read(TranscriptPlace.of("acme", "c1", DAY))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _sealed: b"", id="an empty file"),
        pytest.param(lambda sealed: sealed[:-20], id="the beginning only"),
        pytest.param(lambda sealed: sealed[:100] + bytes([sealed[100] ^ 1]) + sealed[101:], id="a flipped bit"),
        pytest.param(lambda _sealed: transcript_of("acme", "c1").encode(), id="in clear"),
    ],
)
def test_one_that_was_damaged_counts_as_absent_and_its_words_stay_out_of_the_log(
    transcripts: TranscriptStore,
    store: FolderStore,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
) -> None:
    transcripts.save(transcript_of("acme", "c1"))
    store.put(KEY, damage(store.read(KEY)))

    with caplog.at_level(logging.DEBUG):
        assert transcripts.load("acme", "c1") is None

    assert "the stored transcript of acme/c1 cannot be used" in caplog.text
    assert WORDS not in caplog.text


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x00\x00\x00\x04nozs", id="not compressed"),
        pytest.param(b"\xff\xff\xff\xff" + compressed(b"x")[4:], id="says that it is larger than any"),
        pytest.param(b"\x00\x00\x00\x09" + compressed(b"x")[4:], id="says that it is larger than it is"),
        pytest.param(b"\x00\x00\x00\x09" + compressed(b"x" * 1_000_000)[4:], id="expands beyond what it says"),
        pytest.param(compressed(f'{{"{WORDS}": 1}}'.encode()), id="JSON of something else"),
        pytest.param(compressed(transcript_of("acme", "c2").encode()), id="the transcript of another call"),
        pytest.param(compressed(transcript_of("other", "c1").encode()), id="the transcript of another tenant"),
        pytest.param(
            compressed(transcript_of("acme", "c1", ended_at=ENDED_AT + timedelta(days=1)).encode()), id="of another day"
        ),
    ],
)
def test_what_was_sealed_and_is_no_transcript_of_the_call_is_not_readable(
    transcripts: TranscriptStore, store: FolderStore, keys: MemoryDataKeys, content: bytes
) -> None:
    place = TranscriptPlace.of("acme", "c1", DAY)
    SealedStore(store, keys).put(place.key, place.identity, DAY, content)

    with pytest.raises(NotReadableError) as refused:
        transcripts.read(place)
    assert WORDS not in str(refused.value)


def test_one_that_was_exchanged_for_that_of_another_call_does_not_open(
    transcripts: TranscriptStore, store: FolderStore
) -> None:
    transcripts.save(transcript_of("acme", "c1"))
    transcripts.save(transcript_of("acme", "c2"))
    store.put(KEY, store.read(KEY.replace("c1", "c2")))

    assert transcripts.load("acme", "c1") is None
    assert transcripts.load("acme", "c2") is not None


def test_what_is_compressed_expands_again() -> None:
    data = WORDS.encode() * 10_000
    assert expanded(compressed(data), len(data)) == data
    assert len(compressed(data)) < len(data) / 100
    with pytest.raises(NotReadableError, match="too large"):
        expanded(compressed(data), len(data) - 1)


@pytest.mark.parametrize(
    ("tenant_id", "call_id"),
    [pytest.param("acme", "../other/c1", id="call"), pytest.param("../transcripts/acme", "c1", id="tenant")],
)
def test_an_id_that_is_a_path_reads_no_transcript(transcripts: TranscriptStore, tenant_id: str, call_id: str) -> None:
    transcripts.save(transcript_of("acme", "c1"))
    transcripts.save(transcript_of("other", "c1"))

    with pytest.raises(ValueError, match="does not fit the schema"):
        transcripts.load(tenant_id, call_id)


class TestListing:
    def test_days_are_listed_by_key_with_whatever_else_lies_there(
        self, transcripts: TranscriptStore, store: FolderStore
    ) -> None:
        for day in (1, 2, 3, 5):
            transcripts.save(transcript_of("acme", f"c.{day}.1", ended_at=datetime(2026, 3, day, tzinfo=UTC)))
        store.put("transcripts/acme/2026/03/02/notes.txt", b"x")
        store.put("transcripts/acme/2026/03/03/more/c9.1", b"x")
        found = list(transcripts.objects("acme", date(2026, 3, 2), date(2026, 3, 3)))
        assert [(one.key.removeprefix("transcripts/acme/2026/03/"), one.place is not None) for one in found] == [
            ("02/c.2.1.1", True),
            ("02/notes.txt", False),
            ("03/c.3.1.1", True),
            ("03/more/c9.1", False),
        ]
        assert list(transcripts.objects("acme", date(2026, 3, 2), date(2026, 3, 3), after=found[1].key)) == found[2:]

    def test_tenants_are_found_among_what_is_none(self, transcripts: TranscriptStore, store: FolderStore) -> None:
        for tenant_id in ("acme", "acme-2", "acme0", "acme_3", "b"):
            for call_id in ("c1", "c2"):
                transcripts.save(transcript_of(tenant_id, call_id))
        store.put("transcripts/readme.txt", b"x")
        store.put("transcripts/13812345678/x", b"x")
        assert list(transcripts.tenants()) == ["acme-2", "acme", "acme0", "acme_3", "b"]


class TestOfBefore:
    def test_those_in_clear_are_found_sealed_and_removed(
        self, transcripts: TranscriptStore, store: FolderStore, tmp_path: Path
    ) -> None:
        transcripts.save(transcript_of("acme", "new"))
        calls = [transcript_of("acme", "c1"), transcript_of("acme", "2026"), transcript_of("zeta", "2026:5")]
        written = {in_clear(store, one) for one in calls}
        assert set(transcripts.in_clear()) == written

        assert [transcripts.seal(key) is not None for key in transcripts.in_clear()] == [True, True, True]

        assert list(transcripts.in_clear()) == []
        assert [transcripts.load(one.tenant_id, one.call_id) for one in calls] == calls
        for path in tmp_path.rglob("*"):
            assert path.is_dir() or WORDS.encode() not in path.read_bytes()

    def test_one_that_was_heard_anew_since_stands(self, transcripts: TranscriptStore, store: FolderStore) -> None:
        key = in_clear(store, transcript_of("acme", "c1", "早先的"))
        newer = transcript_of("acme", "c1", "后来的")
        transcripts.save(newer)
        transcripts.seal(key)
        assert transcripts.load("acme", "c1") == newer
        assert list(transcripts.in_clear()) == []

    def test_what_is_no_transcript_is_left_alone(self, transcripts: TranscriptStore, store: FolderStore) -> None:
        store.put("transcripts/acme/c1.json", transcript_of("acme", "c2").encode())
        store.put("transcripts/acme/c3.json", b"{}")
        assert [transcripts.seal(key) for key in transcripts.in_clear()] == [None, None]
        assert len(list(transcripts.in_clear())) == 2


class RefusesObjects(FolderStore):
    """A bucket that answers, with objects that are refused; root may read every file."""

    refused = ""
    bucket_is_refused = False

    def check(self) -> None:
        if self.bucket_is_refused:
            raise StoreAccessError("the object store refuses the access key")
        super().check()

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        if self.bucket_is_refused or (self.refused and key.startswith(self.refused)):
            raise StoreAccessError("the object store refuses: AccessDenied (HTTP 403)")
        return super().read(key, start=start, length=length)


@pytest.mark.parametrize("refused", ["transcripts/", "call_days/"])
def test_one_that_is_refused_is_none_and_a_bucket_that_refuses_everything_stops(
    tmp_path: Path, keys: MemoryDataKeys, refused: str
) -> None:
    store = RefusesObjects(tmp_path, BUCKET)
    store.apply()
    transcripts = transcripts_in(store, keys)
    transcripts.save(transcript_of("acme", "c1"))
    store.refused = refused
    assert transcripts.load("acme", "c1") is None
    store.bucket_is_refused = True
    with pytest.raises(StoreAccessError, match="refuses the access key"):
        transcripts.load("acme", "c1")


def test_a_transcript_under_the_identity_of_another_role_does_not_open(
    transcripts: TranscriptStore, store: FolderStore, keys: MemoryDataKeys
) -> None:
    place = TranscriptPlace.of("acme", "c1", DAY)
    other = SealedIdentity("acme", "c1", "received", place.identity.version)
    SealedStore(store, keys).put(place.key, other, DAY, compressed(transcript_of("acme", "c1").encode()))
    keys.make("acme", "c1", DAY, "transcript")
    with pytest.raises(NotReadableError, match="another key"):
        transcripts.read(place)
