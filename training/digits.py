"""Train what judges digits and letters that no rule takes (`processors/pii/learned_digits.py`): `make heads`.

It learns from the calls with personal things of several authors that were used to mend masking
(`benchmarks/masking/looked_at` and `odd/looked_at`), and from the dialogues, in which nearly all that rules leave is
rightly left. Authors are left out in turn, and figures of them are printed: how many pieces of personal things that
rules leave are found, and how many runs that are none.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from benchmarks.pii import LabelledCall, Quote, labelled_calls
from processors.pii.conversation import Line, read_numbers
from processors.pii.learned_digits import BUCKETS, WEIGHTS, DigitReader, Run, runs_left
from processors.pii.masking import found_by_rules
from processors.pii.match import fold
from tests.processors.pii.scoring import segments_of_turns
from training.dialogues import SINCE_0_13, load_dialogues

MASKING = Path(__file__).parents[1] / "benchmarks" / "masking"
LOOKED_AT = (MASKING / "looked_at", MASKING / "odd" / "looked_at")
DIALOGUES = "dialogues"
INVERSE_PENALTY, WEIGHT_OF_PERSONAL = 30.0, 3.0
"""As scikit-learn counts the former; a digit that stays is worse than one that is hidden."""
SEEN_OFTEN = 2
"""From so many runs on what is seen is worth a weight."""
THRESHOLD = 0.3


@dataclass(frozen=True)
class JudgedRun:
    """A run that rules leave, by which author, and whether it is personal."""

    author: str
    run: Run
    is_personal: bool


def authors() -> Iterator[tuple[str, LabelledCall]]:
    """Every call to learn from, with its author; the dialogues count as one, and twins are passed over."""
    for folder in LOOKED_AT:
        for call in labelled_calls(folder):
            yield call.id.split("-")[0], call
    for dialogue in load_dialogues():
        if dialogue.twin_of is None and dialogue.part not in SINCE_0_13:
            turns = tuple((turn.role, turn.text) for turn in dialogue.turns)
            marks = tuple(
                Quote(number, mark.quote, mark.kind)
                for number, turn in enumerate(dialogue.turns)
                for mark in turn.personal
            )
            yield DIALOGUES, LabelledCall(dialogue.id, turns, marks, ())


def judged_runs(author: str, call: LabelledCall) -> Iterator[JudgedRun]:
    """The runs that rules leave in a call; one is personal if at least half of its letters are."""
    segments = segments_of_turns(call.turns)
    lines = [Line(fold(one.text), one.role, one.start_ms, one.end_ms) for one in segments]
    reading = read_numbers(lines)
    personal = [_personal_letters(call, number) for number in range(len(lines))]
    for run in runs_left(lines, reading, found_by_rules(lines, reading)):
        yield JudgedRun(author, run, bool(personal[run.line][run.start : run.end].mean() >= 0.5))


def _personal_letters(call: LabelledCall, turn: int) -> NDArray[np.bool_]:
    text = call.turns[turn][1]
    personal = np.zeros(len(text), dtype=np.bool_)
    for quote in call.personal:
        place = text.find(quote.text) if quote.turn == turn else -1
        while place >= 0:
            personal[place : place + len(quote.text)] = True
            place = text.find(quote.text, place + 1)
    return personal


def train(runs: Sequence[JudgedRun]) -> DigitReader:
    """The reader that these runs teach."""
    ends = np.cumsum([0, *(len(one.run.seen) for one in runs)])
    columns = np.concatenate([np.array(one.run.seen) for one in runs])
    worth = np.bincount(columns, minlength=BUCKETS) >= SEEN_OFTEN
    # Each row has the length 1, as if all that is seen of it were worth a weight.
    values = np.repeat(1 / np.sqrt(np.diff(ends)), np.diff(ends)) * worth[columns]
    matrix = csr_matrix((values, columns, ends), shape=(len(runs), BUCKETS))
    model = LogisticRegression(C=INVERSE_PENALTY, solver="liblinear", class_weight={True: WEIGHT_OF_PERSONAL, False: 1})
    model.fit(matrix, np.array([one.is_personal for one in runs]))
    weights = model.coef_[0]
    scale = float(np.abs(weights).max()) / 127
    return DigitReader(np.round(weights / scale).astype(np.int8), float(model.intercept_[0]), scale, THRESHOLD)


def print_figures(by_author: Mapping[str, Sequence[JudgedRun]]) -> None:
    """Of each author, judged by what the others teach."""
    for author in sorted(set(by_author) - {DIALOGUES}):
        reader = train([one for other, runs in by_author.items() if other != author for one in runs])
        found = [one.is_personal for one in by_author[author] if reader.probability(one.run.seen) >= THRESHOLD]
        personal = sum(one.is_personal for one in by_author[author])
        print(f"{author}: {sum(found)} of {personal} that rules leave, {len(found) - sum(found)} that are none")


def main() -> None:
    """Print the figures of authors that were left out, and write the weights."""
    by_author: dict[str, list[JudgedRun]] = {}
    for author, call in authors():
        by_author.setdefault(author, []).extend(judged_runs(author, call))
    print_figures(by_author)
    train([one for runs in by_author.values() for one in runs]).save(WEIGHTS)


if __name__ == "__main__":
    main()
