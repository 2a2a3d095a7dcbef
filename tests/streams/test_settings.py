"""Settings: where they come from, and that a wrong one stops the start with a sentence that names it."""

import json
import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from processors.listening.engines.faster_whisper import WhisperSettings
from schemas.config.settings_part import SettingsPart
from schemas.found import FoundError
from streams.adapters.object_store.folder import FolderSettings
from streams.adapters.object_store.s3 import S3Settings
from streams.cli.pages.settings import SETTINGS_FILE, settings_markdown
from streams.settings import (
    CONFIG_VARIABLE,
    PREFIX,
    Settings,
    SettingsError,
    engines,
    load_settings,
    object_stores,
    owners_of,
    setting_fields,
    variable_of,
)
from streams.topology import WORKERS, worker_stage

REPOSITORY = Path(__file__).parents[2]
PASSWORD = "tiger-lily-7"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "callstream.toml"


def refusal(environ: dict[str, str], file: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, file)
    return str(caught.value)


def test_without_anything_every_setting_has_its_default() -> None:
    loaded = load_settings({})
    assert loaded.settings == Settings()
    assert set(loaded.origin) == set(setting_fields())
    assert set(loaded.origin.values()) == {"default"}


def test_a_variable_goes_before_the_file_and_the_file_before_the_default(file: Path) -> None:
    file.write_text('kafka_bootstrap = "file:9092"\nmin_call_ms = 4000\n')
    loaded = load_settings({"CALLSTREAM_KAFKA_BOOTSTRAP": "env:9092"}, file)
    assert (loaded.settings.kafka_bootstrap, loaded.origin["kafka_bootstrap"]) == ("env:9092", "environment")
    assert (loaded.settings.min_call_ms, loaded.origin["min_call_ms"]) == (4000, "file")
    assert (loaded.settings.part(WhisperSettings).whisper_threads, loaded.origin["whisper_threads"]) == (1, "default")


def test_a_variable_names_the_file(file: Path) -> None:
    file.write_text("whisper_threads = 3\n")
    assert load_settings({CONFIG_VARIABLE: str(file)}).settings.part(WhisperSettings).whisper_threads == 3


def test_an_empty_name_of_the_file_is_no_file() -> None:
    assert load_settings({CONFIG_VARIABLE: ""}).settings == Settings()


