"""The units of systemd on a machine: installed and upgraded as the pages say, with a call each, and killed."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.embedded.apache_kafka import fetch_jars, jar_folder
from streams.settings import load_settings
from tests.support.last_release import unpack_last_release
from tests.support.machine import REPOSITORY, Machine, require_programs, running_machine

pytestmark = [pytest.mark.kafka, pytest.mark.long]

HERE = "/opt/callstream"
DATA, CACHE = "/var/lib/callstream", "/var/cache/callstream"
EXPOSURE_AT_MOST = 2.0
"""Of ten, as `systemd-analyze security` counts."""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    require_programs()
    mine = load_settings().settings
    cache = mine.cache_dir / "machine"
    cache.mkdir(parents=True, exist_ok=True)
    fetch_jars(mine.cache_dir, mine.maven_url, lambda _done, _total, _name: None)
    with running_machine(tmp_path, cache) as running:
        shutil.copytree(jar_folder(mine.cache_dir), running.root / "jars")
        yield running


AS_CALLSTREAM = (
    *("setpriv", "--reuid=callstream", "--regid=callstream", "--clear-groups"),
    *("env", f"CALLSTREAM_DATA_DIR={DATA}", f"CALLSTREAM_CACHE_DIR={CACHE}", f"{HERE}/.venv/bin/callstream"),
)
"""What a command of that user begins with."""


def put_last_release(machine: Machine) -> None:
    """As its `deploy/README.md` says, but for the network."""
    folder = machine.root / HERE.lstrip("/")
    folder.mkdir()
    unpack_last_release(folder, whole=True)
    machine.run("useradd", "--system", "--home-dir", DATA, "--shell", "/usr/sbin/nologin", "callstream")
    machine.run("python3", "-m", "venv", f"{HERE}/.venv")
    machine.run(f"{HERE}/.venv/bin/pip", "install", "--quiet", f"{HERE}[embedded]")
    machine.run("cp", f"{HERE}/deploy/systemd/callstream.service", "/etc/systemd/system/")
    machine.run("systemctl", "daemon-reload")
    machine.run("mkdir", "-p", CACHE)
    machine.run("cp", "-r", "/jars", f"{CACHE}/apache-kafka-jars")
    machine.run("chown", "-R", "callstream:callstream", CACHE)


def put_this_release(machine: Machine) -> None:
    """What `git pull` leaves, and `install.sh`."""
    folder = machine.root / HERE.lstrip("/")
    for path in folder.iterdir():
        if path.name != ".venv":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    names = subprocess.run(["git", "-C", str(REPOSITORY), "ls-files", "-z"], capture_output=True, check=True).stdout
    pack = ["tar", "-c", "-C", str(REPOSITORY), "--null", "--files-from=-"]
    packed = subprocess.run(pack, input=names, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "--no-same-owner", "-C", str(folder)], input=packed, check=True)
    machine.run(f"{HERE}/deploy/systemd/install.sh")


def wait_until_up(machine: Machine, times: int) -> None:
    """The service has said so as often."""

    def said() -> bool:
        return machine.run("journalctl", "--no-pager", "-u", "callstream").count("callstream is up") >= times

    machine.wait_until(said, "callstream to be up")


def outcomes(machine: Machine) -> dict[str, int]:
    """Outcome → how many calls; nothing while something does not answer."""
    told = machine.try_run(*AS_CALLSTREAM, "status", "--json").stdout
    counts: dict[str, int] = json.loads(told)["outcomes"] if told else {}
    return {name: count for name, count in counts.items() if count}


def send(machine: Machine, name: str, call_id: str) -> None:
    """A recording of the examples, of which the user callstream owns nothing."""
    file = f"{HERE}/examples/calls/{name}.flac"
    machine.run(*AS_CALLSTREAM, "publish", file, "--tenant", "acme", "--call-id", call_id)


def exposure(machine: Machine, unit: str) -> float:
    """As systemd counts it of the unit that is loaded."""
    line = machine.run("systemd-analyze", "security", "--no-pager", unit).strip().splitlines()[-1]
    return float(line.partition(":")[2].split()[0])


def kill_main(machine: Machine, unit: str) -> None:
    """It comes back by itself, once and as another process."""
    before, restarts = machine.shown(unit, "MainPID"), int(machine.shown(unit, "NRestarts"))
    machine.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", unit)
    machine.wait_until(lambda: int(machine.shown(unit, "NRestarts")) == restarts + 1, f"{unit} to be started again")
    machine.wait_until(lambda: machine.shown(unit, "SubState") == "running", f"{unit} to run")
    assert machine.shown(unit, "MainPID") not in (before, "0")


def test_a_machine_is_upgraded_from_the_last_release_and_what_is_killed_comes_back(machine: Machine) -> None:
    put_last_release(machine)
    machine.run("systemctl", "enable", "--now", "--quiet", "callstream")
    wait_until_up(machine, 1)
    send(machine, "s08_misdial", "before")
    machine.wait_until(lambda: outcomes(machine) == {"too_short": 1}, "the call of the last release")

    machine.run("systemctl", "stop", "callstream")
    put_this_release(machine)
    machine.run("systemctl", "start", "callstream")
    wait_until_up(machine, 2)
    send(machine, "s02_finance_violation", "after")
    both = {"too_short": 1, "analyzed": 1}
    machine.wait_until(lambda: outcomes(machine) == both, "the call of this release beside that of the last")
    refused = machine.try_run(f"{HERE}/deploy/systemd/install.sh")
    assert (refused.returncode, "systemctl stop callstream" in refused.stderr) == (1, True), refused.stderr

    # A worker by its own unit, beside those of the service.
    (machine.root / "etc/callstream/judge.env").write_text(f"CALLSTREAM_CONFIG={DATA}/stack.toml\n", encoding="utf-8")
    machine.run("systemctl", "start", "callstream-worker@judge")
    kill_main(machine, "callstream-worker@judge")
    for unit in ("callstream.service", "callstream-worker@judge.service"):
        assert exposure(machine, unit) <= EXPOSURE_AT_MOST, unit
    machine.run("systemctl", "stop", "callstream-worker@judge")
    assert machine.shown("callstream-worker@judge", "Result") == "success"

    kill_main(machine, "callstream.service")
    wait_until_up(machine, 3)
    send(machine, "s08_misdial", "later")
    all_of_them = {"too_short": 2, "analyzed": 1}
    machine.wait_until(lambda: outcomes(machine) == all_of_them, "a call after everything was killed")
    machine.run("systemctl", "stop", "callstream")
    assert machine.shown("callstream", "Result") == "success"
