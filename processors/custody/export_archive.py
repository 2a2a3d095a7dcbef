"""What an export is handed out as: a ZIP that is made while it goes out, with a signed manifest as its last part. Pure.

Nothing of it is held longer than it takes to pass it on. Every part says for whom it is: the manifest, a column of each
table, a chunk of each WAV. That is a mark for honest hands: whoever wants to can take it off.
"""

import base64
import csv
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from processors.custody.exports import Export
from schemas.errors import OperatorError

MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"
MARK_COLUMN = "exported_for"
FILE_TIME = (1980, 1, 1, 0, 0, 0)
"""Of every file in the ZIP: when it was made stands in the manifest."""

_PASSED_ON_BYTES = 256 * 1024
_MOST_HEAD_BYTES = 64 * 1024
_UNSAFE = re.compile(r"[^A-Za-z0-9._@-]")


class ExportBrokenError(OperatorError):
    """A file that was handed out is not what its manifest says; the text says what is wrong with it."""

    exit_code = 1


@dataclass(frozen=True)
class ExportFile:
    """A file of an export; `chunks` are asked for when it is its turn, once. `call_id` where it is of one call."""

    name: str
    chunks: Iterable[bytes]
    call_id: str | None = None


def file_name(number: int, call_id: str, extension: str) -> str:
    """A name that every system takes: `0001-<call id>.wav`. The number tells apart what is written alike."""
    return f"{number:05d}-{_UNSAFE.sub('_', call_id)}.{extension}"


def mark_of(export: Export) -> str:
    """For whom an export is, on one line: it stands in every file."""
    by = ", ".join(approval.by.account for approval in export.approvals)
    return (
        f"callstream export {export.export_id} for {export.contained.recipient}; asked for by "
        f"{export.requester.account}, approved by {by}"
    )


def archive(export: Export, files: Iterable[ExportFile], key: Ed25519PrivateKey, at: datetime) -> Iterator[bytes]:
    """The ZIP, piece by piece. What the files raise passes through: what was sent by then is no whole ZIP, because the
    list of what is in it comes last.
    """
    out = _Passing()
    told: list[dict[str, Any]] = []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as packed:
        for each in files:
            digest, size = sha256(), 0
            with packed.open(zipfile.ZipInfo(each.name, FILE_TIME), "w", force_zip64=True) as entry:
                for chunk in each.chunks:
                    for start in range(0, len(chunk), _PASSED_ON_BYTES):
                        piece = chunk[start : start + _PASSED_ON_BYTES]
                        digest.update(piece)
                        size += len(piece)
                        entry.write(piece)
                        yield from out.take()
            told.append({"name": each.name, "sha256": digest.hexdigest(), "bytes": size, "call_id": each.call_id})
        manifest = _written(_manifest(export, told, key, at))
        for name, content in ((MANIFEST, manifest), (SIGNATURE, base64.b64encode(key.sign(manifest)) + b"\n")):
            packed.writestr(zipfile.ZipInfo(name, FILE_TIME), content)
    yield from out.take()


