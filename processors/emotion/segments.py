"""The emotion of every segment of a call: the one entry that the rest of the pipeline needs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from processors.emotion.fusion import Fusion
from processors.emotion.heads import Heads
from processors.emotion.reading import HeadReading
from processors.emotion.sound_head import SoundHead, SpeakerEar, sound_features
from processors.speech import PooledStates, Samples, SpeechClip
from schemas.emotion import EmotionGap, SegmentEmotion, SoundGap


@dataclass(frozen=True)
class HeardSegment:
    """One segment of a call: who spoke (any name that tells the speakers of this call apart), where, and what.

    `pooled` is what `processors.emotion.sound_head.pool_clip` made of the recogniser's states, None where the
    recogniser shows none; `text` is None or empty where nothing was understood.
    """

    speaker: str
    clip: SpeechClip
    pooled: PooledStates | None
    text: str | None


class SpeakerSound(Protocol):
    """Judges the sound of one speaker's segments in the order in which they were spoken."""

    def read(self, samples: Samples, pooled: PooledStates | None) -> HeadReading | SoundGap:
        """What a segment says by its sound (mono, 16 kHz), or why it says nothing."""
        ...


class SoundJudge(Protocol):
    """Judges sound; built once per worker."""

    def of_speaker(self) -> SpeakerSound:
        """A fresh ear for one speaker of one call."""
        ...


class TextJudge(Protocol):
    """Judges words; built once per worker."""

    def read(self, text: str) -> HeadReading | None:
        """What the words say, or None where they say nothing."""
        ...


class SoundHeads:
    """The linear heads as a `SoundJudge`: with encoder states where the head knows that encoder, else by prosody.

    `encoder` is the model of the recogniser (`EngineIdentity.model`). States of another model than the one in
    training mean something else and are not looked at.
    """

    def __init__(self, states: SoundHead, prosody: SoundHead, encoder: str | None) -> None:
        self._with_states = encoder is not None and encoder == states.encoder
        self._states = states
        self._prosody = prosody

    def of_speaker(self) -> "_SpeakerSound":
        """A fresh ear for one speaker of one call."""
        return _SpeakerSound(self._states.of_speaker() if self._with_states else None, self._prosody.of_speaker())


class _SpeakerSound:
    def __init__(self, states: SpeakerEar | None, prosody: SpeakerEar) -> None:
        self._states = states
        self._prosody = prosody

    def read(self, samples: Samples, pooled: PooledStates | None) -> HeadReading | SoundGap:
        if self._states is None or pooled is None:
            features = sound_features(samples, None)
            return features if isinstance(features, str) else self._prosody.read(features)
        features = sound_features(samples, pooled)
        return features if isinstance(features, str) else self._states.read(features)


class EmotionModel:
    """Judges every segment of a call by its sound and its words."""

    def __init__(self, sound: SoundJudge, text: TextJudge, fusion: Fusion) -> None:
        self._sound = sound
        self._text = text
        self._fusion = fusion

    @classmethod
    def of_heads(cls, heads: Heads, encoder: str | None) -> "EmotionModel":
        """The model of linear heads for a recogniser whose model is `encoder`."""
        return cls(SoundHeads(heads.states, heads.prosody, encoder), heads.text, heads.fusion)

    def judge(self, segments: Iterable[HeardSegment]) -> Iterator[SegmentEmotion | EmotionGap]:
        """The emotion of each segment of one call, in the order given, which must be that of `start_ms`.

        A segment is judged before the next one is taken, and by what its speaker said before: the result does not
        change with what comes later. Of each sound only the segment at hand is held in memory.
        """
        ears: dict[str, SpeakerSound] = {}
        for segment in segments:
            if segment.speaker not in ears:
                ears[segment.speaker] = self._sound.of_speaker()
            samples = segment.clip.sound.samples(segment.clip.start_ms, segment.clip.end_ms)
            sound = ears[segment.speaker].read(samples, segment.pooled)
            text = self._text.read(segment.text) if segment.text else None
            yield self._fusion.join(sound, text)
