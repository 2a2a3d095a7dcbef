"""One worker process: one stage, wired to the outside systems that the settings name."""

import logging
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args

from processors.emotion.heads import load_heads
from processors.emotion.segments import EmotionModel, LinearSound, SoundJudge, TextJudge
from processors.judging import Judge, JudgeSettings
from processors.listening import ListenSettings
from processors.speech import SpeechEngine
from schemas.errors import OperatorError, RetryableError
from streams import faust_app
from streams.adapters import clickhouse
from streams.adapters.kafka import BatchConsumer, Publisher, missing_topics
from streams.object_store import object_store_from
from streams.ports import SystemClock
from streams.recordings import RecordingStore
from streams.settings import Settings
from streams.stage import Stage
from streams.store import Store
from streams.topology import STAGE_TOPICS, judge_stage, listen_stage
from streams.work import BackOff, StoppedError, Work

log = logging.getLogger(__name__)

StageName = Literal["listen", "judge", "store"]
STAGE_NAMES: tuple[StageName, ...] = get_args(StageName)
T = TypeVar("T")


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
        stage = judge_stage(build_judge(settings), clock)
    _until_it_answers(lambda: _check_topics(settings), settings, stop)
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
    consumer = BatchConsumer(settings, "store", STAGE_TOPICS["store"])
    store = Store(
        consumer,
        clickhouse.ClickHouseSink(client),
        Publisher(settings),
        SystemClock(),
        settings.sink_batch_messages,
        settings.sink_batch_ms / 1000,
        settings.retry_max_wait_s,
    )
    log.info("store is ready")
    try:
        store.run(stop)
    finally:
        consumer.close()
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
    """What `listen` needs of the settings."""
    return ListenSettings(
        min_call_ms=settings.min_call_ms,
        max_call_ms=settings.max_call_minutes * 60_000,
        crosstalk_gate_db=settings.crosstalk_gate_db,
        chinese_script=settings.chinese_script,
        pii_keep_last=settings.pii_keep_last_by_kind,
    )


def build_engine(settings: Settings) -> SpeechEngine:
    """The recogniser that the settings name; loads the model. Raises `WeightsError` with what to do."""
    from processors.engines.faster_whisper import FasterWhisperEngine

    return FasterWhisperEngine(
        model=settings.whisper_model,
        cache_dir=settings.cache_dir,
        device=settings.whisper_device,
        compute_type=settings.whisper_compute_type,
        threads=settings.whisper_threads,
        beam_size=settings.whisper_beam_size,
        batch_size=settings.whisper_batch_size,
    )


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
    """The detectors with the lexicons. Raises `LexiconError` with file, rule and field."""
    return Judge(
        JudgeSettings(
            duration_band_min_ms=settings.duration_band_min_s * 1000,
            duration_band_max_ms=settings.duration_band_max_s * 1000,
            lexicon_folders=(settings.lexicon_folder,) if settings.lexicon_folder else (),
        )
    )
