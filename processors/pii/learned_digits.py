"""Digits and letters that no rule has taken, judged by what stands around them.

Whoever breaks a code into pieces, corrects himself or answers a question in unusual words leaves pieces that no rule
knows: 三个四，完了一个九，再俩零. A logistic regression over hashed features has learned from labelled calls what rules
leave there, and says of each such run of digits and letters how likely it is a personal one.
"""

import json
import re
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from processors.pii.asking import OTHER_NUMBER, AskedFor
from processors.pii.conversation import Line, NumbersSaid
from processors.pii.digit_kinds import DIGIT_KINDS, SECRET_KINDS
from processors.pii.digit_runs import SET_PHRASES
from processors.pii.match import UNNAMED, FoundKind, PiiMatch
from processors.pii.words_of_rules import is_in_word_of_rules
from processors.weight_files import load_model
from schemas.errors import OperatorError
from schemas.messages.call_ended import Role

WEIGHTS = Path(__file__).parent / "weights" / "digits.npz"
FORMAT = 1
BUCKETS = 1 << 17

_D = "0-9零〇○一二三四五六七八九幺壹贰叁肆伍陆柒捌玖"
_SEVERAL = rf"(?:[一两俩二三四五六七八九1-9]个|[双俩])(?=[{_D}])"
_PIECE = rf"(?:{_SEVERAL})?[{_D}两洞拐勾妖十百千万a-z]+"
_RUN = re.compile(rf"{_PIECE}(?: (?={_PIECE})|{_PIECE})*+")
_UNSAID = re.compile(r"[\W_]+")
_REPEATED = re.compile(r"(.)\1+")
_SHAPES = str.maketrans(
    {
        **dict.fromkeys("0123456789", "9"),
        **dict.fromkeys("abcdefghijklmnopqrstuvwxyz", "a"),
        **dict.fromkeys("〇○一二三四五六七八九壹贰叁肆伍陆柒捌玖", "一"),
        **dict.fromkeys("零幺洞拐勾妖", "幺"),
        **dict.fromkeys("两俩双", "俩"),
        " ": "_",
    }
)
_HIDDEN: dict[FoundKind, str] = {
    "name": "\ue000",
    "address": "\ue001",
    "password": "\ue002",
    "code": "\ue003",
    "account": "\ue004",
    "email": "\ue005",
}
_HIDDEN_DIGITS = "\ue006"
_BESIDE_LEFT, _BESIDE_RIGHT, _IN_LINE, _HEARD, _HEARD_BEFORE = 14, 10, 60, 24, 20
_NEAR_LETTERS = 14
_JOURNEY = re.compile(
    r"(?:[坐乘]的?(?:是|了)?|航班号?|车次|班次|列车|高铁|动车|机票|东航|国航|南航|深航|海航|川航)(?:是|[,:])?\s*$"
)
_LEAST_UNASKED = 0.7
"""The probability from which on a run is hidden where nothing personal was asked for."""
_TYPED = 0.5
"""Confidence in one that was asked for by name."""


class DigitWeightsError(OperatorError):
    """The file of weights cannot be used; the text says what to do."""


@dataclass(frozen=True)
class Run:
    """Digits and letters `start` to `end` of line `line` that nothing has taken, and the hashes of what is seen."""

    line: int
    start: int
    end: int
    seen: tuple[int, ...]


@dataclass(frozen=True)
class DigitReader:
    """Weights of what is seen of a run, times `scale`, and the probability from which on a run is hidden."""

    weights: NDArray[np.int8]
    bias: float
    scale: float
    threshold: float

    def find(
        self, lines: Sequence[Line], reading: NumbersSaid, taken: Sequence[Sequence[PiiMatch]]
    ) -> list[list[PiiMatch]]:
        """What is personal of the runs that are not `taken`, by line."""
        found: list[list[PiiMatch]] = [[] for _ in lines]
        for run in runs_left(lines, reading, taken):
            text = lines[run.line].text
            least = self.threshold if reading.asked[run.line] - {OTHER_NUMBER} else _LEAST_UNASKED
            if self.probability(run.seen) >= least and not _is_known_as_other(text, run):
                kind = _kind_asked(reading.asked[run.line])
                confidence = UNNAMED if kind is None else _TYPED
                found[run.line].append(PiiMatch(kind or "code", run.start, run.end, confidence))
        return found

    def probability(self, seen: Sequence[int]) -> float:
        """How likely a run is personal, by the hashes of what is seen of it."""
        total = int(self.weights[list(seen)].sum(dtype=np.int64))
        return 1 / (1 + exp(-max(-500.0, self.bias + self.scale * total / sqrt(len(seen)))))

    def save(self, file: Path) -> None:
        """Write the weights."""
        about = {"format": FORMAT, "bias": self.bias, "scale": self.scale, "threshold": self.threshold}
        np.savez_compressed(file, about=np.array(json.dumps(about)), weights=self.weights)


@cache
def load_digits(file: Path = WEIGHTS) -> DigitReader:
    """The reader of a file, read once. Raises `DigitWeightsError`."""
    return load_model(
        file,
        FORMAT,
        lambda about, arrays: DigitReader(arrays["weights"], about["bias"], about["scale"], about["threshold"]),
        DigitWeightsError,
        "digits",
    )


