"""What an operator copies works: settings that load, units that systemd reads, commands that exist."""

import re
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest
import typer.main

from processors.listening.engines.faster_whisper import WhisperSettings
from streams.cli.main import app
from streams.embedded.stack import worker_spec
from streams.settings import CONFIG_VARIABLE, PREFIX, load_settings
from streams.topology import WORKER_NAMES

REPOSITORY = Path(__file__).parents[1]
DEPLOY = REPOSITORY / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
SETTINGS = DEPLOY / "callstream.example.toml"
COMMAND = "/opt/callstream/.venv/bin/callstream"
every_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)


def read_unit(unit: Path) -> dict[str, dict[str, list[str]]]:
    """Section → key → its values in order: unlike in other such files a key may stand more than once."""
    sections: dict[str, dict[str, list[str]]] = {}
    section = ""
    # RawConfigParser checks the form, but keeps one value for each key only.
    parser = RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",), interpolation=None)
    parser.read_string(unit.read_text(encoding="utf-8"))
    for line in unit.read_text(encoding="utf-8").splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            sections.setdefault(section, {}).setdefault(key, []).append(value)
    assert list(sections) == parser.sections()
    return sections


def environment_of(lines: list[str]) -> dict[str, str]:
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def example_environment(name: str) -> dict[str, str]:
    return environment_of((DEPLOY / "env" / f"{name}.example.env").read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("name", ["commands", "backup", "reports", *WORKER_NAMES])
def test_the_example_settings_load_with_the_example_secrets(name: str) -> None:
    environ = example_environment(name)
    assert environ["CALLSTREAM_CONFIG"] == "/etc/callstream/callstream.toml"
    loaded = load_settings(environ, SETTINGS)
    assert loaded.settings.store_kind == "s3"
    assert loaded.settings.kafka_security_protocol == (
        "PLAINTEXT" if name in ("rollup", "play", "reports") else "SASL_SSL"
    )


@pytest.mark.parametrize("stage", WORKER_NAMES)
def test_the_example_environment_of_a_stage_has_the_secrets_that_it_needs_and_no_others(stage: str) -> None:
    secrets = {name for name in example_environment("commands") if name.startswith(PREFIX)} - {CONFIG_VARIABLE}
    needed = secrets & worker_spec(stage, 0, load_settings({}).settings, restart=True).env.keys()
    assert secrets & example_environment(stage).keys() == needed
    files = {path.name.partition(".")[0] for path in (DEPLOY / "env").iterdir()}
    assert files == {"commands", "backup", "reports", *WORKER_NAMES}
    assert ("HOOK_SECRET" in example_environment(stage)) is (stage == "notify")


def test_no_secret_stands_in_the_example_settings() -> None:
    text = SETTINGS.read_text(encoding="utf-8")
    secret = re.compile(r"^#? ?\w*(?:password|secret|clickhouse_url)\w* =", re.MULTILINE)
    assert secret.search(text) is None


def test_what_is_commented_out_is_a_setting_too(tmp_path: Path) -> None:
    text = SETTINGS.read_text(encoding="utf-8")
    everything = tmp_path / "all.toml"
    everything.write_text(re.sub(r"^# (\w+ = )", r"\1", text, flags=re.M), encoding="utf-8")
    assert everything.read_text(encoding="utf-8") != text
    environ = {"CALLSTREAM_KAFKA_SASL_PASSWORD": "x", "CALLSTREAM_WHISPER_COMPUTE_TYPE": "int8"}
    assert load_settings(environ, everything).settings.part(WhisperSettings).whisper_device == "cuda"


@every_unit
def test_the_command_of_a_unit_exists_with_its_options(unit: Path) -> None:
    (line,) = read_unit(unit)["Service"]["ExecStart"]
    program, name, *arguments = line.split()
    assert program == COMMAND
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]  # a group of click
    for stage in WORKER_NAMES if "%i" in arguments else ("",):
        command.make_context(name, [argument.replace("%i", stage) for argument in arguments])


