"""Train the reading heads that are shipped: `make heads`.

Each head is a logistic regression over hashed n-grams, which also learns from the difference between twins: of the same
utterance with and without what a head looks for, one must be read as more likely than the other (RankNet, Burges et al.
2005). Before the heads of all parts are trained, those of some parts
read the parts that were left out, in turn (`folds`): these readings calibrate the heads (Platt 1999), choose from which
probability on they are believed, train the heads of calls on what the heads of utterances really know, and are the
figures that `MODEL_CARD.md` quotes. Nothing is quoted of text that a head was trained on.
"""

import argparse
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import repeat
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from processors.reading.call_reader import (
    ACTS,
    AGENT_HEADS,
    CALL_COLUMNS,
    CALL_HEADS,
    CUSTOMER_HEADS,
    UPSET,
    VIOLATION,
    WORTH_HEARING,
    CallReader,
    with_summaries,
)
from processors.reading.features import Said, SparseRows, call_rows, idf_of, utterance_rows
from processors.reading.features import stack_rows as _stacked
from processors.reading.figures import threshold_at
from processors.reading.grams import BUCKETS
from processors.reading.heads import LinearHeads, log_odds_of
from processors.reading.identity import ASKS, DISCLOSES, asked_before_disclosing
from processors.reading.rescoring import Rescoring, in_their_call
from processors.text.normalized_text import normalize
from processors.text.syllables import syllables
from training.dialogues import SOFT, Dialogue, Turn, folds, load_dialogues
from training.identity import Identity, load_identity
from training.masked import Lines, mask_calls

WEIGHTS = Path(__file__).parents[1] / "processors" / "reading" / "weights"

NOT_LEARNED = frozenset(("fen", "tarn", "vale"))
"""Parts from which the heads do not learn, so that figures of text that they have not seen can be taken of several
authors. With them they read another author's calls no better (average precision of violations of `heath` 0.729, 0.728
without).
"""

UTTERANCE_C, CALL_C = 8.0, 10.0
"""Inverse strength of the penalty, as scikit-learn counts it."""

MISHEARD_SHARE = 0.08
"""So many characters of a copy of each dialogue are written as another one of their sound, as recognisers do."""

HEARD = Path(__file__).parent / "heard" / "calls.json"
"""Calls of `fen` and `tarn`, spoken by made voices and written by the packaged recogniser."""

Labels = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True)
class Example:
    """A call as the heads see it, with its labels by head.

    `known` has, for heads of which not every utterance is labelled, which are; no other utterances teach or judge them.
    `identity` is what is labelled of the whole call, if it is.
    """

    part: str
    said: tuple[Said, ...]
    agent: Labels
    customer: Labels
    call: Mapping[str, bool]
    known: Labels = field(default_factory=dict)
    identity: Identity | None = None
    name: str = ""
    """Of the dialogue; those of copies differ."""
    twin_of: str | None = None

    @property
    def is_twin(self) -> bool:
        """Whether it repeats another call with one thing changed."""
        return self.twin_of is not None


def example_of(
    dialogue: Dialogue,
    lines: Lines,
    identity: Mapping[str, Identity] | None = None,
    copy: int = 0,
) -> Example:
    """The dialogue with its turns in these words, which are as it was said, or as a recogniser might have written it:
    the copy of that number.

    With `identity`, who asks who is calling and who discloses is known of its calls; of all others only where an author
    has marked it.
    """
    said = tuple(Said(role, normalize(text).letters) for role, text in lines)
    agents = [turn for turn in dialogue.turns if turn.role == "agent"]
    customers = [turn for turn in dialogue.turns if turn.role == "customer"]
    of_agent = dict(_labels(AGENT_HEADS, agents, _of_agent))
    known: Labels = {}
    labelled = identity.get(dialogue.id) if identity is not None else None
    if labelled is not None:
        places = [place for place, turn in enumerate(dialogue.turns) if turn.role == "agent"]
        of_agent[ASKS] = np.array([place in labelled.asks for place in places], dtype=bool)
        of_agent[DISCLOSES] = np.array([place in labelled.discloses for place in places], dtype=bool)
    elif identity is not None:
        known = {head: of_agent[head] for head in (ASKS, DISCLOSES)}
    return Example(
        dialogue.part,
        said,
        of_agent,
        _labels(CUSTOMER_HEADS, customers, _of_customer),
        {"select": bool(dialogue.select), "upset": "upset" in dialogue.flags, "threat": "threat" in dialogue.flags},
        known,
        labelled,
        f"{dialogue.id} {copy}",
        None if dialogue.twin_of is None else f"{dialogue.twin_of} {copy}",
    )


