"""From a transcript to the judgement of the call."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from math import isfinite
from pathlib import Path

from processors.detectors import find_detectors
from processors.detectors.base.contract import Detector, DetectorContext, Measure, NotMeasured, ResponseDelays, Result
from processors.judging.assessment import Assessor
from processors.judging.by_reading import with_read_measures
from processors.judging.call_context import NO_BACKGROUND, Background, CallContext
from processors.judging.retention import retention_by_rules
from processors.rules.examples import check_examples
from processors.rules.rulebook import Rulebooks
from processors.text.phonetic import USUAL_MERGERS, Merger, Sounds
from processors.text.sentences import SentenceModel
from schemas.config.retention import RETENTION_FILE
from schemas.config.risk import RISK_FILE
from schemas.config.rule_pack import RULE_PACK_FOLDER, RulePackError, load_rule_packs
from schemas.config.selection import SELECTION_FILE
from schemas.config.settings_part import SettingsPart
from schemas.config.tenants import ALL_ALIKE, USUAL_DAYS, TenantDays, Tenants
from schemas.messages.call_analysis import CallAnalysis, MeasureValue, SkippedAnalysis, TopicMention
from schemas.messages.finding import Finding
from schemas.messages.outcome import Outcome
from schemas.messages.transcript import Transcript

ANALYSIS_VERSION = 8
"""Rises once in each minor release, because each judges the same words otherwise, by its code or by the models that it
ships; rules show in `lexicon_version`, too. Of one transcript the judgement of a higher version stays, whenever it was
made, so that a worker of the release before takes nothing back during an upgrade. tests/compatibility holds it."""

DETECTOR_FAILED = "detector_failed"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JudgeSettings:
    """What can be configured. `rule_folders` are read besides the packs that are shipped (R54); `parts` are settings
    that detectors declare, defaults where there is none.
    """

    parts: tuple[SettingsPart, ...] = ()
    rule_folders: tuple[Path, ...] = ()
    merged_sounds: frozenset[Merger] = USUAL_MERGERS
    sentence_model: SentenceModel | None = None
    sentence_min_cosine: float = 0.6
    score_form_folders: tuple[Path, ...] = ()
    risk_file: Path = RISK_FILE
    selection_file: Path = SELECTION_FILE
    retention_file: Path = RETENTION_FILE
    tenants: Tenants = ALL_ALIKE
    days: TenantDays = USUAL_DAYS


class InvalidResultsError(Exception):
    """A detector did not account for each of its measures exactly once, or yielded something that is not a value."""


@dataclass(frozen=True)
class _Account:
    """The results of one detector: every measure that it owns has a value, or null and a reason."""

    measures: Mapping[str, MeasureValue]
    skipped: tuple[SkippedAnalysis, ...]
    findings: tuple[Finding, ...] = ()
    topics: tuple[TopicMention, ...] = ()
    response_delays_ms: tuple[int, ...] = ()


def shipped_rulebooks(settings: JudgeSettings) -> Rulebooks:
    """The shipped packs and those in the folders, checked. Raises `RulePackError`."""
    packs = load_rule_packs((RULE_PACK_FOLDER, *settings.rule_folders))
    rulebooks = Rulebooks(packs, Sounds(settings.merged_sounds), settings.days)
    if problems := check_examples(rulebooks):
        raise RulePackError(problems)
    return rulebooks


def check_measures(rulebooks: Rulebooks) -> tuple[str, ...]:
    """A sentence for each rule whose measure another section or the code already takes; empty if all is well."""
    owner: dict[str, str] = {}
    problems: list[str] = []
    detectors = find_detectors(DetectorContext(Rulebooks(())))
    of_code = {measure: found.name for found in detectors for measure in found.measures}
    for pack in rulebooks.packs:
        for section, entry in pack.entries():
            measure = getattr(entry, "measure", None)
            if not measure:
                continue
            # A detector that reads a section of rules has measures of its own, too: no rule may take those.
            taken_by = of_code.get(measure) or owner.setdefault(measure, section)
            if measure in of_code or taken_by != section:
                place = pack.place(section, entry.id)
                problems.append(f"{place}, field measure: {measure} is already measured by {taken_by}")
    return tuple(problems)


class Judge:
    """Built once for each set of rules: finds the detectors. Judging is pure.

    Without `rulebooks` the packs are read as the settings say. Raises `RulePackError`, `DetectorError` and what
    `Assessor` raises when built.
    """

    def __init__(
        self,
        settings: JudgeSettings,
        detectors: Iterable[Detector] | None = None,
        *,
        rulebooks: Rulebooks | None = None,
        assessor: Assessor | None = None,
    ) -> None:
        self._settings = settings
        self.rulebooks = shipped_rulebooks(settings) if rulebooks is None else rulebooks
        self._model_name = f"+{settings.sentence_model.name}" if settings.sentence_model else ""
        context = DetectorContext(
            self.rulebooks,
            settings.parts,
            tenants=settings.tenants,
            sentence_model=settings.sentence_model,
            sentence_min_cosine=settings.sentence_min_cosine,
        )
        self._detectors = find_detectors(context) if detectors is None else tuple(detectors)
        self._assessor = assessor or Assessor(
            settings.score_form_folders,
            settings.risk_file,
            settings.selection_file,
            settings.retention_file,
            settings.tenants,
        )

    def under(self, rulebooks: Rulebooks) -> "Judge":
        """The same judge under other rules; no file is read again. Raises `DetectorError`."""
        return Judge(self._settings, rulebooks=rulebooks, assessor=self._assessor)

    @property
    def measures(self) -> frozenset[str]:
        """The names of all measures, over all detectors and rules."""
        return frozenset(measure for detector in self._detectors for measure in detector.measures)

    def category_names(self, analysis: CallAnalysis) -> Mapping[str, str]:
        """How the rules in force for that call name the categories of its findings."""
        return self.rulebooks.category_names(analysis.tenant_id, analysis.language, analysis.call.industry)

    def judge(self, transcript: Transcript, now: datetime, background: Background = NO_BACKGROUND) -> CallAnalysis:
        """The analysis of one call. A detector that fails costs its own measures only."""
        outcome, reason = _outcome(transcript)
        context, accounts = self._hear(transcript, background)
        findings = {finding.finding_id: finding for account in accounts for finding in account.findings}
        analysis = CallAnalysis(
            tenant_id=transcript.tenant_id,
            call_id=transcript.call_id,
            call=transcript.call,
            analysis_version=ANALYSIS_VERSION,
            lexicon_version=self.rulebooks.version(context) + self._model_name,
            outcome=outcome,
            outcome_reason=reason,
            language=transcript.language,
            engine=transcript.engine,
            audio=transcript.audio,
            real_time_factor=transcript.real_time_factor,
            roles_doubtful=context.roles_doubtful,
            measures={name: value for account in accounts for name, value in account.measures.items()},
            response_delays_ms=tuple(delay for account in accounts for delay in account.response_delays_ms),
            skipped_analysis=tuple(skipped for account in accounts for skipped in account.skipped),
            findings=tuple(sorted(findings.values(), key=lambda f: (f.start_ms, f.end_ms, f.rule_id, f.finding_id))),
            topics=tuple(topic for account in accounts for topic in account.topics),
            transcribed_at=transcript.transcribed_at,
            analyzed_at=now,
        )
        book = self.rulebooks.of(context) or self.rulebooks.book(transcript.tenant_id, "zh", transcript.call.industry)
        kept = retention_by_rules(book, context, analysis.topics)
        return with_read_measures(self._assessor.complete(analysis, transcript, kept))

    def _hear(self, transcript: Transcript, background: Background) -> tuple[CallContext, list[_Account]]:
        """The accounts of all detectors; those that read measures run after those that only take them."""
        measures: dict[str, MeasureValue] = {}
        context = CallContext(transcript, background, measures)
        accounts: list[_Account] = []
        for reads_measures in (False, True):
            accounts.extend(_account(one, context) for one in self._detectors if one.reads_measures == reads_measures)
            if not reads_measures:
                measures.update((name, value) for account in accounts for name, value in account.measures.items())
        return context, accounts


def _outcome(transcript: Transcript) -> tuple[Outcome, str]:
    """The outcome that `listen` gave, or `analyzed`."""
    if transcript.outcome is not None:
        return transcript.outcome, transcript.outcome_reason or transcript.outcome
    was_heard = any(segment.text.strip() for segment in transcript.segments)
    return "analyzed", "complete" if was_heard else "no_speech"


def _account(detector: Detector, context: CallContext) -> _Account:
    """The detector's results; its measures as skipped where the call was not heard or the detector failed."""
    outcome = context.transcript.outcome
    if outcome is not None and detector.needs_speech:
        return _skip(detector, outcome)
    try:
        return _book(detector, list(detector.process(context)))
    except Exception as error:
        # Class names only: the text of an exception may hold the words of a caller.
        logger.error("detector %s failed: %s", detector.name, type(error).__name__)
        return _skip(detector, DETECTOR_FAILED)


