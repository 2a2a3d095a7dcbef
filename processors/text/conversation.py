"""Who speaks when: the turns of agent and customer, where they overlap, and what is no turn but a sign of attention."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from processors.listening.intervals import common, length_ms, union
from processors.text.back_channel import is_back_channel
from processors.text.speech_rate import length_in_characters
from processors.text.utterances import Utterance
from schemas.messages.call_ended import Role
from schemas.messages.interval import Interval
from schemas.messages.transcript import Segment, Transcript

NO_SPEECH = "no_speech"
SPEAKER_UNKNOWN = "speaker_unknown"
ONE_CHANNEL = "one_channel"
NO_TIMES = "no_times"

PAUSE_MS = 800
"""A shorter pause is part of an utterance, unless the other side begins to speak in it; `listen` cuts turns alike."""

LEAST_OVERLAP_MS = 150
"""Speakers who follow each other closely overlap by what voice activity adds on both sides, which says nothing."""

INTERRUPTION_OVERLAP_MS = 500
INTERRUPTION_CHARACTERS = 4
"""From how much overlap, and from how many Chinese characters on, speaking in is an interruption (R43)."""

BACK_CHANNEL_MS = 1_000
"""A sound that is no longer, inside the other side's turn, shows attention, whatever a recogniser writes for it."""

GOES_ON_WITHIN_MS = 300
"""Who speaks on after so short a breath has kept the floor."""

_MISHEARD_CHARACTERS = 2
_MISHEARD_CONFIDENCE = 0.5
"""As short and as unsure, a text is taken for the 嗯 that recognisers write as any word of its length."""

_CHARACTERS_PER_SECOND = 8
"""Nobody says more: what a recogniser writes beyond it was not said there."""


@dataclass(frozen=True)
class Turn:
    """What one side says until it is the other's turn: its utterances in order.

    `overlap_ms` is how long the other side, who was speaking when the turn began, went on; 0 where nobody was.
    `gap_ms` is from the end of all that the other side had begun to say before to the start of the turn: negative
    where the turn began earlier, null where the other side had said nothing. `is_interruption` is by R43: the first
    utterance began while the other side spoke, overlaps it long enough, says something and is no back-channel.
    """

    role: Role
    utterances: tuple[Utterance, ...]
    overlap_ms: int
    gap_ms: int | None
    is_interruption: bool


@dataclass(frozen=True)
class Sound:
    """When somebody is heard, and the utterance, unless nothing was understood."""

    role: Role
    start_ms: int
    end_ms: int
    utterance: Utterance | None


@dataclass(frozen=True)
class Conversation:
    """The turns of both sides in the order of their starts, and apart from them their back-channels.

    `overlap_ms` is how long both sides speak at once in all; null where that cannot be known, and then neither
    back-channels nor interruptions can.
    """

    turns: tuple[Turn, ...]
    back_channels: tuple[Sound, ...]
    overlap_ms: int | None

    def turns_of(self, role: Role) -> list[Turn]:
        """The turns of one side."""
        return [turn for turn in self.turns if turn.role == role]


def why_not_told_apart(transcript: Transcript) -> str | None:
    """Why nothing can be said of agent and customer apart; None where it can.

    `no_speech` where no words were heard, `speaker_unknown` where some are of a speaker whom nobody names, and
    `one_channel` where a recording with one channel has the words of one side only: the other is then more likely
    unnamed than silent. An unknown speaker's back-channel, such as 嗯, holds nothing that is
    counted for either side.
    """
    heard = [segment for segment in transcript.segments if segment.text.strip()]
    if not heard:
        return NO_SPEECH
    said = {segment.role for segment in heard if segment.role != "unknown"}
    if not said or any(segment.role == "unknown" and says_something(segment) for segment in heard):
        return SPEAKER_UNKNOWN
    if is_one_channel(transcript) and len(said) == 1:
        return ONE_CHANNEL
    return None


def why_no_times(transcript: Transcript) -> str | None:
    """Why nothing can be said of how long anything took: `no_times`; None where it can."""
    return None if transcript.engine.knows_times else NO_TIMES


def is_one_channel(transcript: Transcript) -> bool:
    """Whether both sides were recorded on one channel, or on two that hold the same sound.

    So is a transcript taken that was made elsewhere, unless whoever sent it says that each side had its own.
    """
    if not transcript.engine.tells_overlaps:
        return True
    return transcript.audio is not None and (transcript.audio.channels == 1 or transcript.audio.identical_channels)


