"""Reading heads adapted to a house: a correction of the shipped heads, learned from a few hundred calls of its own.

A head is not trained anew, for which such calls are too few. Its log-odds z of an example with the features x become

    a·z + b + d·x

with a pulled to 1, b and d to 0 by a quadratic penalty (Platt's calibration with a prior, and ridge logistic regression
with the shipped head as offset). How strong the penalty on d is, and whether anything is changed at all, is chosen by
cross-validation within the examples given: the least log loss of examples that a correction was not learned from. Whole
agents stand together in its folds where there are enough of them, because the calls of an agent are alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from processors.reading.call_reader import VIOLATION, WORTH_HEARING, CallReader, with_summaries
from processors.reading.features import Said, SparseRows, call_rows, stack_rows, utterance_rows
from processors.reading.figures import Read, Truth, best_threshold, threshold_at
from processors.reading.heads import LinearHeads

FOLDS = 5
PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1)
"""Of the squared length of d, half of which is added to the summed log loss; strongest first."""
SLOPE_PENALTY, OFFSET_PENALTY = 2.0, 0.1
LEAST_POSITIVE, LEAST_NEGATIVE = 10, 10
"""With fewer examples of one kind a head stays as it is."""
MOST_EXAMPLES = 4_000
"""Of more, the newest count: time and memory rise with their square."""

VIOLATION_PRECISION = 0.7
"""From the lowest probability on that kept it in cross-validation a suspicion is raised: whoever adapts the heads must
not be accused more lightly than before. The shipped ones keep 0.86, on text that was invented. Calls are called worth
hearing where F1 was highest: nothing but a list for people hangs on that."""

_STEPS, _INNER_STEPS = 50, 200
_ENOUGH, _INNER_ENOUGH, _SHORTEST = 1e-3, 1e-10, 1e-4
_LARGEST = 2**15 - 1


@dataclass(frozen=True)
class LabelledCall:
    """A call with what inspectors say of it; None where they say nothing. `violations` are of the agent's utterances,
    in their order. `moment` orders calls by time. `heard`: a recogniser of the house wrote its text."""

    call_id: str
    agent_id: str
    moment: float
    said: tuple[Said, ...]
    worth_hearing: bool | None
    violations: tuple[bool | None, ...]
    heard: bool = False

    @property
    def is_labelled(self) -> bool:
        """Whether anything is known of it."""
        return self.worth_hearing is not None or any(one is not None for one in self.violations)


@dataclass(frozen=True)
class Correction:
    """a, b and d of one head; `penalty` None where it stays as it is."""

    slope: float
    offset: float
    weights: NDArray[np.float64]
    penalty: float | None


@dataclass(frozen=True)
class HeadReport:
    """What became of a head: of how many examples it learned, and its log loss in cross-validation before and after."""

    head: str
    examples: int
    positive: int
    penalty: float | None
    loss_before: float | None
    loss_after: float | None


@dataclass(frozen=True)
class Adapted:
    """The heads of a house, and how they came about."""

    reader: CallReader
    reports: tuple[HeadReport, ...]


@dataclass(frozen=True)
class Examples:
    """Rows with what the present head says of them, their labels, and to which fold each belongs."""

    rows: SparseRows
    log_odds: Read
    labels: Read
    """1, 0, or not a number where nothing is known."""
    folds: NDArray[np.int64]

    @cached_property
    def known(self) -> NDArray[np.int64]:
        """Which have a label; of more than `MOST_EXAMPLES` the newest, which are the last."""
        return np.flatnonzero(~np.isnan(self.labels))[-MOST_EXAMPLES:]

    @cached_property
    def products(self) -> NDArray[np.float32]:
        """The inner product of the features of every row with those of each that has a label."""
        rows, values = self.rows.rows, self.rows.values
        order = np.argsort(rows, kind="stable")
        starts = np.searchsorted(rows[order], np.arange(self.rows.height + 1))
        found = np.zeros((self.rows.height, len(self.known)), dtype=np.float32)
        dense = np.zeros(int(self.rows.columns.max(initial=0)) + 1, dtype=np.float32)
        for number, row in enumerate(self.known.tolist()):
            own = order[starts[row] : starts[row + 1]]
            dense[self.rows.columns[own]] = values[own]
            found[:, number] = np.bincount(rows, values * dense[self.rows.columns], minlength=self.rows.height)
            dense[self.rows.columns[own]] = 0
        return found


def adapt(reader: CallReader, calls: Sequence[LabelledCall]) -> Adapted:
    """The reader with the heads `violation` and `select` corrected by these calls; the others stay as they are.

    The head of calls learns from what heads of utterances read that did not learn from the same call. Violations are
    rescored only where that reads these calls better: what a house calls worth hearing may say little of them.
    """
    calls = sorted(calls, key=lambda call: (call.moment, call.call_id))
    folds = folds_of(calls)
    utterances = [utterance_rows(call.said, "agent", reader.agent.idf) for call in calls]
    counts = [rows.height for rows in utterances]
    all_rows = stack_rows(utterances)
    log_odds = reader.agent.log_odds(all_rows).astype(np.float64)
    place = reader.agent.names.index(VIOLATION)
    spoken = Examples(
        all_rows,
        log_odds[:, place],
        np.array([_number(label) for call in calls for label in call.violations], dtype=np.float64),
        np.repeat(folds, counts),
    )
    violation, violation_held_out, violation_report = _correct(spoken, reader.agent.weights.shape[1], VIOLATION)
    agent = correct_head(reader.agent, VIOLATION, violation)
    log_odds[:, place] = violation_held_out
    agents = np.split(probability_of(log_odds).astype(np.float32), np.cumsum(counts)[:-1])
    customers = [
        reader.customer.probabilities(utterance_rows(call.said, "customer", reader.customer.idf)) for call in calls
    ]
    rows = with_summaries(call_rows([call.said for call in calls], reader.call.idf), agents, customers)
    whole = Examples(
        rows,
        reader.call.log_odds(rows)[:, reader.call.names.index(WORTH_HEARING)].astype(np.float64),
        np.array([_number(call.worth_hearing) for call in calls], dtype=np.float64),
        folds,
    )
    select, select_held_out, select_report = _correct(whole, reader.call.weights.shape[1], WORTH_HEARING)
    call_heads = correct_head(reader.call, WORTH_HEARING, select)
    call_heads = _with_threshold(call_heads, WORTH_HEARING, whole, select_held_out, select)
    if reader.rescoring is not None:
        of_calls = reader.call.log_odds(rows).astype(np.float64)
        of_calls[:, reader.call.names.index(WORTH_HEARING)] = select_held_out
        by_call = np.split(violation_held_out, np.cumsum(counts)[:-1])
        looks = zip(by_call, of_calls.tolist(), strict=True)
        rescored = np.concatenate([reader.rescoring.log_odds(*look) for look in looks])
        # A head that stays as it was keeps its threshold, which is one of rescored probabilities.
        if violation.penalty is None or _loss_of(spoken, rescored) <= _loss_of(spoken, violation_held_out):
            violation_held_out = rescored
        else:
            reader = replace(reader, rescoring=None)
    agent = _with_threshold(agent, VIOLATION, spoken, violation_held_out, violation)
    offset = reader.heard_offset if select.penalty is None else None  # these calls are what the house hears
    adapted = replace(reader, agent=agent, call=call_heads, heard_offset=offset)
    return Adapted(adapted, (select_report, violation_report))


def _loss_of(examples: Examples, log_odds: Read) -> float:
    """Of the examples that have a label."""
    return log_loss_of(log_odds[examples.known], examples.labels[examples.known])


def _number(label: bool | None) -> float:
    return np.nan if label is None else float(label)


def folds_of(calls: Sequence[LabelledCall]) -> NDArray[np.int64]:
    """The fold of each call: by its agent where there are twice as many as folds, else by the call."""
    names = [call.agent_id for call in calls]
    if len(set(names)) < 2 * FOLDS:
        names = [call.call_id for call in calls]
    order = sorted(set(names), key=lambda name: sha256(name.encode()).digest())
    fold_of = {name: number % FOLDS for number, name in enumerate(order)}
    return np.array([fold_of[name] for name in names], dtype=np.int64)


def _correct(examples: Examples, columns: int, head: str) -> tuple[Correction, Read, HeadReport]:
    """The correction, the log-odds of every example by corrections that were not learned from it, and a report."""
    known = examples.known
    labels, present = examples.labels[known], examples.log_odds[known]
    positive = int(labels.sum())
    unchanged = Correction(1.0, 0.0, np.zeros(0), None)
    if positive < LEAST_POSITIVE or len(labels) - positive < LEAST_NEGATIVE:
        return unchanged, examples.log_odds, HeadReport(head, len(labels), positive, None, None, None)
    before = log_loss_of(present, labels)
    best, best_loss, held_out = None, before, examples.log_odds
    for penalty in (np.inf, *PENALTIES):
        read = _held_out(examples, penalty)
        loss = log_loss_of(read[known], labels)
        if loss < best_loss:
            best, best_loss, held_out = penalty, loss, read
    report = HeadReport(head, len(labels), positive, best, before, best_loss)
    if best is None:
        return unchanged, examples.log_odds, report
    shares = _fit(examples.products[known], present, labels, best)
    # Of many rows one column: the sum of what each labelled row adds to it.
    share_of_row = np.zeros(examples.rows.height)
    share_of_row[known] = shares / best
    added = examples.rows.values * share_of_row[examples.rows.rows]
    weights = np.bincount(examples.rows.columns, added, minlength=columns).astype(np.float64)
    slope, offset = _slope_and_offset(shares, present)
    return Correction(slope, offset, weights, best), held_out, report


def _held_out(examples: Examples, penalty: float) -> Read:
    read = examples.log_odds.copy()
    folds = examples.folds[examples.known]
    for fold in range(FOLDS):
        left_out, learned = examples.folds == fold, folds != fold
        rows = examples.known[learned]
        if not left_out.any() or len(set(examples.labels[rows].tolist())) < 2:
            continue
        products = examples.products[:, learned]
        shares = _fit(products[rows], examples.log_odds[rows], examples.labels[rows], penalty)
        slope, offset = _slope_and_offset(shares, examples.log_odds[rows])
        read[left_out] = slope * examples.log_odds[left_out] + offset + products[left_out] @ shares / penalty
    return read


def _slope_and_offset(shares: Read, present: Read) -> tuple[float, float]:
    return 1 + float(shares @ present) / SLOPE_PENALTY, float(shares.sum()) / OFFSET_PENALTY


def log_loss_of(log_odds: Read, labels: Read) -> float:
    """Mean over examples."""
    return float(np.mean(np.logaddexp(0, log_odds) - labels * log_odds))


def probability_of(log_odds: Read) -> Read:
    result: Read = 1 / (1 + np.exp(-log_odds))
    return result


def _fit(products: NDArray[np.float32], present: Read, labels: Read, penalty: float) -> Read:
    """The share that each example has in the correction: d is the sum of shares times features, over the penalty.

    Newton's method in the space of examples, of which there are far fewer than columns (Rasmussen and Williams,
    Gaussian Processes for Machine Learning, 2006, algorithm 3.1).
    """

    def times(direction: Read) -> Read:
        made: Read = products @ direction / penalty
        made += present * (present @ direction) / SLOPE_PENALTY + direction.sum() / OFFSET_PENALTY
        return made

    def loss(shares: Read, change: Read) -> float:
        read = present + change
        return float(np.sum(np.logaddexp(0, read) - labels * read) + shares @ change / 2)

    shares, change = np.zeros(len(labels)), np.zeros(len(labels))
    now = loss(shares, change)
    for _ in range(_STEPS):
        probability = probability_of(present + change)
        root = np.sqrt(probability * (1 - probability))
        wanted = root**2 * change + labels - probability

        def weighted(direction: Read, root: Read = root) -> Read:
            return direction + root * times(root * direction)

        turned = _solve(weighted, root * times(wanted))
        step = wanted - root * turned - shares
        length, former = 1.0, now
        while length > _SHORTEST:
            then = shares + length * step
            change_then = times(then)
            now = loss(then, change_then)
            if now <= former:
                break
            length /= 2
        else:
            break
        shares, change = then, change_then
        if former - now < _ENOUGH:
            break
    return shares


def _solve(times: Callable[[Read], Read], right: Read) -> Read:
    """Conjugate gradients (Hestenes and Stiefel 1952)."""
    found = np.zeros_like(right)
    rest, direction = right.copy(), right.copy()
    square = first = float(rest @ rest)
    for _ in range(_INNER_STEPS):
        if square <= _INNER_ENOUGH * first:
            break
        turned = times(direction)
        share = square / float(direction @ turned)
        found += share * direction
        rest -= share * turned
        former, square = square, float(rest @ rest)
        direction = rest + square / former * direction
    return found


def correct_head(heads: LinearHeads, head: str, correction: Correction) -> LinearHeads:
    """The heads with the correction in the weights of one of them: reading costs what it did."""
    if correction.penalty is None:
        return heads
    place = heads.names.index(head)
    slope = float(heads.slopes[place]) * correction.slope
    weights = heads.weights[place].astype(np.float64) * float(heads.scales[place]) * slope
    if len(correction.weights):
        weights += correction.weights
    scale = max(float(np.abs(weights).max()), 1e-9) / _LARGEST
    whole = heads.weights.astype(np.int16)
    whole[place] = np.round(weights / scale)
    bias = float(heads.biases[place]) * slope + float(heads.offsets[place]) * correction.slope + correction.offset
    return replace(
        heads,
        weights=whole,
        scales=_with(heads.scales, place, scale),
        biases=_with(heads.biases, place, bias),
        slopes=_with(heads.slopes, place, 1.0),
        offsets=_with(heads.offsets, place, 0.0),
    )


def _with_threshold(
    heads: LinearHeads, head: str, examples: Examples, held_out: NDArray[np.float64], correction: Correction
) -> LinearHeads:
    if correction.penalty is None:
        return heads
    labels = examples.labels[examples.known].astype(bool)
    read = probability_of(held_out[examples.known])
    threshold = threshold_at(labels, read, VIOLATION_PRECISION) if head == VIOLATION else best_threshold(labels, read)
    return heads.with_threshold(head, threshold)


def _with(values: NDArray[np.float32], place: int, value: float) -> NDArray[np.float32]:
    changed = values.copy()
    changed[place] = value
    return changed


def read_labels(reader: CallReader, calls: Sequence[LabelledCall]) -> Mapping[str, tuple[Truth, Read, float]]:
    """Head → labels, what the reader reads, and from which probability on it believes; of what has a label."""
    select: list[tuple[bool, float]] = []
    violation: list[tuple[bool, float]] = []
    for call in calls:
        reading = reader.read(call.said, heard=call.heard)
        if call.worth_hearing is not None:
            select.append((call.worth_hearing, reading.probabilities[WORTH_HEARING]))
        of_agent = [one for one in reading.utterances if one is not None and one.role == "agent"]
        violation += [
            (label, one.probabilities[VIOLATION])
            for label, one in zip(call.violations, of_agent, strict=True)
            if label is not None
        ]
    return {
        head: (np.array([label for label, _ in pairs], dtype=bool), np.array([read for _, read in pairs]), threshold)
        for head, pairs, threshold in (
            (WORTH_HEARING, select, reader.call.threshold(WORTH_HEARING)),
            (VIOLATION, violation, reader.agent.threshold(VIOLATION)),
        )
    }
