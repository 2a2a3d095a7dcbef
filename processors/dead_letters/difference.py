"""What would change if refused messages were processed: judgements of now beside those that are stored. Pure."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

PENDING = "pending"


@dataclass(frozen=True)
class JudgementInShort:
    """What counts of a judgement: how the call ended, which of two judgements stands, what was found."""

    outcome: str
    version: int
    findings: frozenset[str]


@dataclass(frozen=True)
class CallChange:
    """What would become of one call."""

    before: str
    """Its outcome; `pending` where nothing is known of it."""
    after: str
    findings_more: int
    findings_fewer: int
    alerts: frozenset[str]
    """Ids of those that would be raised for the first time."""

    @property
    def is_one(self) -> bool:
        """Whether anything of it would be another."""
        return bool(self.before != self.after or self.findings_more or self.findings_fewer or self.alerts)


def change_of_call(
    new: JudgementInShort,
    alerts: Collection[str],
    stored: JudgementInShort | None,
    outcome: str | None,
    known: Collection[str],
) -> CallChange:
    """`stored` and `outcome` are what ClickHouse has of the call, `known` the ids of alerts that were raised before.

    A judgement that is older than the stored one changes nothing but alerts, which are raised all the same.
    """
    before = outcome or PENDING
    fresh = frozenset(alerts) - frozenset(known)
    if stored is not None and stored.version > new.version:
        return CallChange(before, before, 0, 0, fresh)
    had = stored.findings if stored is not None else frozenset[str]()
    return CallChange(before, new.outcome, len(new.findings - had), len(had - new.findings), fresh)


@dataclass
class LettersDifference:
    """What a dry run found. `calls` is tenant and call id → what would become of it; the last message of a call
    counts."""

    letters: int = 0
    """Whose messages would be published again."""
    hindered: Counter[str] = field(default_factory=Counter)
    """Why messages would not be published again → how many."""
    refused_again: Counter[str] = field(default_factory=Counter)
    """`step: class` of the letters that would come of those that would."""
    untried: Counter[str] = field(default_factory=Counter)
    """What was not tried, by why: what comes of it shows once it is done."""
    accepted: int = 0
    """Messages that would be processed and change no judgement: ratings, facts, verdicts, lists."""
    calls: dict[tuple[str, str], CallChange] = field(default_factory=dict)

    @property
    def changed(self) -> list[CallChange]:
        """Of the calls that would change."""
        return [change for change in self.calls.values() if change.is_one]

    @property
    def outcomes(self) -> Counter[str]:
        """`before → after` of the calls whose outcome would be another."""
        return Counter(f"{one.before} → {one.after}" for one in self.changed if one.before != one.after)

    @property
    def alerts(self) -> int:
        """That would be raised for the first time."""
        return len(frozenset[str]().union(*(one.alerts for one in self.calls.values())))

    def as_json(self) -> Mapping[str, object]:
        """For programs."""
        return {
            "letters": self.letters,
            "hindered": dict(self.hindered),
            "refused_again": dict(self.refused_again),
            "untried": dict(self.untried),
            "accepted": self.accepted,
            "calls": len(self.calls),
            "calls_changed": len(self.changed),
            "outcomes": dict(self.outcomes),
            "findings_more": sum(one.findings_more for one in self.changed),
            "findings_fewer": sum(one.findings_fewer for one in self.changed),
            "alerts": self.alerts,
        }

    def sentence(self) -> str:
        """One line for people."""
        told = self.as_json()
        return (
            f"{told['calls_changed']} call(s) would change: {told['findings_more']} finding(s) more, "
            f"{told['findings_fewer']} fewer, {told['alerts']} alert(s)"
        )
