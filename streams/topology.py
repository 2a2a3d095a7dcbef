"""The whole pipeline in one table: which stage reads and writes which topic, who runs it, how it scales.

`callstream topology` prints it. Worker names, consumer groups, the AsyncAPI document, `callstream worker --help` and
the diagram in README are made from it. To add a stage, add an entry here, a file in `streams/stages/` with a function
`build(worker)`, its test, and an example of each new message; what is missing, a test names.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.contracts import Operation
from schemas.messages.topics import (
    ALERTS_DELIVERED,
    ALERTS_RAISED,
    AUDIT_CHECKPOINTS,
    CALLS_ANALYZED,
    CALLS_BACKFILLED,
    CALLS_DEAD_LETTERS,
    CALLS_ENDED,
    CALLS_LISTED,
    CALLS_RATED,
    CALLS_REANALYZED,
    CALLS_REANNOUNCED,
    CALLS_TRANSCRIBED,
    CUSTODY_CHANGED,
    FACTS_RECEIVED,
    RECORDINGS_ACCESSED,
    RULES_PUBLISHED,
    TRANSCRIPTS_RECEIVED,
    VERDICTS_GIVEN,
    AnyTopic,
)


@dataclass(frozen=True)
class Reads:
    """A topic that a stage reads, and what for.

    By the consumer group of the stage, unless `group` names another of its own; with `whole`, every worker reads the
    topic by itself, without a group.
    """

    topic: AnyTopic
    purpose: str
    group: str = ""
    whole: bool = False


@dataclass(frozen=True)
class Writes:
    """A topic that a stage writes, and what."""

    topic: AnyTopic
    purpose: str


@dataclass(frozen=True)
class StageEntry:
    """One stage. Those with a `builder` are workers; the others run inside commands, as `scales_by` says."""

    name: str
    summary: str
    reads: tuple[Reads, ...] = ()
    writes: tuple[Writes, ...] = ()
    scales_by: str = ""
    builder: str = ""
    """`module:function`, resolved when the worker starts, so that the table can be read without heavy libraries."""
    group_per_subscription: bool = False
    looks_at_groups: tuple[str, ...] = ()
    """Consumer groups of other stages of which it asks how far they are; "" is every one."""
    asks: tuple[str, ...] = ()
    """What it asks besides topics."""
    needs_setting: str = ""
    """A stack runs it only where this setting has a value."""
    settings: tuple[str, ...] = ()
    """Groups of settings (`streams.settings`) that it needs beside those of Kafka and of what it asks."""
    pauses_tenants: bool = False
    """Whether it can do nothing for one tenant and go on for the others (`callstream pause STAGE --tenant`)."""
    variables: tuple[str, ...] = ()
    """How other variables begin that a supervisor hands on to it, beside those of the system; "" is every one."""

    @property
    def setting_groups(self) -> frozenset[str]:
        """The groups of settings that a worker of it is given, beside those that every worker has."""
        kafka = ("Kafka",) if self.reads or self.writes else ()
        return frozenset((*kafka, *self.asks, *self.settings))


STAGES: tuple[StageEntry, ...] = (
    StageEntry(
        "capture",
        "takes in a finished recording, stores it and announces the call",
        writes=(
            Writes(CALLS_ENDED, "announce a recording that is durable in the object store"),
            Writes(CALLS_BACKFILLED, "announce a recording of the past, which live calls do not wait for"),
            Writes(CALLS_REANNOUNCED, "have a call heard once more"),
            Writes(TRANSCRIPTS_RECEIVED, "announce a transcript that was made elsewhere and is sealed in the store"),
        ),
        scales_by="runs in `callstream publish`",
    ),
    StageEntry(
        "serve",
        "takes recordings and transcripts in over HTTP and says where calls stand",
        writes=(
            Writes(CALLS_ENDED, "announce a recording that was uploaded and is durable"),
            Writes(TRANSCRIPTS_RECEIVED, "hand over a transcript that was uploaded"),
        ),
        scales_by="as many as a load balancer has",
        builder="streams.stages.serve:build",
        asks=("ClickHouse", "object store", "register"),
        settings=("serving", "people", "taking in", "keys", "audio keys", "received keys"),
    ),
    StageEntry(
        "play",
        "lets people hear recordings and read transcripts over HTTP, and hands out approved exports",
        scales_by="as many as a load balancer has, each person at one of them",
        builder="streams.stages.play:build",
        asks=("ClickHouse", "object store", "register"),
        settings=(
            *("serving", "playing", "people", "recordings", "transcripts", "archive"),
            *("keys", "audio keys", "transcript keys"),
        ),
    ),
    StageEntry(
        "collect",
        "takes in recordings that telephony leaves in a folder or a bucket",
        writes=(
            Writes(CALLS_ENDED, "announce a recording that lay there and is sealed now"),
            Writes(CALLS_BACKFILLED, "announce a recording of an inbox with recordings of the past"),
        ),
        scales_by="one for each folder or bucket",
        builder="streams.stages.collect:build",
        asks=("object store", "register"),
        needs_setting="collect_from",
        settings=("collecting", "taking in", "keys", "audio keys"),
    ),
    StageEntry(
        "rate",
        "tells what becomes known of a call after it",
        writes=(Writes(CALLS_RATED, "satisfaction, orders, CRM data of a call"),),
        scales_by="runs in `callstream rate`",
    ),
    StageEntry(
        "facts",
        "tells what other systems know of orders, customers, agents and courses",
        writes=(Writes(FACTS_RECEIVED, "what holds of one of them from a moment on"),),
        scales_by="runs in `callstream facts import`",
    ),
    StageEntry(
        "list",
        "tells which calls the exchange's own list has",
        writes=(Writes(CALLS_LISTED, "a call of a list of the exchange, which must reach us where it was recorded"),),
        scales_by="runs in `callstream cdr import`",
    ),
    StageEntry(
        "verdicts",
        "tells what inspectors say of calls and findings",
        writes=(Writes(VERDICTS_GIVEN, "worth hearing or not, right or wrong, what was missed"),),
        scales_by="runs in `callstream verdicts import`",
    ),
    StageEntry(
        "rules",
        "puts a version of a rule pack into force",
        writes=(Writes(RULES_PUBLISHED, "put a version of a rule pack into force"),),
        scales_by="runs in `callstream rules publish`",
    ),
    StageEntry(
        "listen",
        "hears a recording: who said what, when and how; the only stage that sees audio",
        reads=(
            Reads(CALLS_ENDED, "fetch the recording and recognise it"),
            Reads(CALLS_BACKFILLED, "the same, where live calls leave room"),
            Reads(CALLS_REANNOUNCED, "the same once more, where live calls leave room"),
        ),
        writes=(
            Writes(CALLS_TRANSCRIBED, "what was said, or why the recording could not be heard"),
            Writes(CALLS_DEAD_LETTERS, "an event that can never be processed"),
        ),
        scales_by="cores and GPUs",
        builder="streams.stages.listen:build",
        pauses_tenants=True,
        asks=("object store", "register"),
        settings=("hearing", "recordings", "transcripts", "keys", "audio keys", "transcript keys"),
        variables=("HF_", "TRANSFORMERS_"),
    ),
    StageEntry(
        "receive",
        "masks a transcript that was made elsewhere; the only stage that sees it in clear",
        reads=(Reads(TRANSCRIPTS_RECEIVED, "mask what was said"),),
        writes=(
            Writes(CALLS_TRANSCRIBED, "what was said, masked, as if it had been heard"),
            Writes(CALLS_DEAD_LETTERS, "a transcript that can never be processed"),
        ),
        scales_by="partitions",
        builder="streams.stages.receive:build",
        asks=("object store", "register"),
        settings=("transcripts", "receiving", "keys", "received keys", "transcript keys"),
    ),
    StageEntry(
        "judge",
        "judges a transcript: findings, measures, score, risk and alerts",
        reads=(
            Reads(CALLS_TRANSCRIBED, "apply rules and measures"),
            Reads(RULES_PUBLISHED, "take over the rules in force", whole=True),
        ),
        writes=(
            Writes(CALLS_ANALYZED, "the judgement of the call"),
            Writes(ALERTS_RAISED, "what subscribers must hear of"),
            Writes(CALLS_DEAD_LETTERS, "a transcript that can never be processed"),
        ),
        scales_by="partitions",
        builder="streams.stages.judge:build",
        asks=("ClickHouse", "register"),
        settings=("judging", "baselines", "retention"),
        variables=("TF_", "TFHUB_"),
    ),
    StageEntry(
        "heal",
        "judges calls again that were judged while ClickHouse told nothing of other calls",
        reads=(
            Reads(CALLS_ANALYZED, "find calls that lack what ClickHouse knows"),
            Reads(RULES_PUBLISHED, "take over the rules in force", whole=True),
        ),
        writes=(
            Writes(CALLS_REANALYZED, "the judgement of the call with what is known of others"),
            Writes(ALERTS_RAISED, "alerts that follow from it alone"),
            Writes(CALLS_DEAD_LETTERS, "a judgement that ended the worker again and again"),
        ),
        scales_by="one is enough",
        builder="streams.stages.heal:build",
        looks_at_groups=("store",),
        asks=("ClickHouse", "object store", "register"),
        settings=("judging", "retention", "healing", "keys", "transcript keys"),
        variables=("TF_", "TFHUB_"),
    ),
    StageEntry(
        "second_read",
        "gives masked transcripts to a second reader and adds what it finds",
        reads=(
            Reads(CALLS_ANALYZED, "have calls read once more that were judged"),
            Reads(CALLS_REANALYZED, "add what is known of calls that were judged again", group="second_read.history"),
        ),
        writes=(Writes(CALLS_REANALYZED, "the judgement of a call with what the second reader found"),),
        scales_by="one is enough",
        builder="streams.stages.second_read:build",
        asks=("ClickHouse", "register"),
        needs_setting="second_reader_url",
        settings=("second reading", "what runs"),
    ),
    StageEntry(
        "replay",
        "judges past calls again under other rules, from stored transcripts",
        reads=(Reads(RULES_PUBLISHED, "find the version of the rules that was asked for", whole=True),),
        writes=(
            Writes(CALLS_REANALYZED, "the judgement of a past call under the rules of today"),
            Writes(ALERTS_RAISED, "the alerts of past calls, only when asked"),
        ),
        scales_by="runs in `callstream replay`, in as many processes as there are cores",
        asks=("ClickHouse", "object store", "register"),
        settings=("judging", "baselines", "retention", "keys", "transcript keys"),
    ),
    StageEntry(
        "repair",
        "takes calls anew that a check of the data found, from stored transcripts",
        reads=(Reads(RULES_PUBLISHED, "find the rules in force", whole=True),),
        writes=(
            Writes(CALLS_TRANSCRIBED, "a transcript that nobody has judged"),
            Writes(CALLS_REANALYZED, "the judgement of a call whose rows are wrong"),
        ),
        scales_by="runs in `callstream check data --repair`",
        asks=("ClickHouse", "object store", "register"),
    ),
    StageEntry(
        "sweep",
        "finishes what taking in began and did not end",
        writes=(Writes(CALLS_ENDED, "announce a recording that is stored and was not announced"),),
        scales_by="one is enough",
        builder="streams.stages.sweep:build",
        asks=("register", "object store"),
        settings=("sweeping",),
    ),
    StageEntry(
        "relay",
        "publishes what has changed in the register, and makes its partitions",
        writes=(
            Writes(CUSTODY_CHANGED, "each change of the register, in the order of its outbox"),
            Writes(RECORDINGS_ACCESSED, "each entry of the audit log that is an access"),
        ),
        scales_by="one is enough",
        builder="streams.stages.relay:build",
        asks=("register",),
        settings=("relaying",),
    ),
    StageEntry(
        "audit",
        "signs the audit log, takes what it signed out of reach, and enters what people asked ClickHouse",
        writes=(Writes(AUDIT_CHECKPOINTS, "what was signed of the audit log"),),
        scales_by="one is enough",
        builder="streams.stages.audit:build",
        asks=("ClickHouse", "object store", "register"),
        settings=("auditing",),
    ),
    StageEntry(
        "verify",
        "compares the audit log with what was signed of it",
        reads=(Reads(AUDIT_CHECKPOINTS, "take every checkpoint as an anchor", whole=True),),
        scales_by="runs in `callstream audit verify --kafka`",
        asks=("object store", "register"),
    ),
    StageEntry(
        "keep",
        "decides how long each call is kept, and has what is due archived or destroyed",
        reads=(
            Reads(CALLS_ENDED, "decide by the event how long the call is kept, and open the case of a legal hold"),
            Reads(CALLS_BACKFILLED, "the same of past calls"),
            Reads(CALLS_REANNOUNCED, "the same of calls that are heard once more"),
            Reads(CALLS_ANALYZED, "decide again by what was said"),
            Reads(CALLS_REANALYZED, "decide again, after live traffic", group="keep.history"),
        ),
        writes=(Writes(CALLS_DEAD_LETTERS, "a message of which the register refuses what was decided"),),
        scales_by="one is enough",
        builder="streams.stages.keep:build",
        asks=("ClickHouse", "object store", "register"),
        settings=(
            *("retention", "keeping", "purging", "first contacts", "recordings", "archive"),
            *("keys", "audio keys", "transcript keys"),
        ),
    ),
    StageEntry(
        "store",
        "writes every topic that people query into ClickHouse",
        reads=(
            Reads(CALLS_ENDED, "account for every call"),
            Reads(CALLS_BACKFILLED, "account for past calls"),
            Reads(CALLS_REANNOUNCED, "account for calls that are heard once more"),
            Reads(CALLS_LISTED, "rows of calls that the exchange lists"),
            Reads(CALLS_TRANSCRIBED, "rows of what was said"),
            Reads(CALLS_ANALYZED, "rows of calls, findings and outcomes"),
            Reads(CALLS_REANALYZED, "rows of calls that were judged again, after live traffic", group="store.history"),
            Reads(CALLS_RATED, "rows of what became known of calls later"),
            Reads(FACTS_RECEIVED, "rows of what other systems know"),
            Reads(VERDICTS_GIVEN, "rows of what inspectors say"),
            Reads(ALERTS_RAISED, "rows of alerts"),
            Reads(RULES_PUBLISHED, "rows of rule packs"),
            Reads(ALERTS_DELIVERED, "rows of attempts to deliver alerts"),
            Reads(RECORDINGS_ACCESSED, "rows of the log of access"),
            Reads(CUSTODY_CHANGED, "rows of what became of recordings and keys"),
            Reads(CALLS_DEAD_LETTERS, "rows of what was refused"),
        ),
        writes=(Writes(CALLS_DEAD_LETTERS, "a message that only this stage reads and cannot store"),),
        scales_by="partitions",
        builder="streams.stages.store:build",
        asks=("ClickHouse", "register"),
        settings=("storing",),
    ),
    StageEntry(
        "watch",
        "looks for surges of calls about a topic",
        writes=(Writes(ALERTS_RAISED, "a surge of calls about a topic, found in ClickHouse"),),
        scales_by="one is enough",
        builder="streams.stages.watch:build",
        asks=("ClickHouse", "register"),
        settings=("surges",),
    ),
    StageEntry(
        "reconcile",
        "finds calls that the exchange lists and of which no recording came",
        reads=tuple(
            Reads(topic, "see how old the oldest event is that is not stored yet", whole=True)
            for topic in (CALLS_ENDED, CALLS_BACKFILLED, CALLS_REANNOUNCED)
        ),
        looks_at_groups=("store",),
        writes=(Writes(ALERTS_RAISED, "recordings that are missing, and that they have come"),),
        scales_by="one is enough",
        builder="streams.stages.reconcile:build",
        asks=("ClickHouse", "register"),
        settings=("reconciliation",),
    ),
    StageEntry(
        "rollup",
        "makes the roll-ups of KPIs for the days that were touched, and adds up durations for baselines",
        scales_by="one is enough",
        builder="streams.stages.rollup:build",
        asks=("ClickHouse", "register"),
        settings=("rollups", "baselines", "first contacts"),
    ),
    StageEntry(
        "observe",
        "measures what waits: how far each stage is behind, how much audio waits, what custody has to do",
        reads=tuple(
            Reads(topic, "see how long the calls are that wait to be heard", whole=True)
            for topic in (CALLS_ENDED, CALLS_BACKFILLED, CALLS_REANNOUNCED)
        ),
        looks_at_groups=("",),
        scales_by="one is enough",
        builder="streams.stages.observe:build",
        asks=("ClickHouse", "register"),
        settings=("observing", "what runs", "recordings"),
    ),
    StageEntry(
        "notify",
        "delivers each alert to the subscriptions that ask for it",
        reads=(
            Reads(ALERTS_RAISED, "deliver each alert to the subscriptions that ask for it"),
            Reads(ALERTS_DELIVERED, "learn what was sent where offsets are lost, or lie behind", whole=True),
        ),
        writes=(Writes(ALERTS_DELIVERED, "each attempt, and why there was none"),),
        scales_by="one is enough",
        builder="streams.stages.notify:build",
        group_per_subscription=True,
        asks=("subscribers", "register"),
        needs_setting="subscriptions_file",
        settings=("what runs",),
        # Which secrets it needs, its file says, and that may change while it runs.
        variables=("",),
    ),
)
"""In the order in which a call passes them."""

WORKERS: tuple[StageEntry, ...] = tuple(stage for stage in STAGES if stage.builder)
WORKER_NAMES: tuple[str, ...] = tuple(stage.name for stage in WORKERS)


def worker_stage(name: str) -> StageEntry:
    """The worker of that name. Raises `KeyError`."""
    return {stage.name: stage for stage in WORKERS}[name]


def group_of_subscription(stage: str, subscription: str) -> str:
    """The consumer group of one subscription."""
    return f"{stage}.{subscription}"


def groups_of(name: str, subscriptions: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """Consumer groups of a stage → the topics that each reads; `subscriptions` are the names of those in the file."""
    stage = worker_stage(name)
    names = tuple(subscriptions)
    groups: dict[str, tuple[str, ...]] = {}
    for read in stage.reads:
        own = [group_of_subscription(name, each) for each in names] if stage.group_per_subscription else [name]
        for group in [read.group] if read.group else own:
            if not read.whole:
                groups[group] = (*groups.get(group, ()), read.topic.name)
    return groups


def consumer_groups(subscriptions: Iterable[str] = (), settings: object = None) -> dict[str, tuple[str, ...]]:
    """As `groups_of`, of all stages that run: those that need a setting only where `settings` has a value for it."""
    names = tuple(subscriptions)
    return {
        group: topics
        for stage in WORKERS
        if not stage.needs_setting
        or stage.group_per_subscription
        or getattr(settings, stage.needs_setting, None) is not None
        for group, topics in groups_of(stage.name, names).items()
    }


def operations() -> tuple[Operation, ...]:
    """The table as the AsyncAPI document has it."""
    return tuple(
        operation
        for stage in STAGES
        for operation in (
            *(Operation(stage.name, "receive", read.topic, read.purpose) for read in stage.reads),
            *(Operation(stage.name, "send", write.topic, write.purpose) for write in stage.writes),
        )
    )
