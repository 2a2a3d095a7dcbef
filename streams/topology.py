"""The whole pipeline on one screen.

    telephony ──► ingest ──► calls.ended.v1 ──► listen ──► calls.transcribed.v1 ──► judge ──► calls.analyzed.v1
                               │                             │         │          ▲   │           │
                               │                             │      replay        │   └► alerts.raised.v1 ──► notify ──►
                               │                             │         │          │             │             │
                               │                             │         │  rules.published.v1    │    alerts.delivered.v1
                               │                             │         └► calls.reanalyzed.v1   │             │
                               └─────────────────────────────┴──────────► store ◄──┴────────────┴─────────────┘
                                                                            │
                calls.dead_letters.v1 (whatever can never be processed) ────┘──► ClickHouse
                                                                                     │
                judge, for what it is told of other calls ◄──────────────────────────┼──► watch ──► alerts.raised.v1
                                                                                     └──► rollup ──► kpi_rollup

Each stage is the file of its name in `streams/stages/`. Rules are published by `callstream rules publish` and followed
by `streams/runtime/rules_feed.py`. What becomes known of a call after it (satisfaction, orders) comes in
calls.rated.v1, and who looked for or heard what in recordings.accessed.v1; `store` reads both, too.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from processors.alerts.raising import alerts_of
from processors.emotion.segments import EmotionModel
from processors.judging.call_context import Case
from processors.judging.pipeline import Judge
from processors.listening.engine_port import SpeechEngine
from processors.listening.pipeline import ListenSettings, Stopwatch, listen, listener_of, unheard
from schemas.errors import ConflictingCallError
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import CallEnded
from schemas.messages.finding import Severity
from schemas.messages.topics import (
    ALERTS_RAISED,
    CALLS_ANALYZED,
    CALLS_ENDED,
    CALLS_REANALYZED,
    CALLS_TRANSCRIBED,
    RULES_PUBLISHED,
    TOPICS,
    alert_key,
    message_key,
)
from schemas.messages.transcript import Transcript
from streams.adapters.object_store.recordings import RecordingStore, UnreadableRecordingError
from streams.ports import Clock, History, NoHistory
from streams.runtime.stage import Output, Stage

STAGE_TOPICS: Mapping[str, tuple[str, ...]] = {
    "listen": (CALLS_ENDED.name,),
    "judge": (CALLS_TRANSCRIBED.name, RULES_PUBLISHED.name),
    "store": tuple(topic.name for topic in TOPICS),
    "notify": (ALERTS_RAISED.name,),
    "watch": (),
    "rollup": (),
}
"""Stage → the topics that it reads. `watch` and `rollup` ask ClickHouse instead."""

NOTIFY_GROUP = "notify."
"""`notify` reads with one consumer group for each subscription: this and its name."""


HISTORY_GROUP = "store.history"
"""`store` reads history that was judged again with a group of its own, after live messages."""


def consumer_groups(subscribers: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """Consumer group → the topics that it reads; `subscribers` are the names of the subscriptions."""
    groups = {stage: topics for stage, topics in STAGE_TOPICS.items() if topics and stage != "notify"}
    groups["judge"] = (CALLS_TRANSCRIBED.name,)  # every judge reads all rules, without a group
    groups["store"] = tuple(topic for topic in STAGE_TOPICS["store"] if topic != CALLS_REANALYZED.name)
    groups[HISTORY_GROUP] = (CALLS_REANALYZED.name,)
    return groups | {NOTIFY_GROUP + name: STAGE_TOPICS["notify"] for name in subscribers}


@dataclass(frozen=True)
class Recorded:
    """A call on its way through `listen`: with its audio, or with why there is none, or with what was heard before."""

    call: CallEnded
    audio: bytes | None = None
    unreadable: UnreadableRecordingError | None = None
    heard_before: Transcript | None = None


def listen_stage(
    engine: SpeechEngine,
    recordings: RecordingStore,
    settings: ListenSettings,
    clock: Clock,
    stopwatch: Stopwatch,
    emotion: EmotionModel | None = None,
) -> Stage[CallEnded, Recorded, Transcript]:
    """calls.ended.v1 → fetch, decode, VAD, recognise, judge emotion → calls.transcribed.v1.

    The transcript is kept beside the recording, so that a call that comes again is not recognised again: the same
    event, heard by the same engine, gives the stored transcript. Another event with the same call id is refused.
    """

    listener = listener_of(engine, settings, emotion)

    def load(call: CallEnded) -> Recorded:
        known = recordings.load_transcript(call.tenant_id, call.call_id)
        if known is not None:
            _refuse_conflict(call, known)
        heard = known if known is not None and _was_heard(known) else None
        if heard is not None and heard.engine == listener:
            return Recorded(call, heard_before=heard)
        try:
            return Recorded(call, audio=recordings.load_audio(call.audio))
        except UnreadableRecordingError as error:
            # What another recogniser heard is worth more than a recording that has lawfully gone since.
            return Recorded(call, unreadable=error, heard_before=heard)

    def step(recorded: Recorded) -> Transcript:
        if recorded.heard_before is not None:
            return recorded.heard_before
        if recorded.audio is None:
            reason = recorded.unreadable
            assert reason is not None, "either audio, or why there is none"  # noqa: S101
            return unheard(recorded.call, reason.outcome, reason.reason, listener, clock.now())
        return listen(recorded.call, recorded.audio, engine, settings, clock.now(), stopwatch, emotion)

    def save(recorded: Recorded, transcript: Transcript) -> None:
        if recorded.heard_before is None:
            recordings.save_transcript(transcript)

    return Stage("listen", CALLS_ENDED, load, step, save, _key, CALLS_TRANSCRIBED, clock)


def _was_heard(transcript: Transcript) -> bool:
    """A recording that could not be heard may be repaired, and its event published again."""
    return transcript.outcome in (None, "too_short")


def _refuse_conflict(call: CallEnded, known: Transcript) -> None:
    """The first event that was heard stands. One that was not may be corrected in all but the end of the call, under
    which its rows are filed. Raises `ConflictingCallError`.
    """
    if known.call == call:
        return
    if _was_heard(known):
        raise ConflictingCallError(["call_id: another event with this call_id was heard before"])
    if known.call.ended_at != call.ended_at:
        raise ConflictingCallError(["ended_at: another than in the event with this call_id before"])


def judge_stage(
    judge: Callable[[], Judge],
    clock: Clock,
    history: History | None = None,
    alert_min_severity: Severity = "high",
) -> Stage[Transcript, Case, CallAnalysis]:
    """calls.transcribed.v1 → detectors → calls.analyzed.v1, alerts.raised.v1. Text and intervals, and what is known of
    other calls.

    `judge` gives the judge with the rules in force, for each message anew.
    """
    background = (history or NoHistory()).background
    return Stage(
        "judge",
        CALLS_TRANSCRIBED,
        load=lambda transcript: Case(transcript, background(transcript.call)),
        step=lambda case: judge().judge(case.transcript, clock.now(), case.background),
        save=lambda _case, _analysis: None,
        key=_key,
        target=CALLS_ANALYZED,
        clock=clock,
        further=lambda analysis: raised(analysis, alert_min_severity),
    )


def raised(analysis: CallAnalysis, min_severity: Severity) -> list[Output]:
    """The alerts of a judgement, as messages."""
    return [Output(ALERTS_RAISED.name, alert_key(alert), alert.encode()) for alert in alerts_of(analysis, min_severity)]


def _key(message: Transcript | CallAnalysis) -> bytes:
    return message_key(message.tenant_id, message.call_id)
