"""What lies in the store is sealed, opens as what it is alone, and leaves nothing where it was not finished."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest

from processors.custody.ports import PURPOSES, KeyGoneError, ObjectRole, Purpose, SealBrokenError, SealedIdentity
from processors.custody.sealed import sealed_bytes_of, unseal
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.sealed_store import ObjectTooLargeError, SealedStore
from streams.ports import ObjectMissingError
from tests.support.data_keys import MemoryDataKeys

KEY = "recordings/acme/2026/01/02/c1.0123456789abcdef.wav"
DAY = date(2026, 1, 2)
RECORDING = SealedIdentity("acme", "c1", "recording", "0123456789abcdef")
CANARY = b"my card number is 4929 1234 5678 9012"


@pytest.fixture
def keys() -> MemoryDataKeys:
    return MemoryDataKeys()


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    store = FolderStore(tmp_path, "the-bucket")
    store.apply()
    return store


@pytest.fixture
def store(folder: FolderStore, keys: MemoryDataKeys) -> SealedStore:
    return SealedStore(folder, keys)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"x", id="one byte"),
        pytest.param(CANARY * 1000, id="some segments"),
        pytest.param(bytes(range(256)) * 10_000, id="more than is sealed at once"),
    ],
)
def test_what_was_put_is_read_and_its_facts_are_those_of_the_original(store: SealedStore, data: bytes) -> None:
    facts = store.put(KEY, RECORDING, DAY, data)

    assert store.read(KEY, RECORDING, DAY) == data
    opened = store.open(KEY, RECORDING, DAY)
    assert opened.read() == data
    assert (facts.plaintext_bytes, facts.sha256) == (len(data), sha256(data).hexdigest())
    assert (opened.plaintext_bytes, opened.sha256) == (len(data), sha256(data).hexdigest())


def test_the_facts_say_how_much_room_it_takes(store: SealedStore, folder: FolderStore) -> None:
    facts = store.put(KEY, RECORDING, DAY, CANARY)

    assert facts.sealed_bytes == folder.size(KEY) == sealed_bytes_of(len(CANARY))


def test_a_stream_is_the_same_object_in_whatever_pieces_it_comes(store: SealedStore) -> None:
    data = bytes(range(251)) * 1000
    with store.writer(KEY, RECORDING, DAY) as writer:
        for size in (0, 1, 16_384, 100_000, len(data)):
            writer.write(data[:size])
            data = data[size:]
        facts = writer.commit()

    assert store.read(KEY, RECORDING, DAY) == bytes(range(251)) * 1000
    assert facts.plaintext_bytes == 251_000


def test_any_range_is_read(store: SealedStore) -> None:
    data = bytes(range(251)) * 1000
    store.put(KEY, RECORDING, DAY, data)

    opened = store.open(KEY, RECORDING, DAY)

    assert opened.read(100_000, 50_000) == data[100_000:150_000]
    assert opened.read(250_990) == data[250_990:]


def test_nothing_of_it_lies_in_clear_even_while_it_is_written(store: SealedStore, tmp_path: Path) -> None:
    with store.writer(KEY, RECORDING, DAY) as writer:
        for _ in range(5000):
            writer.write(CANARY)
        unfinished = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        writer.commit()
    finished = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    assert len(unfinished) > 100_000
    assert CANARY[:16] not in unfinished
    assert CANARY[:16] not in finished


def test_what_was_not_committed_was_never_there(store: SealedStore, folder: FolderStore) -> None:
    with store.writer(KEY, RECORDING, DAY) as writer:
        writer.write(CANARY)

    assert list(folder.entries()) == []
    with pytest.raises(ObjectMissingError):
        store.read(KEY, RECORDING, DAY)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(RECORDING, version="fedcba9876543210"), id="another version"),
        pytest.param(replace(RECORDING, role="converted"), id="another role under the same key"),
    ],
)
def test_an_object_opens_only_as_what_it_is(store: SealedStore, other: SealedIdentity) -> None:
    store.put(KEY, RECORDING, DAY, CANARY)

    with pytest.raises(SealBrokenError):
        store.read(KEY, other, DAY)
    with pytest.raises(SealBrokenError):
        store.open(KEY, other, DAY)


def test_an_object_of_another_call_does_not_open_in_its_place(store: SealedStore, folder: FolderStore) -> None:
    other, other_key = replace(RECORDING, call_id="c2"), KEY.replace("c1", "c2")
    store.put(KEY, RECORDING, DAY, CANARY)
    store.put(other_key, other, DAY, b"something else")

    folder.put(other_key, folder.read(KEY))

    with pytest.raises(SealBrokenError):
        store.read(other_key, other, DAY)


@pytest.mark.parametrize(
    ("role", "purpose"),
    [
        pytest.param("recording", "audio", id="recordings"),
        pytest.param("peaks", "audio", id="peaks, which are audio"),
        pytest.param("transcript", "transcript", id="transcripts"),
        pytest.param("received", "received", id="what was received and not masked yet"),
    ],
)
def test_only_the_key_of_its_purpose_opens_an_object(
    store: SealedStore, keys: MemoryDataKeys, folder: FolderStore, role: ObjectRole, purpose: Purpose
) -> None:
    identity = replace(RECORDING, role=role)
    store.put(KEY, identity, DAY, CANARY)

    for other in PURPOSES:
        data_key = keys.make("acme", "c1", DAY, other)
        if other == purpose:
            assert unseal(data_key, identity, folder.read(KEY)) == CANARY
        else:
            with pytest.raises(SealBrokenError):
                unseal(data_key, identity, folder.read(KEY))


def test_without_its_key_an_object_is_noise(store: SealedStore, keys: MemoryDataKeys) -> None:
    store.put(KEY, RECORDING, DAY, CANARY)

    keys.destroy("acme", "c1", DAY)

    with pytest.raises(KeyGoneError):
        store.read(KEY, RECORDING, DAY)
    with pytest.raises(KeyGoneError):
        store.open(KEY, RECORDING, DAY)


def test_no_key_is_made_by_reading(store: SealedStore, keys: MemoryDataKeys) -> None:
    with pytest.raises(KeyGoneError):
        store.read(KEY, RECORDING, DAY)
    with pytest.raises(KeyGoneError):
        keys.get("acme", "c1", DAY, "audio")


@pytest.mark.parametrize(
    ("most_bytes", "fits"),
    [
        pytest.param(len(CANARY), True, id="exactly as many as it has"),
        pytest.param(len(CANARY) - 1, False, id="one fewer"),
        pytest.param(0, False, id="none"),
        pytest.param(10_000_000, True, id="many more"),
    ],
)
def test_no_more_is_read_than_is_wanted(store: SealedStore, most_bytes: int, fits: bool) -> None:
    store.put(KEY, RECORDING, DAY, CANARY)

    if fits:
        assert store.read(KEY, RECORDING, DAY, most_bytes=most_bytes) == CANARY
    else:
        with pytest.raises(ObjectTooLargeError):
            store.read(KEY, RECORDING, DAY, most_bytes=most_bytes)


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(lambda sealed: sealed[:-1], id="a byte cut off"),
        pytest.param(lambda sealed: sealed + b"\x00", id="a byte added"),
        pytest.param(lambda sealed: sealed[:100] + bytes([sealed[100] ^ 1]) + sealed[101:], id="a bit flipped"),
        pytest.param(lambda sealed: b"", id="emptied"),  # noqa: ARG005
        pytest.param(lambda sealed: CANARY * (len(sealed) // len(CANARY)), id="clear text in its place"),
    ],
)
def test_an_object_that_was_changed_in_the_store_is_never_read(
    store: SealedStore, folder: FolderStore, cut: Callable[[bytes], bytes]
) -> None:
    store.put(KEY, RECORDING, DAY, CANARY * 1000)

    folder.put(KEY, cut(folder.read(KEY)))

    with pytest.raises(SealBrokenError):
        store.read(KEY, RECORDING, DAY)
    with pytest.raises(SealBrokenError):
        store.open(KEY, RECORDING, DAY).read()
