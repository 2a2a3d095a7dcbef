"""How right `like:` is, by what sentences are compared with.

    python benchmarks/like.py --data FOLDER [--pairs training/pairs]

FOLDER holds labelled dialogues as `benchmarks/judging.py` reads them. Violations quoted in one half of the calls are
examples, one condition for each kind of violation; the turns of agents in the other half are compared with them, and
the halves change places. A turn that is alike enough and has a violation of that kind is a hit. With --pairs, each
violating sentence of a pair is the example: its harmless twin, which is worded alike, should be less alike to other
violations of the kind than it is.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processors.kpi.statistics import wilson
from processors.rules.examples import segments_of_lines
from processors.rules.likeness import LikeExamples, sentences_of
from processors.text.passages import Passage, SpokenText
from training.dialogues import load_dialogues

Compare = Callable[[Sequence[str], Passage], float]
"""How alike a turn is to the nearest of some examples."""


@dataclass(frozen=True)
class Turn:
    """What an agent says, and the kinds of violation in it."""

    passage: Passage
    kinds: frozenset[str]


def _passage(text: str) -> Passage | None:
    passages = SpokenText.of(segments_of_lines([("agent", text)]), None).passages
    return passages[0] if passages else None


def turns(calls: Sequence[Mapping[str, Any]]) -> Iterator[Turn]:
    """The turns of agents."""
    for call in calls:
        for number, turn in enumerate(call["turns"]):
            passage = _passage(turn["text"]) if turn["role"] == "agent" else None
            if passage is not None:
                kinds = {one["kind"] for one in call["labels"]["violations"] if one["turn"] == number}
                yield Turn(passage, frozenset(kinds))


def examples(calls: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Kind → what was quoted of it."""
    found: dict[str, list[str]] = defaultdict(list)
    for call in calls:
        for one in call["labels"]["violations"]:
            found[one["kind"]].append(one["quote"])
    return {kind: tuple(quotes) for kind, quotes in sorted(found.items())}


class ByRule:
    """As rules compare, or by letters alone."""

    def __init__(self, *, reading: bool) -> None:
        self._reading = reading
        self._prepared: dict[tuple[str, ...], LikeExamples] = {}

    def __call__(self, texts: Sequence[str], passage: Passage) -> float:
        ready = self._prepared.setdefault(tuple(texts), LikeExamples(tuple(texts)))
        if self._reading:
            alike = ready.nearest(sentences_of(passage))
            return alike.similarity if alike else 0.0
        return max((float(ready.by_letters(one).max()) for one in sentences_of(passage)), default=0.0)


class ByEncoder:
    """By the Universal Sentence Encoder of the extra `sentences`."""

    def __init__(self) -> None:
        from processors.text.sentences import universal_sentence_encoder

        self._model = universal_sentence_encoder()
        self._known: dict[object, NDArray[np.float32]] = {}

    def __call__(self, texts: Sequence[str], passage: Passage) -> float:
        key, text = tuple(texts), passage.utterance.text
        if key not in self._known:
            self._known[key] = self._model.embed(list(texts))
        if text not in self._known:
            letters = passage.utterance.normalized.letters
            said = [letters[one.start : one.end] for one in sentences_of(passage)] or [text]
            self._known[text] = self._model.embed(said)
        return float((self._known[text] @ self._known[key].T).max())


def report(name: str, scored: Sequence[tuple[float, bool]], at: Sequence[float]) -> None:
    """Average precision, and precision and recall from some similarities on."""
    scores = np.array([score for score, _ in scored])
    truth = np.array([is_true for _, is_true in scored])
    order = np.argsort(-scores, kind="stable")
    precision = np.cumsum(truth[order]) / np.arange(1, len(order) + 1)
    print(f"{name}: average precision {float((precision * truth[order]).sum() / truth.sum()):.2f}")
    for least in at:
        said = scores >= least
        right = int((said & truth).sum())
        if said.any():
            low, high = wilson(right, int(said.sum()))
            print(
                f"  from {least:.2f}: P {right / said.sum():.2f} [{low:.2f}, {high:.2f}]  R {right / truth.sum():.2f}  "
                f"({said.sum()} of {len(truth)} turns and kinds)"
            )


def pairs(folder: Path, compare: Compare) -> tuple[int, int]:
    """Of how many pairs the violating sentence is more like other violations of its kind than its twin is; of all."""
    dialogues = load_dialogues(folder)
    by_id = {one.id: one for one in dialogues}
    found = []
    for twin in dialogues:
        if twin.twin_of is None:
            continue
        one = by_id[twin.twin_of]
        changed = [(a, b) for a, b in zip(one.turns, twin.turns, strict=False) if a.text != b.text]
        for a, b in changed[:1]:
            bad, good = (a, b) if a.violations else (b, a)
            if bad.violations and not good.violations:
                found.append((bad.violations[0].kind, bad.violations[0].quote, bad.text, good.text))
    right = 0
    for number, (kind, _, bad_text, good_text) in enumerate(found):
        others = [quote for place, (other, quote, *_) in enumerate(found) if other == kind and place != number]
        bad_passage, good_passage = _passage(bad_text), _passage(good_text)
        if others and bad_passage and good_passage:
            right += compare(others, bad_passage) > compare(others, good_passage)
    return right, len(found)


def main() -> None:
    """Print the figures of each way to compare."""
    parser = argparse.ArgumentParser(description="Compare agents' turns with examples of violations.")
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled dialogues")
    parser.add_argument("--pairs", type=Path, help="folder of pairs in the format of training/README.md")
    parser.add_argument("--no-encoder", action="store_true", help="leave out the sentence encoder")
    options = parser.parse_args()
    calls = [call for file in sorted(options.data.glob("*.json")) for call in json.loads(file.read_text("utf-8"))]
    ways: dict[str, Compare] = {"letters": ByRule(reading=False), "letters and reading": ByRule(reading=True)}
    if not options.no_encoder:
        ways["sentence encoder"] = ByEncoder()
    for name, compare in ways.items():
        for half in (0, 1):
            shown = examples(calls[half::2])
            asked = list(turns(calls[1 - half :: 2]))
            scored = [
                (compare(texts, turn.passage), kind in turn.kinds) for kind, texts in shown.items() for turn in asked
            ]
            report(f"{name}, examples of half {half + 1}", scored, (0.45, 0.5, 0.55, 0.6, 0.65, 0.7))
        if options.pairs:
            right, of = pairs(options.pairs, compare)
            print(f"{name}: {right} of {of} pairs ordered right ({right / max(of, 1):.2f})")


if __name__ == "__main__":
    main()
