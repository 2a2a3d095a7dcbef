"""Emotion from words: hashed character n-grams, TF-IDF, one linear model. A segment costs well below a millisecond."""

import re
import zlib
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from processors.chinese_script import to_script
from processors.emotion.reading import HeadReading, reading_of

GRAM_LENGTHS = (1, 2, 3)
MIN_CHARACTERS = 2

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
class TextHead:
    """A linear model over hashed n-grams; `weights` has the shape (classes, buckets).

    Weights are 8-bit whole numbers with one scale for each class. `idf` is 0 for what training has not seen.
    `agitated_share` is the share of agitated examples that training counted with.
    """

    classes: tuple[str, ...]
    weights: NDArray[np.int8]
    scales: NDArray[np.float32]
    biases: NDArray[np.float32]
    idf: NDArray[np.float16]
    agitated_share: float

    def read(self, text: str) -> HeadReading | None:
        """What the words say; None where there are fewer than two characters, or none that training has seen."""
        if len(spoken_characters(text)) < MIN_CHARACTERS:
            return None
        counts = gram_counts(text, self.weights.shape[1])
        buckets = np.fromiter(counts.keys(), dtype=np.int64)
        values = (1 + np.log(np.fromiter(counts.values(), dtype=np.float32))) * self.idf[buckets].astype(np.float32)
        length = float(np.linalg.norm(values))
        if length == 0:
            return None
        scores = self.weights[:, buckets] @ (values / length) * self.scales + self.biases
        return reading_of(scores.astype(np.float32), self.classes, self.agitated_share)
