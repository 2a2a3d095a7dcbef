"""Sound and words put together to one judgement of each segment."""

from dataclasses import dataclass

from processors.emotion.reading import HeadReading, log_odds, probability_of
from schemas.emotion import EmotionGap, SegmentEmotion, SoundGap


@dataclass(frozen=True)
class Fusion:
    """How far each head is believed, and how many segments are agitated before anything is heard.

    log odds = ln(base_rate / (1 − base_rate)) + sound_weight · evidence of the sound + text_weight · evidence of the
    words: Bayes' rule for two witnesses that err independently (naive Bayes), each discounted by what it is worth
    outside its training data. A missing witness says nothing. Valence is the mean of both, the sound counting
    `sound_share_of_valence`.
    """

    sound_weight: float
    text_weight: float
    base_rate: float
    sound_share_of_valence: float

    def join(self, sound: HeadReading | SoundGap | None, text: HeadReading | None) -> SegmentEmotion | EmotionGap:
        """One judgement from what the heads read; a gap where neither says anything."""
        gap = sound if isinstance(sound, str) else None
        heard = None if isinstance(sound, str) else sound
        if heard is None and text is None:
            return EmotionGap(sound_gap=gap)
        sound_odds = self.sound_weight * heard.evidence if heard else 0.0
        text_odds = self.text_weight * text.evidence if text else 0.0
        base = log_odds(self.base_rate)
        return SegmentEmotion(
            agitated=probability_of(base + sound_odds + text_odds),
            valence=self._valence(heard, text),
            sound_agitated=probability_of(base + sound_odds) if heard else None,
            text_agitated=probability_of(base + text_odds) if text else None,
            source="fused" if heard and text else "sound" if heard else "text",
            sound_gap=gap,
        )

    def _valence(self, sound: HeadReading | None, text: HeadReading | None) -> float:
        if sound is None or text is None:
            only = sound or text
            valence = only.valence if only else 0.0
        else:
            share = self.sound_share_of_valence
            valence = share * sound.valence + (1 - share) * text.valence
        return min(1.0, max(-1.0, valence))
