"""What the reading heads make of a call: a judge that has learned from dialogues, beside the rules."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from processors.detectors.base.contract import DetectorContext, Measure, NotMeasured, Result
from processors.detectors.base.findings import finding_in_words
from processors.detectors.base.rule_detector import LANGUAGE_NOT_SUPPORTED
from processors.judging.call_context import CallContext
from processors.reading.call_reader import KINDS, VIOLATION, WEIGHTS, CallReader, UtteranceReading
from processors.reading.features import Said
from processors.text.languages import CHINESE_LANGUAGES
from processors.text.passages import Passage
from schemas.config.settings_part import OptionalPath, SettingsPart
from schemas.config.tenants import Tenants
from schemas.messages.finding import Finding

log = logging.getLogger(__name__)

SUSPECTED = "suspected_"
"""Categories of what was read begin like this: a suspicion that a person has yet to confirm."""


class ReadingSettings(SettingsPart):
    """Which reading heads are used."""

    reading: bool = Field(
        default=True, description="read each call with the heads that learned from dialogues, beside the rules"
    )
    reading_weights: OptionalPath = Field(
        default=None,
        description="folder of reading heads of one's own, for tenants without others in tenants_file; without it, and "
        "for topics without its topics.npz, the shipped ones are used",
    )


@dataclass(frozen=True)
class TenantReader:
    """The heads that read the calls of a tenant, and from which probability on they suspect; None: as the heads say."""

    reader: CallReader
    suspect_from: float | None = None


@dataclass(frozen=True)
class ReadingDetector:
    """`reading_select`, `reading_upset` and `reading_threat` are probabilities, 0–1: that somebody should listen to the
    call, that the customer is upset by the words, that a complaint to others is announced. `reading_selects` tells
    whether the first of them reaches the threshold from which on its head is believed. `reading_suspicions` counts the
    agent's utterances that are suspected of a violation.

    Findings, all of severity `info` and worth no points: `suspected_…` with the most likely of the twelve kinds, from
    the probability on at which seven of ten were right on dialogues that the heads were not trained on, or that the
    tenants file has for the tenant. `confidence` is that probability; `matched` are the words that weighed most;
    `attributes` has the `model`.

    Not read: a call whose speakers are not told apart, and one in another language than Chinese.
    """

    name: ClassVar[str] = "reading"
    measures: ClassVar[tuple[str, ...]] = (
        "reading_select",
        "reading_upset",
        "reading_threat",
        "reading_selects",
        "reading_suspicions",
    )
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = False

    reader: CallReader | None
    own: Mapping[str, TenantReader] = field(default_factory=dict)
    """Tenant → what it has of its own."""

    def process(self, context: CallContext) -> Iterable[Result]:
        if self.reader is None:
            return self._read_nothing("switched_off")
        reason = why_not_read(context)
        own = self.own.get(context.transcript.tenant_id, TenantReader(self.reader))
        return self._read(own, context) if reason is None else self._read_nothing(reason)

    def _read_nothing(self, reason: str) -> Iterator[Result]:
        return (NotMeasured(measure, reason) for measure in self.measures)

    def _read(self, own: TenantReader, context: CallContext) -> Iterator[Result]:
        reader = own.reader
        passages = context.spoken.passages
        call = reader.read([Said(one.role, one.utterance.normalized.letters) for one in passages])
        least = reader.agent.threshold(VIOLATION) if own.suspect_from is None else own.suspect_from
        suspected = [
            (passage, reading)
            for passage, reading in zip(passages, call.utterances, strict=True)
            if reading is not None
            and reading.role == "agent"
            and reading.probabilities[VIOLATION] >= least
            and passage.utterance.normalized.letters
        ]
        for head, probability in call.probabilities.items():
            yield Measure(f"reading_{head}", round(probability, 4))
        yield Measure("reading_selects", call.probabilities["select"] >= reader.call.threshold("select"))
        yield Measure("reading_suspicions", len(suspected))
        for passage, reading in suspected:
            yield _suspicion(context, reader, passage, reading)


def why_not_read(context: CallContext) -> str | None:
    """Why the words of a call are not read: another language, or speakers that are not told apart; None if they are."""
    if context.transcript.language not in CHINESE_LANGUAGES:
        return LANGUAGE_NOT_SUPPORTED
    return context.why_not_told_apart


def _suspicion(context: CallContext, reader: CallReader, passage: Passage, reading: UtteranceReading) -> Finding:
    kind = max(KINDS, key=lambda name: reading.probabilities[name])
    normalized = passage.utterance.normalized
    start, end = reader.weightiest(normalized.letters, VIOLATION)
    return finding_in_words(
        context.transcript,
        passage,
        normalized.source_span(start, end),
        detector=ReadingDetector.name,
        rule_id=f"{SUSPECTED}{kind}",
        rule_version=reader.version,
        category=f"{SUSPECTED}{kind}",
        severity="info",
        confidence=round(reading.probabilities[VIOLATION], 4),
        attributes={"model": reader.version, "kind_probability": round(reading.probabilities[kind], 4)},
    )


@cache
def _reader(folder: Path) -> CallReader:
    """Read once a process: judges are made anew with every version of the rules."""
    return CallReader.load(folder)


def weights_of(settings: ReadingSettings, tenants: Tenants, tenant: str | None) -> Path:
    """The folder of the heads that read the calls of a tenant."""
    own = tenants.reading(tenant)
    return (own.weights if own else None) or settings.reading_weights or WEIGHTS


def detector(context: DetectorContext) -> ReadingDetector:
    """The detector, with the heads of the settings, and those of tenants. Raises `ReadingWeightsError`."""
    settings = context.part(ReadingSettings)
    if not settings.reading:
        return ReadingDetector(None)
    own: dict[str, TenantReader] = {}
    for tenant in context.tenants.tenants:
        if tenant.reading is None:
            continue
        reader = _reader(weights_of(settings, context.tenants, tenant.id))
        suspect_from = tenant.reading.suspect_from
        if suspect_from is not None and tenant.reading.model != reader.version:
            log.warning("suspect_from of tenant %s is of other heads and not used: calibrate again", tenant.id)
            suspect_from = None
        own[tenant.id] = TenantReader(reader, suspect_from)
    return ReadingDetector(_reader(settings.reading_weights or WEIGHTS), own)