def _skip(detector: Detector, reason: str) -> _Account:
    return _Account(
        dict.fromkeys(detector.measures),
        tuple(_skipped_analysis(measure, reason) for measure in detector.measures),
    )


def _book(detector: Detector, results: Sequence[Result]) -> _Account:
    """Raises `InvalidResultsError`, and `ValidationError` for a reason that is no slug."""
    measured: dict[str, MeasureValue] = {}
    skipped: dict[str, SkippedAnalysis] = {}
    findings: list[Finding] = []
    topics: list[TopicMention] = []
    delays: list[ResponseDelays] = []
    for result in results:
        if isinstance(result, Measure):
            measured[result.name] = result.value
        elif isinstance(result, NotMeasured):
            skipped[result.measure] = _skipped_analysis(result.measure, result.reason)
        elif isinstance(result, Finding):
            findings.append(result)
        elif isinstance(result, ResponseDelays):
            delays.append(result)
        else:
            topics.append(result)
    accounted = len(results) - len(findings) - len(topics) - len(delays)
    if accounted != len(detector.measures) or measured.keys() | skipped.keys() != set(detector.measures):
        raise InvalidResultsError("not every measure is accounted for exactly once")
    if any(isinstance(value, float) and not isfinite(value) for value in measured.values()):
        raise InvalidResultsError("a measure is not a finite number")
    return _Account(
        measured | dict.fromkeys(skipped),
        tuple(skipped.values()),
        tuple(findings),
        tuple(topics),
        tuple(delay for each in delays for delay in each.values_ms),
    )


@lru_cache(maxsize=4_096)
def _skipped_analysis(measure: str, reason: str) -> SkippedAnalysis:
    """Remembered: there are few, and each call has dozens of them. Raises `ValidationError`."""
    return SkippedAnalysis(measure=measure, reason=reason)
