"""How alike two sentences are: for `like:` in rules.

A sentence is two vectors of length 1: its letters, as n-grams weighed by how rare they are, and what the shipped
reading heads read in it by itself: the log-odds of the twelve kinds of violation above a floor. The similarity is the
mean of the two cosines; where the heads read nothing in either of them, it is that of the letters alone.
`benchmarks/like.py` has compared this with letters alone and with a sentence encoder.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from processors.reading.call_reader import KINDS, CallReader
from processors.reading.features import Said, utterance_rows
from processors.reading.grams import grams_of
from processors.text.normalized_text import normalize
from processors.text.passages import Passage
from processors.text.remembered import remembered

USUAL_SIMILARITY = 0.45
"""From which on sentences are taken for alike, where a rule does not say."""

LENGTHS = (1, 2, 3)
FLOOR = -4.0
"""Log-odds of a kind that count as nothing: a probability of 0.018."""

FEWEST_LETTERS = 4
_SENTENCE = re.compile(r"[^。！？!?；;\n]+")


class SpokenSentence(NamedTuple):
    """Letters `start` to `end` of a turn, ready to be compared."""

    start: int
    end: int
    buckets: NDArray[np.int64]
    values: NDArray[np.float32]
    read: NDArray[np.float32]


class NearestExample(NamedTuple):
    """The sentence of a turn that is most like an example, and which."""

    start: int
    end: int
    example: str
    similarity: float


@cache
def _reader() -> CallReader:
    """The shipped heads: similarities mean the same for every tenant, whatever heads it has adapted."""
    return CallReader.load()


@cache
def likeness_version() -> str:
    """A digest of what sentences are compared with: similarities change with it."""
    return _reader().version


def sentences_of(passage: Passage) -> tuple[SpokenSentence, ...]:
    """The turn as a whole, and its sentences."""
    normalized = passage.utterance.normalized
    spans = {(0, len(normalized.letters))}
    for match in _SENTENCE.finditer(passage.utterance.text):
        spans.add(normalized.letters_of(*match.span()))
    kept = sorted((start, end) for start, end in spans if end - start >= FEWEST_LETTERS)
    ready = _ready([normalized.letters[start:end] for start, end in kept])
    return tuple(SpokenSentence(start, end, *one) for (start, end), one in zip(kept, ready, strict=True))


@dataclass(frozen=True)
class LikeExamples:
    """The examples of a condition."""

    texts: tuple[str, ...]

    def nearest(self, sentences: Sequence[SpokenSentence]) -> NearestExample | None:
        """The sentence that is most like one of them; None where there is none."""
        if not sentences:
            return None
        read = self._prepared[2]
        best: NearestExample | None = None
        for sentence in sentences:
            cosines = self.by_letters(sentence)
            reads_something = read.any(axis=1) & sentence.read.any()
            alike = np.where(reads_something, (cosines + read @ sentence.read) / 2, cosines)
            number = int(alike.argmax())
            if best is None or alike[number] > best.similarity + 1e-6:
                best = NearestExample(sentence.start, sentence.end, self.texts[number], min(1.0, float(alike[number])))
        return best

    def by_letters(self, sentence: SpokenSentence) -> NDArray[np.float32]:
        """The cosine between the letters of a sentence and those of each example."""
        known, letters, _ = self._prepared
        shared = np.isin(sentence.buckets, known)
        result: NDArray[np.float32] = (
            sentence.values[shared] @ letters[np.searchsorted(known, sentence.buckets[shared])]
        )
        return result

    @property
    def unread(self) -> tuple[str, ...]:
        """Those in which the heads read nothing: they are found by their letters alone."""
        read = self._prepared[2]
        return tuple(text for text, row in zip(self.texts, read, strict=True) if not row.any())

    @remembered
    def _prepared(self) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        ready = _ready([normalize(text).letters for text in self.texts])
        known = np.unique(np.concatenate([buckets for buckets, _, _ in ready]))
        letters = np.zeros((len(known), len(self.texts)), dtype=np.float32)
        for number, (buckets, values, _) in enumerate(ready):
            letters[np.searchsorted(known, buckets), number] = values
        return known, letters, np.array([read for _, _, read in ready], dtype=np.float32)


def _ready(
    texts: Sequence[str],
) -> list[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]]:
    heads = _reader().agent
    rarest = heads.idf.max()
    grams = grams_of(texts, LENGTHS, 0)
    # A gram that the training text did not have is rare, and not unimportant.
    idf = np.where(heads.idf[grams.buckets] > 0, heads.idf[grams.buckets], rarest)
    values = ((1 + np.log(grams.counts)) * idf).astype(np.float32)
    kinds = [heads.names.index(kind) for kind in KINDS]
    found = []
    for number, text in enumerate(texts):
        mine = grams.texts == number
        own = values[mine]
        rows = utterance_rows([Said("agent", text)], "agent", heads.idf)
        read = np.maximum(heads.log_odds(rows)[0, kinds] - FLOOR, 0)
        found.append((grams.buckets[mine], _unit(own), _unit(read)))
    return found


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(vector))
    result: NDArray[np.float32] = (vector / length if length > 0 else vector).astype(np.float32)
    return result
