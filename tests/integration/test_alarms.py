"""A real Prometheus and a real Alertmanager beside a stack: ClickHouse stands still, and somebody is called.

The rules are those of `deploy/prometheus`, but for the time that they wait before they fire.
"""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from streams.embedded.ports import free_port
from streams.embedded.stack import Stack
from tests.support.receiver import Receiver, running_receiver
from tests.support.stack import running_stack

pytestmark = [pytest.mark.embedded, pytest.mark.long]

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
WITHIN_S = 180


@contextmanager
def running(*command: str) -> Iterator[None]:
    """A program from Debian, as a child that is gone afterwards."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


def targets_of(stack: Stack) -> list[str]:
    """Where the workers of the stack answer, by their heartbeats."""
    files = stack.settings.data_dir.glob("workers/*/heartbeat.*.json")
    addresses = (json.loads(file.read_text(encoding="utf-8")).get("metrics_address") for file in files)
    return sorted(address for address in addresses if address)


def wait_until(stack: Stack, comes_true: Callable[[], bool], awaited: str) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not comes_true():
        assert time.monotonic() < deadline_s, awaited
        stack.check()
        time.sleep(0.5)


def write_configuration(folder: Path, stack: Stack, manager: int, receiver: Receiver) -> None:
    """The shipped files, with addresses of this test, asked every second and firing at once."""
    rules = (FOLDER / "rules" / "callstream.yaml").read_text(encoding="utf-8")
    (folder / "rules.yaml").write_text(re.sub(r"for: \d+[mh]", "for: 2s", rules), encoding="utf-8")
    asked = yaml.safe_load((FOLDER / "prometheus.example.yaml").read_text(encoding="utf-8"))
    asked["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    asked["rule_files"] = ["rules.yaml"]
    asked["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [f"127.0.0.1:{manager}"]}]}]
    asked["scrape_configs"][0].pop("file_sd_configs")
    asked["scrape_configs"][0]["static_configs"] = [{"targets": targets_of(stack)}]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(asked), encoding="utf-8")
    called = yaml.safe_load((FOLDER / "alertmanager.example.yaml").read_text(encoding="utf-8"))
    called["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    for one in called["receivers"]:
        one["webhook_configs"] = [{"url": receiver.url(f"/{one['name']}"), "send_resolved": True}]
    (folder / "alertmanager.yaml").write_text(yaml.safe_dump(called), encoding="utf-8")


def told(receiver: Receiver, status: str) -> set[tuple[str, str]]:
    """Receiver and rule of every alert that came in with this status."""
    found = set()
    for request in receiver.requests:
        for alert in json.loads(request.body)["alerts"]:
            if alert["status"] == status:
                found.add((request.path.strip("/"), alert["labels"]["alertname"]))
    return found


def test_who_is_on_call_hears_that_clickhouse_is_away_and_that_it_is_back(tmp_path: Path) -> None:
    for program in ("prometheus", "prometheus-alertmanager"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install prometheus prometheus-alertmanager")
    manager, port = free_port(), free_port()
    settings = {"metrics_address": "127.0.0.1:0"}
    with (
        running_receiver() as receiver,
        running_stack("tansu", tmp_path / "stack", settings, stages=("store", "judge")) as stack,
    ):
        wait_until(stack, lambda: len(targets_of(stack)) == 2, "two workers that answer")
        write_configuration(tmp_path, stack, manager, receiver)
        with (
            running(
                *("prometheus-alertmanager", f"--config.file={tmp_path / 'alertmanager.yaml'}"),
                *(f"--storage.path={tmp_path / 'manager'}", f"--web.listen-address=127.0.0.1:{manager}"),
                "--cluster.listen-address=",
            ),
            running(
                *("prometheus", f"--config.file={tmp_path / 'prometheus.yaml'}"),
                *(f"--storage.tsdb.path={tmp_path / 'series'}", f"--web.listen-address=127.0.0.1:{port}"),
            ),
        ):
            # Whoever does not run is missed, and that is the only thing that is wrong yet.
            nobody = ("on-call", "CallstreamNobodyMeasures")
            wait_until(stack, lambda: nobody in told(receiver, "firing"), "a first alert, of what does not run")
            away = ("on-call", "CallstreamClickHouseAway")
            assert away not in told(receiver, "firing")
            stack.supervisor.kill("clickhouse", signal.SIGSTOP)
            wait_until(stack, lambda: away in told(receiver, "firing"), "the alert that ClickHouse is away")
            stack.supervisor.kill("clickhouse", signal.SIGCONT)
            wait_until(stack, lambda: away in told(receiver, "resolved"), "the word that it is back")
    bodies = [json.loads(request.body) for request in receiver.requests]
    (about,) = {
        alert["annotations"]["runbook"]
        for body in bodies
        for alert in body["alerts"]
        if alert["labels"]["alertname"] == away[1]
    }
    assert about == "docs/runbooks/clickhouse-down.md"