def _labels(heads: Sequence[str], turns: Sequence[Turn], names_of: Callable[[Turn], set[str]]) -> Labels:
    named = [names_of(turn) for turn in turns]
    return {head: np.array([head in names for names in named], dtype=bool) for head in heads}


def _of_agent(turn: Turn) -> set[str]:
    kinds = {mark.kind for mark in turn.violations}
    return kinds | ({"violation"} if kinds else set()) | (turn.acts & set(ACTS))


def _of_customer(turn: Turn) -> set[str]:
    return {
        name for name, holds in (("upset", turn.upset), ("threat", turn.threat), ("soft", SOFT in turn.acts)) if holds
    }


@cache
def _same_sound() -> Mapping[str, str]:
    """Character → all characters that sound like it, among those that are read in one way."""
    groups: dict[str, list[str]] = {}
    for character, readings in syllables().items():
        if len(readings) == 1:
            groups.setdefault(readings[0], []).append(character)
    return {character: "".join(group) for group in groups.values() if len(group) > 1 for character in group}


def misheard(text: str, chance: random.Random) -> str:
    """The text with some characters written as others of their sound."""
    sounds = _same_sound()
    return "".join(
        chance.choice(sounds[character]) if character in sounds and chance.random() < MISHEARD_SHARE else character
        for character in text
    )


# --- one set of heads


@dataclass(frozen=True)
class Table:
    """SparseRows of all examples, and a column of labels for each head; `known` says which rows are, where not all.

    `twins` has the shape (pairs, 2): rows of the same place in a dialogue and in its twin.
    """

    rows: SparseRows
    labels: Labels
    known: Labels = field(default_factory=dict)
    twins: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), np.int64))


def _matrix(rows: SparseRows, columns: int) -> csr_matrix:
    return csr_matrix((rows.values, (rows.rows, rows.columns)), shape=(rows.height, columns))


def fit(table: Table, columns: int, idf: NDArray[np.float32], penalty: float) -> LinearHeads:
    """Heads without calibration. A head of which there are fewer than five examples always says no."""
    matrix = _matrix(table.rows, columns)
    weights, biases = [], []
    for head, labels in table.labels.items():
        known = table.known.get(head)
        if labels.sum() < 5:
            weights.append(np.zeros(columns, dtype=np.float32))
            biases.append(-10.0)
            continue
        model = LogisticRegression(C=penalty, solver="liblinear", max_iter=1_000, random_state=0)
        if known is None:
            model.fit(*_with_differences(matrix, labels, table.twins))
        else:
            model.fit(matrix[known], labels[known], _balanced(labels[known]))
        weights.append(model.coef_[0].astype(np.float32))
        biases.append(float(model.intercept_[0]))
    stacked = np.stack(weights)
    scales = np.maximum(np.abs(stacked).max(axis=1), 1e-9) / 127
    count = len(biases)
    return LinearHeads(
        tuple(table.labels),
        np.round(stacked / scales[:, None]).astype(np.int8),
        scales.astype(np.float32),
        np.array(biases, dtype=np.float32),
        np.ones(count, dtype=np.float32),
        np.zeros(count, dtype=np.float32),
        np.ones(count, dtype=np.float32),
        idf,
    )


def _balanced(labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """A weight for each row, so that both sides weigh the same."""
    count = int(labels.sum())
    return np.where(labels, len(labels) / (2 * count), len(labels) / (2 * (len(labels) - count)))


def _with_differences(
    matrix: csr_matrix, labels: NDArray[np.bool_], twins: NDArray[np.int64]
) -> tuple[csr_matrix, NDArray[np.bool_], NDArray[np.float64]]:
    """Rows, labels and weights; behind them, of each pair of twins of which one has the label, what sets it apart from
    the other, and the opposite of it, each as a row that weighs one.
    """
    differ = twins[labels[twins[:, 0]] != labels[twins[:, 1]]]
    if not len(differ):
        return matrix, labels, _balanced(labels)
    first_has_it = labels[differ[:, 0]]
    those, others = np.where(first_has_it, *differ.T), np.where(first_has_it, *differ.T[::-1])
    apart = matrix[those] - matrix[others]
    count = len(differ)
    return (
        vstack([matrix, apart, -apart], format="csr"),
        np.concatenate([labels, np.ones(count, np.bool_), np.zeros(count, np.bool_)]),
        np.concatenate([_balanced(labels), np.ones(2 * count)]),
    )


def twins_among(examples: Sequence[Example]) -> NDArray[np.int64]:
    """Rows of the agent's utterances at the same place in a dialogue and in its twin; shape (pairs, 2)."""
    counts = [len(one.agent[VIOLATION]) for one in examples]
    starts = np.cumsum([0, *counts])
    place_of = {one.name: number for number, one in enumerate(examples)}
    pairs = [
        np.arange(counts[number])[:, None] + [starts[number], starts[original]]
        for number, one in enumerate(examples)
        if (original := place_of.get(one.twin_of or "")) is not None and counts[original] == counts[number]
    ]
    return np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)


