"""The ZIP of an export: made while it goes out, marked, signed, and no file in it changed unnoticed."""

import csv
import io
import json
import tracemalloc
import wave
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from processors.custody.export_archive import (
    MANIFEST,
    MARK_COLUMN,
    SIGNATURE,
    ExportBrokenError,
    ExportFile,
    archive,
    file_name,
    mark_of,
    marked_wav,
    text_as_csv,
    text_as_json,
    verify_archive,
)
from processors.custody.exports import Approval, Export, ExportedCall, ExportPerson, ExportSet, ExportTerms
from tests.support.exports import wav

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SET = ExportSet.of("acme", "第一法院", ("text",), [ExportedCall("c1", None, "t1")])
EXPORT = Export(
    "x1",
    SET,
    ExportPerson("ann", "ann"),
    "complaint",
    "T-1",
    ExportTerms(),
    NOW,
    NOW + timedelta(days=7),
    SET.digest,
    "downloaded",
    (Approval(ExportPerson("bob", "bob"), SET.digest, NOW),),
    downloads=1,
)
KEY = Ed25519PrivateKey.generate()
SEGMENT = {"call_id": "c1", "segment": 0, "channel": 0, "role": "agent", "start_ms": 0, "end_ms": 900, "text": "您好"}


def packed(*files: ExportFile) -> bytes:
    return b"".join(archive(EXPORT, files, KEY, NOW))


def test_the_manifest_tells_who_asked_who_agreed_for_whom_and_what_every_file_is() -> None:
    data = packed(ExportFile("a.txt", [b"one", b"two"], "c1"))
    told = verify_archive(io.BytesIO(data), KEY.public_key())
    assert told["recipient"] == "第一法院"
    assert told["requested_by"] == "ann"
    assert [each["account"] for each in told["approved_by"]] == ["bob"]
    assert told["set_sha256"] == SET.digest
    assert (told["files"][0]["bytes"], told["files"][0]["call_id"]) == (6, "c1")
    assert "第一法院" in told["mark"]


def changed(data: bytes, name: str, content: bytes | None, extra: dict[str, bytes] | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for each in old.namelist():
            if each != name:
                new.writestr(each, old.read(each))
            elif content is not None:
                new.writestr(each, content)
        for each, more in (extra or {}).items():
            new.writestr(each, more)
    return out.getvalue()


def test_whatever_is_changed_in_it_is_found() -> None:
    data = packed(ExportFile("a.txt", [b"one"], "c1"))
    with zipfile.ZipFile(io.BytesIO(data)) as whole:
        manifest = whole.read(MANIFEST)
    broken = {
        "is not what its manifest says": changed(data, "a.txt", b"two"),
        "and not in it": changed(data, "a.txt", None),
        "and not in its manifest": changed(data, "", None, {"b.txt": b"more"}),
        "the signature": changed(data, MANIFEST, manifest.replace("第一法院".encode(), "第二法院".encode())),
        "or its signature is not in it": changed(data, SIGNATURE, None),
        "no whole ZIP": data[:-30],
    }
    for sentence, each in broken.items():
        with pytest.raises(ExportBrokenError, match=sentence):
            verify_archive(io.BytesIO(each), KEY.public_key())
    with pytest.raises(ExportBrokenError, match="not of this key"):
        verify_archive(io.BytesIO(data), Ed25519PrivateKey.generate().public_key())


def test_what_breaks_off_is_no_whole_zip() -> None:
    def breaks() -> Iterator[bytes]:
        yield b"x" * 1_000_000
        raise RuntimeError

    sent: list[bytes] = []
    pieces = archive(EXPORT, [ExportFile("a", [b"1" * 1_000_000]), ExportFile("b", breaks())], KEY, NOW)
    with pytest.raises(RuntimeError):
        sent.extend(pieces)
    with pytest.raises(ExportBrokenError, match="no whole ZIP"):
        verify_archive(io.BytesIO(b"".join(sent)), KEY.public_key())


def test_an_hour_of_sound_goes_through_a_few_megabytes_of_memory() -> None:
    piece = wav(80_000)
    tracemalloc.start()
    size = sum(len(each) for each in archive(EXPORT, [ExportFile("a", (piece for _ in range(720)))], KEY, NOW))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 10_000_000
    assert most < 6_000_000


def test_a_wav_says_for_whom_it_is_and_sounds_as_before() -> None:
    mark = mark_of(EXPORT)
    data = wav()
    for step in (1, 7, 43, 44, 45, 10_000):
        pieces = (data[start : start + step] for start in range(0, len(data), step))
        marked = b"".join(marked_wav(pieces, mark))
        assert mark.encode() in marked
        with wave.open(io.BytesIO(marked)) as after, wave.open(io.BytesIO(data)) as before:
            assert after.getparams() == before.getparams()
            assert after.readframes(10**6) == before.readframes(10**6)
        assert int.from_bytes(marked[4:8], "little") == len(marked) - 8


@pytest.mark.parametrize("data", [b"", b"RIFF", b"ID3 something that is long enough", b"RIFF\0\0\0\0WAVEfmt "])
def test_what_is_no_wav_is_not_handed_out_as_one(data: bytes) -> None:
    with pytest.raises(ExportBrokenError, match="no WAV"):
        list(marked_wav([data], "mark"))


def test_a_transcript_is_one_document_and_one_table_and_each_row_is_marked() -> None:
    told = json.loads(b"".join(text_as_json("c1", [SEGMENT, SEGMENT], "mark")))
    assert (told[MARK_COLUMN], told["call_id"], len(told["segments"])) == ("mark", "c1", 2)
    assert json.loads(b"".join(text_as_json("c1", [], "mark")))["segments"] == []
    rows = list(csv.DictReader(io.StringIO(b"".join(text_as_csv([SEGMENT], "mark")).decode("utf-8-sig"))))
    assert rows[0]["text"] == "您好"
    assert rows[0][MARK_COLUMN] == "mark"


def test_the_words_of_a_caller_are_no_formula() -> None:
    for words in ("=HYPERLINK(1)", "+1", "-1", "@x", "\t=1"):
        content = b"".join(text_as_csv([SEGMENT | {"text": words}], "mark")).decode("utf-8-sig")
        row = next(csv.DictReader(io.StringIO(content)))
        assert row["text"] == f"'{words}"


def test_no_call_id_leads_out_of_the_folder_and_no_two_files_have_one_name() -> None:
    assert file_name(1, "a:b/../c", "wav") == "00001-a_b_.._c.wav"
    assert file_name(1, "a:b", "wav") != file_name(2, "a_b", "wav")


def test_a_mark_names_every_approver() -> None:
    two = replace(EXPORT, approvals=(*EXPORT.approvals, Approval(ExportPerson("cleo", "cleo"), SET.digest, NOW)))
    assert mark_of(two).endswith("approved by bob, cleo")
