"""Recordings on a folder store: what is read back, and how each broken recording ends."""

from datetime import datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path

import pytest

from schemas.messages.call_ended import Audio, AudioEncryption
from schemas.messages.outcome import Outcome
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.recordings import RecordingStore, UnreadableRecordingError
from streams.ports import StoreAccessError

BUCKET = "the-bucket"
LIMIT_BYTES = 100_000
ENDED_AT = datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=8)))
SOUND = bytes(range(256)) * 300
WORDS = "我的电话是一三八"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    store = FolderStore(tmp_path, BUCKET)
    store.apply()
    return store


@pytest.fixture
def recordings(store: FolderStore) -> RecordingStore:
    return RecordingStore(store, LIMIT_BYTES)


def audio_of(uri: str, data: bytes = SOUND) -> Audio:
    return Audio(uri=uri, sha256=sha256(data).hexdigest(), bytes=len(data))


def test_a_recording_is_loaded_as_it_was_put(recordings: RecordingStore) -> None:
    uri = recordings.put_recording("acme", "c1", ENDED_AT, "wav", SOUND)

    assert recordings.load_audio("acme", audio_of(uri)) == SOUND


def test_a_recording_is_kept_under_its_tenant_and_the_utc_day_of_its_end(recordings: RecordingStore) -> None:
    uri = recordings.put_recording("acme", "c:1@pbx", ENDED_AT, "opus", SOUND)

    digest = sha256(SOUND).hexdigest()[:12]
    assert uri == f"s3://{BUCKET}/recordings/acme/2026/02/28/c:1@pbx.{digest}.opus"


def test_a_second_recording_of_a_call_does_not_take_the_place_of_the_first(recordings: RecordingStore) -> None:
    first = recordings.put_recording("acme", "c1", ENDED_AT, "wav", SOUND)
    second = recordings.put_recording("acme", "c1", ENDED_AT, "wav", SOUND[::-1])

    assert recordings.load_audio("acme", audio_of(first)) == SOUND
    assert recordings.load_audio("acme", audio_of(second, SOUND[::-1])) == SOUND[::-1]


def test_a_recording_of_exactly_the_limit_is_loaded(recordings: RecordingStore) -> None:
    data = b"x" * LIMIT_BYTES
    uri = recordings.put_recording("acme", "c1", ENDED_AT, "wav", data)

    assert recordings.load_audio("acme", audio_of(uri, data)) == data


@pytest.mark.parametrize(
    ("stored", "changes", "outcome", "reason"),
    [
        pytest.param(None, {}, "no_audio", "object_missing", id="nothing was ever uploaded"),
        pytest.param(b"", {}, "no_audio", "empty_object", id="the upload was empty"),
        pytest.param(b"", {"bytes": 0}, "no_audio", "empty_object", id="empty, and announced as empty"),
        pytest.param(SOUND[:-1], {}, "bad_audio", "size_mismatch", id="cut off"),
        pytest.param(SOUND + b"x", {}, "bad_audio", "size_mismatch", id="something was appended"),
        pytest.param(SOUND, {"bytes": 0}, "bad_audio", "size_mismatch", id="announced as empty, but it is not"),
        pytest.param(b"x" * 2 * LIMIT_BYTES, {}, "bad_audio", "size_mismatch", id="larger than limit and event say"),
        pytest.param(b"x" + SOUND[1:], {}, "bad_audio", "checksum_mismatch", id="one byte is another"),
        pytest.param(SOUND, {"sha256": "0" * 64}, "bad_audio", "checksum_mismatch", id="the event has another sum"),
        pytest.param(SOUND, {"bytes": LIMIT_BYTES + 1}, "unsupported", "too_large", id="announced above the limit"),
        pytest.param(
            None, {"bytes": LIMIT_BYTES + 1}, "unsupported", "too_large", id="too large is not even looked for"
        ),
        pytest.param(SOUND, {"uri": "s3://other-bucket/c1.wav"}, "unsupported", "foreign_uri", id="another bucket"),
        pytest.param(
            SOUND,
            {"uri": f"s3://{BUCKET}/../../etc/passwd"},
            "unsupported",
            "foreign_uri",
            id="a path out of the bucket",
        ),
        pytest.param(
            SOUND,
            {"encryption": AudioEncryption(algorithm="AES-256-GCM", key_id="k1")},
            "unsupported",
            "encrypted",
            id="encrypted under a key that we cannot have",
        ),
    ],
)
def test_a_recording_that_cannot_be_read_ends_with_outcome_and_reason(
    recordings: RecordingStore,
    stored: bytes | None,
    changes: dict[str, object],
    outcome: Outcome,
    reason: str,
) -> None:
    uri = f"s3://{BUCKET}/recordings/acme/2026/02/28/c1.wav"
    if stored is not None:
        uri = recordings.put_recording("acme", "c1", ENDED_AT, "wav", stored)

    with pytest.raises(UnreadableRecordingError) as raised:
        recordings.load_audio("acme", audio_of(uri).model_copy(update=changes))

    assert (raised.value.outcome, raised.value.reason) == (outcome, reason)


