"""Recordings on a folder store: what is read back, and how each broken recording ends."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from schemas.messages.call_ended import Agent, Audio, AudioEncryption, CallEnded
from schemas.messages.outcome import Outcome
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.recordings import (
    RecordingStore,
    UnreadableRecordingError,
    key_id_of,
    recording_key,
)
from streams.adapters.object_store.sealed_store import SealedStore
from streams.ports import StoreAccessError
from streams.stages.capture import PENDING_URI
from tests.support.data_keys import MemoryDataKeys
from tests.support.sealing import Sealing

BUCKET = "the-bucket"
LIMIT_BYTES = 100_000
ENDED_AT = datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=8)))
DAY = ENDED_AT.astimezone(UTC).date()
SOUND = bytes(range(256)) * 300


class House:
    """A folder with keys, and recordings in it."""

    def __init__(self, store: FolderStore) -> None:
        self.store = store
        self.keys = MemoryDataKeys()
        sealed = SealedStore(store, self.keys)
        self.sealing = Sealing(store, sealed)
        self.recordings = RecordingStore(store, sealed, LIMIT_BYTES)
        self.hearing_all = RecordingStore(store, sealed, LIMIT_BYTES, hears_unsealed=True)

    def sealed(self, data: bytes = SOUND, call_id: str = "c1", version: str = "") -> CallEnded:
        return self.sealing.put(event_of(data, call_id), data, "wav", version)

    def in_clear(self, data: bytes = SOUND) -> CallEnded:
        key = f"recordings/acme/2026/02/28/c1.{sha256(data).hexdigest()[:12]}.wav"
        self.store.put(key, data)
        return with_audio(event_of(data), uri=self.store.uri_of(key))

    def ending(self, call: CallEnded) -> tuple[Outcome, str]:
        with pytest.raises(UnreadableRecordingError) as raised:
            self.recordings.load_audio(call)
        return raised.value.outcome, raised.value.reason


def event_of(data: bytes, call_id: str = "c1") -> CallEnded:
    return CallEnded(
        tenant_id="acme",
        call_id=call_id,
        direction="inbound",
        started_at=ENDED_AT,
        ended_at=ENDED_AT,
        agent=Agent(id="A1"),
        audio=Audio(uri=PENDING_URI, sha256=sha256(data).hexdigest(), bytes=len(data)),
    )


def with_audio(call: CallEnded, **changes: Any) -> CallEnded:
    return call.model_copy(update={"audio": call.audio.model_copy(update=changes)})


def with_seal(call: CallEnded, **changes: Any) -> CallEnded:
    assert call.audio.encryption is not None
    return with_audio(call, encryption=call.audio.encryption.model_copy(update=changes))


@pytest.fixture
def house(tmp_path: Path) -> House:
    store = FolderStore(tmp_path, BUCKET)
    store.apply()
    return House(store)


def test_a_sealed_recording_is_loaded_as_it_came(house: House) -> None:
    assert house.recordings.load_audio(house.sealed()) == SOUND


def test_a_recording_of_exactly_the_limit_is_loaded(house: House) -> None:
    data = b"x" * LIMIT_BYTES

    assert house.recordings.load_audio(house.sealed(data)) == data


def test_one_in_clear_is_loaded_only_where_that_was_asked_for(house: House) -> None:
    call = house.in_clear()

    assert house.ending(call) == ("unsupported", "not_sealed")
    assert house.hearing_all.load_audio(call) == SOUND


def test_one_that_is_sealed_is_never_taken_for_one_in_clear(house: House) -> None:
    call = house.sealed()
    sealed = house.store.read(house.store.key_of(call.audio.uri))
    lying = with_audio(call, encryption=None, sha256=sha256(sealed).hexdigest(), bytes=len(sealed))

    assert house.ending(lying) == ("unsupported", "not_sealed")


@pytest.mark.parametrize(
    ("stored", "changes", "outcome", "reason"),
    [
        pytest.param(b"", {}, "no_audio", "empty_object", id="the upload was empty"),
        pytest.param(b"", {"bytes": 0}, "no_audio", "empty_object", id="empty, and announced as empty"),
        pytest.param(SOUND[:-1], {}, "bad_audio", "size_mismatch", id="cut off before it was sealed"),
        pytest.param(SOUND + b"x", {}, "bad_audio", "size_mismatch", id="one byte more than announced"),
        pytest.param(SOUND, {"bytes": 0}, "bad_audio", "size_mismatch", id="announced as empty, but it is not"),
        pytest.param(b"x" * 2 * LIMIT_BYTES, {}, "bad_audio", "size_mismatch", id="larger than limit and event say"),
        pytest.param(b"x" + SOUND[1:], {}, "bad_audio", "checksum_mismatch", id="one byte is another"),
        pytest.param(SOUND, {"sha256": "0" * 64}, "bad_audio", "checksum_mismatch", id="the event has another sum"),
        pytest.param(SOUND, {"bytes": LIMIT_BYTES + 1}, "unsupported", "too_large", id="announced above the limit"),
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
            {"uri": f"s3://{BUCKET}/recordings/other/2026/02/28/c1.wav"},
            "unsupported",
            "foreign_key",
            id="the place of another tenant",
        ),
        pytest.param(
            SOUND,
            {"uri": f"s3://{BUCKET}/recordings/acme/2026/02/28/c2.wav"},
            "no_audio",
            "object_missing",
            id="nothing was ever uploaded",
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
    house: House, stored: bytes, changes: dict[str, object], outcome: Outcome, reason: str
) -> None:
    call = house.sealing.put(event_of(SOUND), stored, "wav")

    assert house.ending(with_audio(call, **changes)) == (outcome, reason)


@pytest.mark.parametrize(
    ("changes", "ending"),
    [
        pytest.param({"algorithm": "AES-256-GCM"}, ("unsupported", "encrypted"), id="another way to seal"),
        pytest.param({"parameters": {}}, ("unsupported", "encrypted"), id="no version"),
        pytest.param({"key_id": "acme"}, ("unsupported", "encrypted"), id="no day"),
        pytest.param({"key_id": "acme:2026-02-30"}, ("unsupported", "encrypted"), id="a day that there was not"),
        pytest.param({"key_id": "other:2026-02-28"}, ("unsupported", "encrypted"), id="the keys of another tenant"),
        pytest.param({"key_id": "acme:2026-02-27"}, ("no_audio", "key_destroyed"), id="a day without its key"),
        pytest.param({"parameters": {"version": "0" * 16}}, ("bad_audio", "seal_broken"), id="another version"),
    ],
)
def test_a_seal_that_the_event_tells_otherwise_does_not_open(
    house: House, changes: Mapping[str, Any], ending: tuple[Outcome, str]
) -> None:
    assert house.ending(with_seal(house.sealed(), **changes)) == ending


def flipped(sealed: bytes) -> bytes:
    return sealed[:5_000] + bytes([sealed[5_000] ^ 1]) + sealed[5_001:]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(flipped, id="a bit flipped"),
        pytest.param(lambda sealed: sealed[:-1], id="cut"),
        pytest.param(lambda sealed: sealed[:20_000] + sealed[40_000:], id="a piece taken out"),
        pytest.param(lambda _sealed: SOUND, id="the plaintext in its place"),
    ],
)
def test_whatever_is_done_to_a_sealed_recording_breaks_the_seal(house: House, change: Any) -> None:
    call = house.sealed()
    key = house.store.key_of(call.audio.uri)
    house.store.put(key, change(house.store.read(key)))

    assert house.ending(call) == ("bad_audio", "seal_broken")


def test_a_recording_in_the_place_of_another_breaks_the_seal(house: House) -> None:
    """Of another call, and an earlier one of the same call."""
    call, other, earlier = house.sealed(), house.sealed(call_id="c2"), house.sealed(version="1" * 16)
    for swapped in (other, earlier):
        house.store.put(house.store.key_of(call.audio.uri), house.store.read(house.store.key_of(swapped.audio.uri)))
        assert house.ending(call) == ("bad_audio", "seal_broken")


def test_once_its_key_is_destroyed_nobody_hears_it(house: House) -> None:
    call = house.sealed()
    house.keys.destroy("acme", "c1", DAY)

    assert house.ending(call) == ("no_audio", "key_destroyed")


def test_a_bucket_that_is_away_is_no_property_of_the_recording(tmp_path: Path) -> None:
    nowhere = House(FolderStore(tmp_path, BUCKET))
    call = with_audio(event_of(SOUND), uri=f"s3://{BUCKET}/recordings/acme/c1.wav")

    with pytest.raises(StoreAccessError):
        nowhere.hearing_all.load_audio(call)


def test_a_recording_is_kept_under_its_tenant_and_the_utc_day_of_its_end() -> None:
    assert recording_key("acme", "c:1@pbx", ENDED_AT, "0" * 16, "opus") == (
        f"recordings/acme/2026/02/28/c:1@pbx.{'0' * 16}.opus"
    )
    assert key_id_of("acme", ENDED_AT) == "acme:2026-02-28"


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
def test_a_recording_has_no_name_that_no_event_could_hold(
    tenant_id: str, call_id: str, ended_at: datetime, extension: str, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        recording_key(tenant_id, call_id, ended_at, "0" * 16, extension)

    assert "13812345678" not in str(raised.value)


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
    house = House(refusing)
    first, second = house.sealed(), house.sealed(call_id="c2")
    refusing.refused = frozenset({refusing.key_of(first.audio.uri)})

    assert house.ending(first) == ("no_audio", "forbidden")
    assert house.recordings.load_audio(second) == SOUND


def test_a_bucket_that_refuses_everything_still_stops(refusing: RefusesObjects) -> None:
    house = House(refusing)
    call = house.sealed()
    refusing.bucket_is_refused = True

    with pytest.raises(StoreAccessError, match="refuses the access key"):
        house.recordings.load_audio(call)