@every_unit
def test_a_unit_sets_variables_that_are_settings(unit: Path) -> None:
    environ = environment_of(read_unit(unit)["Service"]["Environment"])
    settings = load_settings(environ).settings
    assert settings.data_dir == Path("/var/lib/callstream")
    assert settings.cache_dir == Path("/var/cache/callstream")


def test_the_stack_has_the_time_that_its_children_may_take_to_stop() -> None:
    service = read_unit(DEPLOY / "systemd" / "callstream.service")["Service"]
    sources = [
        REPOSITORY / "streams" / "embedded" / "stack.py",
        REPOSITORY / "streams" / "embedded" / "apache_kafka.py",
    ]
    graces_s = [float(s) for source in sources for s in re.findall(r"stop_grace_s=([\d.]+)", source.read_text("utf-8"))]
    assert len(graces_s) == 2, "Kafka and ClickHouse"
    listen_workers = int(service["ExecStart"][0].partition("--listen-workers ")[2])
    worker_s = worker_spec("judge", 0, load_settings({}).settings, restart=True).stop_grace_s
    needed_s = sum(graces_s) + worker_s * (listen_workers + len(WORKER_NAMES) - 1)
    assert float(service["TimeoutStopSec"][0]) > needed_s
    assert service["KillMode"] == ["mixed"], "else systemd stops all children at once, the broker among them"


@pytest.mark.processes
@every_unit
def test_a_unit_exposes_little_of_the_machine(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here")
    copy = tmp_path / unit.name.replace("@", "@judge")
    shutil.copy(unit, copy)
    command = [analyze, "security", "--offline=true", "--threshold=20", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    service = read_unit(unit)["Service"]
    assert service["SystemCallArchitectures"] == ["native"]
    assert "landlock_restrict_self" in service["SystemCallFilter"][0], "the decoder could not shut itself in"
    assert service["MemoryMax"]


def test_the_target_has_every_worker_and_what_a_worker_needs_more_is_beside_it() -> None:
    unit = read_unit(DEPLOY / "systemd" / "callstream-worker@.service")
    assert unit["Unit"]["PartOf"] == ["callstream.target"]
    assert unit["Install"]["WantedBy"] == ["callstream.target"]
    for folder in (DEPLOY / "systemd").glob("*.service.d"):
        stage = folder.name.removeprefix("callstream-worker@").removesuffix(".service.d")
        assert stage in WORKER_NAMES
        for part in folder.glob("*.conf"):
            assert read_unit(part)["Service"].keys() <= {"MemoryMax", "Environment"}


def test_a_worker_of_systemd_has_the_time_that_it_may_take_to_finish() -> None:
    service = read_unit(DEPLOY / "systemd" / "callstream-worker@.service")["Service"]
    assert float(service["TimeoutStopSec"][0]) > load_settings({}).settings.finish_within_s


@pytest.mark.processes
def test_the_installer_installs_by_hash_and_knows_every_unit() -> None:
    text = (DEPLOY / "systemd" / "install.sh").read_text(encoding="utf-8")
    installs = [line for line in text.splitlines() if "pip install" in line]
    assert [line for line in installs if "--require-hashes" not in line and "--no-deps" not in line] == []
    suffixes = {path.suffix for path in (DEPLOY / "systemd").iterdir() if path.is_file()} - {".sh"}
    assert {suffix for suffix in suffixes if f"deploy/systemd/*{suffix}" not in text} == set()
    assert subprocess.run(["sh", "-n", str(DEPLOY / "systemd" / "install.sh")], check=False).returncode == 0


@pytest.mark.processes
@every_unit
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here")
    # An instance, because a template by itself is not looked at; and a program that is there.
    copy = tmp_path / unit.name.replace("@", "@listen")
    copy.write_text(unit.read_text(encoding="utf-8").replace(COMMAND, sys.executable), encoding="utf-8")
    done = subprocess.run([analyze, "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if copy.name in line] == []
    assert done.returncode == 0, done.stderr
