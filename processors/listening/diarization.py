"""Who speaks when on a channel that holds both speakers: the port, and how its answer is used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from processors.listening.engine_port import ChannelAudio
from processors.listening.intervals import length_ms, union
from processors.listening.voice_activity import share_out
from schemas.messages.interval import Interval

_NOBODY = -1


@dataclass(frozen=True)
class VoiceStretch:
    """One voice in one stretch of a recording, in milliseconds; voices have numbers from 0, and no names."""

    voice: int
    interval: Interval


class SpeakerSeparation(Protocol):
    """Tells the voices of one channel apart. Built once per worker; one method, called from one thread."""

    @property
    def identity(self) -> Mapping[str, str | int | float | bool | None]:
        """What changes its answer: its name, version, models and settings, by keys that no engine has."""
        ...

    def separate(self, sound: ChannelAudio) -> tuple[VoiceStretch, ...]:
        """Who speaks when, in the order of time, within the sound; stretches of two voices may overlap.

        Empty where nobody speaks. The number of voices is the separation's own guess.
        """
        ...


def speech_by_voice(speech: Sequence[Interval], told: Sequence[VoiceStretch]) -> tuple[tuple[Interval, ...], ...]:
    """The speech of a channel, of each of the two voices that speak most, the one that is heard first first.

    A call has two sides, so what further voices say comes third, with what is nobody's. All the speech undivided where
    there are not two voices.
    """
    shares = share_out(speech, [(each.voice, each.interval) for each in told], _NOBODY)
    voices = sorted((voice for voice in shares if voice != _NOBODY), key=lambda voice: -length_ms(shares[voice]))
    if len(voices) < 2:
        return (tuple(speech),)
    sides = sorted((shares[voice] for voice in voices[:2]), key=lambda share: share[0].start_ms)
    rest = union([each for voice in (*voices[2:], _NOBODY) for each in shares.get(voice, ())])
    return (*sides, rest) if rest else tuple(sides)