def test_variables_of_other_programs_are_none_of_our_business() -> None:
    assert load_settings({"PATH": "/bin", "KAFKA_BOOTSTRAP": "x", "CALLSTREAMS": "x"}).settings == Settings()


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        pytest.param(
            {"CALLSTREAM_KAFKA_BOOTSTAP": "x"}, "CALLSTREAM_KAFKA_BOOTSTAP is not a setting", id="a slip of the pen"
        ),
        pytest.param({"callstream_log_level": "INFO"}, "callstream_log_level is not a setting", id="lower case"),
        pytest.param(
            {"CALLSTREAM_log_level": "INFO"}, "CALLSTREAM_log_level is not a setting", id="half in lower case"
        ),
        pytest.param({"CALLSTREAM_": "x"}, "CALLSTREAM_ is not a setting", id="no name"),
        pytest.param(
            {"CALLSTREAM_WHISPER_THREADS": "many"},
            "CALLSTREAM_WHISPER_THREADS does not fit: input should be",
            id="text",
        ),
        pytest.param(
            {"CALLSTREAM_WHISPER_THREADS": "0"}, "CALLSTREAM_WHISPER_THREADS does not fit: input should be", id="bound"
        ),
        pytest.param(
            {"CALLSTREAM_LOG_LEVEL": "info"}, "CALLSTREAM_LOG_LEVEL does not fit: input should be 'DEBUG'", id="choice"
        ),
        pytest.param({"CALLSTREAM_S3_SECURE": "perhaps"}, "CALLSTREAM_S3_SECURE does not fit: input", id="no boolean"),
        pytest.param({"CALLSTREAM_S3_SECURE": ""}, "CALLSTREAM_S3_SECURE does not fit: input", id="an empty boolean"),
        pytest.param(
            {"CALLSTREAM_RETRY_MAX_WAIT_S": "inf"}, "CALLSTREAM_RETRY_MAX_WAIT_S does not fit", id="waiting for ever"
        ),
        pytest.param(
            {"CALLSTREAM_DATA_DIR": ""}, "CALLSTREAM_DATA_DIR does not fit", id="empty would be the present folder"
        ),
        pytest.param(
            {"CALLSTREAM_DATA_DIR": "~no-such-user/x"}, "CALLSTREAM_DATA_DIR does not fit: it begins", id="whose home"
        ),
        pytest.param(
            {"CALLSTREAM_S3_ENDPOINT": "https://minio:9000"},
            "CALLSTREAM_S3_ENDPOINT does not fit: string should match",
            id="a URL where an address belongs",
        ),
        pytest.param(
            {"CALLSTREAM_DURATION_BAND_MIN_S": "480"},
            "the settings do not fit each other: duration_band_min_s must be less than duration_band_max_s",
            id="a band without width",
        ),
        pytest.param(
            {"CALLSTREAM_DURATION_FALLBACK_MIN_S": "3600"},
            "duration_fallback_min_s must be less than duration_fallback_max_s",
            id="a fallback range without width",
        ),
        *(
            pytest.param(
                {"CALLSTREAM_TIMEZONE": name},
                "CALLSTREAM_TIMEZONE does not fit: it must be a time zone that this machine knows",
                id=f"{name or 'nothing'} is no time zone",
            )
            for name in ("", "Asia/Beijing", "Asia", "+08:00", "../etc/passwd")
        ),
        pytest.param(
            {"CALLSTREAM_KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "CALLSTREAM_KAFKA_SASL_USERNAME": "svc"},
            "kafka_security_protocol SASL_SSL needs kafka_sasl_username and kafka_sasl_password",
            id="SASL without a password",
        ),
        *(
            pytest.param(
                {"CALLSTREAM_SECOND_READER_URL": url, "CALLSTREAM_SECOND_READER_MODEL": "qwen"},
                "second_reader_url is http:// on another machine",
                id=f"a second reader in clear at {url}",
            )
            for url in ("http://llm.example/v1", "http://10.0.0.8:8000/v1", "http://127.0.0.1.example/v1")
        ),
        *(
            pytest.param(
                {"CALLSTREAM_SECOND_READER_URL": url, "CALLSTREAM_SECOND_READER_MODEL": "qwen"},
                "CALLSTREAM_SECOND_READER_URL does not fit: string should match",
                id=f"no address of a second reader: {url}",
            )
            for url in ("llm.example/v1", "ftp://llm.example/v1", "https://user:key@llm.example/v1", "https://a/b#c")
        ),
        pytest.param(
            {"CALLSTREAM_SECOND_READER_URL": "https://llm.example/v1/chat/completions"},
            "second_reader_url needs second_reader_model",
            id="a second reader without a model",
        ),
        pytest.param(
            {
                "CALLSTREAM_SECOND_READER_URL": "https://nlp.example/read",
                "CALLSTREAM_SECOND_READER_KIND": "hook",
                "CALLSTREAM_SECOND_READER_SECRET_KEY": PASSWORD,
            },
            "second_reader_kind hook needs second_reader_secret_key: whsec_ and base64 of 24 to 64 bytes",
            id="a hook without a secret that signs",
        ),
        pytest.param(
            {"CALLSTREAM_SPEECH_ENGINE": "sherpa-onnx"},
            "the settings do not fit each other: speech_engine sherpa-onnx needs sherpa_model, the folder of a model",
            id="an engine without its model",
        ),
        pytest.param(
            {"CALLSTREAM_SPEECH_ENGINE": "stand-in"},
            "speech_engine stand-in needs stand_in_ear, because what it writes is made up",
            id="a stand-in by mistake",
        ),
        pytest.param(
            {"CALLSTREAM_LISTEN_LANE_WEIGHTS": "live:8,backfill:1"},
            "write it as live:8,backfill:1,redo:1: each of live, backfill, redo, 0.01 to 1000",
            id="a lane without a weight",
        ),
        pytest.param(
            {"CALLSTREAM_LISTEN_LANE_WEIGHTS": "live:8,backfill:0,redo:1"},
            "write it as live:8,backfill:1,redo:1",
            id="a lane that would wait for ever",
        ),
        pytest.param(
            {"CALLSTREAM_LISTEN_LANE_WEIGHTS": "live:much,backfill:1,redo:1"},
            "write it as live:8,backfill:1,redo:1",
            id="a weight that is no number",
        ),
        pytest.param(
            {"CALLSTREAM_SPEECH_ENGINE": "whisper"},
            "CALLSTREAM_SPEECH_ENGINE does not fit: input should be 'faster-whisper'",
            id="an engine that there is not",
        ),
        pytest.param(
            {"CALLSTREAM_WHISPER_COMPUTE_TYPE": "int9"},
            "CALLSTREAM_WHISPER_COMPUTE_TYPE does not fit: input should be 'int8', 'int8_float16'",
            id="a precision that there is not",
        ),
        pytest.param({CONFIG_VARIABLE: "/nowhere/a.toml"}, "/nowhere/a.toml does not exist", id="missing file"),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(environ: dict[str, str], sentence: str) -> None:
    assert sentence in refusal(environ)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"whisper_thread = 2", "whisper_thread in {file} is not a setting", id="a slip of the pen"),
        pytest.param(b"[kafka]\nbootstrap = 1", "kafka in {file} is not a setting", id="a table"),
        pytest.param(b"WHISPER_THREADS = 2", "WHISPER_THREADS in {file} is not a setting", id="upper case"),
        pytest.param(b"whisper_threads = 65", "whisper_threads in {file} does not fit: input should be", id="bound"),
        pytest.param(b"whisper_threads = [1]", "whisper_threads in {file} does not fit: input should be", id="a list"),
        pytest.param(b"kafka_bootstrap = 1", "kafka_bootstrap in {file} does not fit: input should be", id="a number"),
        pytest.param(b"whisper_threads = ", "{file} cannot be read: TOMLDecodeError", id="bad TOML"),
        pytest.param(b"log_level = '\xff'", "{file} cannot be read: UnicodeDecodeError", id="no UTF-8"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(file: Path, content: bytes, sentence: str) -> None:
    file.write_bytes(content)
    assert sentence.format(file=file) in refusal({}, file)


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    assert f"{tmp_path} cannot be read: IsADirectoryError" in refusal({}, tmp_path)


@pytest.mark.parametrize(
    ("variable", "found"), [("CALLSTREAM_SPEECH_ENGINE", engines()), ("CALLSTREAM_STORE_KIND", object_stores())]
)
def test_a_choice_that_there_is_not_is_answered_with_those_that_there_are(
    variable: str, found: Mapping[str, object]
) -> None:
    text = refusal({variable: "no-such"})
    assert "no-such" not in text
    assert [kind for kind in found if f"'{kind}'" not in text] == []


def test_every_unknown_name_is_told_at_once(file: Path) -> None:
    file.write_text("wrong_here = 1\n")
    text = refusal({"CALLSTREAM_WRONG_THERE": "1"}, file)
    assert f"wrong_here in {file} is not a setting" in text
    assert "CALLSTREAM_WRONG_THERE is not a setting" in text


def test_every_value_that_does_not_fit_is_told_at_once() -> None:
    text = refusal({"CALLSTREAM_WHISPER_THREADS": "0", "CALLSTREAM_LOG_LEVEL": "LOUD"})
    assert "CALLSTREAM_WHISPER_THREADS does not fit" in text
    assert "CALLSTREAM_LOG_LEVEL does not fit" in text


@pytest.mark.parametrize(
    ("text", "value"),
    [("False", False), ("false", False), ("0", False), ("no", False), ("off", False), ("True", True), ("1", True)],
)
def test_a_boolean_means_what_it_says(text: str, value: bool) -> None:
    assert load_settings({"CALLSTREAM_S3_SECURE": text}).settings.part(S3Settings).s3_secure is value


@pytest.mark.parametrize("name", ["data_dir", "cache_dir", "store_folder", "kafka_ca_file"])
def test_a_path_may_begin_with_the_home_folder(name: str, file: Path) -> None:
    file.write_text(f'{name} = "~/calls"\n')
    assert load_settings({}, file).settings.values()[name] == Path.home() / "calls"


def test_an_optional_path_that_is_empty_is_not_set() -> None:
    settings = load_settings({"CALLSTREAM_STORE_FOLDER": "", "CALLSTREAM_DATA_DIR": "/srv/calls"}).settings
    assert settings.part(FolderSettings).store_folder is None


SECRETS = [name for name, field in setting_fields().items() if field.annotation is SecretStr]
WRAPPING_KEYS = ("audio_keys", "transcript_keys", "received_keys")


def test_what_sounds_like_a_secret_is_one() -> None:
    paths = {name for name in setting_fields() if name.endswith("_file")}
    sounding = {name for name in setting_fields() if {"password", "secret"} & set(name.split("_"))} - paths
    others = {"clickhouse_url", "register_url", "speech_api_key", "customer_key_former_secrets", "person_token"}
    others |= {"clickhouse_keeper_url", "audit_checkpoint_url", *WRAPPING_KEYS}
    assert sounding | others == set(SECRETS)


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        pytest.param("", True, id="none: a file in the data folder"),
        pytest.param("sqlite:////var/lib/callstream/register.db", True, id="a file"),
        pytest.param("sqlite:///register.db", False, id="a file in whatever folder a process runs in"),
        pytest.param("sqlite://", False, id="a database in memory, which each process would have for itself"),
        pytest.param(f"postgresql+pg8000://u:{PASSWORD}@db.example.org:5432/register", True, id="PostgreSQL"),
        pytest.param(f"postgresql+pg8000://u:{PASSWORD}@db.example.org", False, id="PostgreSQL without a database"),
        pytest.param(f"postgresql+pg8000:///{PASSWORD}", False, id="PostgreSQL without a host"),
        pytest.param(f"postgresql+psycopg://u:{PASSWORD}@db.example.org/register", False, id="another driver"),
        pytest.param(f"postgresql+pg8000://u:{PASSWORD}@db:0/register", False, id="a port that there is not"),
    ],
)
def test_the_register_is_a_file_or_postgresql(url: str, fits: bool) -> None:
    if fits:
        assert load_settings({"CALLSTREAM_REGISTER_URL": url}).settings.register_url.get_secret_value() == url
        return
    with pytest.raises(SettingsError, match=r"CALLSTREAM_REGISTER_URL does not fit: it must be") as caught:
        load_settings({"CALLSTREAM_REGISTER_URL": url})
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_never_printed(name: str) -> None:
    with_secret = {
        "clickhouse_url": f"http://callstream:{PASSWORD}@127.0.0.1/callstream",
        "register_url": f"postgresql+pg8000://callstream:{PASSWORD}@127.0.0.1/register",
        "customer_key_former_secrets": json.dumps({"1": PASSWORD}),
        **dict.fromkeys(WRAPPING_KEYS, f"{PASSWORD}:{'A' * 43}="),
    }
    value = with_secret.get(name, PASSWORD)
    loaded = load_settings({variable_of(name): value})
    secret = loaded.settings.values()[name]
    assert isinstance(secret, SecretStr)
    assert secret.get_secret_value() == value
    printed = [
        repr(loaded.settings.parts),
        repr(loaded),
        str(loaded),
        repr(loaded.settings),
        str(loaded.settings),
        loaded.settings.model_dump_json(),
    ]
    assert not any(PASSWORD in text for text in [*printed, str(loaded.settings.model_dump())])


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({"CALLSTREAM_CLICKHOUSE_URL": f"postgres://u:{PASSWORD}@h/d"}, id="another scheme"),
        pytest.param({"CALLSTREAM_CLICKHOUSE_URL": f"u:{PASSWORD}@h/d"}, id="no scheme"),
        pytest.param({"CALLSTREAM_CLICKHOUSE_URL": f"http://u:x/{PASSWORD}@h/d"}, id="a slash in the password"),
        pytest.param({"CALLSTREAM_CLICKHOUSE_URL": f"http://{PASSWORD}:{PASSWORD}"}, id="a password for a port"),
        pytest.param({"CALLSTREAM_CLICKHOUSE_URL": f"http://u:{PASSWORD}@[h/d"}, id="half an IPv6 address"),
        pytest.param({"CALLSTREAM_CLICKHOUSE_URL": f"http://u:{PASSWORD}@/d"}, id="no host"),
        pytest.param({"CALLSTREAM_S3_ENDPOINT": f"http://{PASSWORD}"}, id="a secret in the wrong place"),
        pytest.param({"CALLSTREAM_LOG_LEVEL": PASSWORD}, id="a secret for a choice"),
        pytest.param({"CALLSTREAM_WHISPER_THREADS": PASSWORD}, id="a secret for a number"),
        pytest.param(
            {"CALLSTREAM_KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "CALLSTREAM_KAFKA_SASL_PASSWORD": PASSWORD},
            id="settings that do not fit each other",
        ),
    ],
)
def test_an_error_repeats_no_value(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    assert not any(PASSWORD in text for text in [repr(caught.value), *traceback.format_exception(caught.value)])
    assert caught.value.__context__ is None, "the error of the parser holds the value"


def test_an_error_repeats_no_secret_of_the_file(file: Path) -> None:
    file.write_text(f'kafka_sasl_password = ["{PASSWORD}"]\n')
    text = refusal({}, file)
    assert f"kafka_sasl_password in {file} does not fit" in text
    assert PASSWORD not in text


@pytest.mark.parametrize("line", [f"kafka_sasl_password = {PASSWORD}", f'kafka_sasl_password = "{PASSWORD}'])
def test_an_error_repeats_no_line_of_a_file_that_is_no_toml(file: Path, line: str) -> None:
    file.write_text(line + "\n")
    assert PASSWORD not in refusal({}, file)


def test_a_child_process_gets_the_same_settings(file: Path) -> None:
    settings = Settings(
        kafka_sasl_password=SecretStr(PASSWORD), crosstalk_gate_db=12.5, data_dir=Path("/srv/callstream data")
    ).with_parts(S3Settings(s3_secure=False), FolderSettings(store_folder=None))
    file.write_text('store_folder = "/elsewhere"\ns3_region = "eu-west-1"\n')
    environment = settings.environment()
    assert set(environment) == {variable_of(name) for name in setting_fields()}
    assert environment["CALLSTREAM_S3_SECURE"] == "false"
    assert load_settings(environment, file).settings == settings


def test_settings_of_components_that_are_defaults_make_no_difference() -> None:
    assert Settings().with_parts(S3Settings(), WhisperSettings()) == Settings()
    assert Settings().with_parts(S3Settings(s3_region="eu-west-1")) != Settings()
    assert Settings().with_parts(S3Settings(s3_region="eu-west-1")).with_parts(S3Settings()) == Settings()


def test_a_setting_that_two_files_declare_is_named_with_both() -> None:
    class Theirs(SettingsPart):
        s3_region: str = ""

    declared: list[tuple[str, type[SettingsPart]]] = [("s3_region", S3Settings), ("s3_region", Theirs)]
    with pytest.raises(
        FoundError, match=r"s3_region is declared in streams\.adapters\.object_store\.s3 and in tests\."
    ):
        owners_of(declared)


def test_every_setting_has_a_default() -> None:
    assert [name for name, field in setting_fields().items() if field.is_required()] == []


def test_every_setting_says_what_it_means() -> None:
    assert all(field.description for field in setting_fields().values())


def test_the_page_of_settings_is_current() -> None:
    on_disk = (REPOSITORY / SETTINGS_FILE).read_text(encoding="utf-8")
    assert on_disk == settings_markdown(), f"run `callstream config --markdown > {SETTINGS_FILE}`"


def test_the_page_of_settings_names_each_once() -> None:
    rows = [line for line in settings_markdown().splitlines() if line.startswith(f"| `{PREFIX}")]
    assert [row.split("`")[1] for row in rows] == [variable_of(name) for name in setting_fields()]


def test_the_page_of_settings_is_the_same_on_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    here = settings_markdown()
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/data")
    monkeypatch.setenv("HOME", "/home/someone")
    assert settings_markdown() == here


def test_what_kubernetes_tells_of_services_stops_no_pod(caplog: pytest.LogCaptureFixture) -> None:
    told = {
        "CALLSTREAM_SERVICE_HOST": "10.0.0.1",
        "CALLSTREAM_SERVICE_PORT": "80",
        "CALLSTREAM_SERVICE_PORT_HTTP": "80",
        "CALLSTREAM_PORT": "tcp://10.0.0.1:80",
        "CALLSTREAM_PORT_80_TCP": "tcp://10.0.0.1:80",
        "CALLSTREAM_PORT_80_TCP_PROTO": "tcp",
        "CALLSTREAM_PORT_80_TCP_PORT": "80",
        "CALLSTREAM_PORT_80_TCP_ADDR": "10.0.0.1",
        "CALLSTREAM_CLICKHOUSE_SERVICE_HOST": "10.0.0.2",
        "CALLSTREAM_CLICKHOUSE_PORT_8123_TCP_ADDR": "10.0.0.2",
    }
    loaded = load_settings(told)
    assert set(loaded.origin.values()) == {"default"}
    assert [variable for variable in told if variable not in caplog.text] == []


@pytest.mark.parametrize("variable", ["CALLSTREAM_PORTS", "CALLSTREAM_SERVICE", "CALLSTREAM_KAFKA_HOST"])
def test_what_only_looks_like_it_still_stops_the_start(variable: str) -> None:
    with pytest.raises(SettingsError, match="is not a setting"):
        load_settings({variable: "x"})


SECRET = "pass-word-of-kafka"


def secrets_folder(folder: Path, **files: str) -> dict[str, str]:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return {"CALLSTREAM_SECRETS_DIR": str(folder)}


def test_a_secret_comes_from_the_file_of_its_name(tmp_path: Path) -> None:
    loaded = load_settings(secrets_folder(tmp_path, kafka_sasl_password=SECRET + "\n", s3_secret_key=" kept \r\n"))
    assert loaded.settings.kafka_sasl_password.get_secret_value() == SECRET
    assert loaded.settings.part(S3Settings).s3_secret_key.get_secret_value() == " kept "
    assert (loaded.origin["kafka_sasl_password"], loaded.origin["clickhouse_url"]) == ("secrets", "default")


def test_a_variable_comes_before_a_secret_and_a_secret_before_the_settings_file(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    environ = secrets_folder(folder, kafka_sasl_password="of folder", kafka_sasl_username="of folder")
    file = tmp_path / "callstream.toml"
    file.write_text(f'kafka_sasl_username = "of file"\nsecrets_dir = "{folder}"\n', encoding="utf-8")
    for given in (environ, {}):  # the folder may stand in the file, too
        loaded = load_settings(given | {"CALLSTREAM_KAFKA_SASL_PASSWORD": "of variable"}, file)
        assert loaded.settings.kafka_sasl_password.get_secret_value() == "of variable"
        assert loaded.settings.kafka_sasl_username == "of folder"


def test_what_kubernetes_keeps_beside_secrets_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "..2026_12_01").mkdir()
    (tmp_path / "..2026_12_01" / "kafka_sasl_password").write_text(SECRET, encoding="utf-8")
    (tmp_path / "..data").symlink_to("..2026_12_01")
    (tmp_path / "kafka_sasl_password").symlink_to("..data/kafka_sasl_password")
    loaded = load_settings({"CALLSTREAM_SECRETS_DIR": str(tmp_path)})
    assert loaded.settings.kafka_sasl_password.get_secret_value() == SECRET


def test_a_worker_reads_the_secrets_of_its_stage_alone(tmp_path: Path) -> None:
    environ = secrets_folder(tmp_path, kafka_sasl_password=SECRET, customer_key_secret="c" * 40)
    settings = load_settings(environ, groups=worker_stage("judge").setting_groups).settings
    assert settings.kafka_sasl_password.get_secret_value() == SECRET
    assert settings.customer_key_secret.get_secret_value() == ""


@pytest.mark.parametrize(
    "reader",
    [
        {
            "second_reader_url": "http://llm.example/v1/chat/completions",
            "second_reader_model": "qwen",
            "second_reader_allow_http": "true",
        },
        {
            "second_reader_url": "https://nlp.example/read",
            "second_reader_kind": "hook",
            "second_reader_secret_key": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        },
    ],
    ids=["a language model", "a hook"],
)
@pytest.mark.parametrize("stage", [stage.name for stage in WORKERS])
def test_every_worker_starts_with_what_it_is_given_of_a_second_reader(reader: dict[str, str], stage: str) -> None:
    settings = load_settings({f"CALLSTREAM_{name.upper()}": value for name, value in reader.items()}).settings
    groups = worker_stage(stage).setting_groups
    given = settings.environment(groups)
    loaded = load_settings(given, groups=groups).settings
    if {"what runs", "second reading"} & set(groups):
        assert loaded.second_reader_url == reader["second_reader_url"]
    if "second reading" not in groups:
        assert not given.get("CALLSTREAM_SECOND_READER_SECRET_KEY")


def test_a_child_reads_its_secrets_in_the_folder_unless_its_parent_has_another_value(tmp_path: Path) -> None:
    environ = secrets_folder(tmp_path, kafka_sasl_password=SECRET, clickhouse_url="http://a:b@127.0.0.1:8123/c")
    settings = load_settings(environ).settings
    given = settings.environment()
    assert SECRET not in given.values()
    assert given["CALLSTREAM_SECRETS_DIR"] == str(tmp_path)
    (tmp_path / "kafka_sasl_password").write_text("another", encoding="utf-8")
    assert load_settings(given).settings.kafka_sasl_password.get_secret_value() == "another"
    changed = settings.model_copy(update={"clickhouse_url": SecretStr("http://of:stack@127.0.0.1:1/c")})
    assert load_settings(changed.environment()).settings.clickhouse_url == changed.clickhouse_url


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        pytest.param("kafka_pasword", b"x", "named as no setting", id="a slip of the pen"),
        pytest.param("secrets_dir", b"/", "named as no setting", id="a folder within itself"),
        pytest.param("kafka_sasl_password", b"\xff\xfe" + SECRET.encode(), "no text in UTF-8", id="not a text"),
        pytest.param("kafka_sasl_password", SECRET.encode() + b"\0", "no text in UTF-8", id="a zero byte"),
        pytest.param("kafka_sasl_password", SECRET.encode() * 5_000, "too large", id="too large"),
        pytest.param("clickhouse_url", SECRET.encode(), "does not fit", id="a value that does not fit"),
        pytest.param("kafka_sasl_password", None, "cannot be read: Is a directory", id="a folder"),
    ],
)
def test_a_bad_secret_stops_the_start_with_a_sentence_that_does_not_tell_it(
    tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    if content is None:
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SettingsError, match=sentence) as caught:
        load_settings({"CALLSTREAM_SECRETS_DIR": str(tmp_path)})
    assert name in str(caught.value)
    assert SECRET not in repr(caught.value)
    assert caught.value.__context__ is None


def test_a_folder_of_secrets_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="which cannot be read: No such file"):
        load_settings({"CALLSTREAM_SECRETS_DIR": str(tmp_path / "none")})