def utterance_heads(examples: Sequence[Example], role: Any) -> LinearHeads:
    """Heads over the utterances of one side."""
    idf = idf_of(_stacked([utterance_rows(one.said, role, None) for one in examples]))
    rows = _stacked([utterance_rows(one.said, role, idf) for one in examples])
    table = Table(rows, _joined(examples, role), _known(examples, role))
    if role == "agent":
        table = replace(table, twins=twins_among(examples))
    return fit(table, BUCKETS, idf, UTTERANCE_C)


def _joined(examples: Sequence[Example], role: str) -> Labels:
    first: Labels = getattr(examples[0], role)
    return {head: np.concatenate([getattr(one, role)[head] for one in examples]) for head in first}


def _known(examples: Sequence[Example], role: str) -> Labels:
    """Of heads of which not every utterance is labelled, which are."""
    partly = {head for one in examples for head in one.known} if role == "agent" else set()
    return {
        head: np.concatenate([one.known.get(head, np.ones_like(one.agent[head])) for one in examples])
        for head in sorted(partly)
    }


def call_heads(
    examples: Sequence[Example], agents: Sequence[NDArray[np.float32]], customers: Sequence[NDArray[np.float32]]
) -> LinearHeads:
    """Heads over calls; `agents` and `customers` are what heads of utterances read that were not trained on them."""
    said = [one.said for one in examples]
    idf = idf_of(call_rows(said, None))
    rows = with_summaries(call_rows(said, idf), agents, customers)
    labels = {head: np.array([one.call[head] for one in examples]) for head in CALL_HEADS}
    return fit(Table(rows, labels), CALL_COLUMNS, idf, CALL_C)


# --- readings of what was left out


def _read(heads: LinearHeads, examples: Sequence[Example], role: Any) -> list[NDArray[np.float32]]:
    return [heads.probabilities(utterance_rows(one.said, role, heads.idf)) for one in examples]


def calibrated(
    heads: LinearHeads,
    readings: NDArray[np.float32],
    labels: Labels,
    precisions: Mapping[str, float],
    known: Labels | None = None,
) -> LinearHeads:
    """The heads with Platt's slope and offset, and the lowest probability at which the wanted precision is kept."""
    slopes, offsets, thresholds = [], [], []
    for number, (head, all_labels) in enumerate(labels.items()):
        if all_labels.sum() < 5:
            slopes.append(1.0)
            offsets.append(0.0)
            thresholds.append(1.0)
            continue
        rows = (known or {}).get(head, slice(None))
        truth, odds = all_labels[rows], log_odds_of(readings[rows, number])
        model = LogisticRegression(C=1e6, max_iter=1_000).fit(odds[:, None], truth)
        slope, offset = float(model.coef_[0, 0]), float(model.intercept_[0])
        slopes.append(slope)
        offsets.append(offset)
        probability = 1 / (1 + np.exp(-(odds * slope + offset)))
        thresholds.append(threshold_at(truth, probability, precisions.get(head, 0.8)))
    return replace(
        heads,
        slopes=np.array(slopes, dtype=np.float32),
        offsets=np.array(offsets, dtype=np.float32),
        thresholds=np.array(thresholds, dtype=np.float32),
    )


PRECISIONS = {"select": 0.88, "upset": 0.86, "threat": 0.86}
AGENT_PRECISIONS = {"notice": 0.9}
"""The precision at which heads are believed; 0.8 for the others. A notice that is read must also name recording."""

