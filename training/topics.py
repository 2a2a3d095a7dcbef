"""Train what reads the topics of a call (`processors/reading/topic_heads.py`): `make heads`.

Learns from the dialogues (a twin says the same as its original), from the openings of `training/openings` and from the
example sentences of the packs; also from openings that are put among lines of dialogues, alone and two in a call, so
that a topic is found wherever it comes up. Each part of the dialogues is read once by heads that were trained without
it: these readings calibrate (Platt 1999, with a weight for phrases that were said), choose the threshold, and are the
figures that are printed.
"""

import argparse
import os
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from processors.detectors.topics import phrases_said, topics_by_phrase
from processors.judging.call_context import CallContext
from processors.reading.features import TOPIC_BUCKETS, Said, idf_of, topic_rows
from processors.reading.figures import threshold_at
from processors.reading.heads import LinearHeads, log_odds_of
from processors.reading.topic_heads import MOST_READ, NONE, SAID_OFTEN, TOPICS_FILE, TopicHeads, shares
from processors.rules.examples import imagine_transcript
from processors.rules.rulebook import Rulebooks
from processors.text.normalized_text import normalize
from schemas.config.rule_pack import RULE_PACK_FOLDER, load_rule_packs
from schemas.messages.call_ended import Role
from training.dialogues import Dialogue, folds, load_dialogues, topic_names
from training.masked import mask_calls
from training.openings import load_openings

PENALTY = 1e-5
"""Strength of the penalty on squared weights; the rows have a length of about 1.5."""

EPOCHS, BATCH, STEP, FASTER, SLOWER = 10, 1_024, 0.02, 0.9, 0.999
"""How often everything is seen, so many rows at a time; step and memories of Adam (Kingma and Ba 2015)."""

STEP_KEPT = 0.8
"""What is left of the step after each time that everything was seen."""

MAIN_WEIGHS = (0.6, 0.25, 0.15)
"""What each topic of a call counts, the main one first."""

PRECISION, PRECISION_WITH_PHRASE = 0.715, 0.78
"""A topic that is wrong misleads more than one that is missing. Of topics of which a phrase was said
more is asked: many are mentioned in passing."""

Marks = NDArray[np.bool_]


NOT_LEARNED = frozenset(("brook", "coomb", "copse", "crag", "dell", "lough", "mere", "spit", "strand", "weir"))
"""Parts of which authors were not asked for every topic, or that were written since: what tells topics stays as it was
measured."""


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


def examples_of(dialogues: Sequence[Dialogue]) -> list[Example]:
    """Dialogues with their topics, masked."""
    masked = mask_calls([[(turn.role, turn.text) for turn in one.turns] for one in dialogues])
    return [
        Example(one.part, one.industry, tuple(lines), one.topics) for one, lines in zip(dialogues, masked, strict=True)
    ]


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


def phrases_of(example: Example) -> Counter[str]:
    """The topics of which the shipped rules find a phrase, and how many."""
    transcript = imagine_transcript(list(example.lines), example.industry)
    context = CallContext(transcript)
    book = _rulebooks().of(context)
    if book is None:
        return Counter()
    hearing = book.hearing(context)
    return phrases_said(topics_by_phrase(book.topics, hearing).values(), hearing)


def marks(names: Sequence[str], rows: Iterable[Iterable[str]]) -> Marks:
    """Shape (rows, names): which of the names each row has."""
    return np.array([[name in row for name in names] for row in map(set, rows)], dtype=bool)