def runs_left(lines: Sequence[Line], reading: NumbersSaid, taken: Sequence[Sequence[PiiMatch]]) -> Iterator[Run]:
    """Every run of digits and letters that is not taken, in order. Matches of a line do not overlap and are sorted."""
    for number, (line, matches) in enumerate(zip(lines, taken, strict=True)):
        said, place_of = _with_signs(line.text, matches)
        places = [match.span() for match in _RUN.finditer(said)]
        if not places:
            continue
        around = _buckets(_of_line(lines, reading, taken, number))
        letters = len(_UNSAID.sub("", said))
        starts = [start for start, _ in places]
        kinds = {match.kind for match in matches}
        for start, end in places:
            first, last = bisect_right(starts, start - _NEAR_LETTERS), bisect_left(starts, start + _NEAR_LETTERS)
            beside = (said[max(0, start - _IN_LINE) : start], said[end : end + _IN_LINE])
            own = _buckets(_of_run(said[start:end], beside, letters, last - first - 1, line.role))
            seen = own | around | _buckets(_of_both(said[start:end], reading, number, kinds))
            yield Run(number, place_of[start], place_of[end - 1] + 1, tuple(sorted(seen)))


def _buckets(seen: Iterable[str]) -> set[int]:
    return {zlib.crc32(one.encode()) % BUCKETS for one in seen}


def _with_signs(text: str, matches: Sequence[PiiMatch]) -> tuple[str, list[int]]:
    """The text with one sign for each thing that is taken, and where each of its letters stands in the text."""
    said, done = "", 0
    place_of: list[int] = []
    for match in matches:
        said += text[done : match.start] + _HIDDEN.get(match.kind, _HIDDEN_DIGITS)
        place_of.extend(range(done, match.start + 1))
        done = match.end
    return said + text[done:], [*place_of, *range(done, len(text))]


def _pairs(mark: str, text: str) -> Iterator[str]:
    return (mark + text[at : at + 2] for at in range(len(text) - 1))


def _of_run(run: str, beside: tuple[str, str], letters: int, near: int, role: Role) -> Iterator[str]:
    """The run itself and the letters beside it; `letters` are said in its line, `near` are runs close to it."""
    left, right = beside
    length, shape = _length(run), _shape(run)
    yield from (f"n{length}", "s" + shape, "S" + run.translate(_SHAPES)[:8], "role" + role)
    if length <= 2:
        yield "c" + run
    for count in range(1, 7):
        if len(left) >= count:
            yield f"l{count}{left[-count:]}"
            if count < 4:
                yield f"ln{count}{length}{left[-count:]}"
        if len(right) >= count < 5:
            yield f"r{count}{right[:count]}"
    between = f"{left[-1:]}|{right[:1]}"
    yield from ("b" + between, f"B{left[-2:]}|{right[:1]}", f"bs{shape}{between}")
    yield from _pairs("L", left[-_BESIDE_LEFT:])
    yield from _pairs("R", right[:_BESIDE_RIGHT])
    yield from _pairs("w", left + run + right)
    others = letters - len(_UNSAID.sub("", run))
    yield from (f"o{min(others, 8)}", f"on{min(others, 6)}n{length}", f"e{min(near, 4)}", f"en{min(near, 4)}n{length}")


def _of_line(
    lines: Sequence[Line], reading: NumbersSaid, taken: Sequence[Sequence[PiiMatch]], number: int
) -> Iterator[str]:
    """What was said before the line, what was asked for, and what was found there and in it."""
    before = lines[number - 1].text[-_HEARD:] if number else ""
    yield from _pairs("p", before)
    yield from (f"P{before[at : at + 3]}" for at in range(len(before) - 2))
    if number > 1:
        yield from _pairs("q", lines[number - 2].text[-_HEARD_BEFORE:])
    yield from (f"a{topic}" for topic in reading.asked[number])
    yield from (f"m{mention.topic}" for mention in reading.named[number])
    yield from (f"k{match.kind}" for match in taken[number])
    yield f"t{min(len(taken[number - 1]), 2) if number else -1}"
    yield f"T{min(len(taken[number]), 3)}"


def _of_both(run: str, reading: NumbersSaid, number: int, kinds: set[FoundKind]) -> Iterator[str]:
    """The length and shape of the run beside what was asked for and found."""
    length, shape = _length(run), _shape(run)
    for topic in reading.asked[number]:
        yield from (f"an{topic}{length}", f"as{topic}{shape}")
    if not reading.asked[number]:
        yield f"a-{length}"
    yield from (f"mn{mention.topic}{length}" for mention in reading.named[number])
    yield from (f"kn{kind}{length}" for kind in kinds)


def _length(run: str) -> int:
    return min(len(run.replace(" ", "").replace("个", "")), 9)


def _shape(run: str) -> str:
    return _REPEATED.sub(r"\1+", run.translate(_SHAPES))


def _is_known_as_other(text: str, run: Run) -> bool:
    """Whether it is in a word of rules or a set phrase (等一下), or the number of a journey."""
    in_phrase = any(one.start() <= run.start and run.end <= one.end() for one in SET_PHRASES.finditer(text))
    return in_phrase or _JOURNEY.search(text, 0, run.start) is not None or is_in_word_of_rules(text, run.start, run.end)


def _kind_asked(asked: frozenset[AskedFor]) -> FoundKind | None:
    """What the digits are, where one thing was asked for."""
    kinds: list[FoundKind] = [
        topic for topic in asked if topic != "other_number" and topic in DIGIT_KINDS | SECRET_KINDS
    ]
    return kinds[0] if len(asked) == 1 and kinds else None
