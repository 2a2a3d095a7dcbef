"""The profile of one's own machines: compose files that hold together, and secrets that fit what each stage reads."""

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

from streams.cli.main import app
from streams.settings import CONFIG_VARIABLE, PREFIX, load_settings, setting_fields
from streams.topology import WORKER_NAMES, worker_stage
from tests.support.cases import every_case

REPOSITORY = Path(__file__).parents[1]
ONPREM = REPOSITORY / "deploy" / "onprem"
COMPOSE: dict[str, Any] = yaml.safe_load((ONPREM / "compose.yaml").read_text(encoding="utf-8"))
ELSEWHERE: dict[str, Any] = yaml.safe_load((ONPREM / "compose.elsewhere.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
WORKERS = [name for name, service in SERVICES.items() if service.get("command", [""])[0] == "worker"]
SYSTEMS = ("kafka", "clickhouse", "postgresql", "s3")
_DEFAULT = re.compile(r"\$\{(\w+)(?::-([^}]*))?[^}]*\}")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that prepare.sh makes, on this machine, for 10.1.2.3 and data.example."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    state = tmp_path_factory.mktemp("onprem") / "state"
    prepare(state)
    return state


def prepare(state: Path) -> None:
    command = ["sh", str(ONPREM / "prepare.sh"), str(state), "10.1.2.3", "data.example"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def bound(service: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What a service has of files of the machine."""
    return (volume for volume in service.get("volumes", ()) if isinstance(volume, dict) and volume["type"] == "bind")


def with_defaults(text: str) -> str:
    return _DEFAULT.sub(lambda match: match[2] or "", text)


def test_there_is_a_service_for_every_worker_of_the_topology_on_either_machine() -> None:
    assert sorted(WORKERS) == sorted(WORKER_NAMES)
    assert [SERVICES[name]["command"] for name in WORKERS] == [["worker", name] for name in WORKERS]
    needy = {name for name in WORKERS if worker_stage(name).needs_setting}
    assert {name for name in WORKERS if SERVICES[name].get("profiles", ["workers"]) != ["workers"]} == needy
    assert ELSEWHERE["services"].keys() == {"prepared", *WORKERS}
    (scrape,) = yaml.safe_load((ONPREM / "prometheus.yaml").read_text(encoding="utf-8"))["scrape_configs"]
    (found,) = scrape["dns_sd_configs"]
    assert set(found["names"]) == set(WORKERS)
    assert SERVICES["listen"]["environment"]["CALLSTREAM_METRICS_ADDRESS"].endswith(f":{found['port']}")


def test_no_service_is_root_or_writes_to_its_image_and_each_has_a_limit_and_a_check() -> None:
    with every_case() as cases:
        for name, service in SERVICES.items():
            with cases.case(name):
                assert service["user"].split(":")[0] not in ("0", "root")
                assert service["read_only"] is True
                assert service["cap_drop"] == ["ALL"]
                assert service["security_opt"] == ["no-new-privileges:true"]
                assert service["deploy"]["resources"]["limits"]["memory"]
                assert "healthcheck" in service or service["restart"] == "no"
                assert all(volume["bind"]["create_host_path"] is False for volume in bound(service))
                image = with_defaults(service["image"])
                assert re.fullmatch(r"[\w./-]+:v?\d+[\w.-]*", image), "pinned by tag"
                secret = re.compile(r"PASSWORD|SECRET(?!S_DIR)|_KEY|_URL")
                told = {key: value for key, value in service.get("environment", {}).items() if secret.search(key)}
                assert all(key.endswith("_FILE") for key in told), "secrets come by file"


def test_data_is_reached_from_elsewhere_by_its_address_alone() -> None:
    for name in SYSTEMS:
        (port,) = SERVICES[name]["ports"]
        assert port.startswith("${DATA_BIND:-127.0.0.1}:")
        own, there = port.rpartition(":")[0].rpartition(":")[2], port.rpartition(":")[2]
        assert own == there, "workers elsewhere use the same address"
    for service in ELSEWHERE["services"].values():
        assert service["extra_hosts"].keys() == set(SYSTEMS)
    for name in ("prometheus", "grafana"):
        assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])


@pytest.mark.processes
def test_every_file_that_is_mounted_is_there_or_made(prepared: Path) -> None:
    # What an operator must bring, as docs/deploy-onprem.md says.
    brought = {"./models", "./recordings", "./subscriptions.yaml"}
    with every_case() as cases:
        for name, service in SERVICES.items():
            for volume in bound(service):
                source = with_defaults(volume["source"])
                with cases.case((name, source)):
                    made = prepared / source.removeprefix("./state/") if source.startswith("./state/") else None
                    assert source in brought or (made or ONPREM / source).exists()


@pytest.mark.processes
def test_what_is_prepared_is_for_its_reader_alone_and_is_not_made_again(prepared: Path) -> None:
    before = contents(prepared)
    prepare(prepared)
    assert contents(prepared) == before
    readable = [
        path
        for path in prepared.rglob("*")
        if path.is_file() and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH) and path.name != "ca.pem"
    ]
    assert readable == []
    if os.geteuid() == 0:
        owners = {path.name: path.stat().st_uid for path in (prepared / "tls").iterdir()}
        users = {name: int(SERVICES[name]["user"].split(":")[0]) for name in (*SYSTEMS, "serve", "play")}
        assert {name: owners[f"{name}.key"] for name in users} == users


@pytest.mark.processes
@pytest.mark.parametrize("stage", WORKER_NAMES)
def test_a_stage_starts_with_its_secrets_and_has_no_others(prepared: Path, stage: str) -> None:
    folder = prepared / "secrets" / stage
    entry = worker_stage(stage)
    environ = {CONFIG_VARIABLE: str(ONPREM / "callstream.toml")} | {
        name: value for name, value in SERVICES[stage]["environment"].items() if name.startswith(PREFIX)
    }
    environ |= {CONFIG_VARIABLE: str(ONPREM / "callstream.toml"), "CALLSTREAM_SECRETS_DIR": str(folder)}
    loaded = load_settings(environ, groups=entry.setting_groups)
    read = {name for name, origin in loaded.origin.items() if origin == "secrets"}
    given = {path.name for path in folder.iterdir()}
    assert read == given, "a secret that the stage does not read is a secret too many"
    for setting, needed in {
        "clickhouse_url": "ClickHouse" in entry.asks,
        "register_url": "register" in entry.asks,
        "s3_secret_key": "object store" in entry.asks,
        "kafka_sasl_password": bool(entry.reads or entry.writes),
        "audio_keys": "audio keys" in entry.settings,
        "transcript_keys": "transcript keys" in entry.settings,
        "received_keys": "received keys" in entry.settings,
    }.items():
        assert (setting in given) is needed, setting
    if "kafka_sasl_username" in given:
        assert loaded.settings.kafka_sasl_username == f"callstream-{stage.replace('_', '-')}"


@pytest.mark.processes
def test_commands_have_what_they_need_and_exist(prepared: Path) -> None:
    environ = {CONFIG_VARIABLE: str(ONPREM / "callstream.toml")}
    for folder in ("commands", "topics"):
        load_settings({**environ, "CALLSTREAM_SECRETS_DIR": str(prepared / "secrets" / folder)})
    (script,) = SERVICES["prepared"]["command"]
    lines = [line.partition("callstream ")[2] for line in script.splitlines()]
    assert [line.split()[0] for line in lines] == ["topics", "topics", "bucket", "migrate"]
    for line in lines:
        first, *rest = line.split()
        command = typer.main.get_command(app).commands[first]  # type: ignore[attr-defined]  # a group of click
        (command.commands[rest.pop(0)] if rest else command).make_context(first, rest)
    assert "set -e" in str(SERVICES["prepared"]["entrypoint"]) or "-ec" in SERVICES["prepared"]["entrypoint"]


@pytest.mark.processes
def test_every_account_of_kafka_is_made_with_the_password_that_its_stage_has(prepared: Path) -> None:
    made = (prepared / "kafka" / "accounts").read_text(encoding="utf-8").split()
    accounts = dict(re.findall(r"\[name=([\w-]+),password=(\w+)\]", " ".join(made)))
    for folder in (prepared / "secrets").iterdir():
        if (folder / "kafka_sasl_username").is_file():
            name = (folder / "kafka_sasl_username").read_text(encoding="utf-8")
            assert accounts.pop(name) == (folder / "kafka_sasl_password").read_text(encoding="utf-8")
    assert accounts.keys() == {"admin"}
    properties = (prepared / "kafka" / "server.properties").read_text(encoding="utf-8")
    assert f'password="{accounts["admin"]}"' in properties
    assert "@" not in re.sub(r"1@127", "", properties)


@pytest.mark.processes
@pytest.mark.parametrize("name", ["kafka", "clickhouse", "postgresql", "s3", "serve", "play"])
def test_a_certificate_bears_the_names_by_which_its_server_is_reached(prepared: Path, name: str) -> None:
    for host in (name, "localhost", "data.example"):
        command = ["openssl", "verify", "-CAfile", str(prepared / "tls" / "ca.pem"), "-verify_hostname", host]
        done = subprocess.run([*command, str(prepared / "tls" / f"{name}.pem")], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    command = ["openssl", "verify", "-CAfile", str(prepared / "tls" / "ca.pem"), "-verify_ip", "10.1.2.3"]
    assert subprocess.run([*command, str(prepared / "tls" / f"{name}.pem")], check=False).returncode == 0


@pytest.mark.parametrize("file", [COMPOSE, ELSEWHERE])
def test_a_compose_file_is_what_the_specification_says(file: Mapping[str, Any]) -> None:
    schema = get_builtin_schema("vendor.compose-spec")
    jsonschema.validate(file, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**file, "services": {"x": {"imagee": "y"}}}, schema)


@pytest.mark.processes
@pytest.mark.parametrize("files", [["compose.yaml"], ["compose.yaml", "compose.elsewhere.yaml"]])
def test_docker_compose_makes_one_whole_of_them(files: list[str]) -> None:
    built = REPOSITORY / ".tools" / "docker-compose"
    program = os.environ.get("DOCKER_COMPOSE_BINARY") or shutil.which("docker-compose") or str(built)
    if program == str(built) and not built.exists():
        pytest.skip("no docker-compose here: `make .tools/docker-compose` builds it, as does `make nightly`")
    command = [
        program,
        *(part for name in files for part in ("-f", str(ONPREM / name))),
        "--profile",
        "*",
        "config",
        "-q",
    ]
    environ = {"PATH": os.environ["PATH"], "DATA_ADDRESS": "10.1.2.3"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_set_for_workers_are_settings() -> None:
    for service in SERVICES.values():
        ours = {name for name in service.get("environment", {}) if name.startswith(PREFIX)} - {CONFIG_VARIABLE}
        assert {name.removeprefix(PREFIX).lower() for name in ours} <= setting_fields().keys()


@pytest.mark.processes
def test_hadolint_finds_nothing_wrong_with_the_dockerfile() -> None:
    program = Path(sys.executable).with_name("hadolint")
    command = [str(program), str(REPOSITORY / "deploy" / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_image_is_made_of_locked_wheels_and_is_not_root() -> None:
    text = (REPOSITORY / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    *_, last = re.split(r"^FROM ", text, flags=re.M)
    assert "requirements/image.lock" in text
    assert text.count("--require-hashes --only-binary :all:") == 2
    assert "pip install" not in last
    assert re.search(r"^USER 10001:10001$", last, re.M)
    copied = {name for line in re.findall(r"^COPY (?!--)(.+)$", text, re.M) for name in line.split()[:-1]}
    assert [name for name in copied if not (REPOSITORY / name).exists()] == []
    kept = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line.removeprefix("!") for line in kept if line.startswith("!")}
    assert kept[1] == "*", "nothing is sent to the builder but what is named"
    assert {name for name in copied if not any(name == each or name.startswith(f"{each}/") for each in let_in)} == set()
    user = {service["user"] for name, service in SERVICES.items() if name in WORKERS}
    assert user == {"10001:10001"}
