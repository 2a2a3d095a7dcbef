"""The proof of an erasure: what only the erased calls have is looked for in everything that was written. First before,
so that one knows that the search sees it; then after each step that could leave it, or bring it back.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from streams.proof.searching import Searched

BEFORE = "before"
"""What the first search is called."""

Needle = tuple[str, bytes]
"""What it is, and the string."""


@dataclass(frozen=True)
class Exemption:
    """Where something may be after all, and why: in parts (files, tables) whose names begin so; needles of one name, or
    any where none is given."""

    part: str
    why: str
    name: str = ""

    def covers(self, part: str, name: str) -> bool:
        """Whether a needle of that name may be there."""
        return part.startswith(self.part) and self.name in ("", name)


@dataclass(frozen=True)
class ErasureStep:
    """Something that is done before the next search, and what that search lets pass."""

    what: str
    do: Callable[[], object]
    exempt: Sequence[Exemption] = ()


@dataclass
class SearchedStep:
    """What a search after a step has found. `took_s` is of the step, `search_s` of the search."""

    what: str
    took_s: float
    search_s: float
    searched: Sequence[Searched]
    exempt: Sequence[Exemption]

    @property
    def files(self) -> int:
        """How many files were searched."""
        return sum(one.parts for one in self.searched if one.place == "files")

    @property
    def tables(self) -> int:
        """How many tables were searched, of ClickHouse and the register."""
        return sum(one.parts for one in self.searched if one.place != "files")

    @property
    def size_bytes(self) -> int:
        """Of files, and of rows once they are unpacked."""
        return sum(one.size_bytes for one in self.searched)

    @property
    def found(self) -> Mapping[str, set[Needle]]:
        """Part → needles in it that may not be there."""
        left = {
            part: {needle for needle in needles if self._why(part, needle[0]) is None}
            for one in self.searched
            for part, needles in one.which.items()
        }
        return {part: needles for part, needles in left.items() if needles}

    @property
    def needles(self) -> set[Needle]:
        """The different ones of them."""
        return set().union(*self.found.values())

    @property
    def let_pass(self) -> Counter[str]:
        """Why → different needles that were there, and may be."""
        found: dict[str, set[Needle]] = {}
        for one in self.searched:
            for part, needles in one.which.items():
                for needle in needles:
                    if (why := self._why(part, needle[0])) is not None:
                        found.setdefault(why, set()).add(needle)
        return Counter({why: len(needles) for why, needles in found.items()})

    @property
    def unreadable(self) -> list[str]:
        """Parts that could not be searched."""
        return [part for one in self.searched for part in one.unreadable]

    def sees(self, name: str) -> bool:
        """Whether the needles of that name were found somewhere, which have to be there."""
        return any(name in one.found for one in self.searched)

    def _why(self, part: str, name: str) -> str | None:
        return next((each.why for each in self.exempt if each.covers(part, name)), None)


@dataclass
class ErasureProof:
    """What was found. `planted` is what was looked for, by name; `stays` names what every search has to find."""

    planted: Mapping[str, frozenset[bytes]]
    stays: frozenset[str]
    steps: list[SearchedStep] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many needles were looked for."""
        return sum(map(len, self.planted.values()))

    @property
    def unseen(self) -> Counter[str]:
        """What was not found even before, by name: that it is not found later proves nothing."""
        seen = self.steps[0].needles if self.steps else set()
        missing = {name: sum((name, each) not in seen for each in which) for name, which in self.planted.items()}
        return Counter({name: count for name, count in missing.items() if count})

    @property
    def blind(self) -> list[str]:
        """Steps after which not even that was found which has to be there."""
        return [one.what for one in self.steps if not all(map(one.sees, self.stays))]

    @property
    def left(self) -> dict[str, list[str]]:
        """Step → where something is, after all."""
        return {one.what: sorted(one.found) for one in self.steps[1:] if one.found}

    @property
    def holds(self) -> bool:
        """All of it was there, and nothing is anywhere any more, whatever was tried."""
        unread = any(one.unreadable for one in self.steps)
        return len(self.steps) > 1 and not self.unseen and not self.blind and not self.left and not unread


def prove_erasure(
    planted: Mapping[str, frozenset[bytes]],
    search: Callable[[], Sequence[Searched]],
    steps: Sequence[ErasureStep],
    *,
    stays: frozenset[str] = frozenset(),
    exempt: Sequence[Exemption] = (),
) -> ErasureProof:
    """Search; then each step, and search again.

    `search` looks for what is `planted`, and besides for that which has to stay: of that, `Searched.which` tells
    nothing. `exempt` holds for every search. Raises what `search` and the steps raise.
    """
    proof = ErasureProof(planted, stays)
    for step in (ErasureStep(BEFORE, lambda: None, steps[0].exempt if steps else ()), *steps):
        began_s = time.monotonic()
        step.do()
        done_s = time.monotonic()
        searched = search()
        done = SearchedStep(step.what, done_s - began_s, time.monotonic() - done_s, searched, (*exempt, *step.exempt))
        proof.steps.append(done)
    return proof