SUSPECTED_FROM = 0.55
"""The probability from which on an utterance is suspected of a violation: the lowest at which no more than 0.3 % of the
sentences of real agents, nearly all of them harmless, are suspected by reading or rules. On parts that were not learned
from it costs a few hundredths of precision and gains twice as many of recall (docs/accuracy.md)."""

HEARD_PRECISION = 0.8
"""So many of the calls that were heard and are read as worth hearing are; less than of text (`PRECISIONS`), so that few
are lost by what was misheard: nothing but a list for people hangs on that."""

MEASURED = 0.9
"""In so many of the calls in which something personal is told or changed, reading says that it is."""

LESS_SURE = 0.7
"""Of other authors' disclosures the heads are less sure than of those of the parts that are left out in turn: with the
threshold that measures 0.9 of the latter, 0.87 of the 160 dialogues' were measured (looked at when this was chosen)."""

NEARBY = 0.09
"""Thresholds of `askid` that differ by less are near each other."""


def _heads_without(examples: Sequence[Example], parts: Collection[str], role: str) -> LinearHeads:
    return utterance_heads([one for one in examples if one.part not in parts], role)


def train(examples: Sequence[Example], processes: int = 1) -> CallReader:
    """Heads for utterances and for calls, each calibrated on parts that it was not trained on."""
    groups = folds(Counter(one.part for one in examples for _ in one.said))
    roles = ("agent", "customer")
    left_out = [[number for number, one in enumerate(examples) if one.part in group] for group in groups]
    jobs = [(group, role) for role in roles for group in (*groups, frozenset[str]())]
    with ProcessPoolExecutor(processes) if processes > 1 else nullcontext() as pool:
        fitted = (pool.map if pool else map)(_heads_without, repeat(examples), *zip(*jobs, strict=True))
    held_out: dict[str, list[NDArray[np.float32]]] = {}
    heads: dict[str, LinearHeads] = {}
    for role in roles:
        readings: dict[int, NDArray[np.float32]] = {}
        for numbers in left_out:
            readings.update(zip(numbers, _read(next(fitted), [examples[at] for at in numbers], role), strict=True))
        raw = [readings[number] for number in range(len(examples))]
        labels = _joined(examples, role)
        # The agent's head `threat` is another one than those of customers and calls.
        precisions = PRECISIONS if role == "customer" else AGENT_PRECISIONS
        heads[role] = calibrated(next(fitted), np.concatenate(raw), labels, precisions, _known(examples, role))
        held_out[role] = [_recalibrated(heads[role], reading) for reading in raw]
    heads["agent"] = with_identity_thresholds(heads["agent"], examples, held_out["agent"])
    call, of_calls = _train_call(examples, groups, held_out)
    rescored, _ = fit_rescoring(examples, "agent", VIOLATION, held_out["agent"], of_calls)
    upset, threshold = fit_rescoring(examples, "customer", UPSET, held_out["customer"], of_calls, PRECISIONS[UPSET])
    agent = heads["agent"].with_threshold(VIOLATION, SUSPECTED_FROM)
    return CallReader(agent, heads["customer"].with_threshold(UPSET, threshold), call, rescored, upset)


def fit_rescoring(
    examples: Sequence[Example],
    role: str,
    head: str,
    utterances: Sequence[NDArray[np.float32]],
    calls: NDArray[np.float32],
    precision: float = 0.8,
) -> tuple[Rescoring, float]:
    """What the call says of the utterances of one side, and from which probability on a head is believed then.

    `utterances` and `calls` are what heads read in parts that were left out. Twins are passed over: they hold one
    violation and are harmless elsewhere, by construction.
    """
    place = (AGENT_HEADS if role == "agent" else CUSTOMER_HEADS).index(head)
    read = zip(examples, utterances, log_odds_of(calls).tolist(), strict=True)
    looks = [(one, in_their_call(log_odds_of(each[:, place]), call)) for one, each, call in read if not one.is_twin]
    rows = np.concatenate([look for _, look in looks])
    truth = np.concatenate([getattr(one, role)[head] for one, _ in looks])
    model = LogisticRegression(C=1e6, max_iter=1_000).fit(rows, truth)
    own, *of_call = (float(weight) for weight in model.coef_[0])
    rescoring = Rescoring(float(model.intercept_[0]), own, tuple(of_call))
    return rescoring, threshold_at(truth, model.predict_proba(rows)[:, 1], precision)


