"""Train what puts misheard characters right (`processors/listening/respelling.py`): `make heads`.

It counts which letters follow each other in the dialogues and the openings, and in the words of a dictionary and of the
rules, without which it would respell what no call of the training text speaks of; and it smooths the shares as Witten
and Bell do (1991): of what follows a context, as much is left for what was never seen there as different letters were.
"""

import argparse
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from math import log
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from processors.judging.pipeline import JudgeSettings, shipped_rulebooks
from processors.listening.respelling import ALPHABET, EDGES, STEPS_PER_NAT, WEIGHTS, SpellingModel
from training.dialogues import SINCE_0_12, SINCE_0_13, load_dialogues, topic_names
from training.openings import load_openings

LEAST_TRIPLES = 2
"""Three letters in a row that were seen once tell little, and are half of all."""

WORDS = Path(__file__).parent / "words" / "words.txt"
COUNTED_AS_ONE, MOST = 100, 100
"""A word that the dictionary counted a hundred times is as if it was said once; none is as if more than a hundred
times."""

_LETTERS = re.compile("[\u4e00-\u9fff]+")


LATER = frozenset(("brook", "coomb", "dell", "lough", "mere", "weir")) | SINCE_0_12 | SINCE_0_13
"""Parts that were written since: what puts characters right stays as it was measured."""


def texts() -> Iterator[str]:
    """Everything that is said in the dialogues, twins included, and the openings."""
    for dialogue in load_dialogues():
        if dialogue.part in LATER:
            continue
        yield from (turn.text for turn in dialogue.turns)
    yield from (opening.text for opening in load_openings())


def words(file: Path = WORDS) -> Iterator[tuple[str, int]]:
    """The words of the dictionary, and as how often said each counts."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            word, counted = line.split()
            yield word, max(1, min(MOST, round(int(counted) / COUNTED_AS_ONE)))


def phrases() -> Iterator[tuple[str, int]]:
    """What the shipped rules look for, as if each was said `LEAST_TRIPLES` times: 投资需谨慎 is in no dialogue."""
    books = shipped_rulebooks(JudgeSettings())
    found = {
        part
        for industry in topic_names()
        if (book := books.book("training", "zh", industry)) is not None
        for phrase in book.phrases()
        for part in phrase.parts
        if _LETTERS.fullmatch(part)
    }
    yield from ((phrase, LEAST_TRIPLES) for phrase in sorted(found) if len(phrase) > 1)


def train(said: Iterable[str], known: Iterable[tuple[str, int]] = ()) -> SpellingModel:
    """The model of these texts and known words. A row of three letters of a word counts as seen twice at least."""
    ones: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    triples: Counter[str] = Counter()
    for text in said:
        for letters in _LETTERS.findall(text):
            row = EDGES[0] + letters + EDGES[1]
            ones.update(row)
            pairs.update(row[place : place + 2] for place in range(len(row) - 1))
            triples.update(row[place : place + 3] for place in range(len(row) - 2))
    for word, count in known:
        for letter in word:
            ones[letter] += count
        for place in range(len(word) - 1):
            pairs[word[place : place + 2]] += count
        for place in range(len(word) - 2):
            triples[word[place : place + 3]] += max(count, LEAST_TRIPLES)
    triples = Counter({row: count for row, count in triples.items() if count >= LEAST_TRIPLES})
    # The rarest comes last: it stands for every letter that is not known.
    by_count = sorted(set(ones) - set(EDGES), key=lambda letter: (-ones[letter], letter))
    letters = EDGES + "".join(by_count)[: ALPHABET - len(EDGES)]
    numbers = {letter: number for number, letter in enumerate(letters)}
    pairs, triples = (
        Counter({row: count for row, count in rows.items() if all(letter in numbers for letter in row)})
        for rows in (pairs, triples)
    )
    total = sum(count for letter, count in ones.items() if letter != EDGES[0]) + len(letters) / 2
    none = {letter: (ones[letter] + 0.5) / total for letter in letters}
    one, left_one = _smoothed(pairs, none)
    two, left_two = _smoothed(triples, one)
    in_order = {row: _key(row, numbers) for row in (*one, *two)}
    rows_of_two, rows_of_three = (sorted(rows, key=in_order.__getitem__) for rows in (one, two))
    return SpellingModel(
        letters=letters,
        pairs=np.array([in_order[row] for row in rows_of_two], dtype=np.uint32),
        triples=np.array([in_order[row] for row in rows_of_three], dtype=np.uint64),
        after_none=_twelfths(none[letter] for letter in letters),
        after_one=_twelfths(one[row] for row in rows_of_two),
        after_two=_twelfths(two[row] for row in rows_of_three),
        left_after_one=_twelfths(left_one.get(letter, 1.0) for letter in letters),
        left_after_two=_twelfths(left_two.get(row, 1.0) for row in rows_of_two),
    )


def _smoothed(counts: Counter[str], shorter: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """Row of letters → probability of its last after the others; and context → what is left for letters unseen there.

    `shorter` are the probabilities with one letter less before."""
    followers: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for row, count in counts.items():
        followers[row[:-1]] += count
        kinds[row[:-1]] += 1
    probability = {
        row: (count + kinds[row[:-1]] * shorter[row[1:]]) / (followers[row[:-1]] + kinds[row[:-1]])
        for row, count in counts.items()
    }
    return probability, {context: kinds[context] / (followers[context] + kinds[context]) for context in kinds}


def _key(row: str, numbers: dict[str, int]) -> int:
    key = 0
    for letter in row:
        key = key * ALPHABET + numbers[letter]
    return key


def _twelfths(probabilities: Iterable[float]) -> NDArray[np.uint8]:
    return np.array([min(255, round(-log(one) * STEPS_PER_NAT)) for one in probabilities], dtype=np.uint8)


def main() -> None:
    """Write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="file to write (default: %(default)s)")
    model = train(texts(), (*words(), *phrases()))
    file: Path = parser.parse_args().output
    file.parent.mkdir(parents=True, exist_ok=True)
    model.save(file)
    print(f"{len(model.letters)} letters, {len(model.pairs)} pairs, {len(model.triples)} triples; wrote {file}")


if __name__ == "__main__":
    main()
