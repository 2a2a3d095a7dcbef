"""Reads a call by its words: each utterance, then the call as a whole."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from shutil import rmtree

import numpy as np
from numpy.typing import NDArray

from processors.digest import LATER, digest_of
from processors.reading.features import OWN, Said, SparseRows, calls_of, rows_of, utterances_of
from processors.reading.grams import BUCKETS, RECIPE, weigh_letters
from processors.reading.heads import LinearHeads, find_fact, load_heads, log_odds_of, save_heads
from processors.reading.rescoring import Rescoring
from schemas.messages.call_ended import Role

WEIGHTS = Path(__file__).parent / "weights"

VIOLATION = "violation"
"""Whatever kind it is."""

KINDS = (
    "false_promise",
    "illegal",
    "misleading",
    "no_permission",
    "pressure",
    "privacy",
    "private_dealing",
    "rights",
    "rude",
    "safety",
    "shirking",
    "threat",
)
"""What an agent may do wrong, sorted."""

KIND_SHARE = 0.65
"""A call that is worth hearing is suspected of a kind of violation from this share on of the probability that is asked
of a single utterance: there the kinds of a call are as often right as those of utterances, in parts from which neither
was made (docs/accuracy.md)."""

SUSPECTED_IN_CALL = "suspected_in_call_"
"""Rules of suspicions of a whole call begin like this: verdicts on them tell nothing of a single utterance."""

ACTS = ("greet", "notice", "warn", "askid", "disclose", "sorry", "promise", "refuse", "explain", "close")
"""What an agent does with an utterance: greets, says that the call is recorded, warns of risks, asks who is calling,
tells or changes personal data, apologises, promises a time, refuses, explains, says goodbye."""

AGENT_HEADS = (VIOLATION, *KINDS, *ACTS)
UPSET = "upset"
CUSTOMER_HEADS = (UPSET, "threat", "soft")
WORTH_HEARING = "select"
CALL_HEADS = (WORTH_HEARING, UPSET, "threat")
"""Of a call: whether somebody should listen to it, whether the customer is upset or threatens with a complaint."""

_SUMMARIES = tuple(f"agent_{name}" for name in AGENT_HEADS) + tuple(f"customer_{name}" for name in CUSTOMER_HEADS)
CALL_COLUMNS = BUCKETS + 2 * len(_SUMMARIES)
"""Columns of a call: its n-grams, then of each head of utterances its highest probability and the sum of all."""

MAX_STRETCH_LETTERS = 24
"""So long at most is what is shown of an utterance as having weighed most."""

LEAST_LETTERS = 4
MOST = 0.6
SHORT = 0.75
SCRAP = 3
"""How short it is at least; how much of the weight for a head it carries; up to which share of an utterance whole
clauses are shown rather than letters; and how many letters of a clause are shown, or left out, if any."""

RESCORING_FILE, UPSET_RESCORING_FILE = "rescoring.npz", "upset_rescoring.npz"
HEARD_OFFSET = "heard_offset"
"""The name under which `call.npz` has what is added for calls that were heard."""

ENCODER_FILE, ENCODER_FOLDER = "encoder.json", "encoder"
"""Where a folder has them, an encoder reads beside these heads (`processors.reading.encoded_reader`)."""

_SUM_LIMIT = 5.0
"""From so many utterances on, more of them say nothing new."""


@dataclass(frozen=True)
class UtteranceReading:
    """Name of a head → its probability, for one utterance."""

    role: Role
    probabilities: Mapping[str, float]

    @property
    def likeliest_kind(self) -> str:
        """Of an utterance of the agent: which kind of violation it is, if it is one."""
        return max(KINDS, key=lambda name: self.probabilities[name])


@dataclass(frozen=True)
class CallReading:
    """What was read in a call. `utterances` are those of both known sides, in the order in which they were given."""

    probabilities: Mapping[str, float]
    utterances: tuple[UtteranceReading | None, ...]

    def kinds(self) -> Mapping[str, float]:
        """Kind of violation → how likely at least one utterance of the agent is of it, 0–1, as if one said nothing of
        the others (noisy-or, Pearl 1988). Several doubtful sentences of a kind make it likely in the call.
        """
        nowhere = dict.fromkeys(KINDS, 1.0)
        for one in self._of_agent():
            read = one.probabilities
            each = read[VIOLATION] / max(sum(read[kind] for kind in KINDS), 1e-9)
            for kind in KINDS:
                nowhere[kind] *= 1 - each * read[kind]
        return {kind: 1 - probability for kind, probability in nowhere.items()}

    def kinds_of_no_utterance(self, suspect_from: float) -> Mapping[str, float]:
        """The kinds of which the call as a whole is suspected, and none of its utterances, which are from that
        probability on; with how likely each is."""
        told = {one.likeliest_kind for one in self._of_agent() if one.probabilities[VIOLATION] >= suspect_from}
        least = KIND_SHARE * suspect_from
        return {kind: value for kind, value in self.kinds().items() if value >= least and kind not in told}

    def _of_agent(self) -> Iterator[UtteranceReading]:
        return (one for one in self.utterances if one is not None and one.role == "agent")


@dataclass(frozen=True)
class CallReader:
    """Heads of utterances and of calls. Reading is pure: the same words give the same numbers.

    With rescorings, an agent's violations and a customer's being upset are weighed again in the light of the call,
    which is read with what was read first.
    """

    agent: LinearHeads
    customer: LinearHeads
    call: LinearHeads
    rescoring: Rescoring | None = None
    upset_rescoring: Rescoring | None = field(default=None, metadata=LATER)
    heard_offset: float | None = field(default=None, metadata=LATER)
    """What is added to the logarithm of the odds that a call is worth hearing where a recogniser wrote its text: what
    is misheard takes away from what speaks for it."""

    def read(self, said: Sequence[Said], *, heard: bool = False) -> CallReading:
        """`said` in the order in which it was said; what is said by nobody known is passed over. `heard`: a recogniser
        of the house wrote it.
        """
        agent, customer, row = rows_of(
            [
                utterances_of(said, "agent", self.agent.idf),
                utterances_of(said, "customer", self.customer.idf),
                calls_of([said], self.call.idf),
            ]
        )
        by_role: dict[Role, NDArray[np.float32]] = {
            "agent": self.agent.probabilities(agent),
            "customer": self.customer.probabilities(customer),
        }
        row = with_summaries(row, [by_role["agent"]], [by_role["customer"]])
        of_call = self.call.probabilities(row)[0]
        _rescore(self.rescoring, by_role["agent"], self.agent.names.index(VIOLATION), of_call)
        _rescore(self.upset_rescoring, by_role["customer"], self.customer.names.index(UPSET), of_call)
        if heard and self.heard_offset is not None:
            place = self.call.names.index(WORTH_HEARING)
            of_call[place] = 1 / (1 + np.exp(-(log_odds_of(of_call[place]) + self.heard_offset)))
        names: dict[Role, tuple[str, ...]] = {"agent": self.agent.names, "customer": self.customer.names}
        next_of = {role: iter(readings.tolist()) for role, readings in by_role.items()}
        utterances = tuple(
            UtteranceReading(one.role, dict(zip(names[one.role], next(next_of[one.role]), strict=True)))
            if one.role in names
            else None
            for one in said
        )
        return CallReading(dict(zip(self.call.names, of_call.tolist(), strict=True)), utterances)

    def save(self, folder: Path) -> None:
        """Write the files of weights, in place of those that stand there."""
        (folder / ENCODER_FILE).unlink(missing_ok=True)
        rmtree(folder / ENCODER_FOLDER, ignore_errors=True)
        for name, heads in (("agent", self.agent), ("customer", self.customer)):
            save_heads(heads, folder / f"{name}.npz")
        facts = {} if self.heard_offset is None else {HEARD_OFFSET: self.heard_offset}
        save_heads(self.call, folder / "call.npz", **facts)
        for name, rescoring in ((RESCORING_FILE, self.rescoring), (UPSET_RESCORING_FILE, self.upset_rescoring)):
            (folder / name).unlink(missing_ok=True)
            if rescoring is not None:
                rescoring.save(folder / name)

    @staticmethod
    def load(folder: Path = WEIGHTS, device: str = "cpu") -> "CallReader":
        """The reader of a folder; `device` is where its encoder runs, if it has one. Raises `ReadingWeightsError`, also
        where an encoder is to read and `callstream[transformers]` is not installed."""
        small = CallReader(
            load_heads(folder / "agent.npz", AGENT_HEADS, BUCKETS),
            load_heads(folder / "customer.npz", CUSTOMER_HEADS, BUCKETS),
            load_heads(folder / "call.npz", CALL_HEADS, CALL_COLUMNS),
            Rescoring.load(folder / RESCORING_FILE, len(CALL_HEADS)),
            Rescoring.load(folder / UPSET_RESCORING_FILE, len(CALL_HEADS)),
            find_fact(folder / "call.npz", HEARD_OFFSET),
        )
        if not (folder / ENCODER_FILE).is_file():
            return small
        from processors.reading.encoded_reader import load_encoded  # which builds on this module

        return load_encoded(small, folder, device)

    def weightiest(self, letters: str, head: str, clauses: Sequence[int] = ()) -> tuple[int, int]:
        """The passage of an agent's utterance that speaks most for a head as it is written, as letters: start, and end
        exclusive.

        `clauses` are the letters with which clauses begin (`shortest_passage`).
        """

        def weight_of(buckets: NDArray[np.int64]) -> NDArray[np.float32]:
            return self.agent.weight_of(head, buckets) * self.agent.idf[buckets]

        return shortest_passage(weigh_letters([letters], OWN.lengths, 0, weight_of, OWN.gaps)[0], clauses)

    @cached_property
    def version(self) -> str:
        """A digest of the weights and of how text is read: it changes whenever a reading may change."""
        return digest_of((RECIPE, self))


def _rescore(
    rescoring: Rescoring | None, readings: NDArray[np.float32], head: int, of_call: NDArray[np.float32]
) -> None:
    """Put the rescored probabilities of a head in the place of those that were read first."""
    if rescoring is not None and len(readings):
        log_odds = rescoring.log_odds(log_odds_of(readings[:, head]), log_odds_of(of_call).tolist())
        readings[:, head] = 1 / (1 + np.exp(-log_odds))


def shortest_passage(weights: NDArray[np.float32], clauses: Sequence[int] = ()) -> tuple[int, int]:
    """Start and end of the shortest passage with `MOST` of the weight that speaks for a head, of `LEAST_LETTERS` or
    more and `MAX_STRETCH_LETTERS` at most; of equally short ones the heaviest, then the first.

    Whole clauses, which begin at the letters `clauses`, where they are `SHORT` of the text or less; else any letters.
    Where nothing speaks for the head, or nothing so short does enough, the heaviest stretch.
    """
    sums = np.concatenate([[0.0], np.cumsum(np.maximum(weights, 0), dtype=np.float64)]).tolist()
    if sums[-1] > 0:
        borders = sorted({0, *clauses, len(weights)})
        found = _shortest(sums, borders, int(SHORT * len(weights))) or _shortest(sums, _cuts(borders), len(weights))
        if found is not None:
            return found
    return heaviest_stretch(weights)


def _cuts(borders: Sequence[int]) -> list[int]:
    """The borders of clauses, and the letters between them where a cut leaves no scrap of one on either side."""
    inside = (letter for one, other in pairwise(borders) for letter in range(one + SCRAP, other - SCRAP + 1))
    return sorted({*borders, *inside})


def _shortest(sums: Sequence[float], borders: Sequence[int], most_letters: int) -> tuple[int, int] | None:
    """The shortest passage from border to border whose difference of sums is enough; None where there is none."""
    best: tuple[int, float, int] | None = None
    last = 0
    for start in borders:
        while last < len(borders) and not (
            borders[last] - start >= LEAST_LETTERS and sums[borders[last]] - sums[start] >= MOST * sums[-1]
        ):
            last += 1
        if last == len(borders):
            break
        length = borders[last] - start
        if length <= min(most_letters, MAX_STRETCH_LETTERS):
            one = (length, sums[start] - sums[borders[last]], start)
            best = one if best is None else min(best, one)
    return None if best is None else (best[2], best[2] + best[0])


def heaviest_stretch(weights: NDArray[np.float32]) -> tuple[int, int]:
    """Start and end of the stretch with the greatest sum, of several the first; of at most `MAX_STRETCH_LETTERS`, and
    empty only where there are no letters."""
    if not len(weights):
        return 0, 0
    sums = np.concatenate([[0.0], np.cumsum(weights.astype(np.float64))])
    starts = np.arange(len(weights))[:, None]
    ends = np.minimum(starts + np.arange(1, MAX_STRETCH_LETTERS + 1), len(weights))
    start, place = divmod(int((sums[ends] - sums[starts]).argmax()), MAX_STRETCH_LETTERS)
    return start, int(ends[start, place])


def with_summaries(
    rows: SparseRows, agents: Sequence[NDArray[np.float32]], customers: Sequence[NDArray[np.float32]]
) -> SparseRows:
    """The rows of calls with what the heads of utterances read in each; shapes (utterances, heads), a call each."""
    added = np.zeros((rows.height, 2 * len(_SUMMARIES)), dtype=np.float32)
    for number, (agent, customer) in enumerate(zip(agents, customers, strict=True)):
        highest = np.concatenate([agent.max(axis=0, initial=0), customer.max(axis=0, initial=0)])
        sums = np.concatenate([agent.sum(axis=0), customer.sum(axis=0)])
        added[number] = np.concatenate([highest, np.minimum(sums, _SUM_LIMIT) / _SUM_LIMIT])
    row_of, column_of = np.nonzero(added)
    return SparseRows(
        np.concatenate([rows.rows, row_of]),
        np.concatenate([rows.columns, column_of + BUCKETS]),
        np.concatenate([rows.values, added[row_of, column_of]]),
        rows.height,
    )