def with_identity_thresholds(
    heads: LinearHeads, examples: Sequence[Example], readings: Sequence[NDArray[np.float32]]
) -> LinearHeads:
    """The heads with other thresholds of `askid` and `disclose`, chosen for what is said of a call by both.

    `readings` are of parts that were left out. From the threshold of `disclose` on, something is said of so many of the
    calls to which it applies as `MEASURED` says; at that of `askid`, and at those near it, most of it is right: which
    of many nearly equal ones is best by itself is chance.
    """
    asks, discloses = (heads.names.index(head) for head in (ASKS, DISCLOSES))
    read = [
        (one.identity.verified, reading[:, asks].tolist(), reading[:, discloses].tolist())
        for one, reading in zip(examples, readings, strict=True)
        if one.identity is not None and one.identity.verified is not None
    ]
    if not read:
        return heads
    highest = sorted((max(disclosing) for _, _, disclosing in read), reverse=True)
    thresholds = heads.thresholds.copy()
    thresholds[discloses] = highest[ceil(MEASURED * len(highest)) - 1]

    def right(asks_from: float) -> int:
        said = [
            (verified, asked_before_disclosing(asking, disclosing, asks_from, thresholds[discloses]))
            for verified, asking, disclosing in read
        ]
        return sum(verified == found for verified, found in said)

    steps = [step / 50 for step in range(1, 50)]
    rights = [right(step) for step in steps]
    thresholds[asks] = max(
        steps, key=lambda step: sum(rights[k] for k, one in enumerate(steps) if abs(one - step) < NEARBY)
    )
    thresholds[discloses] *= LESS_SURE
    return replace(heads, thresholds=thresholds)


def with_heard_offset(reader: CallReader, file: Path = HEARD) -> CallReader:
    """The reader with what is added to the odds of calls that were heard, so that one threshold holds of all.

    It stands for the lowest probability from which on `HEARD_PRECISION` is kept among the calls of the file: halfway,
    in log-odds, to the next call that is read as less. The heads have learned from none of these calls.
    """
    calls = json.loads(file.read_text(encoding="utf-8"))
    reader = replace(reader, heard_offset=None)
    truth = np.array([call["select"] for call in calls])
    said = [[Said(role, normalize(text).letters) for role, text in call["said"]] for call in calls]
    read = np.array([reader.read(one).probabilities[WORTH_HEARING] for one in said])
    last = threshold_at(truth, read, HEARD_PRECISION)
    border = log_odds_of(np.array([last, read[read < last].max()], dtype=np.float32)).mean()
    usual = log_odds_of(np.array([reader.call.threshold(WORTH_HEARING)], dtype=np.float32))[0]
    return replace(reader, heard_offset=float(usual - border))


def _recalibrated(heads: LinearHeads, reading: NDArray[np.float32]) -> NDArray[np.float32]:
    """What was read without calibration, as the calibrated heads would have read it."""
    result: NDArray[np.float32] = (1 / (1 + np.exp(-(log_odds_of(reading) * heads.slopes + heads.offsets)))).astype(
        np.float32
    )
    return result


def _train_call(
    examples: Sequence[Example], groups: Sequence[frozenset[str]], held_out: Mapping[str, Sequence[NDArray[np.float32]]]
) -> tuple[LinearHeads, NDArray[np.float32]]:
    """Heads of calls, and what those of other parts read in each; shape (calls, heads)."""
    readings = np.zeros((len(examples), len(CALL_HEADS)), dtype=np.float32)

    def chosen(numbers: Sequence[int]) -> tuple[Any, ...]:
        return tuple(
            [column[number] for number in numbers] for column in (examples, held_out["agent"], held_out["customer"])
        )

    for group in groups:
        others = [number for number, one in enumerate(examples) if one.part not in group]
        left_out = [number for number, one in enumerate(examples) if one.part in group]
        heads = call_heads(*chosen(others))
        of_part, agents, customers = chosen(left_out)
        rows = call_rows([one.said for one in of_part], heads.idf)
        readings[left_out] = heads.probabilities(with_summaries(rows, agents, customers))
    labels = {head: np.array([one.call[head] for one in examples]) for head in CALL_HEADS}
    everything = call_heads(examples, held_out["agent"], held_out["customer"])
    heads = calibrated(everything, readings, labels, PRECISIONS)
    return heads, _recalibrated(heads, readings)


# --- figures


@dataclass(frozen=True)
class Figure:
    """How well one head reads text that it was not trained on."""

    head: str
    examples: int
    share: float
    average_precision: float
    area_under_curve: float
    precision: float
    recall: float