def speech_of(transcript: Transcript, role: Role) -> tuple[Interval, ...]:
    """Where that role speaks, in order; by its segments where the transcript has no speech intervals at all."""
    if transcript.speech:
        return union(transcript.speech.get(role, ()))
    return union([segment for segment in transcript.segments if segment.role == role])


def says_something(segment: Segment) -> bool:
    """Whether there are words that are more than a back-channel."""
    return length_in_characters(segment.text) > 0 and not is_back_channel(segment.text)


def conversation(transcript: Transcript) -> Conversation:
    """The call as turns. Segments of unknown speakers and without words are left out.

    A turn ends where the other side speaks on after it, and where its own speaker interrupts. A back-channel is no
    turn and ends none. It begins while the other side speaks and overlaps it, and is either made of back-channel words,
    or too short and unsure to be words at all, or it takes the floor from nobody: at most 1 s, after which the other
    side speaks on, and it alone, and no interruption by R43. There it is the time that tells, not the words: sounds of
    which nothing was understood count as well.

    On one channel the speech that was found there is shared out, so nobody speaks at once with another: only what the
    event says of its speakers (`speaker_segments`) can overlap, and without it nothing is known of overlaps (R43).
    """
    told = transcript.call.audio.speaker_segments or () if is_one_channel(transcript) else ()
    agent_speech = union([each for each in told if each.role == "agent"]) or speech_of(transcript, "agent")
    customer_speech = union([each for each in told if each.role == "customer"]) or speech_of(transcript, "customer")
    both = common(agent_speech, customer_speech)
    spoken: list[tuple[Utterance, int]] = []
    back_channels: list[Sound] = []
    sides: tuple[tuple[Role, Sequence[Interval], Sequence[Interval]], ...] = (
        ("agent", agent_speech, customer_speech),
        ("customer", customer_speech, agent_speech),
    )
    for role, own_speech, other_speech in sides:
        sounds = _sounds(role, own_speech, list(_utterances(transcript, role, other_speech)))
        for sound, following in zip_longest(sounds, sounds[1:]):
            overlap_ms = _overlap_ms(sound, other_speech, both)
            if overlap_ms >= LEAST_OVERLAP_MS and (
                (sound.utterance is not None and _only_listens(sound.utterance))
                or (_takes_no_floor(sound, following, other_speech) and not _cuts_in(sound, overlap_ms))
            ):
                back_channels.append(sound)
            elif sound.utterance is not None:
                spoken.append((sound.utterance, overlap_ms))
    spoken.sort(key=lambda item: (item[0].segments[0].start_ms, item[0].segments[0].segment_id))
    back_channels.sort(key=lambda sound: (sound.start_ms, sound.role))
    knows_overlaps = bool(told) or not is_one_channel(transcript)
    return Conversation(tuple(_turns(spoken)), tuple(back_channels), length_ms(both) if knows_overlaps else None)


def _turns(spoken: Sequence[tuple[Utterance, int]]) -> Iterator[Turn]:
    """In the order in which they begin. Of each side the last turn is open: what its speaker says may belong to it."""
    turns: list[tuple[list[Utterance], int, int | None, bool]] = []
    open_turn: dict[Role, list[Utterance]] = {}
    said_until_ms: dict[Role, int] = {}
    for utterance, overlap_ms in spoken:
        role = utterance.role
        start_ms, end_ms = utterance.segments[0].start_ms, utterance.segments[-1].end_ms
        own_until_ms, other_until_ms = said_until_ms.get(role, 0), said_until_ms.get(_OTHER[role])
        interrupts = _interrupts(utterance, overlap_ms)
        other_spoke_on = other_until_ms is not None and other_until_ms > own_until_ms
        if interrupts or other_spoke_on or role not in open_turn:
            gap_ms = None if other_until_ms is None else start_ms - other_until_ms
            open_turn[role] = []
            turns.append((open_turn[role], overlap_ms, gap_ms, interrupts))
        open_turn[role].append(utterance)
        said_until_ms[role] = end_ms
    for utterances, overlap_ms, gap_ms, interrupts in turns:
        yield Turn(utterances[0].role, tuple(utterances), overlap_ms, gap_ms, interrupts)


