"""`capture`: what is known of a call, in events and in files, and what of it is filled in (`take_in` does the rest)."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from processors.listening.audio import UnhearableError
from processors.receiving.segments import overlap, utterances_of
from schemas.errors import InvalidCallError, InvalidMessageError
from schemas.messages.belongs_in_transcript import NO_CALL_ID, with_names
from schemas.messages.belongs_there import with_what_belongs_there
from schemas.messages.call_ended import LONGEST_CALL, CallEnded
from schemas.messages.message import UtcDatetime
from schemas.messages.transcript import AudioFacts
from schemas.messages.transcript_received import TranscriptReceived
from streams.adapters.decoder.process import DecoderProcess

_TIME = TypeAdapter[datetime](UtcDatetime)
_NO_FACTS: Mapping[str, Any] = {}


PIECE_BYTES = 256 * 1024

PENDING_URI = "s3://pending/recording"
"""Stands in an event until its recording is stored."""


def event_for(facts: Mapping[str, Any], data: bytes, found: AudioFacts | None, *, ended_at: datetime) -> CallEnded:
    """The event of a recording that is not stored yet (`audio.uri` is `PENDING_URI`).

    `facts` are fields of `CallEnded`, of which any may be missing; what is missing comes from the file. `found`
    is what the file turned out to be, or null where it cannot be decoded: the event is made all the same, because
    every call is accounted for. `ended_at` holds where the facts do not say. The call id, where none is given,
    follows from recording and end, so that publishing the same file twice is one call. Raises `InvalidCallError`.
    """
    digest = sha256(data).hexdigest()
    ended = _time(facts.get("ended_at", ended_at.isoformat()), "ended_at")
    known = {"ended_at": ended.isoformat(), "call_id": usual_call_id(digest, ended)} | dict(facts)
    return event_of(known, {"uri": PENDING_URI, "sha256": digest, "bytes": len(data)}, found)


def usual_call_id(digest: str, ended_at: datetime) -> str:
    """The id of a call that has none: that of its recording (SHA-256) and its end."""
    return sha256(f"{digest}/{ended_at.isoformat()}".encode()).hexdigest()[:32]


def event_of(facts: Mapping[str, Any], audio: Mapping[str, Any], found: AudioFacts | None) -> CallEnded:
    """The event of a recording: `facts` with the id and the end of the call, `audio` with all that must be in it.

    What else nobody says comes from what was `found` in the recording. Raises `InvalidCallError`.
    """
    fields: dict[str, Any] = {"tenant_id": "default", "direction": "inbound", "agent": {"id": "unknown"}} | dict(facts)
    duration = timedelta(milliseconds=found.duration_ms if found else 0)
    fields.setdefault("started_at", (_time(fields.get("ended_at"), "ended_at") - duration).isoformat())
    told = found.model_dump(include={"container", "codec", "sample_rate_hz", "channels"}) if found else {}
    given = fields.get("audio") or {}
    if not isinstance(given, Mapping):
        raise InvalidCallError("audio: must be an object")
    try:
        return CallEnded.decode(json.dumps(fields | {"audio": dict(audio) | told | dict(given)}).encode())
    except InvalidMessageError as error:
        problems = [with_what_belongs_there(CallEnded, problem) for problem in error.problems]
    raise InvalidCallError("; ".join(problems), problems)


def facts_of_recording(
    file: Path, facts: Mapping[str, Any], max_bytes: int, probe: Callable[[bytes], AudioFacts]
) -> dict[str, Any]:
    """The facts of a recording in a file, with those that taking in asks for: id, end, checksum and length.

    What nobody says is filled in as in `event_for`; the call ended when the file was last written. The file is read
    once, and held only where somebody must find out how long it lasts. Raises `InvalidCallError`.
    """
    try:
        size, written_s = file.stat().st_size, file.stat().st_mtime
        if size > max_bytes:
            raise InvalidCallError(f"{file} has {size} bytes, more than max_recording_bytes ({max_bytes})")
        with file.open("rb") as stream:
            digest = file_digest(stream, "sha256").hexdigest()
        lasts = timedelta(milliseconds=0 if facts.get("started_at") else _lasts_ms(file.read_bytes(), probe))
    except OSError as error:
        raise InvalidCallError(f"{file} cannot be read: {error.strerror}") from None
    given = facts.get("audio") or {}
    if not isinstance(given, Mapping):
        raise InvalidCallError("audio: must be an object")
    ended = _time(facts.get("ended_at", datetime.fromtimestamp(written_s, UTC).isoformat()), "ended_at")
    return {
        "ended_at": ended.isoformat(),
        "started_at": (ended - lasts).isoformat(),
        "call_id": usual_call_id(digest, ended),
        **facts,
        "audio": {"sha256": digest, "bytes": size, **given},
    }


def _lasts_ms(data: bytes, probe: Callable[[bytes], AudioFacts]) -> int:
    try:
        return probe(data).duration_ms
    except UnhearableError:
        return 0


def pieces_of(file: Path) -> Iterator[bytes]:
    """The bytes of a file, little by little. Raises `InvalidCallError`."""
    try:
        with file.open("rb") as stream:
            while piece := stream.read(PIECE_BYTES):
                yield piece
    except OSError as error:
        raise InvalidCallError(f"{file} cannot be read: {error.strerror}") from None


def read_facts(file: Path) -> dict[str, Any]:
    """The metadata in a JSON file: an object with fields of `CallEnded`. Raises `InvalidCallError`."""
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidCallError(f"the metadata file {file} does not exist") from None
    except (OSError, ValueError) as error:
        raise InvalidCallError(f"the metadata file {file} cannot be read as JSON: {type(error).__name__}") from None
    if not isinstance(facts, dict):
        raise InvalidCallError(f"the metadata file {file} must hold one JSON object")
    return facts


def call_of_file(
    file: Path, facts: Mapping[str, Any], max_bytes: int, decoder: DecoderProcess | None = None
) -> tuple[CallEnded, bytes]:
    """The event of a recording in a file, and its bytes; the call ended when the file was last written.

    For several files, give the `decoder`: else one is started for each. Raises `InvalidCallError`.
    """
    try:
        size, written_s = file.stat().st_size, file.stat().st_mtime
        if size > max_bytes:
            raise InvalidCallError(f"{file} has {size} bytes, more than max_recording_bytes ({max_bytes})")
        data = file.read_bytes()
    except OSError as error:
        raise InvalidCallError(f"{file} cannot be read: {error.strerror}") from None
    with ExitStack() as stack:
        decoder = decoder or stack.enter_context(DecoderProcess())
        try:
            found = decoder.probe(data)
        except UnhearableError:
            found = None
    return event_for(facts, data, found, ended_at=datetime.fromtimestamp(written_s, UTC)), data


UTTERANCES, SEGMENTS = "utterances", "segments"
_OF_RECORDINGS = frozenset({"audio", "schema_version"})
"""Fields of the event of a recording that no transcript has."""


def transcript_of_file(
    file: Path, facts: Mapping[str, Any] = _NO_FACTS, usual_call_id: str | None = None
) -> TranscriptReceived:
    """A transcript that was made elsewhere: a JSON file as docs/transcripts.md describes it.

    `facts` are fields of the call that go before those of the file; what they say of a recording is left out. What
    nobody says of the call is filled in as for a recording: it ended when the file was last written, and it began as
    long before as its utterances last, or the other way round. Under the name of `segments` utterances may be those of
    another program, or of our own transcripts (`processors.receiving.segments`).

    Raises `InvalidCallError`, which names line or field and what belongs there.
    """
    given, written_s = _read_transcript(file)
    named = SEGMENTS if SEGMENTS in given and UTTERANCES not in given else UTTERANCES
    if named == SEGMENTS:
        given = _with_utterances(given)
    of_call = {} if given.get("call") is None else given["call"]
    if not isinstance(of_call, dict):
        raise InvalidCallError(f"{file.name}: call: must be an object with fields of the call")
    usual: dict[str, Any] = {"tenant_id": "default", "direction": "inbound", "agent": {"id": "unknown"}}
    if usual_call_id is not None:
        usual["call_id"] = usual_call_id
    told = {name: value for name, value in (dict(of_call) | dict(facts)).items() if name not in _OF_RECORDINGS}
    fields = usual | {name: value for name, value in told.items() if value is not None}
    lasts = timedelta(milliseconds=_last_ms(given.get(UTTERANCES)))
    if "ended_at" not in fields and "started_at" in fields:
        fields["ended_at"] = (_time(fields["started_at"], f"{file.name}: call.started_at") + lasts).isoformat()
    ended_at = fields.setdefault("ended_at", datetime.fromtimestamp(written_s, UTC).isoformat())
    if "started_at" not in fields:
        fields["started_at"] = (_time(ended_at, f"{file.name}: call.ended_at") - lasts).isoformat()
    written = given | {"call": fields}
    try:
        message = TranscriptReceived.decode(json.dumps(written).encode())
    except InvalidMessageError as error:
        problems = "; ".join(told for problem in error.problems for told in with_names(problem, written))
        problems = problems.replace(NO_CALL_ID, f"{NO_CALL_ID}, or --call-id").replace(UTTERANCES, named)
        raise InvalidCallError(f"{file.name}: {problems}") from None
    if message.sealed is not None:
        raise InvalidCallError(f"{file.name}: sealed: a file holds utterances in its place")
    return message


def _with_utterances(given: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a file with utterances in place of its segments."""
    segments = given[SEGMENTS]
    rest = {name: value for name, value in given.items() if name != SEGMENTS}
    if not isinstance(segments, list) or not all(isinstance(one, dict) for one in segments):
        return rest | {UTTERANCES: segments}
    utterances = utterances_of(segments)
    apart = {"separate_channels": True} if overlap(utterances) and "separate_channels" not in rest else {}
    return rest | {UTTERANCES: utterances} | apart


