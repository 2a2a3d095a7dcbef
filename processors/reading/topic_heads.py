"""Reads what a call is about: the topics of the shipped packs, by their names."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from processors.digest import digest_of
from processors.reading.call_reader import WEIGHTS, heaviest_stretch
from processors.reading.features import (
    AGENT_SAYS,
    CUSTOMER_SAYS,
    OPENING,
    OPENING_UTTERANCES,
    TOPIC_BUCKETS,
    Said,
    topic_rows,
)
from processors.reading.grams import RECIPE, weigh_letters
from processors.reading.heads import LinearHeads, load_fact, load_heads, log_odds_of, save_heads

TOPICS_FILE = WEIGHTS / "topics.npz"


class Shown(NamedTuple):
    """Where a topic shows: the number of the utterance, and the stretch of its letters, end exclusive."""

    utterance: int
    start: int
    end: int


_FACTS = ("slope", "offset", "phrase", "threshold_with_phrase", "threshold_with_phrases")

SAID_OFTEN = 3
"""A topic of which so many phrases were said is hardly said in passing."""

MOST_READ = 2
"""So many topics of a call are believed because they were read. Of a third one half is wrong, and more than half in
short calls; it is believed where it was said often."""

NONE = ""
"""The head that says that a call is about none of the topics."""


@dataclass(frozen=True)
class TopicHeads:
    """A linear head for each topic and one for none of them, trained together: their softmax over what is possible in
    a call is each topic's share (multinomial logistic regression). A call may be about several, so shares are
    calibrated (Platt 1999): log-odds are `slope` times those of the share, and `offset`, and `phrase` where a rule has
    found a phrase of the topic.
    """

    heads: LinearHeads
    slope: float
    offset: float
    phrase: float
    threshold_with_phrase: float
    threshold_with_phrases: float

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The topics that can be read."""
        return tuple(name for name in self.heads.names if name != NONE)

    @property
    def threshold(self) -> float:
        """From which probability on a call is said to be about a topic of which no phrase was said."""
        return float(self.heads.thresholds[0])

    def threshold_of(self, phrases: int) -> float:
        """From which probability on a call is said to be about a topic of which so many phrases were said."""
        if phrases >= SAID_OFTEN:
            return self.threshold_with_phrases
        return self.threshold_with_phrase if phrases else self.threshold

    def read(self, said: Sequence[Said], possible: Collection[str], phrases_said: Collection[str]) -> dict[str, float]:
        """Topic → probability that the call is about it, of those that are possible and that can be read."""
        known = self.heads.names
        numbers = [number for number, name in enumerate(known) if name in possible and name != NONE]
        if not numbers:
            return {}
        scores = self.heads.log_odds(topic_rows([said], self.heads.idf), [*numbers, known.index(NONE)])
        names = [known[number] for number in numbers]
        phrases = np.array([name in phrases_said for name in names])
        odds = self.slope * log_odds_of(shares(scores))[0, :-1] + self.offset + self.phrase * phrases
        return dict(zip(names, (1 / (1 + np.exp(-odds))).tolist(), strict=True))

    def find_words(self, said: Sequence[Said], name: str) -> Shown | None:
        """The words that speak most for a topic; None where nothing with letters was said."""
        weights = self._weights_of_letters(said, name)
        most = [float(np.maximum(one, 0).sum()) if len(one) else -np.inf for one in weights]
        best: tuple[float, int, Shown] | None = None
        for number in sorted(range(len(said)), key=lambda number: -most[number]):
            if not said[number].letters or (best is not None and 0 < most[number] < best[0]):
                continue  # no stretch of it can speak more for the topic
            start, end = heaviest_stretch(weights[number])
            found = (float(weights[number][start:end].sum()), -number, Shown(number, start, end))
            best = found if best is None else max(best, found)
        return None if best is None else best[2]

    def _weights_of_letters(self, said: Sequence[Said], name: str) -> list[NDArray[np.float32]]:
        """How much each letter of each utterance speaks for a topic."""

        def weight_of(buckets: NDArray[np.int64]) -> NDArray[np.float32]:
            return self.heads.weight_of(name, buckets & (TOPIC_BUCKETS - 1)) * self.heads.idf[buckets]

        weights: dict[int, NDArray[np.float32]] = {}
        for block, numbers in (
            (CUSTOMER_SAYS, [number for number, one in enumerate(said) if one.role == "customer"]),
            (AGENT_SAYS, [number for number, one in enumerate(said) if one.role != "customer"]),
        ):
            letters = [said[number].letters for number in numbers]
            for number, own in zip(numbers, weigh_letters(letters, block.lengths, 0, weight_of), strict=True):
                opening = OPENING.weight if number < OPENING_UTTERANCES else 0
                weights[number] = np.float32(block.weight + opening) * own
        return [weights[number] for number in range(len(said))]

    def save(self, file: Path) -> None:
        """Write the weights."""
        facts = {name: getattr(self, name) for name in _FACTS}
        save_heads(self.heads, file, **facts)

    @staticmethod
    def load(file: Path = TOPICS_FILE) -> "TopicHeads":
        """The reader of a file. Raises `ReadingWeightsError`."""
        heads = load_heads(file, None, TOPIC_BUCKETS)
        return TopicHeads(heads, *(load_fact(file, name) for name in _FACTS))

    @cached_property
    def version(self) -> str:
        """A digest of the weights and of how text is read."""
        return digest_of((RECIPE, self))


def shares(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The softmax of each row."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    result: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return result
