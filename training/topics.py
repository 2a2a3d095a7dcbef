"""Train what reads the topics of a call (`processors/reading/topic_heads.py`): `make heads`.

Learns from the dialogues (a twin says the same as its original), from the openings of `training/openings` and from the
example sentences of the packs. Each part of the dialogues is read once by heads that were trained without it: these
readings calibrate (Platt 1999, with slopes of their own for the lead over other topics and for phrases that were said),
choose the threshold, and are the figures that are printed.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from processors.detectors.topics import topics_by_phrase
from processors.judging.call_context import CallContext
from processors.reading.features import TOPIC_BUCKETS, Said, idf_of, topic_rows
from processors.reading.figures import threshold_at
from processors.reading.heads import LinearHeads
from processors.reading.topic_heads import TOPICS_FILE, TopicHeads, leads
from processors.rules.examples import imagine_transcript
from processors.rules.rulebook import Rulebooks
from processors.text.normalized_text import normalize
from schemas.config.rule_pack import RULE_PACK_FOLDER, load_rule_packs
from schemas.messages.call_ended import Role
from training.dialogues import Dialogue, folds, load_dialogues, topic_names
from training.openings import load_openings

RIDGE = 0.3
"""Strength of the penalty on squared weights; the rows have a length of about 1.5."""

PRECISION = 0.7
"""A topic that is wrong misleads more than one that is missing; where F1 was highest, it was 0.61."""

Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class Example:
    """Something said, and what it is about. `part` is None for what no figure is taken of."""

    part: str | None
    industry: str
    lines: tuple[tuple[Role, str], ...]
    topics: tuple[str, ...]

    @property
    def said(self) -> tuple[Said, ...]:
        """As the heads see it."""
        return tuple(Said(role, normalize(text).letters) for role, text in self.lines)


def example_of(dialogue: Dialogue) -> Example:
    """A dialogue with its topics."""
    lines = tuple((turn.role, turn.text) for turn in dialogue.turns)
    return Example(dialogue.part, dialogue.industry, lines, dialogue.topics)


def sentences_of_packs() -> list[Example]:
    """What the packs give as examples of their topics, each as a call with one utterance."""
    found = []
    for pack in load_rule_packs((RULE_PACK_FOLDER,)):
        for topic in pack.topics:
            for sentence in dict.fromkeys((*topic.sentences, *(one for one in topic.match if isinstance(one, str)))):
                found.append(Example(None, pack.pack, (("customer", sentence),), (topic.name,)))
    return found


def openings() -> list[Example]:
    """What customers open a call with."""
    return [Example(None, one.industry, (("customer", one.text),), (one.topic,)) for one in load_openings()]


@cache
def _rulebooks() -> Rulebooks:
    return Rulebooks(load_rule_packs((RULE_PACK_FOLDER,)))


def phrases_said(example: Example) -> set[str]:
    """The topics of which the shipped rules find a phrase."""
    transcript = imagine_transcript(list(example.lines), example.industry)
    context = CallContext(transcript)
    book = _rulebooks().of(context)
    if book is None:
        return set()
    return {topic.entry.name for topic, _ in topics_by_phrase(book.topics, book.hearing(context)).values()}


def marks(names: Sequence[str], rows: Iterable[Iterable[str]]) -> Marks:
    """Shape (rows, names): which of the names each row has."""
    return np.array([[name in row for name in names] for row in map(set, rows)], dtype=bool)


@dataclass(frozen=True)
class Data:
    """Everything that is learned from: `calls` first, then what only teaches."""

    names: tuple[str, ...]
    calls: tuple[Example, ...]
    matrix: csr_matrix
    idf: NDArray[np.float32]
    topics: Marks
    """Of all rows."""
    phrases: Marks
    """Of calls."""
    allowed: Marks
    """Of calls: the topics of its industry."""


def gather(calls: Sequence[Example], others: Sequence[Example]) -> Data:
    """Rows and labels of all examples."""
    of_industry = topic_names()
    names = tuple(sorted(set().union(*of_industry.values())))
    said = [one.said for one in (*calls, *others)]
    idf = idf_of(topic_rows(said, None))
    rows = topic_rows(said, idf)
    matrix = csr_matrix((rows.values, (rows.rows, rows.columns)), shape=(rows.height, TOPIC_BUCKETS))
    return Data(
        names,
        tuple(calls),
        matrix,
        idf,
        marks(names, (one.topics for one in (*calls, *others))),
        marks(names, map(phrases_said, calls)),
        marks(names, (of_industry[one.industry] for one in calls)),
    )


def fit(data: Data, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weights of shape (topics, buckets), learned from those rows; solved in the space of the rows, which are fewer."""
    matrix = data.matrix[rows]
    gram = (matrix @ matrix.T).toarray().astype(np.float32)
    gram[np.diag_indices_from(gram)] += RIDGE
    shares = cho_solve(cho_factor(gram, overwrite_a=True), data.topics[rows].astype(np.float32))
    weights: NDArray[np.float32] = np.asarray((matrix.T @ shares).T, dtype=np.float32)
    return weights


