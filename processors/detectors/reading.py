"""What the reading heads make of a call: a judge that has learned from dialogues, beside the rules."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
from schemas.messages.finding import Finding

SUSPECTED = "suspected_"
"""Categories of what was read begin like this: a suspicion that a person has yet to confirm."""


class ReadingSettings(SettingsPart):
    """Which reading heads are used."""

    reading: bool = Field(
        default=True, description="read each call with the heads that learned from dialogues, beside the rules"
    )
    reading_weights: OptionalPath = Field(
        default=None,
        description="folder of reading heads of one's own; without it, and for topics without its topics.npz, the "
        "shipped ones are used",
    )


@dataclass(frozen=True)
class ReadingDetector:
    """`reading_select`, `reading_upset` and `reading_threat` are probabilities, 0–1: that somebody should listen to the
    call, that the customer is upset by the words, that a complaint to others is announced. `reading_selects` tells
    whether the first of them reaches the threshold from which on its head is believed. `reading_suspicions` counts the
    agent's utterances that are suspected of a violation.

    Findings, all of severity `info` and worth no points: `suspected_…` with the most likely of the twelve kinds, from
    the probability on at which six of ten were right on dialogues that the heads were not trained on. `confidence` is
    that probability; `matched` are the words that weighed most; `attributes` has the `model`.

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

    def process(self, context: CallContext) -> Iterable[Result]:
        if self.reader is None:
            return self._read_nothing("switched_off")
        reason = why_not_read(context)
        return self._read(self.reader, context) if reason is None else self._read_nothing(reason)

    def _read_nothing(self, reason: str) -> Iterator[Result]:
        return (NotMeasured(measure, reason) for measure in self.measures)

    def _read(self, reader: CallReader, context: CallContext) -> Iterator[Result]:
        passages = context.spoken.passages
        call = reader.read([Said(one.role, one.utterance.normalized.letters) for one in passages])
        least = reader.agent.threshold(VIOLATION)
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


def detector(context: DetectorContext) -> ReadingDetector:
    """The detector, with the heads of the settings. Raises `ReadingWeightsError`."""
    settings = context.part(ReadingSettings)
    return ReadingDetector(_reader(settings.reading_weights or WEIGHTS) if settings.reading else None)