_OTHER: dict[Role, Role] = {"agent": "customer", "customer": "agent"}


def _utterances(transcript: Transcript, role: Role, other_speech: Sequence[Interval]) -> Iterator[Utterance]:
    """The segments of one side with words, joined over short pauses in which the other side does not begin to speak."""
    starts_ms = [interval.start_ms for interval in other_speech]
    joined: list[Segment] = []
    for segment in transcript.segments:
        if segment.role != role or not segment.text.strip():
            continue
        if joined:
            ended_ms, starts = joined[-1].end_ms, segment.start_ms
            begun = bisect_left(starts_ms, starts) > bisect_left(starts_ms, ended_ms)
            if starts - ended_ms > PAUSE_MS or begun:
                yield Utterance(role, tuple(joined))
                joined = []
        joined.append(segment)
    if joined:
        yield Utterance(role, tuple(joined))


def _sounds(role: Role, speech: Sequence[Interval], utterances: Sequence[Utterance]) -> list[Sound]:
    """What one side says, and where it is heard without being understood, in order."""
    sounds = [Sound(role, each.segments[0].start_ms, each.segments[-1].end_ms, each) for each in utterances]
    ends_ms = [sound.end_ms for sound in sounds]
    for interval in speech:
        place = bisect_right(ends_ms, interval.start_ms)
        if place == len(ends_ms) or sounds[place].start_ms >= interval.end_ms:
            sounds.append(Sound(role, interval.start_ms, interval.end_ms, None))
    return sorted(sounds, key=lambda sound: (sound.start_ms, sound.end_ms))


def _takes_no_floor(sound: Sound, following: Sound | None, other_speech: Sequence[Interval]) -> bool:
    """Whether it is short, the other side speaks on after it, and its own speaker does not."""
    place = bisect_right(other_speech, sound.end_ms, key=lambda interval: interval.end_ms)
    return (
        sound.end_ms - sound.start_ms <= BACK_CHANNEL_MS
        and place < len(other_speech)
        and other_speech[place].start_ms <= sound.end_ms + GOES_ON_WITHIN_MS
        and (following is None or following.start_ms - sound.end_ms > PAUSE_MS)
    )


def _overlap_ms(sound: Sound, other_speech: Sequence[Interval], both: Sequence[Interval]) -> int:
    """How long the other side speaks on, short pauses left out, from the start of the sound; 0 if it did not."""
    start_ms, end_ms = sound.start_ms, sound.end_ms
    place = bisect_left(other_speech, start_ms, key=lambda interval: interval.start_ms) - 1
    if place < 0 or other_speech[place].end_ms <= start_ms:
        return 0
    overlap_ms = 0
    until_ms = start_ms
    for place in range(bisect_right(both, start_ms, key=lambda interval: interval.end_ms), len(both)):
        piece = both[place]
        if piece.start_ms >= end_ms or piece.start_ms - until_ms > PAUSE_MS:
            break
        until_ms = piece.end_ms
        overlap_ms += until_ms - max(piece.start_ms, start_ms)
    return overlap_ms


def _only_listens(utterance: Utterance) -> bool:
    if is_back_channel(utterance.text):
        return True
    return (
        _confidence(utterance) < _MISHEARD_CONFIDENCE and length_in_characters(utterance.text) <= _MISHEARD_CHARACTERS
    )


def _confidence(utterance: Utterance) -> float:
    return max(segment.confidence for segment in utterance.segments)


def _cuts_in(sound: Sound, overlap_ms: int) -> bool:
    """Whether a short sound is an interruption after all: its words are believed, and can be said in its time."""
    if sound.utterance is None or not _interrupts(sound.utterance, overlap_ms):
        return False
    possible = _CHARACTERS_PER_SECOND * (sound.end_ms - sound.start_ms) // 1000
    is_believed = _confidence(sound.utterance) >= _MISHEARD_CONFIDENCE
    return is_believed and length_in_characters(sound.utterance.text) <= possible


def _interrupts(utterance: Utterance, overlap_ms: int) -> bool:
    """Of an utterance that is no back-channel."""
    is_long_enough = overlap_ms >= INTERRUPTION_OVERLAP_MS
    return is_long_enough and length_in_characters(utterance.text) >= INTERRUPTION_CHARACTERS