def figures(reader: CallReader, examples: Iterable[Example]) -> list[Figure]:
    """Of every head that has five examples or more; precision and recall at its threshold."""
    seen = list(examples)
    readings = [reader.read(one.said) for one in seen]
    found = []
    for head in CALL_HEADS:
        truth = np.array([one.call[head] for one in seen])
        found.append(
            (f"call {head}", truth, [reading.probabilities[head] for reading in readings], reader.call.threshold(head))
        )
    for role, heads in (("agent", reader.agent), ("customer", reader.customer)):
        of_role = [
            each for reading in readings for each in reading.utterances if each is not None and each.role == role
        ]
        known = _known(seen, role)
        for head, truth in _joined(seen, role).items():
            rows = known.get(head, np.ones_like(truth))
            read = np.array([each.probabilities[head] for each in of_role])[rows].tolist()
            found.append((f"{role} {head}", truth[rows], read, heads.threshold(head)))
    return [_figure(*each) for each in found if each[1].sum() >= 5]


def _figure(head: str, truth: NDArray[np.bool_], probabilities: Sequence[float], threshold: float) -> Figure:
    read = np.array(probabilities)
    believed = read >= threshold
    right = int((believed & truth).sum())
    return Figure(
        head,
        int(truth.sum()),
        float(truth.mean()),
        float(average_precision_score(truth, read)),
        float(roc_auc_score(truth, read)),
        right / max(int(believed.sum()), 1),
        right / int(truth.sum()),
    )


def _print(title: str, found: Sequence[Figure]) -> None:
    print(f"\n{title}\nhead | examples | share | AP | AUC | P | R at the threshold")
    for one in found:
        print(
            f"{one.head} | {one.examples} | {one.share:.3f} | {one.average_precision:.2f} | {one.area_under_curve:.3f}"
            f" | {one.precision:.2f} | {one.recall:.2f}"
        )


def examples_of(
    dialogues: Iterable[Dialogue], *, copies: int, identity: Mapping[str, Identity] | None = None
) -> list[Example]:
    """Each dialogue as it was said, and so many copies as recognisers might have written it, all masked."""
    chance = random.Random(20_261_129)
    named = [(dialogue, copy) for dialogue in dialogues for copy in range(copies + 1)]
    calls = [
        [(turn.role, misheard(turn.text, chance) if copy else turn.text) for turn in dialogue.turns]
        for dialogue, copy in named
    ]
    return [
        example_of(dialogue, lines, identity, copy)
        for (dialogue, copy), lines in zip(named, mask_calls(calls), strict=True)
    ]


def _print_as_read(dialogues: Sequence[Dialogue]) -> None:
    reader = CallReader.load()
    for part in sorted({one.part for one in dialogues}):
        examples = examples_of((one for one in dialogues if one.part == part), copies=0)
        _print(f"{part}, read by the shipped heads ({len(examples)} calls)", figures(reader, examples))


def main() -> None:
    """Train and write the weights; with `--figures`, print those of each part that is left out."""
    parser = argparse.ArgumentParser(description="Train the reading heads on the dialogues of training/.")
    parser.add_argument("--copies", type=int, default=1, help="misheard copies of each dialogue (default %(default)s)")
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="folder for the weights (default: those shipped)")
    parser.add_argument(
        "--figures",
        action="store_true",
        help="also train without each part and print how that part is read then (hours)",
    )
    parser.add_argument("--read", type=Path, metavar="FOLDER", help="train nothing; how the shipped heads read this")
    options = parser.parse_args()
    if options.read is not None:
        _print_as_read(load_dialogues(options.read))
        return
    options.output.mkdir(parents=True, exist_ok=True)
    dialogues = [one for one in load_dialogues() if one.part not in NOT_LEARNED]
    identity = load_identity(dialogues)
    for part in sorted({one.part for one in dialogues}) if options.figures else []:
        others = examples_of((one for one in dialogues if one.part != part), copies=options.copies, identity=identity)
        left_out = examples_of((one for one in dialogues if one.part == part), copies=0, identity=identity)
        _print(f"trained without {part}, read in {part} ({len(left_out)} calls)", figures(train(others), left_out))
    reader = train(examples_of(dialogues, copies=options.copies, identity=identity), os.cpu_count() or 1)
    with_heard_offset(reader).save(options.output)


if __name__ == "__main__":
    main()
