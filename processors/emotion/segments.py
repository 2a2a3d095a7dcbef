"""The emotion of every segment of a call: the one entry that the rest of the pipeline needs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, Self

from processors.emotion.fusion import Fusion
from processors.emotion.heads import Heads
from processors.emotion.reading import HeadReading
from processors.emotion.sound_head import SoundHeads, SpeakerEars, sound_features
from processors.listening.engine_port import PooledStates, Samples, SpeechClip
from schemas.messages.emotion import SegmentEmotion, SoundGap


@dataclass(frozen=True)
class HeardSegment:
    """One segment of a call: who spoke (any number that tells the speakers of this call apart), where, and what.

    `pooled` is what `processors.emotion.sound_head.pool_clip` made of the recogniser's states, None where the
    recogniser shows none.
    """

    speaker: int
    clip: SpeechClip
    pooled: PooledStates | None
    text: str = field(repr=False)


class SpeakerSound(Protocol):
    """Judges the sound of one speaker's segments in the order in which they were spoken."""

    def read(self, samples: Samples, pooled: PooledStates | None) -> HeadReading | SoundGap:
        """What a segment says by its sound (mono, 16 kHz), or why it says nothing."""
        ...


class SoundJudge(Protocol):
    """Judges sound; built once per worker."""

    @property
    def identity(self) -> str:
        """A name that changes whenever what it says may change."""
        ...

    def of_speaker(self) -> SpeakerSound:
        """A fresh ear for one speaker of one call."""
        ...


class TextJudge(Protocol):
    """Judges words; built once per worker."""

    @property
    def identity(self) -> str:
        """A name that changes whenever what it says may change."""
        ...

    def read(self, text: str) -> HeadReading | None:
        """What the words say, or None where they say nothing."""
        ...


class LinearSound:
    """The linear heads as a `SoundJudge`.

    `encoder` is the model of the recogniser (`EngineIdentity.model`). States of another model than the one in
    training mean something else and are not looked at.
    """

    def __init__(self, heads: Heads, encoder: str | None) -> None:
        states = heads.states if encoder is not None and encoder == heads.states.encoder else None
        self._heads = SoundHeads(states, heads.prosody)

    @property
    def identity(self) -> str:
        """A digest of the heads that are in use."""
        states, prosody = self._heads.states, self._heads.prosody
        return f"states {states.digest}, prosody {prosody.digest}" if states else f"prosody {prosody.digest}"

    def of_speaker(self) -> "_LinearSpeaker":
        """A fresh ear for one speaker of one call."""
        return _LinearSpeaker(self._heads.of_speaker())


class _LinearSpeaker:
    def __init__(self, ears: SpeakerEars) -> None:
        self._ears = ears

    def read(self, samples: Samples, pooled: PooledStates | None) -> HeadReading | SoundGap:
        features = sound_features(samples, pooled)
        return features if isinstance(features, str) else self._ears.read(features)


class EmotionModel:
    """Judges every segment of a call by its sound and its words."""

    def __init__(self, sound: SoundJudge, text: TextJudge, fusion: Fusion) -> None:
        self._sound = sound
        self._text = text
        self._fusion = fusion

    @classmethod
    def of_heads(cls, heads: Heads, encoder: str | None) -> Self:
        """The model of linear heads for a recogniser whose model is `encoder`."""
        return cls(LinearSound(heads, encoder), heads.text, heads.fusion)

    @property
    def settings(self) -> dict[str, str]:
        """What changes its judgements, by the names that `EngineIdentity.settings` has for it."""
        return {
            "emotion_sound": self._sound.identity,
            "emotion_text": self._text.identity,
            "emotion_fusion": self._fusion.digest,
        }

    def judge(self, segments: Iterable[HeardSegment]) -> Iterator[SegmentEmotion | SoundGap]:
        """The emotion of each segment of one call, in the order given, which must be that of `start_ms`.

        A segment is judged before the next one is taken, and by what its speaker said before: the result does not
        change with what comes later. Of each sound only the segment at hand is held in memory. Where neither sound
        nor words say anything, the reason of the sound stands in place of the emotion.
        """
        ears: dict[int, SpeakerSound] = {}
        for segment in segments:
            if segment.speaker not in ears:
                ears[segment.speaker] = self._sound.of_speaker()
            samples = segment.clip.sound.samples(segment.clip.start_ms, segment.clip.end_ms)
            sound = ears[segment.speaker].read(samples, segment.pooled)
            yield self._fusion.join(sound, self._text.read(segment.text))
