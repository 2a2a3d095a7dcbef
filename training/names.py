"""Train the model that finds names (`processors/pii/learned_names.py`): `make heads`.

It learns from the dialogues and from pieces of calls in which names are said (`training/names`). As for the reading
heads, each part is read once by a model that was trained on the others; those figures are printed.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from processors.pii.learned_names import (
    FEATURE_BUCKETS,
    PIECE_BUCKETS,
    WEIGHTS,
    NameReader,
    bucket_of,
    candidates,
    commonness,
    features,
    heard_before,
    piece_bucket,
)
from processors.pii.match import fold
from schemas.messages.call_ended import Role
from training.dialogues import Dialogue, load_dialogues

PENALTY = 1.0
ALL_MARKED = frozenset(("delta", "harbour", "north", "plains", "southwest"))
"""Parts in which every name has a mark; with the others fewer names were found in other text."""

SAID = Path(__file__).parent / "names"
"""Short pieces of calls that are full of names, and of words that look like some."""

THRESHOLD = 0.1
"""A name that stays is worse than a word that is hidden; at this probability, in one turn of a hundred one is."""


@dataclass(frozen=True)
class NamedCall:
    """The folded texts of a call, and in each the names that stand there."""

    part: str
    said: tuple[tuple[Role, str], ...]
    names: tuple[frozenset[str], ...]


def call_of(dialogue: Dialogue) -> NamedCall:
    """The dialogue as the model sees it."""
    return NamedCall(
        dialogue.part,
        tuple((turn.role, fold(turn.text)) for turn in dialogue.turns),
        tuple(frozenset(fold(mark.quote) for mark in turn.personal if mark.kind == "name") for turn in dialogue.turns),
    )


def pieces_of(call: NamedCall) -> Counter[int]:
    """How often the call holds pieces of ordinary speech, by bucket; names are not counted."""
    counts: Counter[int] = Counter()
    for (_, text), names in zip(call.said, call.names, strict=True):
        rest = text
        for name in names:
            rest = rest.replace(name, "#")
        for length in (2, 3):
            counts.update(piece_bucket(rest[place : place + length]) for place in range(len(rest) - length + 1))
    return counts


def _examples(call: NamedCall, counts: Counter[int]) -> Iterator[tuple[list[int], bool]]:
    """Buckets of the features of each candidate, and whether it is a name. `counts` are those of all other calls."""
    together = " ".join(text for _, text in call.said)

    def often(piece: str) -> int:
        return commonness(counts[piece_bucket(piece)])

    for (_, text), names, heard in zip(call.said, call.names, heard_before(call.said), strict=True):
        for one in candidates(text):
            seen = [bucket_of(each) for each in features(text, one, heard, together, often)]
            yield seen, text[one.start : one.end] in names


def train(calls: Sequence[NamedCall]) -> NameReader:
    """The model that these calls teach."""
    of_each = [pieces_of(call) for call in calls]
    counts: Counter[int] = Counter()
    for one in of_each:
        counts.update(one)
    rows: list[int] = []
    columns: list[int] = []
    truth: list[bool] = []
    for call, own in zip(calls, of_each, strict=True):
        others = Counter(counts)
        others.subtract(own)  # as if the call were new: its own names are in no count either
        for buckets, is_name in _examples(call, others):
            rows.extend([len(truth)] * len(buckets))
            columns.extend(buckets)
            truth.append(is_name)
    matrix = csr_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=(len(truth), FEATURE_BUCKETS))
    model = LogisticRegression(C=PENALTY, solver="liblinear", max_iter=1_000, random_state=0).fit(matrix, truth)
    scale = float(np.abs(model.coef_).max()) / 127
    pieces = np.zeros(PIECE_BUCKETS, dtype=np.uint8)
    for bucket, count in counts.items():
        pieces[bucket] = commonness(count)
    weights = np.round(model.coef_[0] / scale).astype(np.int8)
    return NameReader(weights, scale, float(model.intercept_[0]), pieces, THRESHOLD)


def print_figures(reader: NameReader, calls: Sequence[NamedCall], title: str) -> None:
    """How many names are found whole, and in how many turns without a name something is taken for one."""
    found, names, needless, turns = 0, 0, 0, 0
    for call in calls:
        for (_, text), true, matches in zip(call.said, call.names, reader.find(call.said), strict=True):
            hidden = {text[match.start : match.end] for match in matches}
            names, turns = names + len(true), turns + (not true)
            found += len(true & hidden)
            needless += bool(hidden) and not true
    print(f"{title}: {found} of {names} names ({found / max(names, 1):.3f}), {needless} of {turns} turns without one")


def main() -> None:
    """Print the figures of parts that were left out, and write the weights."""
    dialogues = [one for one in load_dialogues() if one.part in ALL_MARKED]
    calls = [call_of(one) for one in (*dialogues, *load_dialogues(SAID))]
    for part in sorted({call.part for call in calls}):
        reader = train([call for call in calls if call.part != part])
        print_figures(reader, [call for call in calls if call.part == part], f"names, trained without {part}")
    train(calls).save(WEIGHTS)


if __name__ == "__main__":
    main()