def test_a_bucket_that_is_away_is_no_property_of_the_recording(tmp_path: Path) -> None:
    recordings = RecordingStore(FolderStore(tmp_path, BUCKET), LIMIT_BYTES)

    with pytest.raises(StoreAccessError):
        recordings.load_audio("acme", audio_of(f"s3://{BUCKET}/recordings/acme/c1.wav"))


@pytest.mark.parametrize(
    ("tenant_id", "call_id", "ended_at", "extension", "problem"),
    [
        pytest.param("acme/../other", "c1", ENDED_AT, "wav", "tenant_id", id="a tenant that is a path"),
        pytest.param("", "c1", ENDED_AT, "wav", "tenant_id", id="no tenant"),
        pytest.param("acme", "../c1", ENDED_AT, "wav", "call_id", id="a call that is a path"),
        pytest.param("acme", "王先生 13812345678", ENDED_AT, "wav", "call_id", id="a name and a number"),
        pytest.param("acme", "c1", ENDED_AT.replace(tzinfo=None), "wav", "time zone", id="a naive time has no UTC day"),
        pytest.param("acme", "c1", ENDED_AT, "wav/x", "extension", id="an extension that is a path"),
        pytest.param("acme", "c1", ENDED_AT, "", "extension", id="no extension"),
        pytest.param("acme", "c1", ENDED_AT, ".wav", "extension", id="an extension with its dot"),
    ],
)
def test_a_recording_is_not_put_under_a_name_that_no_event_could_hold(
    recordings: RecordingStore,
    tmp_path: Path,
    tenant_id: str,
    call_id: str,
    ended_at: datetime,
    extension: str,
    problem: str,
) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        recordings.put_recording(tenant_id, call_id, ended_at, extension, SOUND)

    assert "13812345678" not in str(raised.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_key_of_another_tenant_is_foreign(recordings: RecordingStore) -> None:
    uri = recordings.put_recording("other", "c1", ENDED_AT, "wav", SOUND)
    with pytest.raises(UnreadableRecordingError) as refused:
        recordings.load_audio("acme", audio_of(uri))
    assert (refused.value.outcome, refused.value.reason) == ("unsupported", "foreign_key")


class RefusesObjects(FolderStore):
    """A bucket that answers, with objects that are refused (mode 000, a KMS, an archive); root may read every file."""

    refused: frozenset[str] = frozenset()
    bucket_is_refused = False

    def check(self) -> None:
        if self.bucket_is_refused:
            raise StoreAccessError("the object store refuses the access key")
        super().check()

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        if self.bucket_is_refused or key in self.refused:
            raise StoreAccessError("the object store refuses: AccessDenied (HTTP 403)")
        return super().read(key, start=start, length=length)


@pytest.fixture
def refusing(tmp_path: Path) -> RefusesObjects:
    store = RefusesObjects(tmp_path, BUCKET)
    store.apply()
    return store


def test_one_object_that_is_refused_is_forbidden_and_the_next_is_loaded(refusing: RefusesObjects) -> None:
    recordings = RecordingStore(refusing, LIMIT_BYTES)
    first = recordings.put_recording("acme", "c1", ENDED_AT, "wav", SOUND)
    second = recordings.put_recording("acme", "c2", ENDED_AT, "wav", SOUND)
    refusing.refused = frozenset({refusing.key_of(first)})
    with pytest.raises(UnreadableRecordingError) as refused:
        recordings.load_audio("acme", audio_of(first))
    assert (refused.value.outcome, refused.value.reason) == ("no_audio", "forbidden")
    assert recordings.load_audio("acme", audio_of(second)) == SOUND


def test_a_bucket_that_refuses_everything_still_stops(refusing: RefusesObjects) -> None:
    recordings = RecordingStore(refusing, LIMIT_BYTES)
    uri = recordings.put_recording("acme", "c1", ENDED_AT, "wav", SOUND)
    refusing.bucket_is_refused = True
    with pytest.raises(StoreAccessError, match="refuses the access key"):
        recordings.load_audio("acme", audio_of(uri))
