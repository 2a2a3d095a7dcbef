"""Every setting, from `CALLSTREAM_*` variables over one TOML file over the defaults below.

A setting that does not exist, or a value that does not fit, stops the start with a sentence that names it.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from processors.pii.digit_kinds import DIGIT_KINDS
from processors.text.phonetic import MERGERS, Merger
from schemas.errors import OperatorError
from schemas.messages.pii import PiiKind

PREFIX = "CALLSTREAM_"
CONFIG_VARIABLE = "CALLSTREAM_CONFIG"


_DATA_HOME = ("XDG_DATA_HOME", ".local/share")
_CACHE_HOME = ("XDG_CACHE_HOME", ".cache")


def _xdg(variable: str, fallback: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / fallback) / "callstream"


def _xdg_text(variable: str, fallback: str) -> str:
    """The same for the documentation, which must read alike on every machine."""
    return f"${variable}/callstream, else ~/{fallback}/callstream"


def _unset_when_empty(value: object) -> object:
    """An empty variable is no path: `Path("")` would be the folder that the process happens to run in."""
    return None if value == "" else value


def _with_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("it begins with the home folder of an unknown user") from None


ComputeType = Literal[
    "int8", "int8_float16", "int8_bfloat16", "int8_float32", "int16", "float16", "bfloat16", "float32"
]
LocalPath = Annotated[Path, BeforeValidator(_unset_when_empty), AfterValidator(_with_home)]
OptionalPath = Annotated[LocalPath | None, BeforeValidator(_unset_when_empty)]


class Settings(BaseModel):
    """The settings of one process. Secrets are `SecretStr` and never printed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kafka_bootstrap: str = Field(default="127.0.0.1:9092", description="Kafka brokers, host:port[,host:port…]")
    kafka_flavour: Literal["apache", "tansu"] = Field(
        default="apache", description="tansu: one record per batch, because its offsets are wrong otherwise"
    )
    kafka_replication_factor: int = Field(default=1, ge=1, description="of the topics that `topics apply` creates")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="how to speak to Kafka"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="used with SASL_*"
    )
    kafka_sasl_username: str = Field(default="", description="used with SASL_*")
    kafka_sasl_password: SecretStr = Field(default=SecretStr(""), description="used with SASL_*")
    kafka_ca_file: OptionalPath = Field(default=None, description="CA certificate for SSL and SASL_SSL (PEM)")

    clickhouse_url: SecretStr = Field(
        default=SecretStr("http://callstream@127.0.0.1:8123/callstream"),
        description="http(s)://user:password@host:port/database",
    )
    clickhouse_users_file: OptionalPath = Field(
        default=None,
        description="YAML file of the people who may query ClickHouse (docs/roles.md): `up` lets them in, `roles` "
        "prints what a server needs",
    )
    clickhouse_cluster: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_.-]*$",
        description="a cluster in `remote_servers` to spread the tables over (docs/operations.md#a-cluster); "
        "empty: one server",
    )

    store_kind: Literal["folder", "s3"] = Field(default="folder", description="a folder, or MinIO or any other S3")
    store_bucket: str = Field(
        default="callstream", pattern=r"^[a-z0-9][a-z0-9.-]{1,62}$", description="bucket of recordings and transcripts"
    )
    store_folder: OptionalPath = Field(
        default=None, description="folder store: where the buckets are; default <data_dir>/objects"
    )
    s3_endpoint: str = Field(
        default="127.0.0.1:9000", pattern=r"^[^/\s]+$", description="s3 store: host:port, without https://"
    )
    s3_secure: bool = Field(default=True, description="s3 store: TLS")
    s3_region: str = Field(default="us-east-1", description="s3 store: region")
    s3_access_key: str = Field(default="", description="s3 store: access key")
    s3_secret_key: SecretStr = Field(default=SecretStr(""), description="s3 store: secret key")

    speech_engine: Literal["faster-whisper", "sherpa-onnx"] = Field(
        default="faster-whisper",
        description="the recogniser: Whisper (settings `whisper_*`), or SenseVoice, Paraformer and Zipformer "
        "(settings `sherpa_*`, extra `sherpa-onnx`)",
    )
    whisper_model: str = Field(
        default="packaged",
        description="a folder, `packaged` (Whisper base from the embedded extra), or a model id of the hub",
    )
    whisper_device: Literal["cpu", "cuda", "auto"] = Field(default="cpu", description="where the model runs")
    whisper_compute_type: ComputeType = Field(default="int8", description="int8 on CPU; float16 or int8_float16 on GPU")
    whisper_threads: int = Field(
        default=1, ge=1, le=64, description="CPU threads of one listen worker; scale by workers"
    )
    whisper_beam_size: int = Field(default=5, ge=1, le=20, description="beam of the decoder")
    whisper_batch_size: int = Field(default=8, ge=1, le=128, description="windows of up to 30 s decoded together")
    whisper_hot_words: str = Field(
        default="",
        max_length=500,
        description="terms that Whisper is primed with before each window, separated by spaces; harmful with "
        "Whisper base (docs/speech.md); empty: none",
    )
    sherpa_model: OptionalPath = Field(
        default=None, description="sherpa-onnx: the folder of a non-streaming model, needed with that engine"
    )
    sherpa_device: Literal["cpu", "cuda"] = Field(
        default="cpu", description="sherpa-onnx: where its models run; cuda needs a build of the package for CUDA"
    )
    sherpa_threads: int = Field(default=1, ge=1, le=64, description="sherpa-onnx: CPU threads of one listen worker")
    sherpa_batch_size: int = Field(default=8, ge=1, le=128, description="sherpa-onnx: turns decoded together")
    speaker_models: OptionalPath = Field(
        default=None,
        description="a folder with a segmentation and a speaker embedding model, with which sherpa-onnx guesses "
        "who speaks when on one channel, on `sherpa_device`; not set: no guessing",
    )
    pii_keep_last: str = Field(
        default="",
        description="how many last digits stay readable, by kind: bank_card:4,mobile:4; none for kinds not listed",
    )
    chinese_script: Literal["simplified", "traditional", "as_heard"] = Field(
        default="simplified", description="the script of every transcript"
    )
    crosstalk_gate_db: float = Field(
        default=18, ge=0, le=120, description="a channel this far below the other is muted; 0 switches the gate off"
    )

    emotion: bool = Field(default=True, description="judge the emotion of each segment by its sound and its words")
    emotion_heads: OptionalPath = Field(
        default=None,
        description="a folder written by `callstream emotion train`; heads missing there are the shipped ones",
    )
    emotion_sound_checkpoint: str = Field(
        default="",
        description="a Hugging Face audio classification checkpoint, folder or id, in place of the sound head "
        "(needs the extra `transformers`)",
    )
    emotion_text_checkpoint: str = Field(
        default="",
        description="a Hugging Face text classification checkpoint, folder or id, in place of the text head",
    )
    emotion_device: str = Field(default="cpu", description="where such a checkpoint runs: cpu, cuda, cuda:1 …")

    min_call_ms: int = Field(default=5_000, ge=0, description="shorter recordings end as too_short (R94)")
    max_call_minutes: int = Field(default=240, ge=1, description="longer recordings end as unsupported")
    max_recording_bytes: int = Field(
        default=512 * 1024 * 1024, ge=1024, description="larger recordings end as unsupported"
    )
    duration_band_min_s: int = Field(
        default=180, ge=0, description="lower end of the quality band of call duration (R42)"
    )
    duration_band_max_s: int = Field(
        default=480, ge=1, description="upper end of the quality band of call duration (R42)"
    )

    duration_fallback_min_s: int = Field(
        default=10, ge=0, description="shorter calls are anomalies as long as their group has no baseline"
    )
    duration_fallback_max_s: int = Field(
        default=3_600, ge=1, description="longer calls are anomalies as long as their group has no baseline"
    )
    baseline_min_calls: int = Field(
        default=50, ge=2, description="calls of the same tenant, queue and inquiry type needed for a baseline"
    )
    baseline_window_days: int = Field(default=28, ge=1, le=366, description="how far back a baseline reaches")
    baseline_refresh_s: float = Field(
        default=60, gt=0, description="judge: how old a baseline may be before ClickHouse is asked again"
    )
    background_timeout_s: int = Field(
        default=2, ge=1, le=60, description="judge: how long a call waits for its baseline, and for its earlier calls"
    )
    contacts_lookup: bool = Field(
        default=True, description="judge: ask ClickHouse for earlier calls of the same customer, once for each call"
    )

    timezone: str = Field(default="Asia/Shanghai", description="time zone for days and hours, by its IANA name")
    surge_weeks: int = Field(
        default=4, ge=2, le=12, description="watch: past weeks whose same hour gives the expected number of calls"
    )
    surge_min_count: int = Field(
        default=10, ge=2, description="watch: fewer calls about a topic in an hour are never a surge"
    )
    surge_ratio: float = Field(
        default=2, gt=1, description="watch: a surge has this many times the expected calls; so does a second alert"
    )
    surge_every_s: float = Field(default=60, gt=0, description="watch: pause between two checks")

    rollup_every_s: float = Field(default=60, gt=0, description="rollup: pause between two checks for new rows")
    first_contact_days: int = Field(
        default=7,
        ge=1,
        le=90,
        description="rollup: a matter is settled when no further call follows within this many days (R44)",
    )

    rules_folder: OptionalPath = Field(
        default=None,
        description="a folder with your own YAML rule packs, read in addition to the shipped ones (R54)",
    )
    sentence_model: Literal["off", "use"] = Field(
        default="off",
        description="find topics by meaning as well: `use`, the Universal Sentence Encoder (extra `sentences`)",
    )
    sentence_min_cosine: float = Field(
        default=0.6, gt=0, le=1, description="how close a sentence must be to one of a topic; see docs/rules.md"
    )
    sound_mergers: str = Field(
        default="z_zh,c_ch,s_sh,an_ang,en_eng,in_ing",
        description="sounds that rules treat alike, of z_zh, c_ch, s_sh, n_l, f_h, r_l, an_ang, en_eng, in_ing",
    )
    score_forms_folder: OptionalPath = Field(
        default=None,
        description="a folder with your own YAML score forms; each replaces a shipped one (R57)",
    )
    risk_file: OptionalPath = Field(
        default=None, description="a YAML file with risk parts and thresholds, instead of the shipped one (R49)"
    )
    retention_file: OptionalPath = Field(
        default=None, description="a YAML file with retention classes, instead of the shipped one (R16)"
    )

    alert_min_severity: Literal["info", "low", "medium", "high", "critical"] = Field(
        default="high", description="judge: findings of this severity or above raise an alert"
    )
    subscriptions_file: OptionalPath = Field(
        default=None, description="YAML file that says who is notified of which alerts, and how; without it, nobody is"
    )
    console_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s<>\"]+)?$",
        description="base URL of the console, for links in alerts; empty: no links",
    )

    sink_batch_messages: int = Field(default=500, ge=1, description="store: messages per insert at most")
    sink_batch_ms: int = Field(default=1_000, ge=1, description="store: wait at most this long to fill a batch")
    retry_max_wait_s: float = Field(
        default=30, gt=0, description="longest pause between two attempts at the same message"
    )
    dead_letter_streak_limit: int = Field(
        default=1_000,
        ge=1,
        description="a stage that refuses this many messages in a row stops: the code is wrong, not the messages",
    )
    processing_objective_s: int = Field(
        default=900, ge=1, description="a call without outcome for longer than this counts as unaccounted"
    )

    customer_key_secret: SecretStr = Field(
        default=SecretStr(""),
        description="key of the HMAC that turns a phone number into customer.key (R30); never stored in ClickHouse",
    )

    data_dir: LocalPath = Field(
        default_factory=lambda: _xdg(*_DATA_HOME),
        json_schema_extra={"default": _xdg_text(*_DATA_HOME)},
        description="what the embedded stack keeps",
    )
    cache_dir: LocalPath = Field(
        default_factory=lambda: _xdg(*_CACHE_HOME),
        json_schema_extra={"default": _xdg_text(*_CACHE_HOME)},
        description="what can be downloaded or made again: joined model weights, Kafka's jars",
    )
    maven_url: str = Field(
        default="https://repo1.maven.org/maven2",
        description="where `callstream up` fetches the jars of Apache Kafka; or a mirror of Maven Central",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="of every process")

    @field_validator("clickhouse_url")
    @classmethod
    def _is_a_database_url(cls, url: SecretStr) -> SecretStr:
        """Checked here, because what others say of a wrong URL may quote the password in it."""
        try:
            parts = urlsplit(url.get_secret_value())
            fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fits = False
        if not fits:
            raise ValueError("it must be http(s)://user:password@host:port/database, special characters as %XX")
        return url

    @model_validator(mode="after")
    def _settings_fit_each_other(self) -> Self:
        if self.duration_band_min_s >= self.duration_band_max_s:
            raise ValueError("duration_band_min_s must be less than duration_band_max_s")
        if self.duration_fallback_min_s >= self.duration_fallback_max_s:
            raise ValueError("duration_fallback_min_s must be less than duration_fallback_max_s")
        if self.speech_engine == "sherpa-onnx" and self.sherpa_model is None:
            raise ValueError("speech_engine sherpa-onnx needs sherpa_model, the folder of a model")
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password.get_secret_value()
        ):
            raise ValueError(
                f"kafka_security_protocol {self.kafka_security_protocol} needs kafka_sasl_username and "
                "kafka_sasl_password"
            )
        return self

    @field_validator("timezone")
    @classmethod
    def _is_known_here(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (LookupError, OSError, ValueError):  # not there, or no name at all
            raise ValueError("it must be a time zone that this machine knows, such as Asia/Shanghai") from None
        return name

    @field_validator("pii_keep_last")
    @classmethod
    def _names_kinds_and_digits(cls, text: str) -> str:
        for part in filter(None, text.split(",")):
            kind, _, kept = part.partition(":")
            if kind.strip() not in DIGIT_KINDS or kept.strip() not in ("0", "1", "2", "3", "4"):
                raise PydanticCustomError("pii_keep_last", "write it as bank_card:4,mobile:4, at most four digits each")
        return text

    @field_validator("sound_mergers")
    @classmethod
    def _names_sounds(cls, text: str) -> str:
        unknown = [name for name in _names(text) if name not in MERGERS]
        if unknown:
            raise PydanticCustomError("sound_mergers", f"write names of {', '.join(MERGERS)}, separated by commas")
        return text

    @property
    def merged_sounds(self) -> frozenset[Merger]:
        """Which sounds are not told apart."""
        return frozenset(cast(Merger, name) for name in _names(self.sound_mergers))

    @property
    def pii_keep_last_by_kind(self) -> dict[PiiKind, int]:
        """Kind of number → how many of its last digits stay readable."""
        parts = [part.partition(":") for part in filter(None, self.pii_keep_last.split(","))]
        return {cast(PiiKind, kind.strip()): int(kept) for kind, _, kept in parts}

    @property
    def folder_root(self) -> Path:
        """Where the folder store keeps its buckets."""
        return self.store_folder or self.data_dir / "objects"

    def environment(self) -> dict[str, str]:
        """These settings as `CALLSTREAM_*` variables, for a child process: all of them, secrets in clear.

        A path that is not set is an empty variable, so that a settings file cannot set it in the child.
        """
        return {variable_of(name): _as_text(getattr(self, name)) for name in type(self).model_fields}


def _names(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def _as_text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


class SettingsError(OperatorError):
    """A setting is unknown or does not fit; the text is one sentence for each, without the value."""


@dataclass(frozen=True)
class LoadedSettings:
    """Settings, and for each where its value came from: `default`, `file` or `environment`."""

    settings: Settings
    origin: Mapping[str, str]


def load_settings(environ: Mapping[str, str] | None = None, file: Path | None = None) -> LoadedSettings:
    """Read the settings. `file` (or `CALLSTREAM_CONFIG`) names the TOML file. Raises `SettingsError`."""
    environ = os.environ if environ is None else environ
    if file is None and environ.get(CONFIG_VARIABLE):
        file = Path(environ[CONFIG_VARIABLE])
    values: dict[str, object] = {}
    origin = dict.fromkeys(Settings.model_fields, "default")
    problems: list[str] = []
    for name, value in _read_file(file).items() if file else ():
        if name in Settings.model_fields:
            values[name], origin[name] = value, "file"
        else:
            problems.append(f"{name} in {file} is not a setting")
    for variable, text in environ.items():
        if not variable.upper().startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        name = variable[len(PREFIX) :].lower()
        if name in Settings.model_fields and variable == variable_of(name):
            values[name], origin[name] = text, "environment"
        else:
            problems.append(f"{variable} is not a setting")
    if problems:
        raise SettingsError("; ".join(problems) + ". `callstream config` lists every setting.")
    # Raised after the except block: inside it, the caught error would ride along as __context__, with its input.
    try:
        return LoadedSettings(Settings.model_validate(values), origin)
    except ValidationError as error:
        details = error.errors(include_input=False, include_context=False, include_url=False)
        sentences = [_sentence(detail, origin, file) for detail in details]
    raise SettingsError("; ".join(sentences))


def _sentence(detail: ErrorDetails, origin: Mapping[str, str], file: Path | None) -> str:
    message = detail["msg"].removeprefix("Value error, ")
    if not detail["loc"]:
        return f"the settings do not fit each other: {message}"
    name = str(detail["loc"][0])
    where = variable_of(name) if origin.get(name) == "environment" else f"{name} in {file}"
    return f"{where} does not fit: {message[0].lower()}{message[1:]}"


def _read_file(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"the settings file {file} does not exist") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the settings file {file} cannot be read: {type(error).__name__}: {error}") from None
