"""`listen`: from the bytes of a recording to a transcript — what was said, by whom, when, or why it was not heard."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from processors.emotion.segments import EmotionModel, HeardSegment
from processors.emotion.sound_head import pool_clip
from processors.listening.audio import ChannelSound, DecodeLimits, Recording, UnhearableError, decode
from processors.listening.diarization import SpeakerSeparation, speech_by_voice
from processors.listening.engine_port import RecognizedSpeech, RecognizedWord, SpeechClip, SpeechEngine, StatesPool
from processors.listening.hallucination import RejectedText, sift
from processors.listening.intervals import common_ms, length_ms, union
from processors.listening.quality import Frames, audio_quality, frames_of
from processors.listening.respelling import SpellingModel
from processors.listening.role_inference import UNSURE, contradicts, infer_roles, lead_of_first
from processors.listening.voice_activity import (
    are_identical,
    detect_speech,
    mute_crosstalk,
    speech_by_role,
    stretches,
)
from processors.pii.masking import MaskSettings, mask
from processors.text.chinese_script import ChineseScript, to_script
from processors.text.speech_rate import characters_per_minute
from schemas.messages.call_ended import CallEnded, Role
from schemas.messages.outcome import Outcome
from schemas.messages.pii import PiiKind
from schemas.messages.said_text import said_text
from schemas.messages.sound import CallSound, ChannelMeasures
from schemas.messages.transcript import AudioFacts, EngineIdentity, Interval, Rejected, Segment, Transcript, Word

Decoder = Callable[[bytes, DecodeLimits], Recording]
"""`processors.listening.audio.decode`, or the same in a process of its own."""

Stopwatch = Callable[[], float]
"""Seconds since some fixed point, never going back."""

TURN_PAUSE_MS = 800
"""On a channel of one speaker, a shorter pause belongs to the turn unless the other side begins to speak in it."""


@dataclass(frozen=True)
class ListenSettings:
    """Limits and switches for transcribing a recording."""

    min_call_ms: int
    max_call_ms: int
    crosstalk_gate_db: float
    chinese_script: ChineseScript
    pii_keep_last: Mapping[PiiKind, int] = field(default_factory=dict)
    """Kind of number → how many of its last digits stay readable; none of a kind that is not named."""
    hear_too_short: bool = False
    """A recording below `min_call_ms` is recognised all the same, for who asks; its outcome stays `too_short`."""
    separation: SpeakerSeparation | None = None
    """Tells apart the voices of a recording with one channel, where the event does not; None: nobody does."""
    spelling: SpellingModel | None = None
    """Puts characters right that were misheard for others of the same sound; None: nobody does."""

    def spelling_of(self, language: str | None) -> SpellingModel | None:
        """What does so in that language: Mandarin, in simplified characters."""
        return self.spelling if language == "zh" and self.chinese_script == "simplified" else None


@dataclass(frozen=True)
class _Channel:
    """One channel, its crosstalk muted, and where somebody speaks on it; `frames` are those before the muting."""

    index: int
    sound: ChannelSound
    frames: Frames
    speech: tuple[Interval, ...]


@dataclass(frozen=True)
class _Speaker:
    """Who speaks on a channel, with the turns; a channel has one, or several where the event tells them apart."""

    channel: _Channel
    role: Role
    speech: tuple[Interval, ...]
    turns: tuple[tuple[Interval, ...], ...]


@dataclass(frozen=True)
class _Heard:
    """What was recognised for each speaker, trusted or not, in the script wanted; speakers by position."""

    language: str | None
    language_confidence: float | None
    believed: tuple[tuple[int, RecognizedSpeech], ...]
    rejected: tuple[tuple[int, RejectedText], ...]


def listen(
    call: CallEnded,
    data: bytes,
    engine: SpeechEngine,
    settings: ListenSettings,
    now: datetime,
    stopwatch: Stopwatch,
    emotion: EmotionModel | None = None,
    decode: Decoder = decode,
) -> Transcript:
    """The transcript of a call. A recording that cannot be heard gives one with its outcome; no recording raises.

    `outcome` is `too_short` (`shorter_than_minimum`) for a recording shorter than `min_call_ms` by its own
    samples, and what `processors.listening.audio.decode` says for one that cannot be decoded.
    Silence is heard: no segments. Without an `emotion` model, emotion is switched off.
    """
    started_s = stopwatch()
    listener = listener_of(engine, settings, emotion)
    try:
        recording = decode(data, DecodeLimits(settings.max_call_ms))
    except UnhearableError as error:
        return unheard_transcript(call, error.outcome, error.reason, listener, now)
    facts = recording.facts.model_copy(update={"truncated": recording.truncated})
    too_short = facts.duration_ms < settings.min_call_ms
    if too_short and not settings.hear_too_short:
        return unheard_transcript(call, "too_short", "shorter_than_minimum", listener, now, facts)
    facts, channels = _channels(recording, facts, settings)
    speakers = _speakers(call, channels, settings.separation)
    pool = pool_clip if emotion is not None else None
    heard = _recognize(speakers, engine, call.language_hint, settings.chinese_script, pool)
    roles = _roles_by_words(call, speakers, heard)
    doubtful = _roles_are_doubtful(speakers, heard, inferred=roles is not None)
    if roles is not None:
        speakers = tuple(replace(speaker, role=role) for speaker, role in zip(speakers, roles, strict=True))
    segments = tuple(_segment(number, speech, speakers[who]) for number, (who, speech) in enumerate(heard.believed))
    spelling = settings.spelling_of(heard.language)
    if spelling is not None:
        segments = tuple(_respelt(segment, spelling) for segment in segments)
    rejected = tuple(_rejected_piece(piece, speakers[who]) for who, piece in heard.rejected)
    # From here on nothing holds a number or a name in clear (R72): what leaves this function is masked.
    masked = mask(segments, MaskSettings(settings.pii_keep_last), rejected)
    judged = _with_emotion(masked.segments, heard, speakers, emotion)
    work_s = stopwatch() - started_s
    return Transcript(
        tenant_id=call.tenant_id,
        call_id=call.call_id,
        call=call,
        outcome="too_short" if too_short else None,
        outcome_reason="shorter_than_minimum" if too_short else None,
        language=heard.language,
        language_confidence=heard.language_confidence,
        engine=listener,
        audio=facts,
        segments=tuple(judged),
        rejected=masked.rejected,
        pii=masked.spans,
        speech=_speech_per_role(speakers),
        roles_inferred=roles is not None,
        roles_doubtful=doubtful,
        sound=_sound(channels, speakers, segments),
        real_time_factor=max(0.0, work_s) / (facts.duration_ms / 1000) if facts.duration_ms else None,
        transcribed_at=now,
    )


def listener_of(engine: SpeechEngine, settings: ListenSettings, emotion: EmotionModel | None = None) -> EngineIdentity:
    """The engine with every setting that changes a transcript: equal ones write the same transcript."""
    ours: dict[str, str | int | float | bool | None] = {
        **(settings.separation.identity if settings.separation is not None else {}),
        "chinese_script": settings.chinese_script,
        "crosstalk_gate_db": settings.crosstalk_gate_db,
        "min_call_ms": settings.min_call_ms,
        "max_call_ms": settings.max_call_ms,
        "pii_keep_last": ",".join(f"{kind}:{kept}" for kind, kept in sorted(settings.pii_keep_last.items())),
        "respelling": settings.spelling.version if settings.spelling is not None else "off",
    }
    ours |= emotion.settings if emotion is not None else {"emotion": "switched_off"}
    return engine.identity.model_copy(update={"settings": {**engine.identity.settings, **ours}})


def unheard_transcript(
    call: CallEnded,
    outcome: Outcome,
    reason: str,
    engine: EngineIdentity,
    now: datetime,
    audio: AudioFacts | None = None,
    error: Exception | None = None,
) -> Transcript:
    """The transcript of a call that could not be heard: its outcome and why, and what is known of the file.

    Of an `error`, the class alone.
    """
    return Transcript(
        tenant_id=call.tenant_id,
        call_id=call.call_id,
        call=call,
        outcome=outcome,
        outcome_reason=reason,
        error_class=type(error).__name__ if error is not None else None,
        engine=engine,
        audio=audio,
        transcribed_at=now,
    )


def _channels(
    recording: Recording, facts: AudioFacts, settings: ListenSettings
) -> tuple[AudioFacts, tuple[_Channel, ...]]:
    """The channels to transcribe; two with the same sound count as one."""
    sounds = recording.channels
    if len(sounds) == 2 and are_identical(sounds[0].pcm, sounds[1].pcm):
        facts = facts.model_copy(update={"identical_channels": True})
        sounds = sounds[:1]
    frames = [frames_of(sound.pcm, sound.sample_rate_hz) for sound in sounds]
    if len(sounds) == 2:
        mute_crosstalk(sounds[0], sounds[1], settings.crosstalk_gate_db)
    return facts, tuple(
        _Channel(index, sound, frames[index], detect_speech(sound)) for index, sound in enumerate(sounds)
    )


def _roles_by_event(call: CallEnded, channels: Sequence[_Channel]) -> tuple[Role, ...] | None:
    """Who speaks on each channel, by the event; None where it does not know, or describes another file."""
    told = call.audio.channel_roles
    fits = told is not None and len(told) == len(channels) and set(told) != {"unknown"}
    return told if fits else None


def _speakers(
    call: CallEnded, channels: Sequence[_Channel], separation: SpeakerSeparation | None
) -> tuple[_Speaker, ...]:
    """Who speaks: one on each of two channels. One channel holds both sides: whoever the event names, else the voices
    that are told apart, else nobody in particular.

    Where nobody tells speakers apart the speaker may change at any pause, so there each pause ends a turn.
    """
    named: Sequence[tuple[_Channel, Role, tuple[Interval, ...]]]
    if len(channels) > 1:
        roles: Sequence[Role] = _roles_by_event(call, channels) or ["unknown"] * len(channels)
        named = [(channel, role, channel.speech) for channel, role in zip(channels, roles, strict=True)]
    else:
        (channel,) = channels
        segments = call.audio.speaker_segments or ()
        if separation is not None and channel.speech and not segments:
            voices = speech_by_voice(channel.speech, separation.separate(channel.sound))
            named = [(channel, "unknown", speech) for speech in voices]
        else:
            named = [(channel, role, speech) for role, speech in speech_by_role(channel.speech, segments).items()]
    pause_ms = TURN_PAUSE_MS if len(named) > 1 else 0
    return tuple(
        _Speaker(channel, role, speech, tuple(stretches(speech, _others(position, named), pause_ms)))
        for position, (channel, role, speech) in enumerate(named)
    )


def _others(position: int, named: Sequence[tuple[_Channel, Role, tuple[Interval, ...]]]) -> list[Interval]:
    return [interval for other, (_, _, speech) in enumerate(named) if other != position for interval in speech]


def _roles_by_words(call: CallEnded, speakers: Sequence[_Speaker], heard: _Heard) -> tuple[Role, ...] | None:
    """The role of each speaker by what is said; None where the event tells roles, or nothing tells the two apart.

    Voices that were told apart on one channel are a guess already: there it is not guessed further by who speaks first.
    """
    if len(speakers) < 2 or any(speaker.role != "unknown" for speaker in speakers):
        return None
    texts = [_text_of(heard, {position}) for position in (0, 1)]
    spoke = {who for who, _ in heard.believed}
    sure_of_who = speakers[0].channel is not speakers[1].channel
    first = heard.believed[0][0] if sure_of_who and len(spoke) > 1 else None
    pair = infer_roles(texts, first, call.direction)
    return None if pair is None else (*pair, *(speaker.role for speaker in speakers[2:]))


def _roles_are_doubtful(speakers: Sequence[_Speaker], heard: _Heard, *, inferred: bool) -> bool:
    """Whether what is said contradicts the roles that the event told; of inferred ones, whether only who spoke first
    tells them apart."""
    if inferred:
        return abs(lead_of_first([_text_of(heard, {position}) for position in (0, 1)])) < UNSURE
    agent, customer = (
        _text_of(heard, {position for position, speaker in enumerate(speakers) if speaker.role == role})
        for role in ("agent", "customer")
    )
    return contradicts(agent, customer)


def _text_of(heard: _Heard, positions: Collection[int]) -> str:
    """All that the speakers at these positions said, in simplified characters."""
    return "".join(to_script([speech.text for who, speech in heard.believed if who in positions], "simplified", "zh"))


def _recognize(
    speakers: Sequence[_Speaker],
    engine: SpeechEngine,
    language_hint: str | None,
    script: ChineseScript,
    pool: StatesPool | None,
) -> _Heard:
    clips = sorted(_clips(speakers), key=lambda item: (item[1].start_ms, item[0]))
    if not clips:
        return _Heard(None, None, (), ())
    recognition = engine.recognize([clip for _, clip in clips], language_hint=language_hint, pool=pool)
    language = recognition.language
    believed: list[tuple[int, RecognizedSpeech]] = []
    rejected: list[tuple[int, RejectedText]] = []
    for (who, _), speech in zip(clips, recognition.speech, strict=True):
        kept, not_believed = sift(_said(speech))
        for piece in not_believed:
            rejected.append((who, replace(piece, text="".join(to_script([piece.text], script, language)))))
        if kept is not None:
            believed.append((who, _in_script(kept, script, language)))
    believed.sort(key=lambda item: (item[1].start_ms, item[1].channel))
    return _Heard(language, recognition.language_confidence, tuple(believed), tuple(rejected))


def _clips(speakers: Sequence[_Speaker]) -> Iterator[tuple[int, SpeechClip]]:
    """One clip for each turn, with the position of its speaker."""
    for position, speaker in enumerate(speakers):
        channel = speaker.channel
        for turn in speaker.turns:
            yield position, SpeechClip(channel.index, turn[0].start_ms, turn[-1].end_ms, channel.sound)


def _said(speech: RecognizedSpeech) -> RecognizedSpeech:
    """Without characters that nobody says: a speech service may write any, and numbers must not hide behind them."""
    if not speech.words:
        return replace(speech, text=said_text(speech.text))
    words = tuple(replace(word, text=text) for word in speech.words if (text := said_text(word.text)))
    return replace(speech, text="".join(word.text for word in words), words=words)


def _in_script(speech: RecognizedSpeech, script: ChineseScript, language: str) -> RecognizedSpeech:
    if not speech.words:
        return replace(speech, text="".join(to_script([speech.text], script, language)))
    texts = to_script([word.text for word in speech.words], script, language)
    words = tuple(replace(word, text=text) for word, text in zip(speech.words, texts, strict=True))
    return replace(speech, text="".join(texts), words=words)


def _segment(number: int, speech: RecognizedSpeech, speaker: _Speaker) -> Segment:
    inside = [
        interval
        for interval in speaker.speech
        if interval.start_ms < speech.end_ms and interval.end_ms > speech.start_ms
    ]
    return Segment(
        segment_id=number,
        channel=speaker.channel.index,
        role=speaker.role,
        start_ms=speech.start_ms,
        end_ms=speech.end_ms,
        text=speech.text,
        words=tuple(_word(word, inside) for word in speech.words),
        confidence=speech.confidence,
    )


def _respelt(segment: Segment, spelling: SpellingModel) -> Segment:
    """The segment with the characters put right that were misheard for others of the same sound, and what was heard."""
    sure = [word.confidence for word in segment.words for _ in word.text] or [segment.confidence] * len(segment.text)
    text = spelling.respell(segment.text, sure)
    if text == segment.text:
        return segment
    words: list[Word] = []
    position = 0
    for word in segment.words:  # put together they are the text: see `_in_script`
        words.append(word.model_copy(update={"text": text[position : position + len(word.text)]}))
        position += len(word.text)
    return segment.model_copy(update={"text": text, "heard_text": segment.text, "words": tuple(words)})


def _with_emotion(
    segments: Sequence[Segment], heard: _Heard, speakers: Sequence[_Speaker], model: EmotionModel | None
) -> list[Segment]:
    """The segments, which are masked and in the order of `heard.believed`, each with its emotion or why it has none."""
    if model is None:
        return [segment.model_copy(update={"emotion_gap": "switched_off"}) for segment in segments]
    said = (
        HeardSegment(
            speaker=who,
            clip=SpeechClip(speech.channel, speech.start_ms, speech.end_ms, speakers[who].channel.sound),
            pooled=speech.pooled_states,
            text=segment.text,
        )
        for segment, (who, speech) in zip(segments, heard.believed, strict=True)
    )
    return [
        segment.model_copy(update={"emotion_gap" if isinstance(emotion, str) else "emotion": emotion})
        for segment, emotion in zip(segments, model.judge(said), strict=True)
    ]


def _rejected_piece(piece: RejectedText, speaker: _Speaker) -> Rejected:
    return Rejected(
        start_ms=piece.start_ms,
        end_ms=piece.end_ms,
        channel=speaker.channel.index,
        role=speaker.role,
        text=piece.text,
        reason=piece.reason,
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


def _speech_per_role(speakers: Iterable[_Speaker]) -> dict[Role, tuple[Interval, ...]]:
    """Where each role speaks; a role that has a channel but says nothing has an empty list."""
    intervals: dict[Role, list[Interval]] = {}
    for speaker in speakers:
        intervals.setdefault(speaker.role, []).extend(speaker.speech)
    return {role: union(speech) for role, speech in intervals.items()}


def _sound(channels: Sequence[_Channel], speakers: Sequence[_Speaker], segments: Sequence[Segment]) -> CallSound:
    anybody = union([interval for channel in channels for interval in channel.speech])
    return CallSound(channels=tuple(_measures(channel, speakers, segments, anybody) for channel in channels))


def _measures(
    channel: _Channel, speakers: Sequence[_Speaker], segments: Sequence[Segment], anybody: Sequence[Interval]
) -> ChannelMeasures:
    own = [segment for segment in segments if segment.channel == channel.index]
    roles = {speaker.role for speaker in speakers if speaker.channel is channel}
    one_speaker = any(speaker.channel is not channel for speaker in speakers)
    pace = characters_per_minute([each.text for each in own], common_ms(channel.speech, own))
    return ChannelMeasures(
        channel=channel.index,
        role=roles.pop() if len(roles) == 1 else "unknown",
        speech_ms=length_ms(channel.speech),
        characters_per_minute=pace if one_speaker else None,
        quality=audio_quality(channel.frames, channel.speech, anybody),
    )
