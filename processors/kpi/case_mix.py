"""What a group's calls would have come to with everybody else: indirect standardisation by inquiry type. Pure.

Some inquiry types are harder than others, and teams do not take them in equal parts. The expected sum of a group is
what its calls would have come to at the rates that all others have in each inquiry type; observed ÷ expected says what
is left when the mix is taken off (Breslow and Day, Statistical methods in cancer research II, 1987, section 2.3; used
for institutions by Goldstein and Spiegelhalter, League tables and their limitations, Journal of the Royal Statistical
Society A 159, 1996). The group is never part of what it is held against.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from processors.kpi.statistics import Sums

LEAST_OF_STRATUM = 30
"""Calls that the others must have of an inquiry type. Types of which the group, too, has fewer are taken together. Of
which it has more, as the only one, it cannot be held against anybody: such calls are left out."""

Strata = Mapping[str | None, Sums]
"""Inquiry type, null where the telephony side does not say → sums over calls."""


@dataclass(frozen=True)
class Expectation:
    """What is to be expected of the calls that can be compared, `observed`, which are all or some of the group's.

    `size` is how large they are against those that the expectation is made from, near 0 when these are many: the
    variance of observed - expected is that of the observed times 1 + `size`.
    """

    observed: Sums
    numerator: float
    size: float


def total(strata: Strata) -> Sums:
    """All inquiry types together."""
    return sum(strata.values(), start=Sums())


def together(groups: Iterable[Strata]) -> dict[str | None, Sums]:
    """Several groups as one."""
    summed: dict[str | None, Sums] = {}
    for group in groups:
        for stratum, sums in group.items():
            summed[stratum] = summed.get(stratum, Sums()) + sums
    return summed


def without(whole: Strata, part: Strata) -> dict[str | None, Sums]:
    """What remains of the whole, of which the part is one."""
    return {stratum: sums - part.get(stratum, Sums()) for stratum, sums in whole.items()}


def expectation(group: Strata, others: Strata) -> Expectation | None:
    """By the rates of the others; null where nothing can be compared."""
    observed, numerator, spread = Sums(), 0.0, 0.0
    for theirs, ours in _pairs(group, others):
        if theirs.n >= LEAST_OF_STRATUM and theirs.denominator > 0:
            observed += ours
            numerator += ours.denominator * theirs.numerator / theirs.denominator
            spread += ours.denominator**2 / theirs.denominator
    if observed.denominator <= 0:
        return None
    return Expectation(observed, numerator, spread / observed.denominator)


def _pairs(group: Strata, others: Strata) -> Iterable[tuple[Sums, Sums]]:
    """Others and group, for each inquiry type that one of them has enough of, and for all others together."""
    rare = {stratum: max(sums.n, others.get(stratum, Sums()).n) < LEAST_OF_STRATUM for stratum, sums in group.items()}
    for stratum, ours in group.items():
        if not rare[stratum]:
            yield others.get(stratum, Sums()), ours
    small = {stratum: sums for stratum, sums in others.items() if rare.get(stratum, sums.n < LEAST_OF_STRATUM)}
    yield total(small), total({stratum: sums for stratum, sums in group.items() if rare[stratum]})
