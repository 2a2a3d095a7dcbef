"""Train the model that finds names (`processors/pii/learned_names.py`): `make heads`.

It learns from pieces of calls in which names are said (`training/names`), from the calls that were used to mend masking
and from dialogues in whose parts every name is marked; each call in which there are names also with others in their
place. A first model then reads the dialogues of which only full names are marked: what it wrongly takes for a name
there, the second one learns to leave. Parts are left out in turn, and figures of them are printed.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.pii import labelled_calls
from processors.pii.learned_names import (
    ALONE,
    BEGINS,
    CONTINUES,
    ENDS,
    NONE,
    PIECE_BUCKETS,
    WEIGHTS,
    NameReader,
    commonness,
    heard_before,
    piece_bucket,
)
from processors.pii.match import fold
from processors.pii.name_letters import SPEECH_BITS, call_letters, hashes, pieces_of
from processors.pii.words_like_names import ORDINARY_WORDS, WORDS_LIKE_NAMES
from schemas.messages.call_ended import Role
from training.dialogues import SINCE_0_12, SINCE_0_13, Dialogue, load_dialogues
from training.digits import LOOKED_AT
from training.invented_names import KNOWN_NAMES, other_names
from training.name_chain import TaggedTexts, fit_chain

ALL_MARKED = frozenset(("delta", "harbour", "north", "plains", "southwest"))
"""Parts in which every name has a mark; in the others given names alone have none."""
SAID = Path(__file__).parent / "names"
"""Short pieces of calls that are full of names, and of words that look like some."""
OPENINGS = Path(__file__).parent / "openings"
SAID_AS_OFTEN = 20
"""An ordinary word counts as if it were said so often."""
COPIES = 3
"""So many times is a call with names learned from with other names."""
SEEN_OFTEN, SEEN_OFTEN_WITH_COPIES = 3, 8
"""From so many times on what is seen of a letter is worth a weight."""
MOST_OFTEN_SPOKEN = 7
THRESHOLD = 0.3
"""A name that stays is worse than a word that is hidden."""
RULE_PARTS = ALL_MARKED | {"roster"}
"""Parts from which rules know how common letters are together: their limits were chosen for those."""
MASKING = "masking"
_IS_NAME = re.compile(
    r"(?!.*(?:先生|女士|小姐|老师|师傅|医生|主任|经理|阿姨|大爷|处长|总)$)(?:[一-鿿]{2,4}|[一-鿿]+·[一-鿿·]+)"
)
_SUSPECTED, _DOUBTED = 0.03, 0.5
_LEAST_COMMON, _LEAST_PARTS = 3, 2
_QUIET_SHARE = 0.15
_MOST_LETTERS, _MOST_OF_BROKEN = 14, 4

Place = tuple[int, int]
Speech = NDArray[np.int64]


@dataclass(frozen=True)
class NamedCall:
    """The folded texts of a call, the places of names in each, and the texts of which all names are known."""

    part: str
    said: tuple[tuple[Role, str], ...]
    names: tuple[tuple[Place, ...], ...]
    known: frozenset[int]


def call_of(dialogue: Dialogue) -> NamedCall:
    """The dialogue as the model sees it."""
    said = tuple((turn.role, fold(turn.text)) for turn in dialogue.turns)
    quotes = [[fold(mark.quote) for mark in turn.personal if mark.kind == "name"] for turn in dialogue.turns]
    names = tuple(tuple(_places(text, its)) for (_, text), its in zip(said, quotes, strict=True))
    return NamedCall(dialogue.part, said, names, frozenset(range(len(said))))


def _places(text: str, quotes: Sequence[str]) -> list[Place]:
    """Every place where one of the quotes stands, the longest first; how a name is spelled (立早章的章) is none."""
    wanted = {piece for quote in quotes for piece in _whole_or_pieces(quote)}
    found: list[Place] = []
    for name in sorted(wanted, key=lambda one: (-len(one), one)):
        start = text.find(name)
        while start >= 0:
            if all(start + len(name) <= begin or end <= start for begin, end in found):
                found.append((start, start + len(name)))
            start = text.find(name, start + 1)
    return sorted(found)


def _whole_or_pieces(quote: str) -> list[str]:
    """The name, or what it consists of where pauses break it: 李……李秀英."""
    pieces = quote.replace("…", " ").split()
    longest = _MOST_LETTERS if len(pieces) == 1 else _MOST_OF_BROKEN
    return [one for one in pieces if len(one) <= longest and all(map(_is_of_names, one))]


def _is_of_names(letter: str) -> bool:
    return letter == "·" or ("一" <= letter <= "鿿" and letter != "的")


def _tags(length: int, names: Sequence[Place]) -> list[int]:
    tags = [NONE] * length
    for begin, end in names:
        tags[begin:end] = [ALONE] if end - begin == 1 else [BEGINS, *[CONTINUES] * (end - begin - 2), ENDS]
    return tags


def with_other_names(call: NamedCall, chance: random.Random) -> NamedCall:
    """The call with other names; one that is a part of another is a part of it again. Some are said haltingly."""
    named = {text[begin:end] for (_, text), names in zip(call.said, call.names, strict=True) for begin, end in names}
    others = other_names(named, chance)
    texts, places = [], []
    for (role, text), names in zip(call.said, call.names, strict=True):
        made, done, its = "", 0, []
        for begin, end in names:
            made += text[done:begin]
            name = others[text[begin:end]]
            if len(name) > 1 and chance.random() < 0.03:
                its.append((len(made), len(made) + 1))
                made += name[0] + chance.choice(("……", "…", ",", " "))
            its.append((len(made), len(made) + len(name)))
            made, done = made + name, end
        texts.append((role, made + text[done:]))
        places.append(tuple(its))
    return replace(call, said=tuple(texts), names=tuple(places))


def speech_of(call: NamedCall) -> tuple[NDArray[np.uint32], ...]:
    """Places of the pairs and of the triples of letters in the call, names left out."""
    texts = ["".join(_hidden(text, names)) for (_, text), names in zip(call.said, call.names, strict=True)]
    return pieces_of(call_letters(texts, [""] * len(texts)).codes)


def _hidden(text: str, names: Sequence[Place]) -> list[str]:
    letters = list(text)
    for begin, end in names:
        letters[begin:end] = "#" * (end - begin)
    return letters


def _how_common(counts: Speech) -> NDArray[np.uint8]:
    common: NDArray[np.uint8] = np.minimum(MOST_OFTEN_SPOKEN, np.log2(1 + np.maximum(counts, 0))).astype(np.uint8)
    return common


def train(calls: Sequence[NamedCall], other_speech: Sequence[NamedCall] = ()) -> NameReader:
    """The model that these calls teach; of `other_speech` it only learns what is often said."""
    own = [speech_of(call) for call in calls]
    counts = np.zeros((2, 1 << SPEECH_BITS), dtype=np.int64)
    words = pieces_of(call_letters(sorted(ORDINARY_WORDS), [""] * len(ORDINARY_WORDS)).codes)
    for pieces, times in [
        (words, SAID_AS_OFTEN),
        *((each, 1) for each in own),
        *((speech_of(o), 1) for o in other_speech),
    ]:
        for table, its in zip(counts, pieces, strict=True):
            table += times * np.bincount(its, minlength=len(table))
    weights, steps = fit_chain(_texts(calls, own, counts))
    scale = float(np.abs(weights).max()) / 127
    small = np.round(weights / scale).astype(np.int8)
    no_pieces = np.zeros(PIECE_BUCKETS, dtype=np.uint8)
    return NameReader(small, steps, scale, _how_common(counts), no_pieces, THRESHOLD)


def _texts(calls: Sequence[NamedCall], own: Sequence[tuple[NDArray[np.uint32], ...]], counts: Speech) -> TaggedTexts:
    """The texts of the calls and of their copies with other names, each as if the call were new: its own words do not
    count as often said.
    """
    chance = random.Random(1)
    found: list[tuple[NDArray[np.uint32], list[int], bool]] = []
    speech = _how_common(counts)
    for call, pieces in zip(calls, own, strict=True):
        for table, count, its in zip(speech, counts, pieces, strict=True):
            touched, times = np.unique(its, return_counts=True)
            table[touched] = _how_common(count[touched] - times)
        found.extend((seen, tags, True) for seen, tags in _examples(call, speech))
        for _ in range(COPIES if any(call.names) else 0):
            copy = _examples(with_other_names(call, chance), speech)
            found.extend((seen, tags, False) for seen, tags in copy if any(tags))
        for table, count, its in zip(speech, counts, pieces, strict=True):
            table[its] = _how_common(count[its])
    found.sort(key=lambda one: len(one[1]))
    seen = np.concatenate([one for one, _, _ in found])
    worth, times = np.unique(np.concatenate([one for one, _, is_said in found if is_said]), return_counts=True)
    worth_with_copies, times_with_copies = np.unique(seen, return_counts=True)
    return TaggedTexts(
        seen,
        np.array([tag for _, tags, _ in found for tag in tags]),
        np.array([len(tags) for _, tags, _ in found]),
        np.union1d(worth[times >= SEEN_OFTEN], worth_with_copies[times_with_copies >= SEEN_OFTEN_WITH_COPIES]),
    )


def _examples(call: NamedCall, speech: NDArray[np.uint8]) -> Iterator[tuple[NDArray[np.uint32], list[int]]]:
    letters = call_letters([text for _, text in call.said], list(heard_before(call.said)))
    seen = hashes(letters, speech)
    for number, (start, length) in enumerate(zip(letters.starts, letters.lengths, strict=True)):
        if length and number in call.known:
            yield seen[start : start + length], _tags(length, call.names[number])


def _pieces_for_rules(calls: Sequence[NamedCall]) -> NDArray[np.uint8]:
    """How common pairs and triples of letters are, by bucket; names are not counted."""
    counts: Counter[int] = Counter()
    for call in calls:
        for (_, text), names in zip(call.said, call.names, strict=True):
            rest = text
            for name in {text[begin:end] for begin, end in names}:
                rest = rest.replace(name, "#")
            for length in (2, 3):
                counts.update(piece_bucket(rest[place : place + length]) for place in range(len(rest) - length + 1))
    pieces = np.zeros(PIECE_BUCKETS, dtype=np.uint8)
    for bucket, count in counts.items():
        pieces[bucket] = commonness(count)
    return pieces


class Ordinary:
    """What is no name although it looks like one: a word, or what is said in calls of several parts."""

    def __init__(self, calls: Sequence[NamedCall], names: frozenset[str]) -> None:
        texts: Mapping[str, list[str]] = defaultdict(list)
        for call in calls:
            texts[call.part].extend(text for _, text in call.said)
        self._texts = ["\n".join(each) for each in texts.values()]
        self._names = names
        self._is_common = cache(self._count)

    def holds(self, letters: str, probability: float) -> bool:
        """Whether letters are no name, though a model finds it so probable that they are."""
        doubted = probability < _DOUBTED and self._is_no_known_name(letters)
        return doubted or letters in WORDS_LIKE_NAMES or letters in ORDINARY_WORDS or self._is_common(letters)

    def _is_no_known_name(self, letters: str) -> bool:
        is_pet_name = len(letters) == 2 and (letters[0] == letters[1] or letters[0] in "小阿大老")
        return not is_pet_name and letters not in self._names

    def _count(self, letters: str) -> bool:
        times = [text.count(letters) for text in self._texts]
        is_common = sum(times) >= _LEAST_COMMON and sum(map(bool, times)) >= _LEAST_PARTS
        return is_common and self._is_no_known_name(letters)


def without_doubt(reader: NameReader, calls: Sequence[NamedCall], ordinary: Ordinary) -> Iterator[NamedCall]:
    """Calls in which only full names are marked, to learn from the texts in which nothing else may be a name.

    Those are texts with a name, with something ordinary that the reader takes for one, and some of the others.
    """
    suspicious = replace(reader, threshold=_SUSPECTED)
    chance = random.Random(2)
    for call in calls:
        known = set()
        for number, matches in enumerate(suspicious.find(call.said)):
            text, names = call.said[number][1], call.names[number]
            unmarked = [one for one in matches if (one.start, one.end) not in names]
            if unmarked:
                may_learn = all(ordinary.holds(text[one.start : one.end], one.confidence) for one in unmarked)
            else:
                may_learn = bool(names) or chance.random() < _QUIET_SHARE
            if may_learn:
                known.add(number)
        yield replace(call, known=frozenset(known))


def masking_calls() -> Iterator[NamedCall]:
    """The calls that were used to mend masking. Texts with marks on a surname with a title, on one letter or on how a
    name is spelled teach nothing: other authors mark these otherwise, or not at all.
    """
    for call in (one for folder in LOOKED_AT for one in labelled_calls(folder)):
        said = tuple((role, fold(text)) for role, text in call.turns)
        quotes = [
            [fold(one.text) for one in call.personal if one.kind == "name" and one.turn == at]
            for at in range(len(said))
        ]
        names = tuple(tuple(_places(text, its)) for (_, text), its in zip(said, quotes, strict=True))
        known = frozenset(at for at, its in enumerate(quotes) if all(_IS_NAME.fullmatch(quote) for quote in its))
        yield NamedCall(MASKING, said, names, known)


def opening_calls() -> Iterator[NamedCall]:
    """The openings, each as a call."""
    for file in sorted(OPENINGS.glob("*/*.txt")):
        for line in file.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                yield NamedCall("openings", (("customer", fold(line)),), ((),), frozenset((0,)))


def train_twice(marked: Sequence[NamedCall], others: Sequence[NamedCall], for_rules: Sequence[NamedCall]) -> NameReader:
    """The model; `others` have marks on full names only. From `for_rules` rules learn what is often said."""
    first = train(marked, others)
    named = {
        text[begin:end]
        for call in marked
        for (_, text), its in zip(call.said, call.names, strict=True)
        for begin, end in its
    }
    ordinary = Ordinary([*marked, *others], frozenset(named | KNOWN_NAMES))
    second = train([*marked, *without_doubt(first, others, ordinary)])
    return replace(second, pieces=_pieces_for_rules(for_rules))


def print_figures(reader: NameReader, calls: Sequence[NamedCall], title: str) -> None:
    """How many names are found whole, and in how many turns without a name something is taken for one."""
    found, names, needless, turns = 0, 0, 0, 0
    for call in calls:
        for (_, text), places, matches in zip(call.said, call.names, reader.find(call.said), strict=True):
            true, hidden = (
                {text[begin:end] for begin, end in each} for each in (places, [(m.start, m.end) for m in matches])
            )
            names, turns = names + len(true), turns + (not true)
            found += len(true & hidden)
            needless += bool(hidden) and not true
    print(f"{title}: {found} of {names} names ({found / max(names, 1):.3f}), {needless} of {turns} turns without one")


def main() -> None:
    """Print the figures of parts that were left out, and write the weights."""
    later = SINCE_0_12 | SINCE_0_13
    dialogues = [one for one in load_dialogues() if one.twin_of is None and one.part not in later]
    pieces = [call_of(one) for one in load_dialogues(SAID)]
    for_rules = [call_of(one) for one in (*load_dialogues(), *load_dialogues(SAID)) if one.part in RULE_PARTS]
    marked = [*pieces, *masking_calls(), *(call_of(one) for one in dialogues if one.part in ALL_MARKED)]
    others = [*(call_of(one) for one in dialogues if one.part not in ALL_MARKED), *opening_calls()]
    for part in sorted({call.part for call in pieces}):
        reader = train_twice([call for call in marked if call.part != part], others, for_rules)
        print_figures(reader, [call for call in pieces if call.part == part], f"names, trained without {part}")
    train_twice(marked, others, for_rules).save(WEIGHTS)


if __name__ == "__main__":
    main()
