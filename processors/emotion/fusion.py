"""Fusion: sound and words combined into one judgement of each segment."""

import math
from dataclasses import dataclass

from processors.digest import digest_of
from processors.emotion.reading import HeadReading, log_odds, probability_of
from schemas.messages.emotion import SegmentEmotion, SoundGap

MOST_EVIDENCE = 50.0


@dataclass(frozen=True)
class Witness:
    """How far one head is believed.

    `found` is the share of agitated segments that show it to this head, `mistaken` the share of others that seem to.
    A head is sure of itself within the data that it was trained with; these are its rates on data from elsewhere.
    """

    found: float
    mistaken: float
    weight: float = 1.0

    def weigh(self, evidence: float) -> float:
        """Evidence (a log likelihood ratio, L) of this witness as far as it is believed.

        weight · ln((found · L + 1 − found) / (mistaken · L + 1 − mistaken)): what the evidence is worth where only
        `found` of the agitated, and `mistaken` of the others, are as the head learned that agitated ones are. 0 stays
        0, the order stays, and it never leaves ln((1 − found) / (1 − mistaken)) … ln(found / mistaken), weighted.
        """
        ratio = math.exp(min(MOST_EVIDENCE, max(-MOST_EVIDENCE, evidence)))
        agitated, other = self.found * ratio + (1 - self.found), self.mistaken * ratio + (1 - self.mistaken)
        return self.weight * math.log(agitated / other)


@dataclass(frozen=True)
class Fusion:
    """How far each head is believed, and how many segments are agitated before anything is heard.

    log odds = ln(base_rate / (1 − base_rate)) + what is believed of the sound + what is believed of the words: Bayes'
    rule for two witnesses that err independently (naive Bayes). A missing witness says nothing. Unless
    `words_may_calm`, words that show no anger say nothing either where a voice is heard: people are angry in calm
    words. Valence is the mean of both, the sound counting `sound_share_of_valence`.
    """

    sound: Witness
    text: Witness
    base_rate: float
    sound_share_of_valence: float
    words_may_calm: bool = True

    @property
    def digest(self) -> str:
        """A name that changes whenever its judgements may change."""
        return digest_of(self)

    def join(self, sound: HeadReading | SoundGap, text: HeadReading | None) -> SegmentEmotion | SoundGap:
        """One judgement from what the heads read; why the sound says nothing where the words say nothing either."""
        if isinstance(sound, str) and text is None:
            return sound
        heard, gap = (None, sound) if isinstance(sound, str) else (sound, None)
        sound_odds = self.sound.weigh(heard.evidence) if heard else 0.0
        text_odds = self.text.weigh(text.evidence) if text else 0.0
        added = text_odds if self.words_may_calm or heard is None else max(0.0, text_odds)
        base = log_odds(self.base_rate)
        return SegmentEmotion(
            agitated=probability_of(base + sound_odds + added),
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
