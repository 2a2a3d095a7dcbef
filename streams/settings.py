"""Every setting, from `CALLSTREAM_*` variables over one TOML file over the defaults below.

A setting that does not exist, or a value that does not fit, stops the start with a sentence that names it.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

PREFIX = "CALLSTREAM_"
CONFIG_VARIABLE = "CALLSTREAM_CONFIG"


def _xdg(variable: str, fallback: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / fallback) / "callstream"


class Settings(BaseModel):
    """The settings of one process. Secrets are `SecretStr` and never printed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    kafka_ca_file: Path | None = Field(default=None, description="CA certificate for SSL and SASL_SSL (PEM)")

    clickhouse_url: SecretStr = Field(
        default=SecretStr("http://callstream@127.0.0.1:8123/callstream"),
        description="http(s)://user:password@host:port/database",
    )

    store_kind: Literal["folder", "s3"] = Field(default="folder", description="a folder, or MinIO / any S3")
    store_bucket: str = Field(
        default="callstream", pattern=r"^[a-z0-9][a-z0-9.-]{1,62}$", description="bucket of recordings and transcripts"
    )
    store_folder: Path | None = Field(
        default=None, description="folder store: where buckets lie; default <data_dir>/objects"
    )
    s3_endpoint: str = Field(default="127.0.0.1:9000", description="s3 store: host:port")
    s3_secure: bool = Field(default=True, description="s3 store: TLS")
    s3_region: str = Field(default="us-east-1", description="s3 store: region")
    s3_access_key: str = Field(default="", description="s3 store: access key")
    s3_secret_key: SecretStr = Field(default=SecretStr(""), description="s3 store: secret key")

    speech_engine: Literal["faster-whisper"] = Field(default="faster-whisper", description="the recogniser")
    whisper_model: str = Field(
        default="packaged",
        description="a folder, `packaged` (Whisper base from the embedded extra), or a model id of the hub",
    )
    whisper_device: Literal["cpu", "cuda", "auto"] = Field(default="cpu", description="where the model runs")
    whisper_compute_type: str = Field(default="int8", description="int8 on CPU; float16 or int8_float16 on GPU")
    whisper_threads: int = Field(
        default=1, ge=1, le=64, description="CPU threads of one listen worker; scale by workers"
    )
    whisper_beam_size: int = Field(default=5, ge=1, le=20, description="beam of the decoder")
    whisper_batch_size: int = Field(default=8, ge=1, le=128, description="windows of up to 30 s decoded together")
    chinese_script: Literal["simplified", "traditional", "as_heard"] = Field(
        default="simplified", description="the script of every transcript"
    )
    crosstalk_gate_db: float = Field(
        default=18, ge=0, le=120, description="a channel this far below the other is muted; 0 switches the gate off"
    )

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

    sink_batch_messages: int = Field(default=500, ge=1, description="store: messages per insert at most")
    sink_batch_ms: int = Field(default=1_000, ge=1, description="store: wait at most this long to fill a batch")
    retry_max_wait_s: float = Field(default=30, gt=0, description="longest pause between two tries of the same message")
    dead_letter_streak_limit: int = Field(
        default=1_000,
        ge=1,
        description="a stage that refuses this many messages in a row stops: then the code is wrong, not the messages",
    )
    processing_objective_s: int = Field(
        default=900, ge=1, description="a call without outcome for longer than this counts as unaccounted"
    )

    customer_key_secret: SecretStr = Field(
        default=SecretStr(""),
        description="key of the HMAC that turns a phone number into customer.key (R30); never stored in ClickHouse",
    )

    data_dir: Path = Field(
        default_factory=lambda: _xdg("XDG_DATA_HOME", ".local/share"), description="what the embedded stack keeps"
    )
    cache_dir: Path = Field(
        default_factory=lambda: _xdg("XDG_CACHE_HOME", ".cache"),
        description="what can be fetched again: joined model weights, Kafka's jars",
    )
    maven_url: str = Field(
        default="https://repo1.maven.org/maven2",
        description="where `callstream up` fetches the jars of Apache Kafka; a mirror of Maven Central will do",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="of every process")

    @property
    def folder_root(self) -> Path:
        """Where the folder store keeps its buckets."""
        return self.store_folder or self.data_dir / "objects"

    def environment(self) -> dict[str, str]:
        """These settings as `CALLSTREAM_*` variables, for a child process."""
        values: dict[str, str] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value is None:
                continue
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            values[PREFIX + name.upper()] = str(plain).lower() if isinstance(plain, bool) else str(plain)
        return values


class SettingsError(Exception):
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
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in Settings.model_fields and variable == variable.upper():
            values[name], origin[name] = text, "environment"
        else:
            problems.append(f"{variable} is not a setting")
    if problems:
        raise SettingsError("; ".join(problems) + ". `callstream config` lists every setting.")
    try:
        return LoadedSettings(Settings.model_validate(values), origin)
    except ValidationError as error:
        raise SettingsError(
            "; ".join(_sentence(str(d["loc"][0]), d["msg"], origin, file) for d in error.errors())
        ) from None


def _sentence(name: str, message: str, origin: Mapping[str, str], file: Path | None) -> str:
    where = f"{PREFIX}{name.upper()}" if origin.get(name) == "environment" else f"{name} in {file}"
    return f"{where} does not fit: {message[0].lower()}{message[1:]}"


def _read_file(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"the settings file {file} does not exist") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the settings file {file} cannot be read: {type(error).__name__}: {error}") from None
