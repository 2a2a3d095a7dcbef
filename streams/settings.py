"""Every setting, from `CALLSTREAM_*` variables over one TOML file over the defaults below.

A setting that does not exist, or a value that does not fit, stops the start with a sentence that names it.
"""

import json
import logging
import os
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self, cast
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from processors.alerts.signatures import standard_webhooks_key
from processors.custody.customer_keys import CustomerKeys
from processors.listening.engine_port import EngineSettings
from processors.pii.digit_kinds import DIGIT_KINDS
from processors.text.phonetic import MERGERS, Merger
from schemas.config.console_url import ConsoleUrl
from schemas.config.settings_part import LocalPath, OptionalPath, P, SettingsPart, part_of
from schemas.config.tenants import DEFAULT_ZONE, RecordingFormat, TenantDays, read_tenants
from schemas.config.time_zones import time_zone
from schemas.errors import OperatorError
from schemas.found import FoundError, find_classes, find_kinds
from schemas.messages.pii import PiiKind
from schemas.messages.topics import LANES, MASKED_DAYS
from streams.ports import KeyWrapperSettings, ObjectStoreSettings

log = logging.getLogger(__name__)

PREFIX = "CALLSTREAM_"
_OF_A_KUBERNETES_SERVICE = re.compile(
    r"CALLSTREAM_([A-Z0-9_]+_)?"
    r"(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
"""A pod is given these of each service of its namespace: of `callstream`, `callstream-clickhouse` and the like."""
CONFIG_VARIABLE = "CALLSTREAM_CONFIG"


def _unset_when_empty(value: object) -> object:
    return None if value == "" else value


def _inbox(value: str | None) -> str | None:
    if value is None or not value.startswith("s3://"):
        return None if value is None else str(Path(value).expanduser().absolute())
    bucket, slash, prefix = value.removeprefix("s3://").partition("/")
    if not bucket or (prefix and not prefix.endswith("/")):
        raise ValueError("it must be a folder, or s3://BUCKET/ or s3://BUCKET/PREFIX/ with a slash at its end")
    return value if slash else value + "/"


_HttpUrl = Annotated[
    str,
    Field(pattern=r"^https?://([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?(/[!\"$-\[\]-~]*)?$"),
]
OptionalHttpUrl = Annotated[_HttpUrl | None, BeforeValidator(_unset_when_empty)]
"""No user, no password: the URL is no secret."""


def _console_url(text: str) -> str:
    return ConsoleUrl(text).text


OptionalInbox = Annotated[str | None, BeforeValidator(_unset_when_empty), AfterValidator(_inbox)]
"""A folder, or a bucket with a prefix."""

_DATA_HOME = ("XDG_DATA_HOME", ".local/share")
_CACHE_HOME = ("XDG_CACHE_HOME", ".cache")


def _xdg(variable: str, fallback: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / fallback) / "callstream"


def _xdg_text(variable: str, fallback: str) -> str:
    """The same for the documentation, which must read alike on every machine."""
    return f"${variable}/callstream, else ~/{fallback}/callstream"


DETECTORS = "processors.detectors"
ENGINES = "processors.listening.engines"
SPEECH_SERVICES = "streams.adapters.speech"
OBJECT_STORES = "streams.adapters.object_store"
KEY_WRAPPERS = "streams.adapters.key_wrappers"

_FOUND_BEHIND = {
    "store_bucket": (OBJECT_STORES,),
    "key_wrapper": (KEY_WRAPPERS,),
    "speech_engine": (ENGINES, SPEECH_SERVICES),
    "max_recording_bytes": (DETECTORS,),
}
"""Setting → the folders whose files declare settings of their own; these are listed behind it."""


EVERY_WORKER = "every worker"
COMMANDS = "commands"
_FOUND_IN = {
    OBJECT_STORES: "object store",
    KEY_WRAPPERS: "keys",
    ENGINES: "hearing",
    SPEECH_SERVICES: "hearing",
    DETECTORS: "judging",
}
_GROUPS: Mapping[str, tuple[str, ...]] = {
    "Kafka": (
        *("kafka_bootstrap", "kafka_flavour", "kafka_replication_factor", "kafka_security_protocol"),
        *("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password", "kafka_ca_file", "kafka_masked_days"),
        *("kafka_ssl_certificate_file", "kafka_ssl_key_file", "kafka_ssl_key_password"),
    ),
    "ClickHouse": ("clickhouse_url", "clickhouse_cluster"),
    "object store": ("store_kind", "store_bucket"),
    "archive": (
        *("archive_to", "archive_s3_endpoint", "archive_s3_secure", "archive_s3_region"),
        *("archive_s3_access_key", "archive_s3_secret_key"),
    ),
    "register": ("register_url", "register_ca_file", "register_allow_plain"),
    "keys": ("key_wrapper",),
    "audio keys": ("audio_keys_file", "audio_keys", "transit_audio_key"),
    "transcript keys": ("transcript_keys_file", "transcript_keys", "transit_transcript_key"),
    "received keys": ("received_keys_file", "received_keys", "transit_received_key"),
    "subscribers": ("console_url",),
    "what runs": ("subscriptions_file", "second_reader_url"),
    "observing": ("observe_every_s", "processing_objective_s", "status_days"),
    "hearing": (
        *("speech_engine", "respelling", "crosstalk_gate_db", "emotion", "emotion_heads"),
        *("emotion_sound_checkpoint", "emotion_text_checkpoint", "emotion_device"),
        *("min_call_ms", "unsealed_recordings", "convert_recordings_to"),
        *("listen_at_once", "listen_lane_weights", "listen_window_calls"),
    ),
    "recordings": ("max_call_minutes", "max_recording_bytes"),
    "transcripts": ("pii_keep_last", "chinese_script"),
    "receiving": ("clear_transcripts",),
    "baselines": ("baseline_window_days",),
    "judging": (
        *("baseline_refresh_s", "background_timeout_s", "contacts_lookup"),
        *("rules_folder", "rules_public_keys", "sentence_model", "sentence_min_cosine", "sound_mergers"),
        *("score_forms_folder", "risk_file", "selection_file", "alert_min_severity"),
    ),
    "retention": ("retention_file",),
    "keeping": ("keep_every_s",),
    "sweeping": ("sweep_every_s", "intakes_keep_days"),
    "storing": ("sink_batch_messages", "sink_batch_ms"),
    "second reading": (
        *("second_reader_kind", "second_reader_model", "second_reader_secret_key"),
        *("second_reader_allow_http", "second_reader_ca_file", "second_reader_prompts_folder"),
        *("second_reader_calls", "second_reader_calls_per_day"),
        *("second_reader_tokens_per_day", "second_reader_timeout_s", "second_reader_attempts"),
        *("second_reader_parallel", "second_reader_max_tokens", "second_reader_max_characters"),
        "second_reader_format",
    ),
    "taking in": (*("intake_max_bytes", "customer_key_secret", "customer_key_version", "customer_key_former_secrets"),),
    "serving": (
        *("serve_host", "serve_port", "serve_cert_file", "serve_key_file", "serve_self_signed"),
        *("serve_min_bytes_per_s", "serve_slow_after_s", "serve_uploads", "serve_uploads_per_tenant", "serve_wait_s"),
        *("serve_requests", "serve_requests_per_s", "serve_bytes_per_s"),
        "exports_key_file",
    ),
    "people": (
        *("oidc_issuer", "oidc_client_id", "oidc_client_secret_file", "oidc_redirect_url", "oidc_audience"),
        *("oidc_ca_file", "oidc_grants_file"),
    ),
    "collecting": (
        *("collect_from", "collect_names", "collect_name_times", "collect_usual_file", "collect_settle_s"),
        *("collect_finished", "collect_lane", "collect_every_s"),
    ),
    "purging": ("clickhouse_keeper_url", "receipts_key_file"),
    "playing": ("play_host", "play_port", "play_requests", "play_most_bytes"),
    "relaying": ("relay_every_s", "outbox_keep_days"),
    "auditing": (
        *("audit_origin", "audit_key_file", "audit_checkpoint_s", "audit_keep_days", "audit_lock_days"),
        *("audit_checkpoint_url", "audit_checkpoint_secret", "audit_checkpoint_allow_private"),
        *("audit_checkpoint_ca_file", "audit_technical_accounts", "clickhouse_users_file"),
    ),
    "surges": ("surge_weeks", "surge_min_count", "surge_ratio", "surge_every_s"),
    "reconciliation": ("reconcile_grace_minutes", "reconcile_days", "reconcile_every_s"),
    "rollups": ("rollup_every_s", "kpis_file"),
    "healing": ("heal_per_s",),
    "first contacts": ("first_contact_days",),
    EVERY_WORKER: (
        *("timezone", "tenants_file", "retry_max_wait_s", "dead_letter_streak_limit", "stuck_after_minutes"),
        *("finish_within_s", "data_dir", "cache_dir", "secrets_dir", "log_level", "log_format", "tracing"),
        "metrics_address",
    ),
}
"""Who needs which settings (`streams.topology` names these groups). What stands in none is for commands alone.

What a component declares is in the group of its folder (`_FOUND_IN`), unless it stands here.
"""


@cache
def engines() -> dict[str, type[EngineSettings]]:
    """Every speech engine that there is, by the word that chooses it. Raises `FoundError`."""
    found: dict[str, type[EngineSettings]] = {}
    for folder in (ENGINES, SPEECH_SERVICES):
        for kind, each in find_kinds(folder, EngineSettings).items():  # type: ignore[type-abstract] # can be built
            if found.setdefault(kind, each) is not each:
                raise FoundError(f"{kind} is the kind of {found[kind].__module__} and of {each.__module__}")
    return found


@cache
def object_stores() -> dict[str, type[ObjectStoreSettings]]:
    """Every kind of object store that there is, by the word that chooses it. Raises `FoundError`."""
    return find_kinds(OBJECT_STORES, ObjectStoreSettings)  # type: ignore[type-abstract] # what is found can be built


@cache
def key_wrappers() -> dict[str, type[KeyWrapperSettings]]:
    """Every place where wrapping keys may be kept, by the word that chooses it. Raises `FoundError`."""
    return find_kinds(KEY_WRAPPERS, KeyWrapperSettings)  # type: ignore[type-abstract] # what is found can be built


def _require_engine(name: str) -> str:
    return _require_one_of(engines(), name)


def _require_object_store(name: str) -> str:
    return _require_one_of(object_stores(), name)


def _require_key_wrapper(name: str) -> str:
    return _require_one_of(key_wrappers(), name)


def _require_one_of(found: Mapping[str, object], name: str) -> str:
    if name not in found:
        *most, last = (f"'{kind}'" for kind in sorted(found))
        choices = f"{', '.join(most)} or {last}" if most else last
        raise PydanticCustomError("kind", "input should be {choices}", {"choices": choices})
    return name


class Settings(SettingsPart):
    """The settings of one process. Secrets are `SecretStr` and never printed.

    Here stand those of the pipeline as a whole. Engines, object stores, key wrappers and detectors declare their own,
    which `part` gives: `settings.part(WhisperSettings).whisper_model`.
    """

    _parts: tuple[SettingsPart, ...] = PrivateAttr(default=())
    _from_secrets: Mapping[str, str] = PrivateAttr(default_factory=dict)

    kafka_bootstrap: str = Field(default="127.0.0.1:9092", description="Kafka brokers, host:port[,host:port…]")
    kafka_flavour: Literal["apache", "tansu"] = Field(
        default="apache", description="tansu: one record per batch, because its offsets are wrong otherwise"
    )
    kafka_topics_file: OptionalPath = Field(
        default=None,
        description="YAML file of how many partitions topics have and how long they are kept (docs/kafka.md), for "
        "`topics apply` and `up`; empty: as declared, which is right for one machine",
    )
    kafka_replication_factor: int = Field(default=1, ge=1, description="of the topics that `topics apply` creates")
    kafka_min_insync_replicas: int = Field(
        default=0,
        ge=0,
        description="so many replicas must have a message before it is acknowledged; 0: two where there are three or "
        "more, else one",
    )
    kafka_masked_days: int = Field(
        default=MASKED_DAYS,
        ge=1,
        le=400,
        description="so many days `topics apply` lets Kafka keep topics with masked text (transcripts, analyses, "
        "alerts); what `store` and `notify` have not read by then is lost to them",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="how to speak to Kafka"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="used with SASL_*"
    )
    kafka_sasl_username: str = Field(default="", description="used with SASL_*")
    kafka_sasl_password: SecretStr = Field(default=SecretStr(""), description="used with SASL_*")
    kafka_ca_file: OptionalPath = Field(default=None, description="CA certificate for SSL and SASL_SSL (PEM)")
    kafka_ssl_certificate_file: OptionalPath = Field(
        default=None, description="certificate of this client, with its chain (PEM), for brokers that ask for one"
    )
    kafka_ssl_key_file: OptionalPath = Field(default=None, description="the private key of that certificate (PEM)")
    kafka_ssl_key_password: SecretStr = Field(
        default=SecretStr(""), description="the password of that key; empty: it has none"
    )

    clickhouse_url: SecretStr = Field(
        default=SecretStr("http://callstream@127.0.0.1:8123/callstream"),
        description="http(s)://user:password@host:port/database",
    )
    clickhouse_users_file: OptionalPath = Field(
        default=None,
        description="YAML file of the people who may query ClickHouse (docs/roles.md): `up` lets them in, `roles` "
        "prints what a server needs",
    )
    clickhouse_keeper_url: SecretStr = Field(
        default=SecretStr(""),
        description="as clickhouse_url, by an account that may take calls out of the tables (role custody_keeper); "
        "empty: by that of clickhouse_url",
    )
    receipts_key_file: OptionalPath = Field(
        default=None,
        description="the private key (PEM, Ed25519) that signs what was destroyed; made where there is none, by "
        "default <data_dir>/keys/receipts.pem",
    )
    clickhouse_cluster: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_.-]*$",
        description="a cluster in `remote_servers` to spread the tables over (docs/operations.md#a-cluster); "
        "empty: one server",
    )

    store_kind: Annotated[str, AfterValidator(_require_object_store)] = Field(
        default="folder",
        description="a folder, or any S3",
        json_schema_extra=lambda schema: schema.update(enum=[*object_stores()]),
    )
    store_bucket: str = Field(
        default="callstream", pattern=r"^[a-z0-9][a-z0-9.-]{1,62}$", description="bucket of recordings and transcripts"
    )
    archive_to: OptionalInbox = Field(
        default=None,
        description="where recordings and results are archived (docs/retention.md): a folder, or s3://BUCKET/; empty: "
        "in store_bucket, below archive/. Do not change it while anything lies there",
    )
    archive_s3_endpoint: str = Field(
        default="",
        pattern=r"^[^/\s]*$",
        description="archive in a bucket elsewhere: host:port, without https://; empty: at that of the s3 store, "
        "by its settings",
    )
    archive_s3_secure: bool = Field(default=True, description="archive in a bucket elsewhere: TLS")
    archive_s3_region: str = Field(default="us-east-1", description="archive in a bucket elsewhere: region")
    archive_s3_access_key: str = Field(default="", description="archive in a bucket elsewhere: access key")
    archive_s3_secret_key: SecretStr = Field(
        default=SecretStr(""), description="archive in a bucket elsewhere: secret key"
    )

    register_url: SecretStr = Field(
        default=SecretStr(""),
        description="the register of keys and of what is taken in (docs/custody.md): "
        "postgresql+pg8000://user:password@host:port/database, or sqlite:// and three slashes before a path; empty: "
        "SQLite in <data_dir>/register",
    )
    register_ca_file: OptionalPath = Field(
        default=None, description="CA certificate of a PostgreSQL register (PEM) in place of the usual ones"
    )
    register_allow_plain: bool = Field(
        default=False,
        description="a PostgreSQL register on another machine may be spoken to without TLS: its password and what it "
        "answers cross the network in clear",
    )
    key_wrapper: Annotated[str, AfterValidator(_require_key_wrapper)] = Field(
        default="key_ring_file",
        description="where the keys are kept that wrap all others (docs/custody.md): in files, in variables, or in the "
        "transit engine of OpenBao or HashiCorp Vault",
        json_schema_extra=lambda schema: schema.update(enum=[*key_wrappers()]),
    )

    serve_host: str = Field(
        default="127.0.0.1",
        description="address at which `serve` listens; any but one of this machine itself needs TLS",
    )
    serve_port: int = Field(default=8080, ge=0, le=65_535, description="port at which `serve` listens; 0: any")
    serve_cert_file: OptionalPath = Field(
        default=None, description="certificate of `serve` with its chain (PEM); a new one needs a restart"
    )
    serve_key_file: OptionalPath = Field(default=None, description="private key of `serve_cert_file` (PEM)")
    serve_self_signed: bool = Field(
        default=False,
        description="for trying: HTTPS with a certificate of its own, made in <data_dir>/serve, that nobody trusts",
    )
    serve_min_bytes_per_s: int = Field(
        default=1_000, ge=1, description="serve: who sends more slowly is hung up on (408)"
    )
    serve_slow_after_s: float = Field(
        default=15, gt=0, le=600, description="serve: so long a sender is waited for before its speed counts"
    )
    serve_uploads: int = Field(default=32, ge=1, le=256, description="serve: uploads taken in at the same time")
    serve_uploads_per_tenant: int = Field(
        default=24, ge=1, le=256, description="serve: of these, uploads of one tenant; the others wait"
    )
    serve_wait_s: float = Field(
        default=30, gt=0, le=600, description="serve: so long an upload waits for its turn before it is refused (429)"
    )
    serve_requests: int = Field(
        default=800, ge=1, le=50_000, description="serve: open requests, waiting ones included; more are refused (429)"
    )
    serve_requests_per_s: float = Field(
        default=100,
        ge=0,
        description="serve: requests of a tenant a second, and serve and play: of a person; ten times as many at once; "
        "0: no bound",
    )
    serve_bytes_per_s: float = Field(
        default=0, ge=0, description="serve: bytes of a tenant a second; who sends faster is held up; 0: no bound"
    )
    exports_key_file: OptionalPath = Field(
        default=None,
        description="private key that signs what exports hand out (Ed25519, PEM; docs/exports.md); unless it is "
        "given, one in <data_dir>/keys is made at first use",
    )
    person_token: SecretStr = Field(
        default=SecretStr(""),
        description="token of your account, which commands show to `serve` (`callstream export request` and the like)",
    )

    oidc_issuer: str = Field(
        default="",
        max_length=512,
        description="an OpenID provider at which people sign in, as it calls itself: https://… (docs/people.md); "
        "empty: they have accounts and passwords here",
    )
    oidc_client_id: str = Field(default="", max_length=256, description="what callstream is called at the provider")
    oidc_client_secret_file: OptionalPath = Field(
        default=None, description="the secret that the provider gave it; none for a client that has PKCE alone"
    )
    oidc_redirect_url: str = Field(
        default="",
        max_length=512,
        description="where the provider sends people back: https://<address of serve>/v1/session/oidc/callback",
    )
    oidc_audience: str = Field(
        default="",
        max_length=512,
        description="audience of the provider's access tokens that programs may send in place of a token of ours; "
        "empty: none are taken",
    )
    oidc_ca_file: OptionalPath = Field(
        default=None, description="CA certificate of the provider (PEM) in place of the usual ones"
    )
    oidc_grants_file: OptionalPath = Field(
        default=None, description="YAML file that says which group of the provider has which role (docs/people.md)"
    )

    speech_engine: Annotated[str, AfterValidator(_require_engine)] = Field(
        default="faster-whisper",
        description="the recogniser: Whisper (settings `whisper_*`), SenseVoice, Paraformer and Zipformer "
        "(settings `sherpa_*`, extra `sherpa-onnx`), or a service with OpenAI's interface (settings `speech_api_*`); "
        "`stand-in` hears nothing and is for benchmarks and fault tests",
        json_schema_extra=lambda schema: schema.update(enum=[*engines()]),
    )
    respelling: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="put characters right that were misheard for others of the same sound, by what is usually said "
        "before and after (docs/speech.md); `auto`: only of recognisers for which that was measured to help, such as "
        "the packaged Whisper base",
    )
    pii_keep_last: str = Field(
        default="",
        description="how many last digits stay readable, by kind: bank_card:4,mobile:4; none for kinds not listed",
    )
    chinese_script: Literal["simplified", "traditional", "as_heard"] = Field(
        default="simplified", description="the script of every transcript"
    )
    clear_transcripts: Literal["refuse", "take"] = Field(
        default="refuse",
        description="receive: what becomes of a transcript that stands in clear in transcripts.received.v1; take it "
        "only where the system that writes it cannot do otherwise: Kafka's disks then hold what callers said for days",
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
    unsealed_recordings: Literal["refuse", "hear"] = Field(
        default="refuse",
        description="recordings that lie in clear end as unsupported (not_sealed), or are heard, for the time "
        "until systems of yours take them in and `callstream custody seal-recordings` has sealed those of before",
    )
    intake_max_bytes: int = Field(default=10 * 1024**3, ge=1024, description="larger recordings are not taken in")
    collect_from: OptionalInbox = Field(
        default=None,
        description="collect: where telephony leaves recordings in clear: a folder, or s3://BUCKET/PREFIX/ in the "
        "object store (docs/telephony.md)",
    )
    collect_names: str = Field(
        default="",
        description="collect: how recordings are named, as a regular expression with a group call_id; without it, each "
        "recording waits for a JSON file beside it that says what is known of the call",
    )
    collect_name_times: str = Field(
        default="%Y%m%d-%H%M%S",
        description="collect: how times in names are written: as strptime has it, or epoch_s; on the tenant's clock",
    )
    collect_usual_file: OptionalPath = Field(
        default=None, description="collect: JSON file of fields that hold for every call: tenant, roles of the channels"
    )
    collect_settle_s: float = Field(
        default=10,
        ge=0,
        description="collect: a recording without a JSON file is finished when it has not changed for so long; 0 where "
        "recordings are moved in whole",
    )
    collect_finished: Literal["delete", "keep"] = Field(
        default="delete",
        description="collect: what becomes of a recording in clear once it is sealed: delete it, or keep it in done/",
    )
    collect_lane: Literal["live", "backfill"] = Field(
        default="live",
        description="collect: backfill where the inbox holds recordings of the past, for which no live call is to wait",
    )
    collect_every_s: float = Field(default=0.5, gt=0, description="collect: pause between two looks")
    play_host: str = Field(
        default="127.0.0.1",
        description="address at which `play` listens; any but one of this machine itself needs the certificate of "
        "`serve` (serve_cert_file)",
    )
    play_port: int = Field(default=8081, ge=0, le=65_535, description="port at which `play` listens; 0: any")
    play_requests: int = Field(
        default=200,
        ge=1,
        le=10_000,
        description="play: open requests, a quarter of them of one person at most; more are refused (429)",
    )
    play_most_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=64 * 1024,
        le=256 * 1024 * 1024,
        description="play: so much of a recording is sent at most for one range, so that who hangs up has not made "
        "the rest be decoded",
    )
    sweep_every_s: float = Field(
        default=60,
        gt=0,
        description="sweep: pause between two rounds; what was stored and not announced for longer is announced, what "
        "was given up is removed",
    )
    intakes_keep_days: int = Field(
        default=30,
        ge=1,
        le=3_650,
        description="sweep: so long the register keeps what it knows of a recording that was taken in, by which the "
        "same upload once more is the same call",
    )
    keep_every_s: float = Field(
        default=300, gt=0, description="keep: pause between two rounds through what is due (docs/retention.md)"
    )
    convert_recordings_to: Annotated[RecordingFormat | None, BeforeValidator(_unset_when_empty)] = Field(
        default=None,
        description="listen: keep a copy of each recording in this format beside it (R13): wav, mp3, flac or opus; "
        "tenants_file may name another for a tenant",
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

    timezone: str = Field(
        default=DEFAULT_ZONE,
        description="time zone of the days and hours of tenants that have no other in tenants_file, by its IANA name",
    )
    tenants_file: OptionalPath = Field(
        default=None,
        description="YAML file of what differs between tenants: time zone, quality band of call duration (R42); see "
        "docs/operations.md#tenants",
    )
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

    reconcile_grace_minutes: int = Field(
        default=15,
        ge=1,
        le=7 * 24 * 60,
        description="reconcile: a call that the exchange lists counts as not received when no event of it has come so "
        "long after its end (R39)",
    )
    reconcile_days: int = Field(
        default=31,
        ge=1,
        le=400,
        description="reconcile: calls that ended longer ago are not looked for, when a list of them is imported",
    )
    reconcile_every_s: float = Field(default=60, gt=0, description="reconcile: pause between two checks")

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
    rules_public_keys: OptionalPath = Field(
        default=None,
        description="a public key, or a folder of them (*public*.pem): published packs must be signed with one of "
        "them; without any, whoever writes to Kafka changes the rules (`up` and `demo` make a key pair of their own)",
    )
    rules_private_key_file: OptionalPath = Field(
        default=None, description="the private key that `callstream rules publish` signs with; workers need none"
    )
    backup_to: OptionalInbox = Field(
        default=None,
        description="where `callstream backup` keeps backups (docs/backup.md): a folder, or s3://BUCKET/PREFIX/",
    )
    backup_keys_to: OptionalInbox = Field(
        default=None,
        description="where it keeps the wrapped keys, apart from the rest; empty: below `backup_to`",
    )
    backup_private_key_file: OptionalPath = Field(
        default=None, description="the private key that signs backups; made by `callstream backup keygen`"
    )
    backup_public_keys: OptionalPath = Field(
        default=None,
        description="a public key, or a folder of them (*public*.pem): who verifies and restores needs no private key",
    )
    backup_sealing_key_file: OptionalPath = Field(
        default=None, description="the key that seals rows in backups; without it they lie compressed, in clear"
    )
    backup_keys_sealing_key_file: OptionalPath = Field(
        default=None, description="the key that seals the wrapped keys in backups once more"
    )
    backup_s3_endpoint: str = Field(
        default="127.0.0.1:9000", pattern=r"^[^/\s]+$", description="backups in a bucket: host:port, without https://"
    )
    backup_s3_secure: bool = Field(default=True, description="backups in a bucket: TLS")
    backup_s3_region: str = Field(default="us-east-1", description="backups in a bucket: region")
    backup_s3_access_key: str = Field(default="", description="backups in a bucket: access key")
    backup_s3_secret_key: SecretStr = Field(default=SecretStr(""), description="backups in a bucket: secret key")
    sentence_model: Literal["off", "use"] = Field(
        default="off",
        description="find topics by meaning as well: `use`, the Universal Sentence Encoder (extra `sentences`)",
    )
    sentence_min_cosine: float = Field(
        default=0.6, gt=0, le=1, description="how close a sentence must be to one of a topic; see docs/rules.md"
    )
    sound_mergers: str = Field(
        default="z_zh,c_ch,s_sh,an_ang,en_eng,in_ing",
        description="sounds that rules and searches as heard treat alike, of z_zh, c_ch, s_sh, n_l, f_h, r_l, an_ang, "
        "en_eng, in_ing",
    )
    score_forms_folder: OptionalPath = Field(
        default=None,
        description="a folder with your own YAML score forms; each replaces a shipped one (R57)",
    )
    risk_file: OptionalPath = Field(
        default=None, description="a YAML file with risk parts and thresholds, instead of the shipped one (R49)"
    )
    selection_file: OptionalPath = Field(
        default=None,
        description="a YAML file with what selects a call for review, instead of the shipped one (R49)",
    )
    retention_file: OptionalPath = Field(
        default=None, description="a YAML file with retention classes, instead of the shipped one (R16)"
    )

    kpis_file: OptionalPath = Field(
        default=None,
        description="a YAML file with KPIs and targets of your own; see docs/kpis-of-your-own.md",
    )

    alert_min_severity: Literal["info", "low", "medium", "high", "critical"] = Field(
        default="high", description="judge: findings of this severity or above raise an alert"
    )
    subscriptions_file: OptionalPath = Field(
        default=None, description="YAML file that says who is notified of which alerts, and how; without it, nobody is"
    )
    reports_file: OptionalPath = Field(
        default=None, description="YAML file that says which KPIs are mailed to whom and how often; see docs/reports.md"
    )
    console_url: Annotated[str, AfterValidator(_console_url)] = Field(
        default="",
        description="where people open a call, for links in alerts, views, dashboards and search: "
        "https://console.example/calls/{tenant_id}/{call_id}?t={second} ({ms} is there, too), or the beginning of such "
        "links alone; empty: no links. `callstream migrate` puts it into the views",
    )

    second_reader_url: OptionalHttpUrl = Field(
        default=None,
        description="endpoint that reads masked transcripts (docs/second-reader.md), such as "
        "https://llm.example.internal/v1/chat/completions; without it nothing is sent",
    )
    second_reader_kind: Literal["chat", "hook"] = Field(
        default="chat", description="a chat endpoint as of OpenAI, or a system of your own with a signed request"
    )
    second_reader_model: str = Field(
        default="",
        max_length=200,
        description="name of the model, as the endpoint knows it; each reads a call once",
    )
    second_reader_secret_key: SecretStr = Field(
        default=SecretStr(""), description="key of the endpoint (Bearer); of a hook the secret that signs, whsec_…"
    )
    second_reader_allow_http: bool = Field(
        default=False,
        description="the endpoint may be http:// on another machine: text crosses the network in clear",
    )
    second_reader_ca_file: OptionalPath = Field(
        default=None, description="CA certificates (PEM) of the endpoint in place of the usual ones"
    )
    second_reader_prompts_folder: OptionalPath = Field(
        default=None, description="a folder with prompt packs of your own, for a tenant or for all"
    )
    second_reader_calls: Literal["selected", "all"] = Field(
        default="selected",
        description="which calls are read: those that were selected for review or have a risk above low, or all",
    )
    second_reader_calls_per_day: int = Field(
        default=1_000, ge=0, description="calls of a tenant that are read in a day of the tenant; 0: no bound"
    )
    second_reader_tokens_per_day: int = Field(
        default=0, ge=0, description="tokens that a tenant may cost in a day; 0: no bound"
    )
    second_reader_timeout_s: float = Field(default=60, gt=0, le=600, description="so long an answer may take")
    second_reader_attempts: int = Field(
        default=3, ge=1, le=10, description="how often a call is tried where the endpoint fails"
    )
    second_reader_parallel: int = Field(default=2, ge=1, le=64, description="calls that are read at the same time")
    second_reader_max_tokens: int = Field(default=2_000, ge=50, le=16_000, description="of an answer")
    second_reader_max_characters: int = Field(
        default=30_000, ge=100, description="longer transcripts are not read (too_long)"
    )
    second_reader_format: Literal["json_schema", "json_object", "text"] = Field(
        default="json_schema",
        description="form that the chat endpoint is asked for; a looser one where it knows no schemas",
    )

    relay_every_s: float = Field(
        default=1, gt=0, description="relay: pause between two looks into the outbox of the register"
    )
    outbox_keep_days: int = Field(
        default=7, ge=1, description="relay: so long the register keeps events that are in Kafka"
    )

    audit_origin: str = Field(
        default="callstream",
        pattern=r"^[^\s+]{1,128}$",
        description="audit: name of the log and of the key that signs it, in every checkpoint: one of its own for each "
        "installation, such as callstream.example.com",
    )
    audit_key_file: OptionalPath = Field(
        default=None,
        description="audit: private key (Ed25519, PEM) that signs the log; default <data_dir>/keys/audit-private.pem, "
        "made at the first start",
    )
    audit_checkpoint_s: float = Field(
        default=60,
        gt=0,
        le=60,
        description="audit: so long after an entry it is signed over at the latest",
    )
    audit_keep_days: int = Field(
        default=400,
        ge=365,
        description="audit: so long entries are kept; at least a year (R92). Their places in the tree stay for ever",
    )
    audit_lock_days: int = Field(
        default=0,
        ge=0,
        description="audit: checkpoints in the object store may not be removed by anybody for so long (object lock in "
        "compliance mode); 0 for buckets that cannot lock",
    )
    audit_checkpoint_url: SecretStr = Field(
        default=SecretStr(""), description="audit: webhook that is told of each checkpoint, signed as alerts are; https"
    )
    audit_checkpoint_secret: SecretStr = Field(
        default=SecretStr(""), description="audit: secret of that webhook: whsec_ and base64 of 24 to 64 bytes"
    )
    audit_checkpoint_allow_private: bool = Field(
        default=False, description="audit: the webhook may have a private address, and an http:// URL"
    )
    audit_checkpoint_ca_file: OptionalPath = Field(
        default=None, description="audit: CA certificates (PEM) of the webhook, in place of the usual ones"
    )
    audit_technical_accounts: str = Field(
        default="",
        description="audit: ClickHouse accounts of programs, separated by commas, whose queries are no entries; beside "
        "the one in clickhouse_url and those of clickhouse_users_file with a technical role",
    )

    sink_batch_messages: int = Field(default=500, ge=1, description="store: messages per insert at most")
    sink_batch_ms: int = Field(default=1_000, ge=1, description="store: wait at most this long to fill a batch")
    listen_at_once: int = Field(
        default=2,
        ge=1,
        le=64,
        description="listen: calls of one worker that are under way at the same time; a recogniser on a CPU shares its "
        "threads between them, a service or a GPU hears them side by side",
    )
    listen_lane_weights: str = Field(
        default="live:8,backfill:1,redo:1",
        description="listen: how much of its time each lane gets while others wait, too; nobody waits for ever",
    )
    listen_window_calls: int = Field(
        default=20_000,
        ge=10,
        le=1_000_000,
        description="listen: calls of one lane that a worker reads ahead, to choose fairly among them; some 3 kB each",
    )
    retry_max_wait_s: float = Field(
        default=30, gt=0, description="longest pause between two attempts at the same message"
    )
    dead_letter_streak_limit: int = Field(
        default=1_000,
        ge=1,
        description="a stage that refuses this many messages in a row stops: the code is wrong, not the messages",
    )
    dead_letter_retries: int = Field(
        default=3,
        ge=1,
        le=100,
        description="a message that was published again so often, and refused each time, is published once more only "
        "with `callstream dead-letters retry --again-anyway`",
    )
    stuck_after_minutes: int = Field(
        default=15,
        ge=1,
        description="a worker that is at one message (store: one batch) for longer than this ends itself, unless it "
        "hears a recording: that may take ten times its length; after three times the message becomes a dead letter",
    )
    finish_within_s: float = Field(
        default=8,
        ge=1,
        le=4 * 3600,
        description="so long a worker that is asked to stop, or whose stage is paused or drained, may take to finish "
        "what it is at; what is not finished by then is handed back, and another worker does it. Whatever stops "
        "workers must wait longer (systemd TimeoutStopSec, Kubernetes terminationGracePeriodSeconds)",
    )
    observe_every_s: float = Field(
        default=15, gt=0, description="observe: pause between two rounds of measuring what waits"
    )
    heal_per_s: float = Field(
        default=10,
        gt=0,
        le=1000,
        description="so many calls a second at most are judged again that were judged without what ClickHouse knows",
    )
    processing_objective_s: int = Field(
        default=900, ge=1, description="a call without outcome for longer than this counts as unaccounted"
    )
    status_days: int = Field(
        default=8,
        ge=1,
        description="status, observe: outcomes, calls without one and dead letters are counted of so many last days. "
        "What is older and still without outcome is found by callstream check data",
    )

    customer_key_secret: SecretStr = Field(
        default=SecretStr(""),
        description="the secret that turns a phone number into customer.key (R30); never stored in ClickHouse",
    )
    customer_key_version: int = Field(
        default=1,
        ge=0,
        le=1_000_000,
        description="version of customer_key_secret, one higher for each new secret (docs/custody.md#customer-keys); "
        "0: as before there were versions, alike for all tenants",
    )
    customer_key_former_secrets: SecretStr = Field(
        default=SecretStr(""),
        description='secrets of versions that searches still ask for, as JSON: {"1": "its secret"}; that of version '
        "0 is customer_key_secret, unless it stands here",
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
    secrets_dir: OptionalPath = Field(
        default=None,
        description="folder with a file for each secret, named as the setting (kafka_sasl_password), as Docker and "
        "Kubernetes mount them; a worker reads those of its stage. A variable of the same name comes first",
    )
    maven_url: str = Field(
        default="https://repo1.maven.org/maven2",
        description="where `callstream up` fetches the jars of Apache Kafka; or a mirror of Maven Central",
    )
    metrics_address: str = Field(
        default="",
        description="where a worker tells its metrics and how it is (/metrics, /livez, /readyz, /startupz): host:port, "
        "port 0 for a free one; empty: nowhere. `up` and `worker` with several stages choose a port for each",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="of every process")
    tracing: Literal["off", "otlp"] = Field(
        default="off",
        description="otlp: traces of calls go where OTEL_EXPORTER_OTLP_ENDPOINT says; needs the extra `tracing` "
        "(docs/operations.md#traces)",
    )
    log_format: Literal["text", "json"] = Field(
        default="text",
        description="json: a line of JSON for each entry, with stage, topic, call and class of an error "
        "(docs/operations.md#logs)",
    )

    @property
    def days(self) -> TenantDays:
        """Whose day is when. Reads the file; raises `TenantsError`."""
        return TenantDays.of(self.timezone, read_tenants(self.tenants_file))

    @property
    def customer_keys(self) -> CustomerKeys:
        """What turns phone numbers into customer keys."""
        secret = self.customer_key_secret.get_secret_value()
        former = _secrets_by_version(self.customer_key_former_secrets)
        return CustomerKeys(self.customer_key_version, {0: secret} | former | {self.customer_key_version: secret})

    @field_validator("metrics_address")
    @classmethod
    def _is_host_and_port(cls, address: str) -> str:
        if address:
            host_and_port(address)
        return address

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

    @field_validator("register_url")
    @classmethod
    def _is_a_register_url(cls, url: SecretStr) -> SecretStr:
        """Checked here for the same reason."""
        text = url.get_secret_value()
        try:
            parts = urlsplit(text)
            postgresql = parts.scheme == "postgresql+pg8000" and parts.hostname and parts.port != 0
            fits = bool(postgresql and parts.path.strip("/")) or re.fullmatch(r"sqlite:////[^?#]+", text) is not None
        except ValueError:
            fits = False
        if text and not fits:
            raise ValueError(
                "it must be postgresql+pg8000://user:password@host:port/database, special characters as %XX, or "
                "sqlite:////absolute/path"
            )
        return url

    @model_validator(mode="after")
    def _settings_fit_each_other(self, info: ValidationInfo) -> Self:
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password.get_secret_value()
        ):
            raise ValueError(
                f"kafka_security_protocol {self.kafka_security_protocol} needs kafka_sasl_username and "
                "kafka_sasl_password"
            )
        self._require_a_whole_client_certificate()
        self._require_a_broker_that_may_be_away()
        self._require_a_safe_address()
        self._require_a_whole_provider()
        groups = (info.context or {}).get(_GROUPS_READ)
        # Others are only told that there is one (`what runs`), and not what it needs.
        if self.second_reader_url is not None and (groups is None or "second reading" in groups):
            self._require_a_reader(self.second_reader_url)
        return self

    def _require_a_whole_client_certificate(self) -> None:
        """Raises `ValueError`."""
        if (self.kafka_ssl_certificate_file is None) != (self.kafka_ssl_key_file is None):
            raise ValueError("kafka_ssl_certificate_file and kafka_ssl_key_file belong together: give both, or neither")
        if self.kafka_ssl_certificate_file is not None and not self.kafka_security_protocol.endswith("SSL"):
            raise ValueError(
                f"kafka_ssl_certificate_file is not used with kafka_security_protocol {self.kafka_security_protocol}: "
                "set SSL or SASL_SSL"
            )

    def _require_a_broker_that_may_be_away(self) -> None:
        """Raises `ValueError`."""
        needed, replicas = self.kafka_min_insync_replicas, self.kafka_replication_factor
        if needed > replicas:
            raise ValueError(
                f"kafka_min_insync_replicas {needed} is more than kafka_replication_factor {replicas}: nothing could "
                "be written"
            )
        if needed == replicas > 1:
            raise ValueError(
                f"kafka_min_insync_replicas {needed} is as many as kafka_replication_factor {replicas}: everything "
                "would stop whenever one broker is away; set one less"
            )

    def _require_a_safe_address(self) -> None:
        """Raises `ValueError`."""
        if (self.serve_cert_file is None) != (self.serve_key_file is None):
            raise ValueError("serve_cert_file and serve_key_file belong together: give both, or neither")
        if self.serve_cert_file is not None and self.serve_self_signed:
            raise ValueError("serve_self_signed makes a certificate of its own: leave out serve_cert_file, or it")
        if not (self.serves_tls or _is_this_machine(self.play_host)):
            raise ValueError(
                "play_host can be reached from other machines: give serve_cert_file and serve_key_file, or recordings "
                "would cross the network in clear"
            )
        if not (self.serves_tls or _is_this_machine(self.serve_host)):
            raise ValueError(
                "serve_host can be reached from other machines: give serve_cert_file and serve_key_file, or keys and "
                "recordings would cross the network in clear"
            )

    def _require_a_whole_provider(self) -> None:
        """Raises `ValueError`."""
        if not self.oidc_issuer:
            return
        for name in ("oidc_issuer", "oidc_redirect_url"):
            parts = urlsplit(getattr(self, name))
            if not parts.hostname or (parts.scheme != "https" and not _is_this_machine(parts.hostname)):
                raise ValueError(f"{name} must be https://…, or tokens would cross the network in clear")
        if not self.oidc_client_id:
            raise ValueError("oidc_issuer needs oidc_client_id, which the provider gives")
        if self.oidc_audience == self.oidc_client_id:
            raise ValueError(
                "oidc_audience must be another than oidc_client_id: the tokens that sign people in would open the API"
            )

    @property
    def serves_tls(self) -> bool:
        """Whether `serve` speaks HTTPS."""
        return self.serve_cert_file is not None or self.serve_self_signed

    def _require_a_reader(self, url: str) -> None:
        """Raises `ValueError`."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme == "http" and not _is_this_machine(host) and not self.second_reader_allow_http:
            raise ValueError(
                "second_reader_url is http:// on another machine: use https://, or set second_reader_allow_http where "
                "the network between may see what was said"
            )
        if self.second_reader_kind == "chat" and not self.second_reader_model:
            raise ValueError("second_reader_url needs second_reader_model, the name of the model")
        if self.second_reader_kind == "hook":
            try:
                standard_webhooks_key(self.second_reader_secret_key)
            except ValueError:
                raise ValueError(
                    "second_reader_kind hook needs second_reader_secret_key: whsec_ and base64 of 24 to 64 bytes"
                ) from None

    @field_validator("customer_key_former_secrets")
    @classmethod
    def _are_secrets_by_version(cls, text: SecretStr) -> SecretStr:
        fits = True
        try:
            _secrets_by_version(text)
        except ValueError:
            fits = False
        if not fits:  # outside of the except block: nothing of the text rides along
            raise PydanticCustomError("secrets", 'write it as {"1": "its secret", "2": "its secret"}')
        return text

    @field_validator("timezone")
    @classmethod
    def _is_known_here(cls, name: str) -> str:
        try:
            time_zone(name)
        except ValueError:
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

    @field_validator("listen_lane_weights")
    @classmethod
    def _weighs_every_lane(cls, text: str) -> str:
        try:
            weights = _weights_of(text)
        except ValueError:
            weights = {}
        if set(weights) != set(LANES) or not all(0.01 <= weight <= 1_000 for weight in weights.values()):
            raise PydanticCustomError(
                "listen_lane_weights", f"write it as live:8,backfill:1,redo:1: each of {', '.join(LANES)}, 0.01 to 1000"
            )
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
    def lane_weights(self) -> dict[str, float]:
        """Lane of `listen` → its weight."""
        return _weights_of(self.listen_lane_weights)

    def part(self, model: type[P]) -> P:
        """The settings that a component declared; its defaults where none were read."""
        return part_of(self._parts, model)

    @property
    def parts(self) -> tuple[SettingsPart, ...]:
        """Those of engines, object stores, key wrappers and detectors that are not all defaults."""
        return self._parts

    def with_parts(self, *parts: SettingsPart) -> Self:
        """The same settings, with these in place of those of the same components."""
        changed = self.model_copy()
        kept = (part for part in self._parts if type(part) not in {type(each) for each in parts})
        # Defaults are left out, so that equal settings are equal however they came about.
        changed._parts = tuple(part for part in (*kept, *parts) if part != type(part)())
        return changed

    @property
    def engine(self) -> EngineSettings:
        """Those of the speech engine that is chosen."""
        return self.part(engines()[self.speech_engine])

    @property
    def object_store(self) -> ObjectStoreSettings:
        """Those of the kind of object store that is chosen."""
        return self.part(object_stores()[self.store_kind])

    @property
    def key_wrapper_settings(self) -> KeyWrapperSettings:
        """Those of the place where wrapping keys are kept."""
        return self.part(key_wrappers()[self.key_wrapper])

    def values(self) -> dict[str, object]:
        """Every setting with its value, also those of components, in the order of `setting_fields`."""
        return {
            name: getattr(self if owner is Settings else self.part(owner), name) for name, owner in _owners().items()
        }

    def environment(self, groups: Collection[str] | None = None) -> dict[str, str]:
        """These settings as `CALLSTREAM_*` variables, for a child process, secrets in clear.

        All of them, or those that every worker has and those of these groups (`setting_groups`).
        A path that is not set is an empty variable, so that a settings file cannot set it in the child. The others are
        absolute: the child runs in another folder. What stands in a file of `secrets_dir` the child reads there itself,
        so that one that is started again has what the file says then.
        """
        return {
            variable_of(name): _as_text(value)
            for name, value in self.values().items()
            if (groups is None or group_of(name) in (EVERY_WORKER, *groups))
            and self._from_secrets.get(name) != _as_text(value)
        }


def setting_models() -> list[type[SettingsPart]]:
    """`Settings`, and the model of every component that declares settings."""
    folders = [folder for behind in _FOUND_BEHIND.values() for folder in behind]
    found = [model for folder in folders for model in find_classes(folder, SettingsPart)]
    return [Settings, *found]


def setting_fields() -> dict[str, FieldInfo]:
    """Every setting with its field, also those of components: the latter behind the setting that chooses them.

    Raises `FoundError` where two files declare the same setting.
    """
    return {name: owner.model_fields[name] for name, owner in _owners().items()}


@cache
def _owners() -> dict[str, type[SettingsPart]]:
    """Name of a setting → the model that declares it."""
    pairs: list[tuple[str, type[SettingsPart]]] = []
    for name in Settings.model_fields:
        pairs.append((name, Settings))
        if name in _FOUND_BEHIND:
            pairs += (
                (each, model)
                for folder in _FOUND_BEHIND[name]
                for model in find_classes(folder, SettingsPart)
                for each in model.model_fields
            )
    return owners_of(pairs)


def group_of(name: str) -> str:
    """Who needs this setting: a key of `setting_groups`."""
    return _group_of_each()[name]


def setting_groups() -> dict[str, frozenset[str]]:
    """Group → its settings. What a component declares is of those who use such components."""
    groups: dict[str, set[str]] = {}
    for name, group in _group_of_each().items():
        groups.setdefault(group, set()).add(name)
    return {group: frozenset(names) for group, names in groups.items()}


@cache
def _group_of_each() -> dict[str, str]:
    own = {name: group for group, names in _GROUPS.items() for name in names}
    found = {
        name: group
        for name, owner in _owners().items()
        for folder, group in _FOUND_IN.items()
        if owner.__module__.startswith(folder)
    }
    return {name: own.get(name) or found.get(name, COMMANDS) for name in _owners()}


def owners_of(declared: Iterable[tuple[str, type[SettingsPart]]]) -> dict[str, type[SettingsPart]]:
    """Name of a setting → the model that declares it. Raises `FoundError` where two declare the same."""
    owners: dict[str, type[SettingsPart]] = {}
    for name, model in declared:
        if owners.setdefault(name, model) is not model:
            raise FoundError(f"the setting {name} is declared in {owners[name].__module__} and in {model.__module__}")
    return owners


def _secrets_by_version(text: SecretStr) -> dict[int, str]:
    """Raises `ValueError`."""
    found = json.loads(text.get_secret_value() or "{}")
    if not isinstance(found, dict):
        raise ValueError
    secrets = {int(version): secret for version, secret in found.items()}
    if not all(isinstance(secret, str) and secret for secret in secrets.values()) or min(secrets, default=0) < 0:
        raise ValueError
    return secrets


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def host_and_port(address: str) -> tuple[str, int]:
    """Of `host:port`, `[::1]:port`. Raises `ValueError`."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdecimal() and int(port) <= 65_535):
        raise ValueError("it must be host:port, such as 127.0.0.1:9464 or 0.0.0.0:9464; port 0 is a free one")
    return host, int(port)


def _weights_of(text: str) -> dict[str, float]:
    """Raises `ValueError`."""
    parts = [part.partition(":") for part in text.split(",")]
    return {name.strip(): float(weight) for name, _, weight in parts}


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
    if isinstance(value, Path):
        return str(value.absolute())
    return "" if value is None else str(value)


class SettingsError(OperatorError):
    """A setting is unknown or does not fit; the text is one sentence for each, without the value."""


@dataclass(frozen=True)
class LoadedSettings:
    """Settings, and for each where its value came from: `default`, `file`, `secrets` or `environment`."""

    settings: Settings
    origin: Mapping[str, str]


def load_settings(
    environ: Mapping[str, str] | None = None, file: Path | None = None, groups: Collection[str] | None = None
) -> LoadedSettings:
    """Read the settings. `file` (or `CALLSTREAM_CONFIG`) names the TOML file. Raises `SettingsError`.

    Of `secrets_dir` only what is in these `groups` is read (`setting_groups`), or all where none are named: a worker
    has no secret of another, also where all lie in one folder.
    """
    environ = os.environ if environ is None else environ
    if file is None and environ.get(CONFIG_VARIABLE):
        file = Path(environ[CONFIG_VARIABLE])
    owners = _owners()
    values: dict[type[SettingsPart], dict[str, object]] = {model: {} for model in setting_models()}
    origin = dict.fromkeys(owners, "default")
    problems: list[str] = []
    for name, value in _read_file(file).items() if file else ():
        if name in owners:
            values[owners[name]][name], origin[name] = value, "file"
        else:
            problems.append(f"{name} in {file} is not a setting")
    for variable, text in environ.items():
        if not variable.upper().startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        name = variable[len(PREFIX) :].lower()
        if name in owners and variable == variable_of(name):
            values[owners[name]][name], origin[name] = text, "environment"
        elif _OF_A_KUBERNETES_SERVICE.fullmatch(variable):
            log.warning("%s comes from a Kubernetes service called callstream and is no setting: ignored", variable)
        else:
            problems.append(f"{variable} is not a setting")
    folder = _secrets_folder(environ, values[Settings].get("secrets_dir"))
    from_secrets: dict[str, str] = {}
    for name, text in secrets_in(folder, groups).items() if folder else ():
        if origin[name] != "environment":
            values[owners[name]][name], origin[name], from_secrets[name] = text, "secrets", text
    if problems:
        raise SettingsError("; ".join(problems) + ". `callstream config` lists every setting.")
    read: dict[type[SettingsPart], SettingsPart] = {}
    for model, given in values.items():
        try:
            read[model] = model.model_validate(given, context={_GROUPS_READ: groups})
        except ValidationError as error:
            details = error.errors(include_input=False, include_context=False, include_url=False)
            problems += (_sentence(detail, origin, file, folder) for detail in details)
    # Raised outside of the except block: inside it, the caught error would ride along as __context__, with its input.
    if problems:
        raise SettingsError("; ".join(problems))
    settings = read.pop(Settings)
    assert isinstance(settings, Settings)  # noqa: S101 - it was read by that model
    settings = settings.with_parts(*read.values())
    settings._from_secrets = from_secrets
    if lacking := settings.engine.lacking():
        raise SettingsError(
            f"the settings do not fit each other: speech_engine {settings.speech_engine} needs {lacking}"
        )
    return LoadedSettings(settings, origin)


_GROUPS_READ = "groups"
"""In the context of a validation: the groups of settings that a worker reads; null for all."""

MAX_SECRET_BYTES = 64 * 1024


def secrets_in(folder: Path, groups: Collection[str] | None = None) -> dict[str, str]:
    """Setting → what its file in that folder says, without the line break at its end; of these `groups`, or of all.

    Names that begin with a dot are passed over: Kubernetes keeps what it exchanges under such names. Raises
    `SettingsError` for a file that is no setting, or cannot be read, or is larger than `MAX_SECRET_BYTES`.
    """
    secrets: dict[str, str] = {}
    problems: list[str] = []
    try:
        files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise SettingsError(f"secrets_dir names the folder {folder}, which cannot be read: {error.strerror}") from None
    for path in files:
        if path.name not in _owners() or path.name == "secrets_dir":
            problems.append(f"the file {path} in secrets_dir is named as no setting: rename it, or keep it elsewhere")
        elif groups is None or group_of(path.name) in (EVERY_WORKER, *groups):
            try:
                secrets[path.name] = _one_secret(path)
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8, or too large"
                problems.append(f"the file {path} in secrets_dir cannot be read: {reason}")
    # Outside of the except block: what could not be decoded would ride along as __context__.
    if problems:
        raise SettingsError("; ".join(problems))
    return secrets


def _one_secret(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(MAX_SECRET_BYTES + 1)
    text = content.decode("utf-8")
    if len(content) > MAX_SECRET_BYTES or "\0" in text:
        raise ValueError
    return text.removesuffix("\n").removesuffix("\r")


def _secrets_folder(environ: Mapping[str, str], in_file: object) -> Path | None:
    """The folder, before the settings are read as a whole: what lies in it is part of them."""
    text = environ.get(variable_of("secrets_dir"), in_file)
    return Path(text).expanduser() if isinstance(text, str) and text else None


def _sentence(detail: ErrorDetails, origin: Mapping[str, str], file: Path | None, folder: Path | None) -> str:
    message = detail["msg"].removeprefix("Value error, ")
    if not detail["loc"]:
        return f"the settings do not fit each other: {message}"
    name = str(detail["loc"][0])
    places = {"environment": variable_of(name), "secrets": f"the file {name} in {folder}"}
    where = places.get(origin.get(name, ""), f"{name} in {file}")
    return f"{where} does not fit: {message[0].lower()}{message[1:]}"


def _read_file(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"the settings file {file} does not exist") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the settings file {file} cannot be read: {type(error).__name__}: {error}") from None
