"""From a transcript to the judgement of the call."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import isfinite
from pathlib import Path

from processors.case import NO_BACKGROUND, Background, Case
from processors.detectors import Detector, DetectorContext, Measure, NotMeasured, Result, find_detectors
from processors.lexicon import Lexicons
from processors.verdict import Verdicts
from schemas.call_analysis import CallAnalysis, MeasureValue, SkippedAnalysis
from schemas.finding import Finding
from schemas.lexicon import LEXICON_FOLDER, load_lexicons
from schemas.outcome import Outcome
from schemas.retention import RETENTION_FILE
from schemas.risk import RISK_FILE
from schemas.transcript import Transcript

ANALYSIS_VERSION = 2
"""Rises with every change that can alter the judgement of a call; changes of a lexicon show in `lexicon_version`."""

DETECTOR_FAILED = "detector_failed"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JudgeSettings:
    """What can be configured. `lexicon_folders` are read besides the lexicons that are shipped (R54)."""

    duration_band_min_ms: int = 180_000
    duration_band_max_ms: int = 480_000
    lexicon_folders: tuple[Path, ...] = ()
    score_form_folders: tuple[Path, ...] = ()
    risk_file: Path = RISK_FILE
    retention_file: Path = RETENTION_FILE

    def __post_init__(self) -> None:
        if self.duration_band_min_ms > self.duration_band_max_ms:
            raise ValueError("the duration band ends before it starts")


class InvalidResultsError(Exception):
    """A detector did not account for each of its measures exactly once, or with something that is no value."""


@dataclass(frozen=True)
class _Account:
    """What came of one detector: every measure that it owns has a value, or null and a reason."""

    measures: Mapping[str, MeasureValue]
    skipped: tuple[SkippedAnalysis, ...]
    findings: tuple[Finding, ...] = ()


class Judge:
    """Built once per worker: reads and compiles the lexicons, finds the detectors. Judging is pure.

    Raises `LexiconError`, `DetectorError` and what `Verdicts` raises when built.
    """

    def __init__(self, settings: JudgeSettings, detectors: Iterable[Detector] | None = None) -> None:
        self._lexicons = Lexicons(load_lexicons((LEXICON_FOLDER, *settings.lexicon_folders)))
        context = DetectorContext(self._lexicons, settings.duration_band_min_ms, settings.duration_band_max_ms)
        self._detectors = find_detectors(context) if detectors is None else tuple(detectors)
        self._verdicts = Verdicts(settings.score_form_folders, settings.risk_file, settings.retention_file)

    @property
    def measures(self) -> frozenset[str]:
        """The names of all measures that are taken."""
        return frozenset(measure for detector in self._detectors for measure in detector.measures)

    def judge(self, transcript: Transcript, now: datetime, background: Background = NO_BACKGROUND) -> CallAnalysis:
        """The analysis of one call. A detector that fails costs its own measures only."""
        outcome, reason = _outcome(transcript)
        accounts = self._accounts(Case(transcript, background))
        findings = {finding.finding_id: finding for account in accounts for finding in account.findings}
        analysis = CallAnalysis(
            tenant_id=transcript.tenant_id,
            call_id=transcript.call_id,
            call=transcript.call,
            analysis_version=ANALYSIS_VERSION,
            lexicon_version=self._lexicons.version(transcript.language, transcript.call.industry),
            outcome=outcome,
            outcome_reason=reason,
            language=transcript.language,
            engine=transcript.engine,
            audio=transcript.audio,
            real_time_factor=transcript.real_time_factor,
            measures={name: value for account in accounts for name, value in account.measures.items()},
            skipped_analysis=tuple(skipped for account in accounts for skipped in account.skipped),
            findings=tuple(sorted(findings.values(), key=lambda f: (f.start_ms, f.end_ms, f.finding_id))),
            transcribed_at=transcript.transcribed_at,
            analyzed_at=now,
        )
        return self._verdicts.added_to(analysis, transcript)

    def _accounts(self, case: Case) -> list[_Account]:
        """Of all detectors; those that read measures come after those that only take them."""
        accounts = [_account(detector, case) for detector in self._detectors if not detector.reads_measures]
        measures = {name: value for account in accounts for name, value in account.measures.items()}
        case = replace(case, measures=measures)
        return accounts + [_account(detector, case) for detector in self._detectors if detector.reads_measures]


def _outcome(transcript: Transcript) -> tuple[Outcome, str]:
    """The outcome that `listen` gave, or `analyzed`."""
    if transcript.outcome is not None:
        return transcript.outcome, transcript.outcome_reason or transcript.outcome
    was_heard = any(segment.text.strip() for segment in transcript.segments)
    return "analyzed", "complete" if was_heard else "no_speech"


def _account(detector: Detector, case: Case) -> _Account:
    """The detector's results; its measures as skipped where the call was not heard or the detector failed."""
    outcome = case.transcript.outcome
    if outcome is not None and detector.needs_speech:
        return _skipped(detector, outcome)
    try:
        return _booked(detector, list(detector.process(case)))
    except Exception as error:
        # Class names only: the text of an exception may hold the words of a caller.
        logger.error("detector %s failed: %s", detector.name, type(error).__name__)
        return _skipped(detector, DETECTOR_FAILED)


def _skipped(detector: Detector, reason: str) -> _Account:
    return _Account(
        dict.fromkeys(detector.measures),
        tuple(SkippedAnalysis(measure=measure, reason=reason) for measure in detector.measures),
    )


def _booked(detector: Detector, results: Sequence[Result]) -> _Account:
    """Raises `InvalidResultsError`, and `ValidationError` for a reason that is no slug."""
    measured = [result for result in results if isinstance(result, Measure)]
    skipped = tuple(
        SkippedAnalysis(measure=result.measure, reason=result.reason)
        for result in results
        if isinstance(result, NotMeasured)
    )
    names = [result.name for result in measured] + [result.measure for result in skipped]
    if sorted(names) != sorted(detector.measures):
        raise InvalidResultsError("not every measure is accounted for exactly once")
    if any(isinstance(result.value, float) and not isfinite(result.value) for result in measured):
        raise InvalidResultsError("a measure is not a finite number")
    values: dict[str, MeasureValue] = dict.fromkeys(names)
    values.update((result.name, result.value) for result in measured)
    return _Account(values, skipped, tuple(result for result in results if isinstance(result, Finding)))
