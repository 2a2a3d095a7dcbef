"""What a detector is given, what it is, and what it yields."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from processors.judging.call_context import CallContext
from processors.rules.rulebook import Rulebooks
from processors.text.sentences import SentenceModel
from schemas.config.settings_part import P, SettingsPart, part_of
from schemas.config.tenants import ALL_ALIKE, Tenants
from schemas.errors import OperatorError
from schemas.messages.call_analysis import MeasureValue, TopicMention
from schemas.messages.finding import Finding


class Measure(NamedTuple):
    """What was measured on a call."""

    name: str
    value: MeasureValue


class NotMeasured(NamedTuple):
    """A measure that could not be taken, and why: null with a reason, never 0."""

    measure: str
    reason: str


class ResponseDelays(NamedTuple):
    """How long each answer took, in the order of the call: a percentile of many calls cannot be made of theirs."""

    values_ms: tuple[int, ...]


Result = Finding | TopicMention | Measure | NotMeasured | ResponseDelays


@dataclass(frozen=True)
class DetectorContext:
    """What a detector may need when it is built: rules, thresholds, what is different for a tenant, sentence model."""

    rulebooks: Rulebooks
    parts: tuple[SettingsPart, ...] = ()
    tenants: Tenants = ALL_ALIKE
    sentence_model: SentenceModel | None = None
    sentence_min_cosine: float = 1.0

    def part(self, model: type[P]) -> P:
        """The settings that a detector declares in its file; their defaults where none were given."""
        return part_of(self.parts, model)


class Detector(Protocol):
    """Pure: the same case gives the same results, in the same order.

    `measures` are the ones it owns; on each call it yields every one of them once, as `Measure` or `NotMeasured`.
    Where `needs_speech`, calls that were not heard are not shown to it: its measures are skipped with the outcome.
    Where `reads_measures`, it runs after all that do not, and finds their values in `case.measures`.
    """

    @property
    def name(self) -> str:
        """The name of its file."""
        ...

    @property
    def needs_speech(self) -> bool: ...

    @property
    def reads_measures(self) -> bool: ...

    @property
    def measures(self) -> tuple[str, ...]: ...

    def process(self, context: CallContext) -> Iterable[Result]:
        """Findings in any order, and every owned measure."""
        ...


class DetectorError(OperatorError):
    """The detectors do not fit together: a module without a factory, or a measure with two owners."""
