"""Emotion from words: hashed character n-grams, TF-IDF, one linear model. A segment costs well below a millisecond."""

import re
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from processors.digest import digest_of
from processors.emotion.labels import POLARITIES
from processors.emotion.reading import HeadReading, probability_of, reading_of
from processors.text.chinese_script import to_script

GRAM_LENGTHS = (1, 2, 3)
MIN_CHARACTERS = 2

RECIPE = 1
"""Rises when the same text would give other grams than before, or the same grams another reading."""

# What people write and nobody says: addresses, names of other users, emoticons in brackets.
_NEVER_SPOKEN = re.compile(r"https?://\S+|//@[^:：]*[:：]|@\S+|\[[^\]]{1,8}\]|#")
_BEGIN, _END = "^", "$"


def spoken_characters(text: str) -> str:
    """The letters and digits of a text in lower case and simplified script: what a recogniser could have heard."""
    (simplified,) = to_script([_NEVER_SPOKEN.sub("", text)], "simplified", "zh")
    return "".join(character for character in simplified.lower() if character.isalnum())


def gram_counts(text: str, buckets: int) -> Counter[int]:
    """How often each bucket of the hash is hit by the 1-, 2- and 3-grams of a text, its ends marked."""
    marked = f"{_BEGIN}{spoken_characters(text)}{_END}"
    grams = (marked[at : at + n] for n in GRAM_LENGTHS for at in range(len(marked) - n + 1))
    return Counter(zlib.crc32(gram.encode()) % buckets for gram in grams)


@dataclass(frozen=True)
class GramModel:
    """A linear model over hashed n-grams; `weights` has the shape (classes, buckets).

    Weights are 8-bit whole numbers with one scale for each class. `idf` is 0 for what training has not seen.
    """

    classes: tuple[str, ...]
    weights: NDArray[np.int8]
    scales: NDArray[np.float32]
    biases: NDArray[np.float32]
    idf: NDArray[np.float16]

    def scores(self, text: str) -> NDArray[np.float32] | None:
        """One score for each class; None for a text in which there is nothing that training has seen."""
        counts = gram_counts(text, self.weights.shape[1])
        buckets = np.fromiter(counts.keys(), dtype=np.int64)
        values = (1 + np.log(np.fromiter(counts.values(), dtype=np.float32))) * self.idf[buckets].astype(np.float32)
        length = float(np.linalg.norm(values))
        if length == 0:
            return None
        scores = self.weights[:, buckets] @ (values / length) * self.scales + self.biases
        result: NDArray[np.float32] = scores.astype(np.float32)
        return result


@dataclass(frozen=True)
class TextHead:
    """What words say of emotion, by a model of written posts and, where there is one, a second of spoken utterances.

    `slope` and `offset` turn the log odds of `angry` into evidence. `negativity` has the classes `POLARITIES`. It knows
    how people talk, which the posts do not: they make 喂，你还在吗 an angry question. So words count as unpleasant, and
    as evidence of agitation, only as far as it finds them negative.
    """

    emotions: GramModel
    negativity: GramModel | None
    slope: float
    offset: float

    @cached_property
    def identity(self) -> str:
        """A digest that changes whenever its readings may change."""
        return digest_of((RECIPE, self))

    def read(self, text: str) -> HeadReading | None:
        """What the words say; None where there are fewer than two characters, or none that training has seen."""
        if len(spoken_characters(text)) < MIN_CHARACTERS:
            return None
        scores = self.emotions.scores(text)
        if scores is None:
            return None
        reading = reading_of(scores, self.emotions.classes, self.slope, self.offset)
        negative = self._negative(text)
        return replace(
            reading,
            evidence=reading.evidence * (negative if reading.evidence > 0 else 1),
            valence=reading.valence * (negative if reading.valence < 0 else 1),
        )

    def _negative(self, text: str) -> float:
        """The probability that the words are negative; 1 without a model that could doubt it."""
        if self.negativity is None:
            return 1.0
        scores = self.negativity.scores(text)
        if scores is None:
            return 0.5
        return probability_of(float(scores[POLARITIES.index("negative")] - scores[POLARITIES.index("positive")]))
