"""Messages to rows: what the `store` stage writes for each message. Pure; no database in sight.

Each function returns table name → rows, each row column name → value, for the storage tables of
`schemas/clickhouse/`. A dotted name is a column of a nested table: one list with one value per element. Writing the
same rows again, in any order, changes nothing that the views show: of the rows with one key the highest `version`
stands.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from processors.judging.by_reading import ABOUT_AGENTS, READ
from processors.pii.fact_fields import mask_field
from processors.pii.masking import MaskSettings, mask_text
from processors.text.heard import pairs_heard
from schemas.config.rule_pack import RulePack
from schemas.errors import InvalidMessageError
from schemas.messages.alert import Alert
from schemas.messages.alert_delivery import AlertDelivery
from schemas.messages.call_analysis import CallAnalysis, MeasureValue
from schemas.messages.call_ended import CallEnded
from schemas.messages.call_listed import CallListed
from schemas.messages.call_rated import CallRated
from schemas.messages.custody_changed import CustodyChanged
from schemas.messages.dead_letter import DeadLetter
from schemas.messages.fact_received import FactReceived
from schemas.messages.recording_accessed import RecordingAccessed
from schemas.messages.records import EPOCH
from schemas.messages.rules_published import RulesPublished
from schemas.messages.topics import LANE_OF
from schemas.messages.transcript import Segment, Transcript
from schemas.messages.verdict_given import VerdictGiven

CALLS = "call_versions"
TRANSCRIPTS = "transcript_versions"
OUTCOMES = "outcome_versions"
DEAD_LETTERS = "dead_letter_versions"
RULE_PACKS = "rule_pack_versions"
RULES = "rule_versions"
RATINGS = "rating_versions"
FACTS = "fact_versions"
VERDICTS = "verdict_versions"
EXCHANGE_CALLS = "exchange_call_versions"
MISSING_RECORDINGS = "missing_recording_versions"
ALERTS = "alert_versions"
ALERT_DELIVERIES = "alert_delivery_versions"
ACCESS_LOG = "access_log_versions"
CUSTODY_EVENTS = "custody_event_versions"

PENDING_VERSION = 0
REFUSED_VERSION = 1
PURGED_VERSION = 2
"""Of a call that was destroyed before it had an outcome."""
ANALYSIS_VERSION_STEP = 10**13
"""More than the milliseconds since 1970 until the year 2286: of one transcript, a higher analysis version wins."""

TRANSCRIPT_STEP = 10**23
"""More than any analysis version (an unsigned number of 32 bits) times its step: the newest transcript wins."""

VERDICT_STEP = 2**64
"""Of verdicts of one moment the first 64 bits of their fingerprints decide: the same in whatever order they arrive."""

FACT_STEP = 2**63
"""More than any offset: of what is told of one thing for one moment what was written last stands, and of one
millisecond the higher offset, because all of it goes to one partition."""

LISTED_STEP = 2**65
"""Of the rows of a call in one list one that is recorded stands, and of several such the fingerprint decides."""

UNKNOWN_TENANT = "unknown"
"""The tenant of an event that cannot be read and whose key does not tell the call."""

HANDLED_STEP = 10**15
"""More than the milliseconds since 1970 for 30,000 years: a letter that was handled outranks one that was not."""

_UINT32_MAX = 2**32 - 1
_UINT64_MAX = 2**64 - 1

Row = dict[str, object]
TableRows = dict[str, list[Row]]


def rows_for_call_ended(event: CallEnded, written_at: datetime) -> TableRows:
    """The call is pending since its event was written to the topic: an old recording that is published today is late
    for nobody.
    """
    return {
        OUTCOMES: [
            _outcome_row(
                (event.tenant_id, event.call_id),
                outcome="pending",
                reason="",
                ended_at=event.ended_at,
                since=written_at,
                version=PENDING_VERSION,
            )
        ]
    }


def rows_for_unreadable(
    topic: str, partition: int, offset: int, call: tuple[str, str] | None, written_at: datetime
) -> TableRows:
    """An event that cannot be decoded is pending too, until its dead letter arrives.

    `call` is tenant and call id where the key of the message tells them. Nothing for other topics than that of the
    call events: only an event needs an outcome.
    """
    if topic not in LANE_OF:
        return {}
    return {
        OUTCOMES: [
            _outcome_row(
                call or _call_named_by_place(topic, partition, offset),
                outcome="pending",
                reason="",
                ended_at=None,
                since=written_at,
                version=PENDING_VERSION,
            )
        ]
    }


def rows_for_transcript(transcript: Transcript) -> TableRows:
    """What was said, as one row. Raises `InvalidMessageError` for numbers that no column can hold."""
    segments = transcript.segments
    row: Row = {
        "tenant_id": transcript.tenant_id,
        "call_id": transcript.call_id,
        "ended_at": transcript.call.ended_at,
        "agent_id": transcript.call.agent.id,
        "agent_team": transcript.call.agent.team,
        "outcome": transcript.outcome,
        "outcome_reason": transcript.outcome_reason,
        "language": transcript.language,
        "language_confidence": transcript.language_confidence,
        "engine_name": transcript.engine.name,
        "engine_version": transcript.engine.version,
        "engine_model": transcript.engine.model,
        "engine_settings": {name: _text(value) for name, value in transcript.engine.settings.items()},
        "real_time_factor": transcript.real_time_factor,
        "roles_inferred": transcript.roles_inferred,
        "speech_ms": {
            role: _uint64("speech", sum(interval.end_ms - interval.start_ms for interval in intervals))
            for role, intervals in transcript.speech.items()
        },
        "sounds": _sounds(segments),
        "rejected_count": len(transcript.rejected),
        "segments.segment_id": [_uint32("segment_id", segment.segment_id) for segment in segments],
        "segments.channel": [_uint32("channel", segment.channel) for segment in segments],
        "segments.role": [segment.role for segment in segments],
        "segments.start_ms": _uint64s("start_ms", [segment.start_ms for segment in segments]),
        "segments.end_ms": _uint64s("end_ms", [segment.end_ms for segment in segments]),
        "segments.text": [segment.text for segment in segments],
        "segments.confidence": [segment.confidence for segment in segments],
        "segments.word_text": [[word.text for word in segment.words] for segment in segments],
        "segments.word_start_ms": [
            _uint64s("start_ms", [word.start_ms for word in segment.words]) for segment in segments
        ],
        "segments.word_end_ms": [_uint64s("end_ms", [word.end_ms for word in segment.words]) for segment in segments],
        "segments.word_confidence": [[word.confidence for word in segment.words] for segment in segments],
        **_emotion_columns(segments),
        "transcribed_at": transcript.transcribed_at,
        "version": _ordering_milliseconds("transcribed_at", transcript.transcribed_at),
    }
    return {TRANSCRIPTS: [row]}


def rows_for_call_rated(rated: CallRated) -> TableRows:
    """One rating of a call; the same rating gives the same row, whenever it arrives."""
    csat = rated.csat
    row: Row = {
        "tenant_id": rated.tenant_id,
        "call_id": rated.call_id,
        "rated_at": rated.rated_at,
        "rating_id": rated.fingerprint()[:32],
        "source": rated.source,
        "csat_score": csat.score if csat else None,
        "csat_scale_min": csat.scale_min if csat else None,
        "csat_scale_max": csat.scale_max if csat else None,
        "resolved": rated.resolved,
        "order_status": rated.order_status,
        "customer_value_tier": rated.customer_value_tier,
        "customer_tags": list(rated.customer_tags or ()),
        "customer_tags_told": rated.customer_tags is not None,
    }
    return {RATINGS: [row]}


def rows_for_call_listed(listed: CallListed) -> TableRows:
    """The call as a list of the exchange has it; the same list gives the same row, whenever it arrives."""
    listed_ms = _milliseconds("listed_at", listed.listed_at)
    fingerprint = int(listed.fingerprint()[:16], 16)
    row: Row = {
        "tenant_id": listed.tenant_id,
        "call_id": listed.call_id,
        "recorded": listed.recorded,
        "started_at": listed.started_at,
        "ended_at": listed.ended_at,
        "direction": listed.direction,
        "handled_by": listed.handled_by,
        "answered": listed.answered,
        "agent_id": listed.agent_id,
        "queue": listed.queue,
        "customer_key": listed.customer_key,
        "listed_at": listed.listed_at,
        "version": listed_ms * LISTED_STEP + listed.recorded * 2**64 + fingerprint,
    }
    return {EXCHANGE_CALLS: [row]}


def rows_for_fact_received(fact: FactReceived, written_at: datetime, offset: int) -> TableRows:
    """What holds of one thing from a moment on. Phone numbers, identity and bank card numbers and e-mail addresses in
    fields are masked, whoever wrote them; the key stays as it is."""
    row: Row = {
        "tenant_id": fact.tenant_id,
        "entity": fact.entity,
        "key": fact.key,
        "valid_from": fact.valid_from,
        "fields": {name: mask_field(value) for name, value in fact.fields.items()},
        "source": fact.source,
        "told_at": written_at,
        "version": _milliseconds("written_at", written_at) * FACT_STEP + offset,
    }
    return {FACTS: [row]}


def rows_for_verdict_given(verdict: VerdictGiven) -> TableRows:
    """One verdict of one person. Its words are masked, also where another program wrote them."""
    verdict = with_masked_words(verdict)
    given_ms = _milliseconds("given_at", verdict.given_at)
    row: Row = {
        "tenant_id": verdict.tenant_id,
        "call_id": verdict.call_id,
        "about": verdict.about,
        "thing": verdict.thing,
        "given_by": verdict.given_by,
        "answer": verdict.answer,
        "given_at": verdict.given_at,
        "finding_id": verdict.finding_id,
        "detector": verdict.detector,
        "rule_id": verdict.rule_id,
        "rule_version": verdict.rule_version,
        "kind": verdict.kind,
        "quote": verdict.quote,
        "segment_id": verdict.segment_id,
        "start_ms": verdict.start_ms,
        "score": verdict.score,
        "note": verdict.note,
        "version": given_ms * VERDICT_STEP + int(verdict.fingerprint()[:16], 16),
    }
    return {VERDICTS: [row]}


def with_masked_words(verdict: VerdictGiven) -> VerdictGiven:
    """The verdict without the personal data in what the person wrote down."""
    words = {name: getattr(verdict, name) for name in ("quote", "note")}
    masked = {name: mask_text(text, MaskSettings()) for name, text in words.items() if text is not None}
    return verdict.model_copy(update=masked)


def rows_for_analysis(analysis: CallAnalysis) -> TableRows:
    """The judged call with its findings, and its outcome. Raises `InvalidMessageError` as above.

    Of what the agent did that is only read the measure is null, for agents see this map; `reading` has it.
    """
    guessed = sorted(ABOUT_AGENTS & set(analysis.read_measures))
    version = version_of_analysis(analysis)
    call_row: Row = {
        **_call_columns(analysis.call),
        **_audio_columns(analysis),
        "outcome": analysis.outcome,
        "outcome_reason": analysis.outcome_reason,
        "language": analysis.language,
        "engine_name": analysis.engine.name,
        "engine_version": analysis.engine.version,
        "engine_model": analysis.engine.model,
        "real_time_factor": analysis.real_time_factor,
        "roles_doubtful": analysis.roles_doubtful,
        "duration_ms": _measured_uint64("duration_ms", analysis.measures.get("duration_ms")),
        "duration_in_band": _measured_bool("duration_in_band", analysis.measures.get("duration_in_band")),
        "measures": {
            name: None if name in guessed else _number(name, value) for name, value in analysis.measures.items()
        },
        "response_delays_ms": _uint64s("response_delays_ms", list(analysis.response_delays_ms)),
        "skipped.measure": [*(skipped.measure for skipped in analysis.skipped_analysis), *guessed],
        "skipped.reason": [*(skipped.reason for skipped in analysis.skipped_analysis), *(READ for _ in guessed)],
        "risk_level": analysis.risk.level if analysis.risk else None,
        "risk_score": analysis.risk.score if analysis.risk else None,
        "risk_reasons": list(analysis.risk.reasons) if analysis.risk else [],
        **_finding_columns(analysis),
        "topics.topic_id": [topic.topic_id for topic in analysis.topics],
        "topics.name": [topic.name for topic in analysis.topics],
        "topics.role": [topic.role for topic in analysis.topics],
        "topics.quote": [topic.quote for topic in analysis.topics],
        "topics.confidence": [topic.confidence for topic in analysis.topics],
        "transcribed_at": analysis.transcribed_at,
        "analyzed_at": analysis.analyzed_at,
        "analysis_version": analysis.analysis_version,
        "lexicon_version": analysis.lexicon_version,
        "version": version,
        **_score_columns(analysis),
        "risk_parts": {part.part: part.points for part in analysis.risk.parts} if analysis.risk else {},
        "risk_unmeasured": list(analysis.risk.unmeasured) if analysis.risk else [],
        "risk_rules_version": _optional_uint32("rules_version", analysis.risk.rules_version if analysis.risk else None),
        "retention_class": analysis.retention_class,
        "retention_days": _optional_uint32("retention_days", analysis.retention_days),
        **_selection_columns(analysis),
    }
    outcome_row = _outcome_row(
        (analysis.tenant_id, analysis.call_id),
        outcome=analysis.outcome,
        reason=analysis.outcome_reason,
        ended_at=analysis.call.ended_at,
        since=analysis.analyzed_at,
        version=version,
    )
    return {CALLS: [call_row], OUTCOMES: [outcome_row]}


def rows_for_dead_letter(letter: DeadLetter) -> TableRows:
    """The dead letter, and the call that it ends as refused.

    A letter that knows its call refuses that call, unless an analysis of it exists, which has a higher version. A
    refused event whose call is unknown ends the pending row that `rows_for_unreadable` made of the same place.
    """
    row: Row = {
        "dead_letter_id": letter.dead_letter_id,
        "step": letter.step,
        "source_topic": letter.source_topic,
        "source_partition": _uint32("source_partition", letter.source_partition),
        "source_offset": _uint64("source_offset", letter.source_offset),
        "exception_class": letter.exception_class,
        "problems": list(letter.problems),
        "tenant_id": letter.tenant_id,
        "call_id": letter.call_id,
        "value_sha256": letter.value_sha256,
        "value_bytes": _uint64("value_bytes", letter.value_bytes),
        "retries": letter.retries,
        "retry_of": letter.retry_of,
        "origin": letter.origin,
        "failed_at": letter.failed_at,
        "handling": letter.handling or "",
        "handled_at": letter.handled_at,
        "handled_by": letter.handled_by,
        "handled_reason": letter.handled_reason,
        "version": _version_of_letter(letter),
    }
    rows: TableRows = {DEAD_LETTERS: [row]}
    refused = _refused_call(letter)
    if refused:
        rows[OUTCOMES] = [
            _outcome_row(
                refused,
                outcome="refused",
                reason=letter.exception_class,
                ended_at=None,
                since=letter.failed_at,
                version=REFUSED_VERSION,
            )
        ]
    return rows


def _version_of_letter(letter: DeadLetter) -> int:
    """What somebody has done about a letter stands, also where the same message is refused once more at its place."""
    if letter.handled_at is None:
        return _milliseconds("failed_at", letter.failed_at)
    return HANDLED_STEP + _milliseconds("handled_at", letter.handled_at)


def rows_for_rules_published(published: RulesPublished) -> TableRows:
    """The version of a pack as one row."""
    pack = published.pack
    row: Row = {
        "pack": pack.pack,
        "pack_version": _uint32("version", pack.version),
        "tenant_id": pack.tenant,
        "industry": pack.industry,
        "language": pack.language,
        "owner": pack.owner,
        "rules": sum(1 for _ in pack.entries()),
        "sha256": pack.digest(),
        "published_at": published.published_at,
        "published_by": published.published_by,
        "note": published.note,
        "version": _milliseconds("published_at", published.published_at),
    }
    return {RULE_PACKS: [row], **rows_for_rules(pack, published.published_at, published.published_at)}


def rows_for_rules(
    pack: RulePack, published_at: datetime | None, written_at: datetime, categories: Mapping[str, str] | None = None
) -> TableRows:
    """A row for each rule of a pack: of one that was published, or that lies in a file. All that are written together
    have the same `written_at`; what is written later replaces them. A rule without a name has that of its category,
    which may stand in another pack: `categories`.

    Raises `InvalidMessageError` as above.
    """
    rows: list[Row] = []
    names = {**(categories or {}), **pack.categories}
    for section, rule in pack.entries():
        finds = getattr(rule, "finding", "found") != "none"
        category = getattr(rule, "category", None) if finds else None
        rows.append(
            {
                "tenant_id": pack.tenant,
                "pack": pack.pack,
                "pack_version": _uint32("version", pack.version),
                "rule_id": pack.rule_id(rule),
                "section": section,
                "name": rule.name or names.get(category or "") or rule.id.replace("_", " "),
                "category": category,
                "severity": getattr(rule, "severity", None) if finds else None,
                "measure": getattr(rule, "measure", None),
                "industry": pack.industry,
                "language": pack.language,
                "owner": getattr(rule, "owner", None) or pack.owner,
                "valid_from": getattr(rule, "valid_from", None),
                "valid_until": getattr(rule, "valid_to", None),
                "published_at": published_at,
                "version": _milliseconds("published_at", written_at),
            }
        )
    return {RULES: rows}


def rows_for_alert(alert: Alert) -> TableRows:
    """The alert as one row; one that is raised again replaces itself. Raises `InvalidMessageError` as above."""
    row: Row = {
        "alert_id": alert.alert_id,
        "kind": "selected" if alert.triggers else alert.kind,
        "tenant_id": alert.tenant_id,
        "rule_id": alert.rule_id,
        "rule_version": alert.rule_version,
        "category": alert.category,
        "severity": alert.severity,
        "title": alert.title,
        "advice": alert.advice,
        "call_id": alert.call_id,
        "agent_id": alert.agent_id,
        "agent_team": alert.agent_team,
        "queue": alert.queue,
        "role": alert.role,
        "start_ms": None if alert.start_ms is None else _uint64("start_ms", alert.start_ms),
        "end_ms": None if alert.end_ms is None else _uint64("end_ms", alert.end_ms),
        "quote": alert.quote,
        "matched": alert.matched,
        "hits": _uint32("hits", alert.hits),
        "risk_level": alert.risk_level,
        "risk_reasons": list(alert.risk_reasons),
        "topic_id": alert.topic_id,
        "calls": list(alert.calls),
        "calls_count": None if alert.calls_count is None else _uint64("calls_count", alert.calls_count),
        "expected_count": alert.expected_count,
        "happened_at": alert.happened_at,
        "raised_at": alert.raised_at,
        "version": _milliseconds("raised_at", alert.raised_at),
    }
    return {ALERTS: [row]}


def rows_for_alert_delivery(delivery: AlertDelivery) -> TableRows:
    """One line of the record of deliveries. Raises `InvalidMessageError` as above."""
    row: Row = {
        "alert_id": delivery.alert_id,
        "tenant_id": delivery.tenant_id,
        "rule_id": delivery.rule_id,
        "subscriber": delivery.subscriber,
        "channel": delivery.channel,
        "attempt": _uint32("attempt", delivery.attempt),
        "outcome": delivery.outcome,
        "reason": delivery.reason,
        "status_code": None if delivery.status_code is None else _int64("status_code", delivery.status_code),
        "error_class": delivery.error_class,
        "group_id": delivery.group_id,
        "at": delivery.at,
        "next_try_at": delivery.next_try_at,
        "latency_ms": None if delivery.latency_ms is None else _uint64("latency_ms", delivery.latency_ms),
        "version": _milliseconds("at", delivery.at),
    }
    return {ALERT_DELIVERIES: [row]}


def rows_for_recording_accessed(access: RecordingAccessed) -> TableRows:
    """One line of the log of access. Raises `InvalidMessageError` as above."""
    row: Row = {
        "access_id": access.access_id,
        "accessed_at": access.accessed_at,
        "tenant_id": access.tenant_id,
        "user_id": access.user_id,
        "user_role": access.user_role,
        "action": access.action,
        "call_id": access.call_id,
        "filters": list(access.filters),
        "calls_count": None if access.calls_count is None else _uint64("calls_count", access.calls_count),
        "reason": access.reason,
        "ticket": access.ticket,
        "client": access.client,
        "address": access.address,
        "result": access.result,
        "refusal": access.refusal,
        "version": _milliseconds("accessed_at", access.accessed_at),
    }
    return {ACCESS_LOG: [row]}


def rows_for_custody_changed(event: CustodyChanged) -> TableRows:
    """One event of custody. Raises `InvalidMessageError` as above."""
    row: Row = {
        "event_id": event.event_id,
        "at": event.at,
        "tenant_id": event.tenant_id,
        "kind": event.kind,
        "call_id": event.call_id,
        "actor": event.actor,
        "source": event.source,
        "reason": event.reason,
        "content_sha256": event.content_sha256,
        "content_bytes": event.content_bytes,
        "capture_ms": event.capture_ms,
        "object_version": event.object_version,
        "purpose": event.purpose,
        "key_version": event.key_version,
        "key_day": event.day,
        "api_key_id": event.api_key_id,
        "keys_count": event.count,
        "export_id": event.export_id,
        "account_id": event.account_id,
        "role": event.role,
        "case_id": event.case_id,
        "version": _milliseconds("at", event.at),
    }
    return {CUSTODY_EVENTS: [row]}


def version_of_analysis(analysis: CallAnalysis) -> int:
    """Orders the analyses of one call: by the transcript that was judged, then by analysis version, then by time.

    Transcripts themselves are ordered by `transcribed_at`, so what is shown as said and as judged belong together; a
    number of 128 bits. Raises `InvalidMessageError`.
    """
    analysis_version = _uint32("analysis_version", analysis.analysis_version)
    return (
        _ordering_milliseconds("transcribed_at", analysis.transcribed_at) * TRANSCRIPT_STEP
        + analysis_version * ANALYSIS_VERSION_STEP
        + _ordering_milliseconds("analyzed_at", analysis.analyzed_at)
    )


def _ordering_milliseconds(name: str, moment: datetime) -> int:
    """Fewer than `ANALYSIS_VERSION_STEP`; of a transcript too, or it would be shown and never judged."""
    milliseconds = _milliseconds(name, moment)
    if milliseconds >= ANALYSIS_VERSION_STEP:
        raise InvalidMessageError([f"{name}: too late"])
    return milliseconds


def _outcome_row(
    call: tuple[str, str], *, outcome: str, reason: str, ended_at: datetime | None, since: datetime, version: int
) -> Row:
    tenant_id, call_id = call
    return {
        "tenant_id": tenant_id,
        "call_id": call_id,
        "outcome": outcome,
        "reason": reason,
        "ended_at": ended_at,
        "since": since,
        "version": version,
    }


def _refused_call(letter: DeadLetter) -> tuple[str, str] | None:
    if letter.tenant_id and letter.call_id:
        return letter.tenant_id, letter.call_id
    if letter.source_topic in LANE_OF:
        return _call_named_by_place(letter.source_topic, letter.source_partition, letter.source_offset)
    return None


def _call_named_by_place(topic: str, partition: int, offset: int) -> tuple[str, str]:
    """No real call can have this id: an `Identifier` holds no slash."""
    return UNKNOWN_TENANT, f"{topic}/{partition}/{offset}"


def _sounds(segments: Sequence[Segment]) -> dict[str, list[str]]:
    """What each role said, as it sounds."""
    lines: dict[str, list[str]] = {}
    for segment in segments:
        lines.setdefault(segment.role, []).append(segment.text)
    return {role: pairs_heard("\n".join(texts)) for role, texts in lines.items()}


def _emotion_columns(segments: Sequence[Segment]) -> Row:
    """Null in every column but the gap where a segment has no emotion; null there, too, where nobody judged it."""
    emotions = [segment.emotion for segment in segments]
    return {
        "segments.agitated": [each.agitated if each else None for each in emotions],
        "segments.valence": [each.valence if each else None for each in emotions],
        "segments.sound_agitated": [each.sound_agitated if each else None for each in emotions],
        "segments.text_agitated": [each.text_agitated if each else None for each in emotions],
        "segments.emotion_source": [each.source if each else None for each in emotions],
        "segments.emotion_gap": [segment.emotion_gap for segment in segments],
    }


def _call_columns(call: CallEnded) -> Row:
    return {
        "tenant_id": call.tenant_id,
        "call_id": call.call_id,
        "direction": call.direction,
        "handled_by": call.handled_by,
        "started_at": call.started_at,
        "ended_at": call.ended_at,
        "agent_id": call.agent.id,
        "agent_team": call.agent.team,
        "agent_hired_on": call.agent.hired_on,
        "agent_seniority": call.agent.seniority,
        "customer_key": call.customer.key,
        "customer_tags": list(call.customer.tags),
        "customer_value_tier": call.customer.value_tier,
        "queue": call.queue,
        "inquiry_type": call.inquiry_type,
        "industry": call.industry,
        "course_type": call.course_type,
        "order_id": call.order_id,
        "order_status": call.order_status,
        "crm": dict(call.crm),
        "recording_notice_played": call.recording_notice_played,
        "csat_score": call.csat.score if call.csat else None,
        "csat_scale_min": call.csat.scale_min if call.csat else None,
        "csat_scale_max": call.csat.scale_max if call.csat else None,
        "legal_hold": call.legal_hold,
        "language_hint": call.language_hint,
        "initial_call_id": call.initial_call_id,
        "previous_call_id": call.previous_call_id,
        "related_call_ids": list(call.related_call_ids),
        "transferred_to": call.transferred_to,
        "hold_ms": call.hold_ms,
        "queue_wait_ms": call.queue_wait_ms,
        "after_call_work_ms": call.after_call_work_ms,
        "disconnected_by": call.disconnected_by,
        "audio_uri": call.audio.uri,
        "audio_sha256": call.audio.sha256,
        "audio_bytes": _uint64("audio.bytes", call.audio.bytes),
        "audio_encryption": call.audio.encryption.algorithm if call.audio.encryption else None,
        "audio_encryption_key_id": call.audio.encryption.key_id if call.audio.encryption else None,
    }


def _audio_columns(analysis: CallAnalysis) -> Row:
    """Facts about the file; null if it could not be read."""
    audio = analysis.audio
    return {
        "audio_container": audio.container if audio else None,
        "audio_codec": audio.codec if audio else None,
        "audio_sample_rate_hz": _uint32("sample_rate_hz", audio.sample_rate_hz) if audio else None,
        "audio_channels": _uint32("channels", audio.channels) if audio else None,
        "audio_identical_channels": audio.identical_channels if audio else None,
        "audio_truncated": audio.truncated if audio else None,
    }


def _finding_columns(analysis: CallAnalysis) -> dict[str, Sequence[object]]:
    findings = analysis.findings
    return {
        "findings.finding_id": [finding.finding_id for finding in findings],
        "findings.detector": [finding.detector for finding in findings],
        "findings.rule_id": [finding.rule_id for finding in findings],
        "findings.rule_version": [finding.rule_version for finding in findings],
        "findings.category": [finding.category for finding in findings],
        "findings.role": [finding.role for finding in findings],
        "findings.start_ms": _uint64s("start_ms", [finding.start_ms for finding in findings]),
        "findings.end_ms": _uint64s("end_ms", [finding.end_ms for finding in findings]),
        "findings.quote": [finding.quote for finding in findings],
        "findings.matched": [finding.matched for finding in findings],
        "findings.severity": [finding.severity for finding in findings],
        "findings.score_delta": [finding.score_delta for finding in findings],
        "findings.confidence": [finding.confidence for finding in findings],
        "findings.attributes": [
            {name: _text(value) for name, value in finding.attributes.items()} for finding in findings
        ],
    }


def _score_columns(analysis: CallAnalysis) -> Row:
    """The scorecard; of the evidence of an item its measures and the ids of its findings, which stand in the row."""
    card = analysis.scorecard
    items = card.items if card else ()
    return {
        "score_form": card.form_id if card else None,
        "score_form_version": _uint32("form_version", card.form_version) if card else None,
        "score": card.score if card else None,
        "score_groups": dict(card.groups) if card else {},
        "score_items.item_id": [item.item_id for item in items],
        "score_items.name": [item.name for item in items],
        "score_items.item_group": [item.group for item in items],
        "score_items.points": [item.points for item in items],
        "score_items.max_points": [item.max_points for item in items],
        "score_items.reason": [item.reason for item in items],
        "score_items.evidence_measures": [
            {one.measure: _number(one.measure, one.value) for one in item.evidence if one.measure} for item in items
        ],
        "score_items.evidence_finding_ids": [
            [one.finding_id for one in item.evidence if one.finding_id] for item in items
        ],
    }


def _selection_columns(analysis: CallAnalysis) -> Row:
    """Whether the call was selected, and by what; nothing where that is not known."""
    triggers = analysis.selection.triggers if analysis.selection else ()
    return {
        "selected": analysis.selection.selected if analysis.selection else None,
        "selected_by.trigger": [trigger.name for trigger in triggers],
        "selected_by.reason": [trigger.reason for trigger in triggers],
        "selected_by.finding_ids": [list(trigger.finding_ids) for trigger in triggers],
        "selected_by.measure": [trigger.measure for trigger in triggers],
    }


def _text(value: str | float | bool | None) -> str:
    """A setting or attribute as text: booleans and null as JSON writes them."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(name: str, value: MeasureValue) -> float | None:
    try:
        return None if value is None else float(value)
    except OverflowError:
        raise InvalidMessageError([f"{name}: too large"]) from None


