"""What of an entry is hashed and signed: canonical bytes, salted digests, signed notes, exported lines."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from processors.custody.audit_entry import AuditEntry
from processors.custody.audit_log import (
    PRUNED,
    SALT_BYTES,
    Checkpoint,
    LogLine,
    NamedNote,
    PersonalValue,
    VerifierKey,
    digest_of,
    line_of,
    opened_note,
    read_entry,
    read_line,
    signed_note,
    verify_log,
    written,
)
from processors.custody.merkle import leaf_hash, peaks_of
from schemas.errors import InvalidMessageError

AT = datetime(2026, 5, 1, 8, tzinfo=UTC)
ENTRY = AuditEntry(
    at=AT,
    actor="li_na",
    role="inspector",
    action="viewed_text",
    tenant_id="acme",
    result="allowed",
    client="api",
    call_id="c1",
    purpose="complaint",
    details={"quotes": 3, "filters": "phone"},
    personal={"customer": "k1:00ff", "address": "192.0.2.7"},
)

# The example of golang.org/x/mod/sumdb/note.
NOTE_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def _salts() -> bytes:
    _salts.count += 1  # type: ignore[attr-defined] # a counter of its own
    return bytes([_salts.count % 256]) * SALT_BYTES  # type: ignore[attr-defined]


_salts.count = 0  # type: ignore[attr-defined]


def test_the_leaf_of_an_entry_is_canonical_json_without_a_personal_value() -> None:
    new = written(ENTRY, "id-1", lambda: b"s" * SALT_BYTES)
    told = json.loads(new.content)
    assert new.content == json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
    assert told["at"] == "2026-05-01T08:00:00.000000+00:00"
    assert "192.0.2.7" not in new.content.decode()
    assert "k1:00ff" not in new.content.decode()
    assert told["personal"]["customer"] == digest_of("customer", PersonalValue(b"s" * SALT_BYTES, "k1:00ff"))
    assert new.leaf == sha256(b"\x00" + new.content).digest()
    assert set(new.personal) == {"customer", "address"}


def test_the_same_value_has_another_digest_in_each_entry_and_name() -> None:
    one, other = (written(ENTRY, "id", _salts) for _ in range(2))
    assert json.loads(one.content)["personal"] != json.loads(other.content)["personal"]
    salt = bytes(SALT_BYTES)
    assert digest_of("customer", PersonalValue(salt, "x")) != digest_of("address", PersonalValue(salt, "x"))


texts = st.text(max_size=40)  # hypothesis makes no halves of characters
names = st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True)


@given(
    texts,
    st.one_of(st.none(), texts),
    st.dictionaries(names, st.one_of(texts, st.integers(-(2**53) + 1, 2**53 - 1)), max_size=5),
    st.dictionaries(names, texts, max_size=4),
    st.integers(-14 * 60, 14 * 60),
)
def test_an_entry_is_read_as_it_was_written(
    actor: str, call_id: str | None, details: dict[str, str | int], personal: dict[str, str], zone_minutes: int
) -> None:
    at = AT.astimezone(timezone(timedelta(minutes=zone_minutes)))
    entry = replace(ENTRY, at=at, actor=actor, call_id=call_id, details=details, personal=personal)
    new = written(entry, "id", _salts)
    read = read_entry(new.content)
    assert read.entry == replace(entry, personal={})
    assert read.digests == {name: digest_of(name, each) for name, each in new.personal.items()}
    line = LogLine(0, new.leaf, new.content, new.personal)
    assert read_line(line_of(line)) == line


def test_an_entry_that_cannot_be_kept_is_refused_without_its_values() -> None:
    refused = {
        "a time without zone": replace(ENTRY, at=AT.replace(tzinfo=None)),
        "half a character": replace(ENTRY, actor="\ud800"),
        "too long": replace(ENTRY, actor="x" * 513),
        "a number that JSON cannot carry": replace(ENTRY, details={"a": 2**53}),
        "a truth value": replace(ENTRY, details={"a": True}),
        "a name that is none": replace(ENTRY, details={"a b": 1}),
        "too many": replace(ENTRY, details={f"a{n}": n for n in range(65)}),
        "a personal name that is none": replace(ENTRY, personal={"A": "secret"}),
        "a personal value that is too long": replace(ENTRY, personal={"a": "secret" * 100}),
    }

    for why, entry in refused.items():
        with pytest.raises(InvalidMessageError) as caught:
            written(entry, "id", _salts)
        assert "secret" not in str(caught.value), why


def test_what_is_no_entry_is_refused() -> None:
    new = written(ENTRY, "id", _salts)
    for content in (
        b"",
        b"[]",
        b"{}",
        b"\xff",
        new.content.replace(b'"v":1', b'"v":2'),
        new.content.replace(b",", b", "),
        new.content.replace(b'"v":1', b'"v":1,"v":1'),
    ):
        with pytest.raises(InvalidMessageError):
            read_entry(content)


def test_a_note_of_others_opens_and_a_changed_one_does_not() -> None:
    key = VerifierKey.parse(NOTE_KEY)
    assert key.text == NOTE_KEY
    assert opened_note(NOTE, (key,)) == NOTE.split("\n\n")[0] + "\n"
    assert opened_note(NOTE.replace("answer", "Answer"), (key,)) is None
    assert opened_note(NOTE, ()) is None
    assert opened_note("", (key,)) is None
    with pytest.raises(InvalidMessageError):
        VerifierKey.parse(NOTE_KEY.replace("c74f20a3", "c74f20a4"))


def test_a_checkpoint_is_three_lines_that_are_signed() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    checkpoint = Checkpoint("callstream/acme", 3, bytes(32))
    note = signed_note(checkpoint.text, "callstream/acme", key)
    assert note.splitlines()[:3] == ["callstream/acme", "3", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]
    assert Checkpoint.parse(opened_note(note, (VerifierKey.of("callstream/acme", key),)) or "") == checkpoint
    for text in (
        "",
        "a\n1\n",
        "a\n01\nAAAA\n",
        "a\n1\nAAAA\n",
        "\n1\nAAAA\n",
        checkpoint.text.replace("\n3\n", "\n-3\n"),
    ):
        with pytest.raises(InvalidMessageError):
            Checkpoint.parse(text)


def _log(entries: list[AuditEntry]) -> list[LogLine]:
    kept = [written(entry, f"id-{number}", _salts) for number, entry in enumerate(entries)]
    return [LogLine(number, each.leaf, each.content, each.personal) for number, each in enumerate(kept)]


def _checkpoint(lines: list[LogLine]) -> tuple[NamedNote, VerifierKey]:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    text = Checkpoint("log", len(lines), peaks_of([line.leaf for line in lines]).root).text
    return NamedNote("anchor", signed_note(text, "log", key)), VerifierKey.of("log", key)


def test_a_log_verifies_after_its_personal_values_were_erased() -> None:
    lines = _log([ENTRY] * 5)
    note, key = _checkpoint(lines)
    assert verify_log(lines, (note,), (key,)).holds
    erased = [replace(line, personal={}) for line in lines]
    found = verify_log(erased, (note,), (key,))
    assert found.holds
    assert (found.erased, found.covered) == (10, 5)


def _signed(lines: list[LogLine], size: int, at: datetime) -> NamedNote:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    checkpoint = Checkpoint("log", size, peaks_of([line.leaf for line in lines[:size]]).root, at)
    return NamedNote(f"checkpoint {size}", signed_note(checkpoint.text, "log", key))


@pytest.mark.parametrize(
    ("up_to", "before_days", "signed_days", "at_days", "holds"),
    [
        pytest.param(3, 365, {3: 365}, 0, True, id="as it was told, after a year"),
        pytest.param(3, 400, {2: 500, 4: 366, 5: 3}, 0, True, id="by a checkpoint over more, of then"),
        pytest.param(2, 365, {3: 365}, 0, False, id="one more than was told"),
        pytest.param(3, 364, {3: 365}, 0, False, id="too young by its own word"),
        pytest.param(3, 365, {3: 364}, 0, False, id="too young by what was signed"),
        pytest.param(3, 365, {2: 500, 5: 3}, 0, False, id="only two of them were there a year before"),
        pytest.param(3, 365, {}, 0, False, id="no checkpoint of then"),
        pytest.param(3, 365, {3: 100}, -4_000, False, id="a time to come, and a checkpoint of now over it"),
        pytest.param(3, 365, {3: 400, 2: 3}, 0, False, id="one over fewer of them that was signed later"),
    ],
)
def test_a_pruned_log_verifies_where_signed_checkpoints_show_that_it_was_time(
    up_to: int, before_days: int, signed_days: dict[int, int], at_days: int, holds: bool
) -> None:
    """Ages are in days before the checkpoint over the entry that tells of it."""
    at = AT - timedelta(days=at_days)
    before = (at - timedelta(days=before_days)).isoformat()
    told = replace(ENTRY, at=at, action=PRUNED, details={"entries": up_to, "before": before}, personal={})
    lines = _log([ENTRY] * 5 + [told])
    _, key = _checkpoint(lines)
    notes = [_signed(lines, size, AT - timedelta(days=days)) for size, days in signed_days.items()]
    pruned = [replace(line, content=None, personal={}) for line in lines[:3]]
    found = verify_log([*pruned, *lines[3:]], (*notes, _signed(lines, 6, AT)), (key,))
    assert found.holds is holds
    assert found.pruned == 3


def test_a_pruning_that_no_checkpoint_is_over_yet_is_believed_by_the_clock_of_who_verifies() -> None:
    before = (AT - timedelta(days=365)).isoformat()
    told = replace(ENTRY, action=PRUNED, details={"entries": 3, "before": before}, personal={})
    lines = _log([ENTRY] * 5 + [told])
    _, key = _checkpoint(lines)
    note = _signed(lines, 3, AT - timedelta(days=365))
    pruned = [replace(line, content=None, personal={}) for line in lines[:3]]
    assert verify_log([*pruned, *lines[3:]], (note,), (key,), AT).holds
    assert not verify_log([*pruned, *lines[3:]], (note,), (key,)).holds
    assert not verify_log([*pruned, *lines[3:]], (note,), (key,), AT - timedelta(days=1)).holds, "it is of tomorrow"


def test_a_pruning_that_says_nothing_is_found() -> None:
    for details in ({}, {"entries": "3", "before": AT.isoformat()}, {"entries": 3, "before": "2025-01-01T00:00:00"}):
        lines = _log([ENTRY, replace(ENTRY, action=PRUNED, details=details, personal={})])  # type: ignore[arg-type]
        note, key = _checkpoint(lines)
        assert [each.kind for each in verify_log(lines, (note,), (key,)).problems] == ["pruned"]


def test_the_time_of_a_checkpoint_is_signed() -> None:
    checkpoint = Checkpoint("log", 3, bytes(32), AT)
    assert Checkpoint.parse(checkpoint.text) == checkpoint
    assert Checkpoint.parse(checkpoint.text + "of another tool\n") == checkpoint
    for line in ("time noon", "time 2026-05-01T08:00:00", checkpoint.text.splitlines()[3]):
        with pytest.raises(InvalidMessageError, match="time"):
            Checkpoint.parse(f"{checkpoint.text}{line}\n")


def test_lines_that_are_none_of_a_log_are_refused() -> None:
    line = line_of(_log([ENTRY])[0])
    for text in ("", "{}", "[]", line.replace('"index": 0', '"index": "0"'), line.replace('"leaf": "', '"leaf": "0')):
        with pytest.raises(InvalidMessageError):
            read_line(text)
    assert leaf_hash(b"") == sha256(b"\x00").digest()