def _read_transcript(file: Path) -> tuple[dict[str, Any], float]:
    """The object in the file, and when the file was last written, in seconds since 1970. Raises `InvalidCallError`."""
    try:
        size, written_s = file.stat().st_size, file.stat().st_mtime
        if size > TranscriptReceived.max_bytes:
            raise InvalidCallError(f"{file} has {size} bytes: a transcript has at most {TranscriptReceived.max_bytes}")
        given = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InvalidCallError(f"{file} cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidCallError(f"{file} is no JSON from {where} on: {error.msg.lower()}") from None
    except UnicodeDecodeError:
        raise InvalidCallError(f"{file} is not UTF-8: save it as UTF-8") from None
    except RecursionError:
        raise InvalidCallError(f"{file} is no transcript: its JSON is nested too deeply") from None
    if not isinstance(given, dict):
        raise InvalidCallError(f"{file} must hold one JSON object with utterances, and with what is known of the call")
    return given, written_s


def _last_ms(utterances: object) -> int:
    """When the last utterance ends, where the file says it as it should; else 0, and its errors are told elsewhere."""
    told = [one.get("end_ms") for one in utterances if isinstance(one, dict)] if isinstance(utterances, list) else []
    longest_ms = LONGEST_CALL // timedelta(milliseconds=1)
    return max((ms for ms in told if isinstance(ms, int) and 0 <= ms <= longest_ms), default=0)


def extension_of(file: Path) -> str:
    """The extension under which a recording is stored."""
    suffix = file.suffix.lower().removeprefix(".")
    return suffix if re.fullmatch(r"[a-z0-9]{1,8}", suffix) else "bin"


def _time(text: object, field: str) -> datetime:
    """The time in UTC. Raises `InvalidCallError`."""
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        raise InvalidCallError(f"{field}: not a time; write it as 2026-03-02T10:15:00+08:00") from None
    if time.tzinfo is None:
        raise InvalidCallError(f"{field}: has no time zone; write it as 2026-03-02T10:15:00+08:00")
    try:
        return _TIME.validate_python(time)
    except ValidationError:
        raise InvalidCallError(f"{field}: is not in the years that a call may have") from None