def composed(openings: Sequence[Example], calls: Sequence[Example], chance: random.Random) -> list[Example]:
    """Each opening among lines with which calls begin and end, and most of them in a second call with another one."""
    around = [line for call in calls for line in (*call.lines[:1], *call.lines[-2:])]
    of_industry: dict[str, list[Example]] = {}
    for one in openings:
        of_industry.setdefault(one.industry, []).append(one)
    found = []
    for one in openings:
        first, *last = chance.choices(around, k=4)
        found.append(Example(None, one.industry, (first, *one.lines, *last), one.topics))
    for one in chance.choices(openings, k=len(openings) * 3 // 4):
        other = chance.choice(of_industry[one.industry] + of_industry.get("general", []))
        if other.topics == one.topics:
            continue
        first, between, *last = chance.choices(around, k=4)
        lines = (first, *one.lines, between, *other.lines, *last)
        found.append(Example(None, one.industry, lines, (one.topics[0], other.topics[0])))
    return found


@dataclass(frozen=True)
class Data:
    """Everything that is learned from: `calls` first, then what only teaches."""

    names: tuple[str, ...]
    """Of the heads: the topics, and `NONE` as the last."""
    calls: tuple[Example, ...]
    matrix: csr_matrix
    idf: NDArray[np.float32]
    counts: NDArray[np.float32]
    """What each topic counts in each row; a row adds up to one."""
    possible: Marks
    """The topics of the industry of each row, and none of them."""
    phrases: NDArray[np.int64]
    """Of calls: how many of each topic were said."""

    @property
    def topics(self) -> Marks:
        """Of calls, without `NONE`."""
        return self.counts[: len(self.calls), :-1] > 0

    @property
    def allowed(self) -> Marks:
        """Of calls, without `NONE`."""
        return self.possible[: len(self.calls), :-1]


def gather(calls: Sequence[Example], others: Sequence[Example]) -> Data:
    """Rows and labels of all examples."""
    of_industry = topic_names()
    names = (*sorted(set().union(*of_industry.values())), NONE)
    every = (*calls, *others)
    said = [one.said for one in every]
    idf = idf_of(topic_rows(said, None))
    rows = topic_rows(said, idf)
    matrix = csr_matrix((rows.values, (rows.rows, rows.columns)), shape=(rows.height, TOPIC_BUCKETS))
    counts = np.zeros((len(every), len(names)), dtype=np.float32)
    number_of = {name: number for number, name in enumerate(names)}
    for row, one in enumerate(every):
        weigh = MAIN_WEIGHS[: len(one.topics)]
        for topic, weight in zip(one.topics or (NONE,), weigh or (1.0,), strict=True):
            counts[row, number_of[topic]] += weight / sum(weigh or (1.0,))
    return Data(
        names,
        tuple(calls),
        matrix,
        idf,
        counts,
        marks(names, (of_industry[one.industry] | {NONE} for one in every)),
        np.array([[said[name] for name in names[:-1]] for said in map(phrases_of, calls)], dtype=np.int64),
    )


def fit(data: Data, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights of shape (buckets, heads) and biases that make the topics of those rows likeliest among what is possible
    in each.
    """
    shape = (data.matrix.shape[1], len(data.names))
    weights, mean, square = (np.zeros(shape, dtype=np.float32) for _ in range(3))
    biases = np.zeros(len(data.names), dtype=np.float32)
    chance = np.random.default_rng(20_261_201)
    step, steps = STEP, 0
    for _ in range(EPOCHS):
        order = chance.permutation(rows)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            matrix = data.matrix[batch]
            off = (read_scores(data, weights, biases, batch, matrix) - data.counts[batch]) / len(batch)
            slope = matrix.T @ off
            slope += PENALTY * weights
            steps += 1
            mean *= FASTER
            mean += (1 - FASTER) * slope
            square *= SLOWER
            square += (1 - SLOWER) * np.square(slope)
            weights -= (step / (1 - FASTER**steps)) * mean / (np.sqrt(square / (1 - SLOWER**steps)) + 1e-8)
            biases -= 5 * step * off.sum(axis=0)
        step *= STEP_KEPT
    return weights, biases


def read_scores(
    data: Data,
    weights: NDArray[np.float32],
    biases: NDArray[np.float32],
    rows: NDArray[np.int64],
    matrix: csr_matrix | None = None,
) -> NDArray[np.float32]:
    """Shape (rows, heads): the share of each topic among those that are possible."""
    scores = (data.matrix[rows] if matrix is None else matrix) @ weights + biases
    return shares(np.where(data.possible[rows], scores, np.float32(-1e4)))


def _fit_without(data: Data, parts: frozenset[str]) -> NDArray[np.float32]:
    """The shares that heads which were trained without those parts read in them."""
    left_out = np.flatnonzero([one.part in parts for one in data.calls])
    weights, biases = fit(data, np.setdiff1d(np.arange(data.matrix.shape[0]), left_out))
    return read_scores(data, weights, biases, left_out)


def held_out_shares(data: Data, processes: int) -> NDArray[np.float32]:
    """Shape (calls, topics): what heads say of each call that were trained without its part."""
    found = np.zeros((len(data.calls), len(data.names)), dtype=np.float32)
    groups = folds(Counter(str(one.part) for one in data.calls))
    with ProcessPoolExecutor(processes) if processes > 1 else nullcontext() as pool:
        for group, read in zip(groups, (pool.map if pool else map)(_fit_without, repeat(data), groups), strict=True):
            found[[one.part in group for one in data.calls]] = read
    return found[:, :-1]


@dataclass(frozen=True)
class Calibration:
    """Log-odds of a share to log-odds, and what a phrase adds; from which probabilities on a topic is believed of which
    no phrase was said, or one, or `SAID_OFTEN`."""

    slope: float
    phrase: float
    offset: float
    threshold: float = 1.0
    threshold_with_phrase: float = 1.0
    threshold_with_phrases: float = 1.0

    def probability(self, data: Data, read: NDArray[np.float32]) -> NDArray[np.float64]:
        """Shape (calls, topics)."""
        odds = self.slope * log_odds_of(read) + self.phrase * (data.phrases > 0) + self.offset
        result: NDArray[np.float64] = 1 / (1 + np.exp(-odds))
        return result


def calibrate(data: Data, read: NDArray[np.float32]) -> Calibration:
    """By what was read of the parts that were left out; believed from where a precision was kept there."""
    seen = data.allowed
    phrases = data.phrases[seen]
    inputs = np.stack([log_odds_of(read)[seen], phrases > 0], axis=1)
    truth = data.topics[seen]
    model = LogisticRegression(C=1e6, max_iter=1_000).fit(inputs, truth)
    found = Calibration(*(float(value) for value in (*model.coef_[0], model.intercept_[0])))
    probabilities = found.probability(data, read)
    probability = probabilities[seen]
    often, few = phrases >= SAID_OFTEN, (phrases > 0) & (phrases < SAID_OFTEN)
    none = likeliest(data, probabilities)[seen] & (phrases == 0)
    return replace(
        found,
        threshold=threshold_at(truth[none], probability[none], PRECISION),
        threshold_with_phrase=threshold_at(truth[few], probability[few], PRECISION_WITH_PHRASE),
        threshold_with_phrases=threshold_at(truth[often], probability[often], PRECISION),
    )


def likeliest(data: Data, probabilities: NDArray[np.float64]) -> Marks:
    """Which topics of each call are among the `MOST_READ` likeliest of those that are possible there."""
    last = np.sort(np.where(data.allowed, probabilities, -1.0), axis=1)[:, -MOST_READ]
    found: Marks = data.allowed & (probabilities >= last[:, None])
    return found


def reader_of(
    data: Data, weights: NDArray[np.float32], biases: NDArray[np.float32], calibration: Calibration
) -> TopicHeads:
    """The heads of all topics, with their calibration."""
    count = len(data.names)
    scales = np.maximum(np.abs(weights).max(axis=0), 1e-9) / 127
    heads = LinearHeads(
        data.names,
        np.round(weights / scales).astype(np.int8).T,
        scales.astype(np.float32),
        biases,
        np.ones(count, dtype=np.float32),
        np.zeros(count, dtype=np.float32),
        np.full(count, calibration.threshold, dtype=np.float32),
        data.idf,
    )
    return TopicHeads(
        heads,
        calibration.slope,
        calibration.offset,
        calibration.phrase,
        calibration.threshold_with_phrase,
        calibration.threshold_with_phrases,
    )


def figures(data: Data, read: NDArray[np.float32], calibration: Calibration) -> Mapping[str, float]:
    """Of calls: whether their main topic is found, precision and recall of all topics."""
    probabilities = calibration.probability(data, read)
    often = data.phrases >= SAID_OFTEN
    few = np.where(data.phrases > 0, calibration.threshold_with_phrase, calibration.threshold)
    least = np.where(often, calibration.threshold_with_phrases, few)
    believed = (probabilities >= least) & data.allowed & (often | likeliest(data, probabilities))
    truth = data.topics
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


def train(
    calls: Sequence[Example], others: Sequence[Example], processes: int
) -> tuple[TopicHeads, Mapping[str, float]]:
    """The reader, and its figures on parts that were left out."""
    data = gather(calls, [*others, *composed(others, calls, random.Random(20_261_201))])
    read = held_out_shares(data, processes)
    calibration = calibrate(data, read)
    found = figures(data, read, calibration)
    weights, biases = fit(data, np.arange(data.matrix.shape[0]))
    return reader_of(data, weights, biases, calibration), found


def main() -> None:
    """Train, print the figures of parts that were left out, and write the weights."""
    parser = argparse.ArgumentParser(description="Train the heads of topics on the text of training/.")
    parser.add_argument("--output", type=Path, default=TOPICS_FILE, help="file for the weights (default: the shipped)")
    options = parser.parse_args()
    calls = examples_of([one for one in load_dialogues() if one.twin_of is None and one.part not in NOT_LEARNED])
    reader, found = train(calls, [*sentences_of_packs(), *openings()], os.cpu_count() or 1)
    for name, value in found.items():
        print(
            f"{name}: {value:.2f}" if name != "calls" else f"topics of {value:.0f} calls, each part by heads without it"
        )
    reader.save(options.output)


if __name__ == "__main__":
    main()
