"""One worker process: one stage, wired to the outside systems that the settings name."""

import gc
import logging
import signal
import threading
import time
from collections.abc import Callable, Collection
from typing import Any, Literal, TypeVar, get_args

from processors.alerts.delivery_queue import RetrySchedule
from schemas.errors import RetryableError
from schemas.messages.topics import ALERTS_RAISED
from streams.adapters.channels import channel_of
from streams.adapters.clickhouse import connection as clickhouse
from streams.adapters.clickhouse.history import ClickHouseHistory
from streams.adapters.kafka.alert_source import KafkaAlertSource
from streams.adapters.kafka.client import BatchConsumer, Publisher, missing_topics
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.object_store.recordings import RecordingStore
from streams.ports import SystemClock
from streams.runtime import faust_app
from streams.runtime.rules_feed import LiveJudge, packs_at_hand
from streams.runtime.runner import BackOff, StageRunner, StoppedError
from streams.runtime.stage import Stage
from streams.settings import Settings
from streams.stages.judge import judge_stage
from streams.stages.listen import listen_stage
from streams.stages.notify import AlertSource, Commits, Notify, Outside
from streams.stages.store import Store
from streams.stages.watch import Watch
from streams.topology import HISTORY_GROUP, NOTIFY_GROUP, consumer_groups
from streams.wiring import (
    NotPreparedError,
    build_emotion,
    build_engine,
    build_rollups,
    build_surges,
    follow_rules,
    judge_settings,
    listen_settings,
)

log = logging.getLogger(__name__)

StageName = Literal["listen", "judge", "store", "watch", "rollup", "notify"]
STAGE_NAMES: tuple[StageName, ...] = get_args(StageName)
T = TypeVar("T")

LOOK_AGAIN_S = 2.0
"""`notify` looks this often whether the subscriptions have changed."""


def run_worker(name: StageName, settings: Settings) -> int:
    """Run one stage until SIGTERM or SIGINT; the exit code of the process.

    Waits for systems that do not answer yet; raises `NotPreparedError`, `StoreAccessError` and
    `clickhouse.ClickHouseAccessError` for what only a person can mend.
    """
    stop = threading.Event()
    if name == "store":
        return _run_store(settings, stop)
    if name == "watch":
        return _run_watch(settings, stop)
    if name == "rollup":
        return _run_rollup(settings, stop)
    if name == "notify":
        return _run_notify(settings, stop)
    clock = SystemClock()
    stage: Stage[Any, Any, Any]
    if name == "listen":
        store = object_store_from(settings)
        _until_it_answers(store.check, settings, stop)
        recordings = RecordingStore(store, settings.max_recording_bytes)
        engine = build_engine(settings)
        emotion = build_emotion(settings, engine)
        stage = listen_stage(engine, recordings, listen_settings(settings), clock, time.monotonic, emotion)
    else:
        live = LiveJudge(judge_settings(settings), packs_at_hand(settings.rules_folder))
        stage = judge_stage(lambda: live.current, clock, ClickHouseHistory.of(settings), settings.alert_min_severity)
    _until_it_answers(lambda: _check_topics(settings), settings, stop)
    if name == "judge":
        _until_it_answers(lambda: follow_rules(live, settings, stop), settings, stop)
        # Rules stay for good: without them, the collector has a tenth of the time of a call less to do.
        gc.freeze()
    work = StageRunner(
        stage,
        Publisher(settings),
        retry_max_wait_s=settings.retry_max_wait_s,
        dead_letter_streak_limit=settings.dead_letter_streak_limit,
        stop=stop,
    )
    log.info("%s is ready", name)
    return faust_app.run(settings, work, stop)


def _run_store(settings: Settings, stop: threading.Event) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    url = settings.clickhouse_url.get_secret_value()
    try:
        _until_it_answers(lambda: _check_topics(settings), settings, stop)
        _until_it_answers(lambda: _check_migrations(url), settings, stop)
        client = _until_it_answers(lambda: clickhouse.connect(url), settings, stop)
    except StoppedError:
        return 0
    groups = consumer_groups()
    consumer = BatchConsumer(settings, "store", groups["store"])
    history = BatchConsumer(settings, HISTORY_GROUP, groups[HISTORY_GROUP])
    store = Store(
        consumer,
        clickhouse.ClickHouseSink(client),
        Publisher(settings),
        SystemClock(),
        settings.sink_batch_messages,
        settings.sink_batch_ms / 1000,
        settings.retry_max_wait_s,
        history,
    )
    log.info("store is ready")
    try:
        store.run(stop)
    finally:
        consumer.close()
        history.close()
    return 0


def _run_watch(settings: Settings, stop: threading.Event) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        _until_it_answers(lambda: _check_topics(settings), settings, stop)
        _until_it_answers(lambda: _check_migrations(settings.clickhouse_url.get_secret_value()), settings, stop)
    except StoppedError:
        return 0
    log.info("watch is ready")
    watch = Watch(build_surges(settings), Publisher(settings), SystemClock())
    watch.run(stop, settings.surge_every_s, settings.retry_max_wait_s)
    return 0


def _run_rollup(settings: Settings, stop: threading.Event) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        _until_it_answers(lambda: _check_migrations(settings.clickhouse_url.get_secret_value()), settings, stop)
    except StoppedError:
        return 0
    log.info("rollup is ready")
    build_rollups(settings).run(stop, settings.rollup_every_s, settings.retry_max_wait_s)
    return 0


def _run_notify(settings: Settings, stop: threading.Event) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    clock = SystemClock()

    def open_source(
        name: str, assigned: Callable[[Commits], None], revoked: Callable[[Collection[int]], None]
    ) -> AlertSource:
        return KafkaAlertSource(settings, NOTIFY_GROUP + name, ALERTS_RAISED.name, assigned=assigned, revoked=revoked)

    outside = Outside(
        open_source=open_source,
        open_channel=lambda subscription: channel_of(
            subscription, settings.console_url, lambda: Publisher(settings), clock
        ),
        publisher=Publisher(settings),
        clock=clock,
        schedule=RetrySchedule(),
        retry_max_wait_s=settings.retry_max_wait_s,
    )
    notify = Notify(settings.subscriptions_file, outside)
    try:
        _until_it_answers(lambda: _check_topics(settings), settings, stop)
        notify.start()
    except StoppedError:
        return 0
    log.info("notify is ready")
    while not stop.wait(LOOK_AGAIN_S):
        notify.look_again()
    notify.stop()
    return 0


def _until_it_answers(attempt: Callable[[], T], settings: Settings, stop: threading.Event) -> T:
    back_off = BackOff(settings.retry_max_wait_s, stop)
    while True:
        try:
            return attempt()
        except RetryableError as error:
            log.warning("waiting: %s", str(error))
            back_off.wait()


def _check_topics(settings: Settings) -> None:
    missing = missing_topics(settings)
    if missing:
        raise NotPreparedError(f"Kafka has no topic {', '.join(missing)}: run `callstream topics apply`")


def _check_migrations(url: str) -> None:
    lacking = clickhouse.missing_migrations(url)
    if lacking:
        raise NotPreparedError(f"ClickHouse lacks {len(lacking)} migration(s): run `callstream migrate`")
