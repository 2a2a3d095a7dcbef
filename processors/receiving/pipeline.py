"""From a transcript that was made elsewhere to the one that `listen` would have written: the same message, masked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from importlib.metadata import version

from processors.listening.intervals import union
from processors.pii.masking import MaskSettings, mask
from processors.text.chinese_script import ChineseScript, to_script
from schemas.messages.call_ended import Audio, CallEnded, Role
from schemas.messages.interval import Interval
from schemas.messages.pii import PiiKind
from schemas.messages.transcript import RECEIVED, EngineIdentity, Segment, Transcript
from schemas.messages.transcript_received import TranscriptReceived

NO_RECORDING = Audio(uri="s3://no-recording/received", sha256=sha256(b"").hexdigest(), bytes=0)
"""Stands where a call event points to its recording: nobody has one, and it is of no bytes."""

MS_PER_LETTER = 250
PAUSE_MS = 1_500
"""Without times, as slowly do people speak and as long is each pause. These times keep the order, and say about when
something was said: enough for rules about the first seconds of a call, or the last, and for nothing else."""


@dataclass(frozen=True)
class ReceiveSettings:
    """How text is written and masked, as in `processors.listening.pipeline.ListenSettings`."""

    chinese_script: ChineseScript
    pii_keep_last: Mapping[PiiKind, int] = field(default_factory=dict)


def call_of(received: TranscriptReceived) -> CallEnded:
    """The event that its transcript carries."""
    return CallEnded.model_validate({**dict(received.call), "audio": NO_RECORDING})


def transcript_of(received: TranscriptReceived, settings: ReceiveSettings, now: datetime) -> Transcript:
    """The transcript of a call that is received as text. Nothing of it holds a number or a name in clear (R72).

    `transcribed_at` is the end of the call: of two transcripts of one call the newest stands, so the one that is
    heard of its recording always takes the place of the one that was received, in whatever order they come.
    What follows from sound is not there: no recording, no emotion, no quality; nor are speech intervals without times.
    """
    segments = tuple(_segments(received, settings.chinese_script))
    masked = mask(segments, MaskSettings(settings.pii_keep_last))
    call = call_of(received)
    return Transcript(
        tenant_id=call.tenant_id,
        call_id=call.call_id,
        call=call,
        language=received.language,
        engine=_writer_of(received, settings),
        segments=masked.segments,
        pii=masked.spans,
        speech=_speech_per_role(segments) if received.has_times else {},
        transcribed_at=min(call.ended_at, now),
    )


def _writer_of(received: TranscriptReceived, settings: ReceiveSettings) -> EngineIdentity:
    """Who wrote the text, and everything of ours that changes it; the version is that of what masks."""
    return EngineIdentity(
        name=RECEIVED,
        version=version("callstream"),
        model=received.recogniser or "unknown",
        settings={
            "times": "told" if received.has_times else "none",
            "separate_channels": received.separate_channels,
            "chinese_script": settings.chinese_script,
            "pii_keep_last": ",".join(f"{kind}:{kept}" for kind, kept in sorted(settings.pii_keep_last.items())),
        },
    )


def _segments(received: TranscriptReceived, script: ChineseScript) -> Iterator[Segment]:
    at_ms = 0
    for number, utterance in enumerate(received.utterances):
        start_ms, end_ms = utterance.start_ms, utterance.end_ms
        if start_ms is None or end_ms is None:
            start_ms, end_ms = at_ms, at_ms + MS_PER_LETTER * len(utterance.text)
            at_ms = end_ms + PAUSE_MS
        yield Segment(
            segment_id=number,
            channel=1 if received.separate_channels and utterance.role == "customer" else 0,
            role=utterance.role,
            start_ms=start_ms,
            end_ms=end_ms,
            text="".join(to_script([utterance.text], script, received.language)),
            confidence=1,
        )


def _speech_per_role(segments: Sequence[Segment]) -> dict[Role, tuple[Interval, ...]]:
    spoken: dict[Role, list[Interval]] = {}
    for segment in segments:
        spoken.setdefault(segment.role, []).append(Interval(start_ms=segment.start_ms, end_ms=segment.end_ms))
    return {role: union(intervals) for role, intervals in spoken.items()}