def _measured_uint64(name: str, value: MeasureValue) -> int | None:
    return None if value is None else _uint64(name, round(value))


def _measured_bool(name: str, value: MeasureValue) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise InvalidMessageError([f"{name}: not a truth value"])
    return value


def _uint32(name: str, value: int) -> int:
    return _at_most(_UINT32_MAX, name, value)


def _optional_uint32(name: str, value: int | None) -> int | None:
    return None if value is None else _uint32(name, value)


def _uint64(name: str, value: int) -> int:
    return _at_most(_UINT64_MAX, name, value)


def _int64(name: str, value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise InvalidMessageError([f"{name}: too large"])
    return value


def _uint64s(name: str, values: list[int]) -> list[int]:
    """Checks the largest alone: that none is negative is the schema's business, and a call has thousands."""
    _uint64(name, max(values, default=0))
    return values


def _at_most(limit: int, name: str, value: int) -> int:
    """JSON knows no largest integer, a column does; a value beyond it must not stop the batch that it is in."""
    if not 0 <= value <= limit:
        raise InvalidMessageError([f"{name}: too large" if value > 0 else f"{name}: negative"])
    return value


def _milliseconds(name: str, moment: datetime) -> int:
    """Milliseconds since 1970, exactly."""
    return _uint64(name, (moment - EPOCH) // timedelta(milliseconds=1))
