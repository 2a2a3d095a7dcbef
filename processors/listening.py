"""`listen`: from the bytes of a recording to a transcript — what was said, by whom, when, or why it was not heard."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from processors.audio import ChannelSound, DecodeLimits, Recording, UnhearableError, decode
from processors.chinese_script import ChineseScript, to_script
from processors.hallucination import RejectedText, sift
from processors.speech import RecognizedSpeech, RecognizedWord, SpeechClip, SpeechEngine
from processors.voice_activity import are_identical, detect_speech, mute_crosstalk, stretches, union
from schemas.call_ended import CallEnded, Role
from schemas.outcome import Outcome
from schemas.transcript import AudioFacts, EngineIdentity, Interval, Rejected, Segment, Transcript, Word

Stopwatch = Callable[[], float]
"""Seconds since some fixed point, never going back."""

TURN_PAUSE_MS = 800
"""On a channel of one speaker, a shorter pause belongs to the turn unless the other side begins to speak in it."""


@dataclass(frozen=True)
class ListenSettings:
    """How recordings are heard."""

    min_call_ms: int
    max_call_ms: int
    crosstalk_gate_db: float
    chinese_script: ChineseScript


@dataclass(frozen=True)
class _Channel:
    """One channel with who speaks on it, and where."""

    index: int
    role: Role
    sound: ChannelSound
    speech: tuple[Interval, ...]


@dataclass(frozen=True)
class _Heard:
    """What was recognised and what of it is believed, in the script wanted."""

    language: str | None
    language_confidence: float | None
    segments: tuple[Segment, ...]
    rejected: tuple[Rejected, ...]


def listen(
    call: CallEnded, data: bytes, engine: SpeechEngine, settings: ListenSettings, now: datetime, stopwatch: Stopwatch
) -> Transcript:
    """The transcript of a call. A recording that cannot be heard gives one with its outcome; no recording raises.

    `outcome` is `too_short` (`shorter_than_minimum`) for a recording shorter than `min_call_ms` by its own
    samples, and what `processors.audio.decode` says for one that cannot be decoded. Silence is heard: no segments.
    """
    started_s = stopwatch()
    listener = listener_of(engine, settings)
    try:
        recording = decode(data, DecodeLimits(settings.max_call_ms))
    except UnhearableError as error:
        return unheard(call, error.outcome, error.reason, listener, now)
    facts = recording.facts.model_copy(update={"truncated": recording.truncated})
    if facts.duration_ms < settings.min_call_ms:
        return unheard(call, "too_short", "shorter_than_minimum", listener, now, facts)
    facts, channels = _channels(call, recording, facts, settings)
    heard = _recognize(channels, engine, call.language_hint, settings.chinese_script)
    work_s = stopwatch() - started_s
    return Transcript(
        tenant_id=call.tenant_id,
        call_id=call.call_id,
        call=call,
        language=heard.language,
        language_confidence=heard.language_confidence,
        engine=listener,
        audio=facts,
        segments=heard.segments,
        rejected=heard.rejected,
        speech=_speech_per_role(channels),
        real_time_factor=max(0.0, work_s) / (facts.duration_ms / 1000) if facts.duration_ms else None,
        transcribed_at=now,
    )


def listener_of(engine: SpeechEngine, settings: ListenSettings) -> EngineIdentity:
    """The engine with every setting that changes a transcript: who is equal here writes the same."""
    ours: dict[str, str | int | float | bool | None] = {
        "chinese_script": settings.chinese_script,
        "crosstalk_gate_db": settings.crosstalk_gate_db,
        "min_call_ms": settings.min_call_ms,
        "max_call_ms": settings.max_call_ms,
    }
    return engine.identity.model_copy(update={"settings": {**engine.identity.settings, **ours}})


def unheard(
    call: CallEnded,
    outcome: Outcome,
    reason: str,
    engine: EngineIdentity,
    now: datetime,
    audio: AudioFacts | None = None,
) -> Transcript:
    """The transcript of a call that could not be heard: its outcome and why, and what is known of the file."""
    return Transcript(
        tenant_id=call.tenant_id,
        call_id=call.call_id,
        call=call,
        outcome=outcome,
        outcome_reason=reason,
        engine=engine,
        audio=audio,
        transcribed_at=now,
    )


def _channels(
    call: CallEnded, recording: Recording, facts: AudioFacts, settings: ListenSettings
) -> tuple[AudioFacts, tuple[_Channel, ...]]:
    """The channels that are heard, with roles and speech; two that hold the same sound are one, of unknown role."""
    sounds = recording.channels
    roles = _roles(call, facts.channels)
    if len(sounds) == 2:
        if are_identical(sounds[0].pcm, sounds[1].pcm):
            facts = facts.model_copy(update={"identical_channels": True})
            sounds, roles = sounds[:1], ("unknown",)
        else:
            mute_crosstalk(sounds[0], sounds[1], settings.crosstalk_gate_db)
    return facts, tuple(
        _Channel(index, role, sound, detect_speech(sound))
        for index, (role, sound) in enumerate(zip(roles, sounds, strict=True))
    )


def _roles(call: CallEnded, channels: int) -> tuple[Role, ...]:
    """Who speaks on each channel of the file, by the event; unknown where the event describes another file.

    A mono recording holds both sides: its one channel is nobody's.
    """
    told = call.audio.channel_roles
    if channels > 1 and told is not None and len(told) == channels:
        return told
    unknown: Role = "unknown"
    return (unknown,) * channels


def _recognize(
    channels: Sequence[_Channel], engine: SpeechEngine, language_hint: str | None, script: ChineseScript
) -> _Heard:
    clips = sorted(_clips(channels), key=lambda clip: (clip.start_ms, clip.channel))
    if not clips:
        return _Heard(None, None, (), ())
    recognition = engine.recognize(clips, language_hint=language_hint)
    language = recognition.language
    believed: list[RecognizedSpeech] = []
    rejected: list[RejectedText] = []
    for speech in recognition.speech:
        kept, not_believed = sift(speech)
        rejected.extend(not_believed)
        if kept is not None:
            believed.append(_in_script(kept, script, language))
    believed.sort(key=lambda speech: (speech.start_ms, speech.channel))
    return _Heard(
        language,
        recognition.language_confidence,
        tuple(_segment(number, speech, channels[speech.channel]) for number, speech in enumerate(believed)),
        tuple(
            Rejected(
                start_ms=piece.start_ms,
                end_ms=piece.end_ms,
                channel=piece.channel,
                role=channels[piece.channel].role,
                text="".join(to_script([piece.text], script, language)),
                reason=piece.reason,
            )
            for piece in rejected
        ),
    )


def _clips(channels: Sequence[_Channel]) -> Iterator[SpeechClip]:
    """One clip for each turn. On a mono recording the speaker may change at any pause, so each pause ends a turn."""
    for channel in channels:
        others = [interval for other in channels if other is not channel for interval in other.speech]
        pause_ms = TURN_PAUSE_MS if len(channels) > 1 else 0
        for turn in stretches(channel.speech, others, pause_ms):
            yield SpeechClip(channel.index, turn[0].start_ms, turn[-1].end_ms, channel.sound)


def _in_script(speech: RecognizedSpeech, script: ChineseScript, language: str) -> RecognizedSpeech:
    if not speech.words:
        return replace(speech, text="".join(to_script([speech.text], script, language)))
    texts = to_script([word.text for word in speech.words], script, language)
    words = tuple(replace(word, text=text) for word, text in zip(speech.words, texts, strict=True))
    return replace(speech, text="".join(texts), words=words)


def _segment(number: int, speech: RecognizedSpeech, channel: _Channel) -> Segment:
    inside = [
        interval
        for interval in channel.speech
        if interval.start_ms < speech.end_ms and interval.end_ms > speech.start_ms
    ]
    return Segment(
        segment_id=number,
        channel=channel.index,
        role=channel.role,
        start_ms=speech.start_ms,
        end_ms=speech.end_ms,
        text=speech.text,
        words=tuple(_word(word, inside) for word in speech.words),
        confidence=speech.confidence,
    )


def _word(word: RecognizedWord, speech: Sequence[Interval]) -> Word:
    """The word with its times inside speech: the recogniser stretches words over pauses, or puts them into one."""
    interval = max(
        speech, key=lambda item: min(word.end_ms, item.end_ms) - max(word.start_ms, item.start_ms), default=None
    )
    start_ms, end_ms = word.start_ms, word.end_ms
    if interval is not None:
        start_ms = min(max(start_ms, interval.start_ms), interval.end_ms)
        end_ms = max(start_ms, min(end_ms, interval.end_ms))
    return Word(start_ms=start_ms, end_ms=end_ms, text=word.text, confidence=word.confidence)


def _speech_per_role(channels: Iterable[_Channel]) -> dict[Role, tuple[Interval, ...]]:
    """Where each role speaks; a role that has a channel but says nothing has an empty list."""
    intervals: dict[Role, list[Interval]] = {}
    for channel in channels:
        intervals.setdefault(channel.role, []).extend(channel.speech)
    return {role: union(speech) for role, speech in intervals.items()}