class _Passing(io.RawIOBase):
    """Where the ZIP is written to: it can only go forward, and keeps nothing that was taken."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> Iterator[bytes]:
        pieces, self._pieces = self._pieces, []
        yield from (piece for piece in pieces if piece)


def _manifest(
    export: Export, files: Sequence[Mapping[str, Any]], key: Ed25519PrivateKey, at: datetime
) -> Mapping[str, Any]:
    contained = export.contained
    return {
        "format": "callstream-export-manifest-1",
        "mark": mark_of(export),
        "export_id": export.export_id,
        "download": export.downloads,
        "tenant_id": contained.tenant_id,
        "recipient": contained.recipient,
        "contents": list(contained.contents),
        "set_sha256": contained.digest,
        "requested_by": export.requester.account,
        "requested_at": _time(export.requested_at),
        "reason": export.reason,
        "ticket": export.ticket,
        "approved_by": [{"account": each.by.account, "at": _time(each.at)} for each in export.approvals],
        "made_at": _time(at),
        "calls": [
            {"call_id": each.call_id, "recording_sha256": each.recording, "text_sha256": each.text}
            for each in contained.calls
        ],
        "files": list(files),
        "key": public_text(key.public_key()),
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _written(told: Mapping[str, Any]) -> bytes:
    return (json.dumps(told, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode()


def public_text(key: Ed25519PublicKey) -> str:
    """The key in base64, as manifests name it."""
    return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def verify_archive(file: Any, key: Ed25519PublicKey) -> Mapping[str, Any]:
    """The manifest of a ZIP (a path or a stream that seeks) of which every file is what the manifest says.

    Raises `ExportBrokenError`.
    """
    try:
        with zipfile.ZipFile(file) as packed:
            return _verified(packed, key)
    except zipfile.BadZipFile:
        raise ExportBrokenError("this is no whole ZIP: the download broke off, or it was changed") from None


def _verified(packed: zipfile.ZipFile, key: Ed25519PublicKey) -> Mapping[str, Any]:
    names = packed.namelist()
    if MANIFEST not in names or SIGNATURE not in names or len(set(names)) < len(names):
        raise ExportBrokenError(f"{MANIFEST} or its signature is not in it, or a file is in it twice")
    manifest = packed.read(MANIFEST)
    try:
        key.verify(base64.b64decode(packed.read(SIGNATURE), validate=False), manifest)
    except (InvalidSignature, ValueError):
        raise ExportBrokenError(f"the signature of {MANIFEST} is not of this key") from None
    told: Mapping[str, Any] = json.loads(manifest)
    listed = {each["name"]: each for each in told["files"]}
    if extra := sorted(set(names) - set(listed) - {MANIFEST, SIGNATURE}):
        raise ExportBrokenError(f"{extra[0]} is in it, and not in its manifest")
    for name, each in listed.items():
        if name not in names:
            raise ExportBrokenError(f"{name} is in its manifest, and not in it")
        digest = sha256()
        with packed.open(name) as entry:
            while chunk := entry.read(_PASSED_ON_BYTES):
                digest.update(chunk)
        if digest.hexdigest() != each["sha256"]:
            raise ExportBrokenError(f"{name} is not what its manifest says")
    return told


TEXT_COLUMNS = ("call_id", "segment", "channel", "role", "start_ms", "end_ms", "text")


def text_as_csv(segments: Iterable[Mapping[str, Any]], mark: str) -> Iterator[bytes]:
    """A masked transcript for tables, UTF-8 with the mark of order that Excel needs; for whom it is, in each row."""
    yield b"\xef\xbb\xbf" + _row((*TEXT_COLUMNS, MARK_COLUMN))
    for segment in segments:
        yield _row((*(segment[name] for name in TEXT_COLUMNS), mark))


def text_as_json(call_id: str, segments: Iterable[Mapping[str, Any]], mark: str) -> Iterator[bytes]:
    """The same for programs, one document."""
    head = json.dumps({MARK_COLUMN: mark, "call_id": call_id}, ensure_ascii=False)
    yield head[:-1].encode() + b', "segments": ['
    for number, segment in enumerate(segments):
        fields = {name: segment[name] for name in TEXT_COLUMNS[1:]}
        yield (b",\n" if number else b"\n") + json.dumps(fields, ensure_ascii=False).encode()
    yield b"\n]}\n"


def _row(values: Iterable[object]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerow([_harmless(value) for value in values])
    return out.getvalue().encode()


def _harmless(value: object) -> object:
    """Callers' words that begin like a formula are none for a spreadsheet."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


def marked_wav(chunks: Iterable[bytes], mark: str) -> Iterator[bytes]:
    """A WAV with a chunk `LIST INFO` behind its header that says for whom it is; its samples are left as they are.

    Raises `ExportBrokenError` for what is no WAV with a known length.
    """
    rest = iter(chunks)
    head = b""
    while (place := _data_at(head)) is None:
        piece = next(rest, b"")
        if not piece or len(head) > _MOST_HEAD_BYTES:
            raise ExportBrokenError("the sound of a call is no WAV")
        head += piece
    info = _info_chunk(mark)
    (length,) = struct.unpack_from("<I", head, 4)
    if length + len(info) >= 2**32:
        raise ExportBrokenError("the sound of a call is too long for a WAV")
    yield b"RIFF" + struct.pack("<I", length + len(info)) + head[8:place] + info + head[place:]
    yield from rest


def _data_at(head: bytes) -> int | None:
    """Where the chunk `data` begins; None where that is not seen yet. Raises `ExportBrokenError`."""
    if len(head) >= 12 and (head[:4], head[8:12]) != (b"RIFF", b"WAVE"):
        raise ExportBrokenError("the sound of a call is no WAV")
    place = 12
    while len(head) >= place + 8:
        name, length = struct.unpack_from("<4sI", head, place)
        if name == b"data":
            return place
        place += 8 + length + length % 2
    return None


def _info_chunk(mark: str) -> bytes:
    content = b"INFO"
    for name, text in ((b"ICMT", mark), (b"ISFT", "callstream")):
        data = text.encode() + b"\0"
        content += name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"LIST" + struct.pack("<I", len(content)) + content


CountBytes = Callable[[int], None]


def count_bytes(chunks: Iterable[bytes], count: CountBytes) -> Iterator[bytes]:
    """The chunks as they pass, and how many bytes each has."""
    for chunk in chunks:
        count(len(chunk))
        yield chunk
