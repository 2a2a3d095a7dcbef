"""Common and individual problems (R64): agent against team, team against tenant, tenant against target. Pure.

* **Expected** is what the calls of a group would have come to with all others, inquiry type by inquiry type
  (`processors/kpi/case_mix.py`). The group itself is not among the others.
* **How far off.** On a scale on which chance among calls has the same width everywhere: the arcsine of the root for
  shares (Anscombe, The transformation of Poisson, binomial and negative-binomial data, Biometrika 35, 1948), the root
  for events (Huffman, An improved approximate two-sample Poisson test, Applied Statistics 33, 1984), the value itself
  for means. The others are uncertain, too.
* **How much agents vary** more than chance among calls explains. An agent is held against chance among calls: that it
  differs is what is asked. Only where at least `LEAST_GROUPS` agents are held against the same others, and most of them
  differ, is being different usual, and limits are widened (additive over-dispersion: Spiegelhalter, Funnel plots for
  comparing institutional performance, Statistics in Medicine 24, 2005, section A.3; told by the middle of them, so that
  those who are far off do not hide each other: Efron, Large-scale simultaneous hypothesis testing, Journal of the
  American Statistical Association 99, 2004). For a team, agents are clusters: it is held against how much agents vary
  within teams. Both are estimated, so tails are those of the t distribution.
* **Many comparisons.** A problem is shown where its q-value, over all agents or over all teams of a tenant and all
  KPIs, is at most `FALSE_DISCOVERIES`. Apart, because many agents who are truly off would make it easy for teams.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import asin, erfc, pi, sin, sqrt
from statistics import median
from typing import Literal, Protocol

from processors.kpi.case_mix import Expectation, Strata, expectation, together, total, without
from processors.kpi.statistics import (
    FALSE_DISCOVERIES,
    Z95,
    CallGroup,
    Estimate,
    Sums,
    bounds,
    effective_agents,
    estimate,
    estimate_group,
    normal_score,
    q_values,
    student95,
    target_status,
)
from schemas.config.kpis.kpi import Kpi

LEAST_GROUPS = 10
"""So many agents tell what is usual among them."""

MEDIAN_DEVIATION = 0.6744897501960817
"""Median absolute deviation of the normal distribution: its 75th percentile."""

MEDIAN_EFFICIENCY = 0.37
"""As a measure of spread it is worth so many of its observations (Rousseeuw and Croux, Alternatives to the median
absolute deviation, Journal of the American Statistical Association 88, 1993)."""

HALVINGS = 40
"""Steps in which the variation of agents is searched for: to twelve digits."""

LEAST_DEGREES = 2.0
"""Agents less teams, below which nobody can tell how much agents vary; then teams are not held against each other."""

ProblemScope = Literal["common", "team", "individual"]
Key = tuple[str | None, ...]
Agents = Mapping[Key, Strata]
"""Team (at the time of the call) and agent → sums by inquiry type."""


@dataclass(frozen=True)
class Problem:
    """A KPI that is bad: of everybody, of a team or of an agent.

    `benchmark` is what it was held against, in the unit of the KPI: the target, or what is expected of the group's own
    mix of inquiry types. `ratio` is observed ÷ expected, with its interval; `distance` is in standard deviations,
    positive where it is worse; `chance` is how often chance alone lies so far on the bad side, and `q_value` the share
    of chance findings among all that are at least as unlikely.
    """

    kpi: str
    scope: ProblemScope
    key: Key
    found: Estimate
    benchmark: float | None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    distance: float = 0.0
    chance: float | None = None
    q_value: float | None = None
    missing_share: float | None = None
    """Of a common problem: the share of agents with enough calls who miss the target; null where nobody has enough."""


@dataclass(frozen=True)
class Problems:
    """What was found, and how many comparisons of teams and agents it took."""

    found: tuple[Problem, ...]
    comparisons: int


def problems(
    of_kpis: Iterable[tuple[Kpi, Agents]],
    industry: str | None = None,
    tenant_id: str | None = None,
) -> Problems:
    """What is bad for everybody of a tenant, for a team, or for an agent, over all KPIs at once.

    A common problem is a target that the tenant clearly misses (it lies outside of the interval, or is the end of the
    scale) and that half of the agents with enough calls miss, too. An individual one is worse than the others of the
    team, or of the tenant where the team has nobody to compare with. One of a team is worse than all other teams, also
    without its individual ones. What is neither good nor bad, and correlations, have no problems.
    """
    judged = [(kpi, agents) for kpi, agents in of_kpis if kpi.direction != "neutral" and kpi.kind != "correlation"]
    common = [found for kpi, agents in judged if (found := _common(kpi, agents, industry, tenant_id)) is not None]
    individual = [(kpi, agents, individual_comparisons(kpi, agents)) for kpi, agents in judged]
    of_agents = [one for *_, found in individual for one in found]
    bad_agents = _bad(of_agents)
    off = {(each.kpi, each.key) for each in bad_agents}
    of_teams: list[Problem] = []
    for kpi, agents, _ in individual:
        of_teams += team_comparisons(kpi, agents, {key for kpi_id, key in off if kpi_id == kpi.id})
    return Problems((*common, *_bad(of_teams), *bad_agents), len(of_agents) + len(of_teams))


def _bad(compared: Sequence[Problem]) -> list[Problem]:
    """Those of all comparisons that are problems."""
    found = q_values([1.0 if each.chance is None else each.chance for each in compared])
    with_q = (replace(each, q_value=q_value) for each, q_value in zip(compared, found, strict=True))
    return [each for each in with_q if each.q_value is not None and each.q_value <= FALSE_DISCOVERIES]


# --- everybody


def _common(kpi: Kpi, agents: Agents, industry: str | None, tenant_id: str | None) -> Problem | None:
    whole = estimate_group(kpi, _group(agents))
    target = kpi.target_of(industry, tenant_id)
    if target is None or target_status(kpi, whole, industry, tenant_id) != "missed":
        return None
    is_end_of_scale = target in (bound * kpi.scale for bound in bounds(kpi.unit))
    if not is_end_of_scale and (whole.low is None or whole.high is None or whole.low <= target <= whole.high):
        return None
    verdicts = [target_status(kpi, estimate(kpi, total(each)), industry, tenant_id) for each in agents.values()]
    judged = [each for each in verdicts if each in ("reached", "missed")]
    missing = sum(each == "missed" for each in judged)
    if 2 * missing < len(judged):
        return None
    return Problem(kpi.id, "common", (), whole, target, missing_share=missing / len(judged) if judged else None)


def _group(agents: Agents) -> CallGroup:
    """All calls together. Who changed teams is one agent."""
    of_agents: dict[str, Sums] = {}
    for key, strata in agents.items():
        name = key[-1] or ""
        of_agents[name] = of_agents.get(name, Sums()) + total(strata)
    return CallGroup(sum(of_agents.values(), start=Sums()), of_agents)


# --- agents and teams


def individual_comparisons(kpi: Kpi, agents: Agents) -> list[Problem]:
    """Every agent with enough calls against the others, those of its own team where it has any with enough."""
    whole = together(agents.values())
    scale = _scale_of(kpi, total(whole))
    if scale is None or not total(whole).is_decided:
        return []
    held = _expected_of_agents(kpi, agents, whole)
    varies = _variation_of_agents(held, scale)
    compared = []
    for key, each in held.items():
        extra, degrees = varies[key]
        stretch = 1 + extra * each.observed.n
        group = CallGroup(total(agents[key]))
        compared.append(_comparison(kpi, "individual", key, group, each, scale, stretch, degrees))
    return compared


def _expected_of_agents(kpi: Kpi, agents: Agents, whole: Strata) -> dict[Key, Expectation]:
    """Of every agent with enough calls that can be compared, in the order of teams and agents."""
    enough = {key for key, strata in agents.items() if _is_enough(kpi, total(strata))}
    of_agents = {name: together(strata) for name, strata in _by(agents, lambda key: key[-1]).items()}
    of_teams = {name: together(strata) for name, strata in _by(agents, lambda key: key[0]).items()}
    with_enough = Counter(key[0] for key in enough)
    held: dict[Key, Expectation] = {}
    for key in sorted(enough, key=lambda key: [part or "" for part in key]):
        team, agent = key
        has_mates = team is not None and with_enough[team] > 1
        # What mates make of inquiry types that the agent does not take says nothing of those that it takes.
        mates = _of_types(without(of_teams[team], agents[key]), agents[key]) if has_mates else {}
        found = _judgeable(kpi, _expected_in_team(agents[key], mates, without(whole, of_agents[agent])))
        if found is not None:
            held[key] = found
    return held


def _of_types(strata: Strata, taken: Strata) -> Strata:
    return {stratum: sums for stratum, sums in strata.items() if stratum in taken and taken[stratum].n > 0}


def _by(agents: Agents, name: Callable[[Key], str | None]) -> dict[str | None, list[Strata]]:
    named: dict[str | None, list[Strata]] = {}
    for key, strata in agents.items():
        named.setdefault(name(key), []).append(strata)
    return named


def _variation_of_agents(held: Mapping[Key, Expectation], scale: "_Scale") -> dict[Key, tuple[float, float]]:
    """For each agent how much those vary who are held against the same others, with degrees of freedom, or 0."""
    of_team = Counter(key[0] for key in held)
    peers: dict[str | None, list[Key]] = {}
    for key in held:
        peers.setdefault(key[0] if of_team[key[0]] > 1 else None, []).append(key)
    found: dict[Key, tuple[float, float]] = {}
    for keys in peers.values():
        if len(keys) < LEAST_GROUPS:
            found |= dict.fromkeys(keys, (0.0, 0.0))
            continue
        extra = variation([scale.score(held[key]) for key in keys], [held[key].observed.n for key in keys])
        found |= dict.fromkeys(keys, (extra, MEDIAN_EFFICIENCY * (len(keys) - 1)))
    return found


def team_comparisons(kpi: Kpi, agents: Agents, off: Collection[Key] = ()) -> list[Problem]:
    """Every team with enough calls against all other agents of the tenant.

    Agents who are `off` do not count on either side: one must not make a problem of the team. But how much agents vary
    is told by all, or it would be too little.
    """
    extra, degrees = _WithinTeams(agents, together(agents.values())).variation()
    agents = {key: strata for key, strata in agents.items() if key not in off}
    whole = together(agents.values())
    scale = _scale_of(kpi, total(whole))
    teams = sorted({key[0] for key in agents if key[0] is not None})
    if scale is None or degrees < LEAST_DEGREES or not total(whole).is_decided or len(teams) < 2:
        return []
    compared = []
    for team in teams:
        members = {key: strata for key, strata in agents.items() if key[0] == team}
        strata = together(members.values())
        held = _judgeable(kpi, expectation(strata, without(whole, strata)))
        if held is not None and _is_enough(kpi, total(strata)):
            others = [total(each).n for key, each in agents.items() if key not in members]
            own_size, their_size = _usual_size(total(each).n for each in members.values()), _usual_size(others)
            stretch = 1 + extra * (own_size + held.size * their_size) / (1 + held.size)
            compared.append(_comparison(kpi, "team", (team,), _group(members), held, scale, stretch, degrees))
    return compared


def _usual_size(calls: Iterable[int]) -> float:
    """How many calls the agent of a call has, on average over calls."""
    counts = list(calls)
    return sum(count * count for count in counts) / max(sum(counts), 1)


def _is_enough(kpi: Kpi, sums: Sums) -> bool:
    return sums.n >= kpi.minimum_n and sums.denominator > 0 and sums.is_decided


def _expected_in_team(ours: Strata, mates: Strata, others: Strata) -> Expectation | None:
    """At the rates of the others; where there are mates, by as much above or below as they lie."""
    found, theirs = expectation(ours, others), expectation(mates, others)
    if found is None or theirs is None:
        return found
    calls = found.observed.denominator
    above = (theirs.observed.numerator - theirs.numerator) / theirs.observed.denominator
    return replace(found, numerator=found.numerator + above * calls, size=calls / theirs.observed.denominator)


def _judgeable(kpi: Kpi, found: Expectation | None) -> Expectation | None:
    """Null where too few calls can be compared; not below nor above what can be at all."""
    if found is None or not _is_enough(kpi, found.observed):
        return None
    lowest, highest = (bound * found.observed.denominator for bound in bounds(kpi.unit))
    return replace(found, numerator=min(max(found.numerator, lowest), highest))


def _comparison(
    kpi: Kpi,
    scope: ProblemScope,
    key: Key,
    group: CallGroup,
    held: Expectation,
    scale: "_Scale",
    stretch: float,
    degrees: float,
) -> Problem:
    distance = scale.score(held) / sqrt(stretch) * (-1 if kpi.direction == "higher" else 1)
    width = sqrt(stretch) * (student95(degrees) if degrees > 0 else Z95)
    ratio, low, high = None, None, None
    if held.numerator > 0:
        ratio = held.observed.numerator / held.numerator
        low, high = (each / held.numerator for each in scale.limits(held, width))
    return Problem(
        kpi.id,
        scope,
        key,
        estimate_group(kpi, group),
        kpi.scale * held.numerator / held.observed.denominator,
        ratio,
        low,
        high,
        distance,
        0.5 * erfc((normal_score(distance, degrees) if degrees > 0 else distance) / sqrt(2)),
    )


# --- how far off


class _Scale(Protocol):
    """On which chance among calls is as wide everywhere."""

    def score(self, held: Expectation) -> float:
        """By how many standard deviations the group lies above what is expected."""
        ...

    def limits(self, held: Expectation, width: float) -> tuple[float, float]:
        """The sums that lie so many standard deviations below and above the one that was observed."""
        ...


@dataclass(frozen=True)
class _Shares:
    """`parts` is how many parts that vary alone are in a denominator of 1."""

    parts: float

    def score(self, held: Expectation) -> float:
        n = self.parts * held.observed.denominator
        others = n / held.size
        above = _angle(self.parts * held.observed.numerator, n) - _angle(
            self.parts * held.numerator / held.size, others
        )
        return above / _error_of_angles(n, others)

    def limits(self, held: Expectation, width: float) -> tuple[float, float]:
        n = self.parts * held.observed.denominator
        half = width * _error_of_angles(n, n / held.size)
        middle = _angle(self.parts * held.observed.numerator, n)
        low, high = (
            sin(min(max(angle, 0.0), pi) / 2) ** 2 * (n + 0.75) - 0.375 for angle in (middle - half, middle + half)
        )
        return max(low, 0.0) / self.parts, min(high, n) / self.parts


def _angle(count: float, n: float) -> float:
    return 2 * asin(sqrt(min((max(count, 0.0) + 0.375) / (n + 0.75), 1.0)))


def _error_of_angles(n: float, others: float) -> float:
    return sqrt(1 / (n + 0.5) + 1 / (others + 0.5))


@dataclass(frozen=True)
class _Counts:
    """`times_poisson` is by how much counts vary more than those of a Poisson process."""

    times_poisson: float

    def score(self, held: Expectation) -> float:
        observed, theirs = (max(each, 0.0) / self.times_poisson for each in (held.observed.numerator, held.numerator))
        return 2 * (sqrt(observed + 0.375) - sqrt(theirs + 0.375 * held.size)) / sqrt(1 + held.size)

    def limits(self, held: Expectation, width: float) -> tuple[float, float]:
        middle = sqrt(max(held.observed.numerator, 0.0) / self.times_poisson + 0.375)
        half = width * sqrt(1 + held.size) / 2
        low, high = (max(each, 0.0) ** 2 - 0.375 for each in (middle - half, middle + half))
        return max(low, 0.0) * self.times_poisson, high * self.times_poisson


@dataclass(frozen=True)
class _Means:
    """`variance` is that of a call."""

    variance: float

    def score(self, held: Expectation) -> float:
        return (held.observed.numerator - held.numerator) / self._error(held)

    def limits(self, held: Expectation, width: float) -> tuple[float, float]:
        half = width * self._error(held)
        return max(held.observed.numerator - half, 0.0), held.observed.numerator + half

    def _error(self, held: Expectation) -> float:
        return sqrt(self.variance * held.observed.n * (1 + held.size))


def _scale_of(kpi: Kpi, whole: Sums) -> _Scale | None:
    """Null where calls do not vary at all, or are too few to tell."""
    variance = whole.residual_variance
    if not variance:
        return None
    if kpi.kind == "share":
        return _Shares(1.0)
    if kpi.kind != "events":
        return _Means(variance)
    spread, ratio = whole.n * variance, whole.numerator / whole.denominator
    if kpi.unit == "share":
        return _Shares(1 / max(1.0, spread / (whole.denominator * ratio * (1 - ratio))) if 0 < ratio < 1 else 1.0)
    return _Counts(max(1.0, spread / whole.numerator))


# --- how much agents vary


def variation(scores: Sequence[float], sizes: Sequence[float]) -> float:
    """By how much agents vary more than by chance among calls, as variance of a call for each call: an agent with n
    calls lies 1 + n · that as far off, squared, as chance among calls explains. The middle of the agents tells."""

    def deviation(extra: float) -> float:
        scaled = [score / sqrt(1 + extra * size) for score, size in zip(scores, sizes, strict=True)]
        middle = median(scaled)
        return median(abs(each - middle) for each in scaled)

    if deviation(0.0) <= MEDIAN_DEVIATION:
        return 0.0
    # Where the smallest agent had all of it, nobody would lie farther off than chance explains.
    least, most = 0.0, (2 * max(map(abs, scores)) / MEDIAN_DEVIATION) ** 2 / min(sizes)
    for _ in range(HALVINGS):
        extra = (least + most) / 2
        least, most = (extra, most) if deviation(extra) > MEDIAN_DEVIATION else (least, extra)
    return most


class _WithinTeams:
    """Agents within their teams, when the mix of inquiry types is taken off."""

    def __init__(self, agents: Agents, whole: Strata) -> None:
        self._sums: dict[Key, Sums] = {}
        self._teams: dict[str | None, Sums] = {}
        for key, strata in agents.items():
            held = expectation(strata, whole)
            if held is None:
                continue
            sums = held.observed
            rest = sums.numerator - held.numerator
            self._sums[key] = Sums(
                sums.n, rest, sums.denominator, rest**2, rest * sums.denominator, sums.denominator**2
            )
            self._teams[key[0]] = self._teams.get(key[0], Sums()) + self._sums[key]
        self._variance = total(whole).residual_variance or 0.0

    def variation(self) -> tuple[float, float]:
        """As `variation`, with its degrees of freedom, about those of effective agents less teams. Nothing, and 0 of
        them, where no team has a second agent.

        Residuals of a team are smaller than those of its agents, above all of an agent with most of its calls: what is
        to be expected of their squares is counted for chance and for what varies among agents. Teams do not tell
        equally much, so degrees of freedom are those of Satterthwaite (An approximate distribution of estimates of
        variance components, Biometrics Bulletin 2, 1946).
        """
        squares = by_chance = by_agents = uncertainty = 0.0
        for team, sums in self._teams.items():
            agents = effective_agents(sums)
            if agents > 1:
                sizes = [each.n for key, each in self._sums.items() if key[0] == team]
                two, three = sum(size**2 for size in sizes), sum(size**3 for size in sizes)
                of_team = two - 2 * three / sums.n + (two / sums.n) ** 2
                squares += sums.residual_squares(sums.numerator / sums.denominator)
                by_chance += sums.n - two / sums.n
                by_agents += of_team
                uncertainty += of_team**2 / (agents - 1)
        if by_agents <= 0 or self._variance <= 0:
            return 0.0, 0.0
        return max(squares / self._variance - by_chance, 0.0) / by_agents, by_agents**2 / uncertainty
