"""Schedules of backups and reports that an operator copies: timers that systemd reads, jobs whose commands exist."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from streams.cli.main import app
from streams.settings import load_settings

DEPLOY = Path(__file__).parents[1] / "deploy"
UNITS = ("callstream-backup", "callstream-backup-verify", "callstream-reports")
COMMAND = "/opt/callstream/.venv/bin/callstream"


def require_command(arguments: list[str]) -> None:
    """Raises what click says of an option or a command that there is not."""
    name, sub, *options = arguments
    group: Any = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined] # a group of click
    group.commands[sub].make_context(sub, options)


@pytest.mark.parametrize("unit", UNITS)
def test_the_commands_of_a_unit_exist_with_their_options(unit: str) -> None:
    text = (DEPLOY / "systemd" / f"{unit}.service").read_text(encoding="utf-8")
    lines = re.findall(r"^ExecStart(?:Post)?=(.+)$", text, re.MULTILINE)
    assert lines
    for line in lines:
        program, *arguments = line.split()
        assert program == COMMAND
        require_command(arguments)
    assert (DEPLOY / "systemd" / f"{unit}.timer").exists()


@pytest.mark.processes
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_nothing_wrong_with_a_timer(unit: str, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here")
    for name in (f"{unit}.service", f"{unit}.timer"):
        text = (DEPLOY / "systemd" / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace(COMMAND, sys.executable), encoding="utf-8")
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(tmp_path / f"{unit}.timer")], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if unit in line] == []
    assert done.returncode == 0, done.stderr


def test_the_jobs_run_commands_that_exist_with_settings_that_exist() -> None:
    jobs = list(yaml.safe_load_all((DEPLOY / "kubernetes" / "backup-cronjobs.yaml").read_text(encoding="utf-8")))
    assert [job["metadata"]["name"] for job in jobs] == ["callstream-backup", "callstream-backup-verify"]
    for job in jobs:
        assert job["spec"]["concurrencyPolicy"] == "Forbid", "a second one would be refused, and be told as a failure"
        pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        volumes = {each["name"] for each in pod["volumes"]}
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            require_command(container["args"])
            environ = {each["name"]: each["value"] for each in container["env"]}
            load_settings({name: value for name, value in environ.items() if name != "CALLSTREAM_CONFIG"})
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert container["securityContext"]["readOnlyRootFilesystem"]