def held_out_scores(data: Data) -> NDArray[np.float32]:
    """Shape (calls, topics): what heads say of each call that were trained without its part."""
    rows = np.arange(data.matrix.shape[0])
    scores = np.zeros((len(data.calls), len(data.names)), dtype=np.float32)
    for group in folds(Counter(str(one.part) for one in data.calls)):
        left_out = np.flatnonzero([one.part in group for one in data.calls])
        weights = fit(data, np.setdiff1d(rows, left_out))
        scores[left_out] = data.matrix[left_out] @ weights.T.astype(np.float32)
    return scores


@dataclass(frozen=True)
class Calibration:
    """Score to log-odds: `slope * score + offset`, and what lead and phrase add; believed from `threshold` on."""

    slope: float
    lead: float
    phrase: float
    offset: float
    threshold: float = 1.0

    def probability(self, data: Data, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """Shape (calls, topics)."""
        odds = self.slope * scores + self.lead * leads_of(data, scores) + self.phrase * data.phrases + self.offset
        result: NDArray[np.float64] = 1 / (1 + np.exp(-odds))
        return result


def leads_of(data: Data, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """By how much each topic leads over the others of the industry."""
    return leads(np.where(data.allowed, scores, scores.min() - 1))


def calibrate(data: Data, scores: NDArray[np.float32]) -> Calibration:
    """By what was read of the parts that were left out; believed from where `PRECISION` was kept there."""
    seen = data.allowed
    inputs = np.stack([scores[seen], leads_of(data, scores)[seen], data.phrases[seen]], axis=1)
    truth = data.topics[: len(data.calls)][seen]
    model = LogisticRegression(C=1e6, max_iter=1_000).fit(inputs, truth)
    found = Calibration(*(float(value) for value in (*model.coef_[0], model.intercept_[0])))
    return replace(found, threshold=threshold_at(truth, found.probability(data, scores)[seen], PRECISION))


def reader_of(data: Data, weights: NDArray[np.float32], calibration: Calibration) -> TopicHeads:
    """The heads of all topics, with their calibration."""
    count = len(data.names)
    scales = np.maximum(np.abs(weights).max(axis=1), 1e-9) / 127
    heads = LinearHeads(
        data.names,
        np.round(weights / scales[:, None]).astype(np.int8),
        scales.astype(np.float32),
        np.zeros(count, dtype=np.float32),
        np.full(count, calibration.slope, dtype=np.float32),
        np.full(count, calibration.offset, dtype=np.float32),
        np.full(count, calibration.threshold, dtype=np.float32),
        data.idf,
    )
    return TopicHeads(heads, calibration.lead / calibration.slope, calibration.phrase)


def figures(data: Data, probabilities: NDArray[np.float64], threshold: float) -> Mapping[str, float]:
    """Of calls: whether their main topic is found, precision and recall of all topics."""
    believed = (probabilities >= threshold) & data.allowed
    truth = data.topics[: len(data.calls)]
    mains = [(row, data.names.index(one.topics[0])) for row, one in enumerate(data.calls) if one.topics]
    right = int((believed & truth).sum())
    best = np.where(data.allowed, probabilities, -1).argmax(axis=1)
    return {
        "calls": len(data.calls),
        "main topic found": float(np.mean([believed[place] for place in mains])),
        "main topic is the likeliest": float(np.mean([best[row] == topic for row, topic in mains])),
        "precision": right / max(int(believed.sum()), 1),
        "recall": right / int(truth.sum()),
    }


def train(calls: Sequence[Example], others: Sequence[Example]) -> tuple[TopicHeads, Mapping[str, float]]:
    """The reader, and its figures on parts that were left out."""
    data = gather(calls, others)
    scores = held_out_scores(data)
    calibration = calibrate(data, scores)
    found = figures(data, calibration.probability(data, scores), calibration.threshold)
    weights = fit(data, np.arange(data.matrix.shape[0]))
    return reader_of(data, weights, calibration), found


def main() -> None:
    """Train, print the figures of parts that were left out, and write the weights."""
    parser = argparse.ArgumentParser(description="Train the heads of topics on the text of training/.")
    parser.add_argument("--output", type=Path, default=TOPICS_FILE, help="file for the weights (default: the shipped)")
    options = parser.parse_args()
    calls = [example_of(one) for one in load_dialogues() if one.twin_of is None]
    reader, found = train(calls, [*sentences_of_packs(), *openings()])
    for name, value in found.items():
        print(
            f"{name}: {value:.2f}" if name != "calls" else f"topics of {value:.0f} calls, each part by heads without it"
        )
    reader.save(options.output)


if __name__ == "__main__":
    main()
