"""Transcripts for tests, built from who says what."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from schemas.messages.call_ended import Agent, Audio, CallEnded, Role, SpeakerSegment
from schemas.messages.emotion import SegmentEmotion
from schemas.messages.outcome import Outcome
from schemas.messages.transcript import AudioFacts, EngineIdentity, Interval, Segment, Transcript, Word

STARTED_AT = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
NOW = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
ENGINE = EngineIdentity(name="written", version="1", model="none")

Line = tuple[Role, str]
Turn = tuple[Role, int, int, str]

_CHANNELS: dict[Role, int] = {"agent": 0, "customer": 1, "unknown": 0}


def call(industry: str = "general", duration_ms: int = 60_000) -> CallEnded:
    """A call of that industry."""
    return CallEnded(
        tenant_id="acme",
        call_id="c-1",
        direction="inbound",
        started_at=STARTED_AT,
        ended_at=STARTED_AT + timedelta(milliseconds=duration_ms),
        agent=Agent(id="A1"),
        industry=industry,
        audio=Audio(uri="s3://callstream/recordings/acme/c-1.wav", sha256="0" * 64, bytes=44),
    )


def audio(duration_ms: int) -> AudioFacts:
    """A decoded file of that length."""
    return AudioFacts(container="wav", codec="pcm_s16le", sample_rate_hz=8_000, channels=2, duration_ms=duration_ms)


def segment(
    segment_id: int, role: Role, start_ms: int, end_ms: int, text: str, words: tuple[Word, ...] = ()
) -> Segment:
    """One segment on the channel of its role."""
    return Segment(
        segment_id=segment_id,
        channel=_CHANNELS[role],
        role=role,
        start_ms=start_ms,
        end_ms=end_ms,
        text=text,
        words=words,
        confidence=0.9,
    )


def words(text: str, start_ms: int, end_ms: int, size: int = 2) -> tuple[Word, ...]:
    """The text cut into words of `size` characters of equal length."""
    pieces = [text[place : place + size] for place in range(0, len(text), size)]
    step_ms = (end_ms - start_ms) / max(1, len(pieces))
    return tuple(
        Word(
            start_ms=round(start_ms + place * step_ms),
            end_ms=round(start_ms + (place + 1) * step_ms),
            text=piece,
            confidence=0.9,
        )
        for place, piece in enumerate(pieces)
    )


def heard(
    turns: Sequence[Turn],
    *,
    industry: str = "general",
    language: str | None = "zh",
    duration_ms: int | None = None,
    with_words: bool = True,
) -> Transcript:
    """A call that was heard: turns as role, start, end, text."""
    in_order = sorted(turns, key=lambda turn: turn[1])
    segments = tuple(
        segment(place, role, start_ms, end_ms, text, words(text, start_ms, end_ms) if with_words else ())
        for place, (role, start_ms, end_ms, text) in enumerate(in_order)
    )
    length_ms = duration_ms if duration_ms is not None else max((s.end_ms for s in segments), default=10_000)
    speech: dict[Role, tuple[Interval, ...]] = {}
    for one in segments:
        speech[one.role] = (*speech.get(one.role, ()), Interval(start_ms=one.start_ms, end_ms=one.end_ms))
    return Transcript(
        tenant_id="acme",
        call_id="c-1",
        call=call(industry, length_ms),
        language=language,
        engine=ENGINE,
        audio=audio(length_ms),
        segments=segments,
        speech=speech if len(segments) < 1_000 else {},
        transcribed_at=NOW,
    )


def said(*lines: Line, industry: str = "general", pause_ms: int = 2_000, with_words: bool = True) -> Transcript:
    """Lines one after the other, 200 ms a character, `pause_ms` between them."""
    turns: list[Turn] = []
    at_ms = 300
    for role, text in lines:
        end_ms = at_ms + 200 * len(text)
        turns.append((role, at_ms, end_ms, text))
        at_ms = end_ms + pause_ms
    return heard(turns, industry=industry, with_words=with_words)


def felt(transcript: Transcript, emotions: Mapping[int, tuple[float, float]]) -> Transcript:
    """The call with emotions: segment id → how agitated, and valence; other segments have none."""
    emotion_of = {
        segment_id: SegmentEmotion(agitated=agitated, valence=valence, sound_agitated=agitated, source="sound")
        for segment_id, (agitated, valence) in emotions.items()
    }
    segments = [each.model_copy(update={"emotion": emotion_of.get(each.segment_id)}) for each in transcript.segments]
    return transcript.model_copy(update={"segments": tuple(segments)})


def on_one_channel(transcript: Transcript, *told: tuple[Role, int, int]) -> Transcript:
    """The call recorded on one channel; `told` is who speaks when, by the event."""
    told_segments = tuple(SpeakerSegment(role=role, start_ms=start, end_ms=end) for role, start, end in told)
    recorded = transcript.call.audio.model_copy(update={"speaker_segments": told_segments or None})
    facts = audio(10_000 if transcript.audio is None else transcript.audio.duration_ms)
    return transcript.model_copy(
        update={
            "call": transcript.call.model_copy(update={"audio": recorded}),
            "audio": facts.model_copy(update={"channels": 1}),
            "segments": tuple(each.model_copy(update={"channel": 0}) for each in transcript.segments),
        }
    )


def not_heard(outcome: Outcome, *, duration_ms: int | None, reason: str = "because") -> Transcript:
    """A call that could not be heard; `duration_ms` is null when not even decoding succeeded."""
    return Transcript(
        tenant_id="acme",
        call_id="c-1",
        call=call(),
        outcome=outcome,
        outcome_reason=reason,
        engine=ENGINE,
        audio=None if duration_ms is None else audio(duration_ms),
        transcribed_at=NOW,
    )
