"""Detectors: each file here is one, found by being there.

To add one, add a module with a function `detector(context: DetectorContext) -> Detector`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import NamedTuple, Protocol

from processors.case import Case
from processors.rulebook import Rulebooks
from processors.sentences import SentenceModel
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


Result = Finding | TopicMention | Measure | NotMeasured


@dataclass(frozen=True)
class DetectorContext:
    """What detectors are built from."""

    rulebooks: Rulebooks
    duration_band_min_ms: int
    duration_band_max_ms: int
    sentence_model: SentenceModel | None = None
    sentence_min_cosine: float = 1.0
    duration_fallback_min_ms: int = 10_000
    duration_fallback_max_ms: int = 3_600_000
    baseline_min_calls: int = 50


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

    def process(self, case: Case) -> Iterable[Result]:
        """Findings in any order, and every owned measure."""
        ...


class DetectorError(OperatorError):
    """The detectors do not fit together: a module without a factory, or a measure with two owners."""


def find_detectors(context: DetectorContext) -> tuple[Detector, ...]:
    """Every detector of this package, by module name. Raises `DetectorError`."""
    detectors: list[Detector] = []
    owner: dict[str, str] = {}
    for module_name in sorted(module.name for module in iter_modules(__path__)):
        factory = getattr(import_module(f"{__name__}.{module_name}"), "detector", None)
        if factory is None:
            raise DetectorError(f"processors/detectors/{module_name}.py has no function detector(context)")
        found: Detector = factory(context)
        for measure in found.measures:
            if measure in owner:
                raise DetectorError(f"{measure} is measured by {owner[measure]} and by {module_name}")
            owner[measure] = module_name
        detectors.append(found)
    return tuple(detectors)
