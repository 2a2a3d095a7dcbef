"""What the reading heads make of a call: a judge that has learned from dialogues, beside the rules."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar, TypeVar

from pydantic import Field

from processors.detectors.base.contract import DetectorContext, Measure, NotMeasured, Result
from processors.detectors.base.findings import finding_in_words, finding_of_call
from processors.detectors.base.rule_detector import LANGUAGE_NOT_SUPPORTED, NOT_APPLICABLE
from processors.detectors.base.sides import of_sides
from processors.judging.call_context import CallContext
from processors.reading.call_reader import (
    SUSPECTED_IN_CALL,
    VIOLATION,
    WEIGHTS,
    CallReader,
    CallReading,
    UtteranceReading,
)
from processors.reading.features import Said
from processors.reading.heads import OtherReleaseError
from processors.reading.identity import ASKS, DISCLOSES, asked_before_disclosing
from processors.text.languages import CHINESE_LANGUAGES
from processors.text.passages import Passage
from schemas.config.settings_part import OptionalPath, SettingsPart
from schemas.config.tenants import Tenants
from schemas.messages.finding import Finding

log = logging.getLogger(__name__)

SUSPECTED = "suspected_"
"""Categories of what was read begin like this: a suspicion that a person has yet to confirm."""


KIND_NAMES = {
    "false_promise": "虚假承诺",
    "misleading": "误导或隐瞒",
    "pressure": "施压",
    "private_dealing": "私下交易",
    "rude": "态度恶劣",
    "shirking": "推诿",
    "rights": "阻挠客户行使权利",
    "privacy": "泄露或索要隐私",
    "illegal": "违法建议",
    "threat": "威胁客户",
    "no_permission": "未经同意办理",
    "safety": "危及安全",
}
"""How alerts name the kinds."""
SOOTHED_FROM = 0.05
"""Such a probability that an utterance is calmer than those before is rare: of 338 calls of upset customers, in five
parts of text from which no head learned, 0.71 of those with one were labelled as soothed, and 0.61 of the soothed have
one; 0.85 are told right."""
WARNS_FROM = 0.1
"""Of 13 calls of finance with a warning, in parts of text from which no head learned, 0.54 have such an utterance, and
0.20 of 77 without: enough to doubt that nothing was said, too little to believe that something was."""
ADVICE = "这是语义研读的怀疑，尚无人确认：请先听录音再处理。"
"""What an alert of a suspicion says."""


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
    reading_device: str = Field(
        default="cpu",
        description="where the encoder of reading heads of one's own runs, if they have one: cpu, cuda, cuda:1 …",
    )


Heads = TypeVar("Heads")


@dataclass(frozen=True)
class TenantReader:
    """The heads that read the calls of a tenant; from which probability on they suspect, None: as the heads say; and
    from which on a suspicion alerts, None: never."""

    reader: CallReader
    suspect_from: float | None = None
    alert_from: float | None = None


@dataclass(frozen=True)
class ReadCall:
    """A call and what the heads of its tenant read in it; `readings` are of the passages, in their order."""

    reader: CallReader
    passages: Sequence[Passage]
    reading: CallReading

    def identity_verified(self) -> bool | None:
        """Whether the agent asks who is calling before something personal is told or changed; null where nothing is."""
        heads = self.reader.agent
        read = [one.probabilities for _, one in self.of_agent()]
        return asked_before_disclosing(
            [one[ASKS] for one in read],
            [one[DISCLOSES] for one in read],
            heads.threshold(ASKS),
            heads.threshold(DISCLOSES),
        )

    def warns_of_loss(self) -> bool:
        """Whether the agent says in any sentence that money may be lost."""
        return any(one.probabilities["warn"] >= WARNS_FROM for _, one in self.of_agent())

    def is_soothed(self) -> bool:
        """Whether the customer is calmer in the second half of what he says."""
        said = [one for one in self.reading.utterances if one is not None and one.role == "customer"]
        return any(one.probabilities["soft"] >= SOOTHED_FROM for one in said[len(said) // 2 :])

    def of_agent(self) -> Iterator[tuple[Passage, UtteranceReading]]:
        """The utterances of the agent in which something is said."""
        for passage, reading in zip(self.passages, self.reading.utterances, strict=True):
            if reading is not None and reading.role == "agent" and passage.utterance.normalized.letters:
                yield passage, reading


@dataclass(frozen=True)
class Reading:
    """The heads that read calls, those of tenants by their names; None where reading is switched off. A call is read
    once, however many detectors ask."""

    reader: CallReader | None
    own: Mapping[str, TenantReader] = field(default_factory=dict)

    def why_not(self, context: CallContext) -> str | None:
        """Why a call is not read; None if it is."""
        return "switched_off" if self.reader is None else why_not_read(context)

    def of(self, context: CallContext) -> ReadCall | None:
        """What is read in a call; None where it is not read."""
        if self.reader is None or why_not_read(context) is not None:
            return None
        reader = self.heads_of(context.transcript.tenant_id).reader
        read = context.readings.get(id(reader))
        if read is None:
            passages = context.spoken.passages
            said = [Said(one.role, one.utterance.normalized.letters) for one in passages]
            reading = reader.read(said, heard=context.transcript.audio is not None)
            read = context.readings[id(reader)] = ReadCall(reader, passages, reading)
        found: ReadCall = read
        return found

    def heads_of(self, tenant: str) -> TenantReader:
        """The heads of a tenant, where calls are read."""
        assert self.reader is not None, "nothing is read"  # noqa: S101
        return self.own.get(tenant) or TenantReader(self.reader)


@dataclass(frozen=True)
class ReadingDetector:
    """`reading_select`, `reading_upset` and `reading_threat` are probabilities, 0–1: that somebody should listen to the
    call, that the customer is upset by the words, that a complaint to others is announced. `reading_selects` tells
    whether the first of them reaches the threshold from which on its head is believed; it is raised in calls that were
    heard here, for what is misheard takes away from what speaks for it. `reading_threatens` and `customer_upset` tell
    the same of the two others; `soothed` whether an upset customer is calmer towards the end, by his words
    (`not_applicable` where he is not upset). `reading_suspicions` counts the
    agent's utterances that are suspected of a violation. `reading_identity_verified` tells whether the agent asks who
    is calling before something personal is told or changed (`not_applicable` where nothing is);
    `reading_warns_of_loss` whether the agent says that money may be lost, whatever the call is about.

    Findings, all of severity `info` and worth no points: `suspected_…` with the most likely of the twelve kinds, from
    the probability on at which three of four were right on dialogues that the heads were not trained on, or that the
    tenants file has for the tenant. `confidence` is that probability; `matched` are the words that weighed most;
    `attributes` has the `model`; and `may_alert`, with `name` and `advice` for the alert, from the probability on that
    the tenants file has for it: the verdicts of the tenant's inspectors have shown that nine of ten are right there.

    A call that reading selects is also suspected as a whole, without words, of each kind that several doubtful
    utterances make likely and of which none is suspected by itself: the same categories, the rule
    `suspected_in_call_…`, and as attribute `likeliest_segment_id` where to listen first.

    Not read: a call whose speakers are not told apart, and one in another language than Chinese.
    """

    name: ClassVar[str] = "reading"
    measures: ClassVar[tuple[str, ...]] = (
        "reading_select",
        "reading_upset",
        "reading_threat",
        "reading_selects",
        "reading_threatens",
        "reading_suspicions",
        "reading_identity_verified",
        "reading_warns_of_loss",
        "customer_upset",
        "soothed",
    )
    needs_speech: ClassVar[bool] = True
    reads_measures: ClassVar[bool] = False

    reading: Reading

    def process(self, context: CallContext) -> Iterable[Result]:
        read = self.reading.of(context)
        if read is None:
            reason = self.reading.why_not(context) or "switched_off"
            return (NotMeasured(measure, reason) for measure in self.measures)
        return self._results(read, context)

    def _results(self, read: ReadCall, context: CallContext) -> Iterator[Result]:
        reader, probabilities = read.reader, read.reading.probabilities
        own = self.reading.heads_of(context.transcript.tenant_id)
        least = reader.agent.threshold(VIOLATION) if own.suspect_from is None else own.suspect_from
        suspected = [(passage, one) for passage, one in read.of_agent() if one.probabilities[VIOLATION] >= least]
        yield Measure("reading_select", round(probabilities["select"], 4))
        selects = probabilities["select"] >= reader.call.threshold("select")
        yield Measure("reading_selects", selects)
        is_upset = probabilities["upset"] >= reader.call.threshold("upset")
        measured = [
            *(Measure(f"reading_{head}", round(probabilities[head], 4)) for head in ("upset", "threat")),
            Measure("reading_threatens", probabilities["threat"] >= reader.call.threshold("threat")),
            Measure("reading_suspicions", len(suspected)),
            _if_it_applies("reading_identity_verified", read.identity_verified()),
            Measure("reading_warns_of_loss", read.warns_of_loss()),
            Measure("customer_upset", is_upset),
            _if_it_applies("soothed", read.is_soothed() if is_upset else None),
        ]
        yield from of_sides(context, measured)
        for passage, reading in suspected:
            alerts = own.alert_from is not None and reading.probabilities[VIOLATION] >= own.alert_from
            yield _suspicion(context, reader, passage, reading, alerts=alerts)
        if selects and least < 1:
            yield from _suspicions_of_call(context, read, least)


def _if_it_applies(measure: str, value: bool | None) -> Measure | NotMeasured:
    return NotMeasured(measure, NOT_APPLICABLE) if value is None else Measure(measure, value)


def why_not_read(context: CallContext) -> str | None:
    """Why the words of a call are not read: another language, or speakers that are not told apart; None if they are."""
    if context.transcript.language not in CHINESE_LANGUAGES:
        return LANGUAGE_NOT_SUPPORTED
    return context.why_not_told_apart


def _suspicions_of_call(context: CallContext, read: ReadCall, suspect_from: float) -> Iterator[Finding]:
    """Of the call as a whole, of the kinds of which no single utterance tells."""
    utterances = list(read.of_agent())
    for kind, probability in read.reading.kinds_of_no_utterance(suspect_from).items():
        passage, _ = max(utterances, key=lambda each: each[1].probabilities[VIOLATION] * each[1].probabilities[kind])
        yield finding_of_call(
            context.transcript,
            detector=ReadingDetector.name,
            rule_id=f"{SUSPECTED_IN_CALL}{kind}",
            rule_version=read.reader.version,
            category=f"{SUSPECTED}{kind}",
            severity="info",
            role="agent",
            confidence=round(probability, 4),
            attributes={
                "model": read.reader.version,
                "likeliest_segment_id": passage.utterance.segments[0].segment_id,
            },
        )


def _suspicion(
    context: CallContext, reader: CallReader, passage: Passage, reading: UtteranceReading, *, alerts: bool
) -> Finding:
    kind = reading.likeliest_kind
    normalized = passage.utterance.normalized
    attributes: dict[str, str | float] = {
        "model": reader.version,
        "kind_probability": round(reading.probabilities[kind], 4),
    }
    if alerts:
        attributes |= {"may_alert": True, "name": KIND_NAMES[kind], "advice": ADVICE}
    start, end = reader.weightiest(normalized.letters, VIOLATION, passage.utterance.clause_starts)
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
        attributes=attributes,
    )


def own_or_shipped(load: Callable[[Path], Heads], own: Path, shipped: Path) -> Heads:
    """The heads of a house. After an upgrade that reads text in another way, those that are shipped read in their place
    until they are trained again. Raises `ReadingWeightsError`."""
    try:
        return load(own)
    except OtherReleaseError as problem:
        if own == shipped:
            raise
        log.warning("%s; until then the shipped heads read (docs/learning.md)", problem)
        return load(shipped)


@cache
def _reader(folder: Path, device: str) -> CallReader:
    """Read once a process: judges are made anew with every version of the rules. Raises `ReadingWeightsError`."""
    return own_or_shipped(lambda own: CallReader.load(own, device), folder, WEIGHTS)


def weights_of(settings: ReadingSettings, tenants: Tenants, tenant: str | None) -> Path:
    """The folder of the heads that read the calls of a tenant."""
    own = tenants.reading(tenant)
    return (own.weights if own else None) or settings.reading_weights or WEIGHTS


def reading_of(context: DetectorContext) -> Reading:
    """The heads of the settings, and those of tenants. Raises `ReadingWeightsError`."""
    settings = context.part(ReadingSettings)
    if not settings.reading:
        return Reading(None)
    own: dict[str, TenantReader] = {}
    for tenant in context.tenants.tenants:
        if tenant.reading is None:
            continue
        reader = _reader(weights_of(settings, context.tenants, tenant.id), settings.reading_device)
        is_of_these = tenant.reading.model == reader.version
        thresholds = (tenant.reading.suspect_from, tenant.reading.alert_from) if is_of_these else (None, None)
        own[tenant.id] = TenantReader(reader, *thresholds)
    return Reading(_reader(settings.reading_weights or WEIGHTS, settings.reading_device), own)


def detector(context: DetectorContext) -> ReadingDetector:
    """The detector, with the heads of the settings, and those of tenants. Raises `ReadingWeightsError`."""
    reading = reading_of(context)
    for tenant in context.tenants.tenants:
        model = tenant.reading.model if tenant.reading is not None else None
        if tenant.id in reading.own and model not in (None, reading.own[tenant.id].reader.version):
            log.warning("thresholds of tenant %s are of other heads and not used: see docs/learning.md", tenant.id)
    return ReadingDetector(reading)
