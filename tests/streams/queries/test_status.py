"""What `callstream status` says of the workers of this machine, in words, in JSON and by its exit code."""

import json
import socket
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from schemas.messages.custody_changed import CustodyChanged
from streams.adapters.kafka.audio_lag import AudioWaiting
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register
from streams.ports import SystemClock
from streams.queries.lane_waits import LaneWait
from streams.queries.status import (
    LocalWorkers,
    OutboxLag,
    PipelineStatus,
    StageLag,
    outbox_lag,
    pipeline_status,
    status_tables,
)
from streams.runtime.child_records import LOOP_RESTARTS, LOOP_WITHIN_S, ChildCondition
from streams.runtime.heartbeat import WorkerCondition
from streams.runtime.loop import Streak
from streams.settings import Settings

NOW = datetime(2026, 11, 30, 9, 15, tzinfo=UTC)
WELL = WorkerCondition("listen", 4, "works", 3_600.0, 9, ("calls.ended.v1/3/17 (call acme/[/c1])",))


def status_of(
    *workers: WorkerCondition, children: tuple[ChildCondition, ...] = (), unaccounted: int = 0
) -> PipelineStatus:
    local = LocalWorkers(workers, children, {"listen": 7})
    lags = [StageLag("listen", "calls.ended.v1", 3, 754.2), StageLag("judge", "calls.transcribed.v1", 0, None)]
    return PipelineStatus(lags, {"analyzed": 2}, unaccounted, None, [], 1.5, 8, local)


def printed(status: PipelineStatus) -> str:
    console = Console(width=180)
    with console.capture() as capture:
        for table in status_tables(status):
            console.print(table)
    return capture.get()


def test_waiting_is_shown_in_seconds_and_refusals_beside_the_worker() -> None:
    text = printed(status_of(WELL))
    assert "754 s" in text
    assert "calls.ended.v1/3/17 (call acme/[/c1])" in text
    (line,) = (line for line in text.splitlines() if "works" in line)
    assert "7" in [cell.strip() for cell in line.strip("│").split("│")]


@pytest.mark.loopback
def test_a_clickhouse_that_hangs_does_not_keep_the_others_from_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.queries.status.CLICKHOUSE_WITHIN_S", 1)
    monkeypatch.setattr("streams.queries.status.stage_lags", lambda *_: [StageLag("store", "calls.ended.v1", 61, 386)])
    monkeypatch.setattr("streams.queries.status.audio_waiting", lambda _: {"live": AudioWaiting(2, 90, False)})
    monkeypatch.setattr("streams.queries.status.write_canary", lambda _: None)
    with socket.create_server(("127.0.0.1", 0)) as hangs:  # takes connections, as the kernel does, and never answers
        url = f"http://me@127.0.0.1:{hangs.getsockname()[1]}/callstream"
        started = time.monotonic()
        found = pipeline_status(Settings(clickhouse_url=url, data_dir=tmp_path), SystemClock())
    assert time.monotonic() - started < 30
    text = printed(found)
    assert "386 s" in text
    assert "unknown" in text, "when what waits will have been heard"
    assert "outcome" not in text
    assert "ClickHouse, which does not answer" in found.summary()
    assert "did not answer" in found.clickhouse_away
    assert [found.as_json()[field] for field in ("outcomes", "unaccounted", "calls_per_minute")] == [None] * 3


def test_each_lane_says_what_waits_and_when_it_will_have_been_heard() -> None:
    lanes = [
        LaneWait("live", 12, 3_600.4, False, 1_250.0),
        LaneWait("backfill", 40_000, 9_600_000.0, True, None),
        LaneWait("redo", 0, 0, False, 0.0),
    ]
    rows = [
        [cell.strip() for cell in line.split("│")]
        for line in printed(replace(status_of(WELL), lanes=lanes)).splitlines()
    ]
    assert [row[1:-1] for row in rows if row[1:2] in (["live"], ["backfill"], ["redo"])] == [
        ["live", "12", "3600 s", "1250 s"],
        ["backfill", "40000", "about 9600000 s", "not at the rate of now"],
        ["redo", "0", "0 s", "0 s"],
    ]
    assert "lanes of listen" not in printed(replace(status_of(WELL), lanes=lanes[2:]))
    (live, *_) = replace(status_of(WELL), lanes=lanes).as_json()["lanes"]
    assert live == {"lane": "live", "calls": 12, "audio_s": 3_600.4, "is_estimate": False, "heard_in_s": 1_250.0}


def test_a_worker_that_takes_an_hour_at_a_call_is_no_problem() -> None:
    assert (status_of(WELL).is_problem, status_of(WELL).as_json()["problems"]) == (False, [])


def test_what_stands_still_has_gone_or_ends_again_and_again_is_a_problem_that_says_what_to_look_at() -> None:
    frozen = WorkerCondition("store", 5, "frozen", 400.0, 9)
    gone = WorkerCondition("notify", 6, "gone", 400.0, 9)
    looping = ChildCondition("judge", "waits", 70, LOOP_RESTARTS, "/data/logs/judge.log")
    ended = ChildCondition("listen-0", "ended", 6, 1, "/data/logs/listen-0.log")
    status = status_of(WELL, frozen, gone, children=(looping, ended))
    assert status.is_problem
    assert status.as_json()["problems"] == [
        "store (process 5) has not moved for 400 s: see its log, end it and start it again",
        "notify (process 6) has ended without a word, 400 s ago or more",
        f"judge ended with exit code 70, {LOOP_RESTARTS} times in {LOOP_WITHIN_S / 60:.0f} minutes:"
        " see /data/logs/judge.log",
        "listen-0 ended with exit code 6 and is not started again: see /data/logs/listen-0.log",
    ]
    assert "/data/logs/judge.log" in printed(status)


def test_the_json_can_be_written() -> None:
    found = json.loads(json.dumps(status_of(WELL).as_json()))
    assert found["local"]["workers"][0]["at"] == list(WELL.at)
    assert found["lags"][0]["oldest_waits_s"] == 754.2


def test_a_streak_of_refusals_is_read_from_the_folder_of_its_stage(tmp_path: Path) -> None:
    assert LocalWorkers.of(tmp_path) == LocalWorkers([], [], {})
    Streak("listen refused", 100, tmp_path / "workers" / "listen" / "refusals").count(12)
    assert LocalWorkers.of(tmp_path).refused_in_a_row == {"listen": 12}


def outbox_of(folder: Path, waits: timedelta) -> tuple[OutboxLag | None, tuple[str, ...]]:
    """What `status` says of a register with one event, so long after it was written."""
    settings = Settings(data_dir=folder, processing_objective_s=900)
    register = Register.of(settings)
    migrate_register(register)
    with register.transaction() as tx:
        tx.outbox(CustodyChanged.of("intake_announced", tenant_id="acme", call_id="c1", actor="key_1", at=NOW))
    register.close()
    return outbox_lag(settings, NOW + waits)


def test_what_waits_in_the_register_is_shown_with_the_lag(tmp_path: Path) -> None:
    lag, problems = outbox_of(tmp_path, timedelta(minutes=1))
    assert (lag, problems) == (OutboxLag(1, 60.0), ())
    (line,) = (line for line in printed(replace(status_of(), outbox=lag)).splitlines() if "outbox" in line)
    assert "relay" in line
    assert "60 s" in line


def test_a_relay_that_does_not_publish_is_a_problem(tmp_path: Path) -> None:
    _, problems = outbox_of(tmp_path, timedelta(minutes=16))
    (sentence,) = problems
    assert "see whether a worker relay runs" in sentence


def test_a_register_that_cannot_be_used_is_a_problem_and_one_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert outbox_lag(Settings(data_dir=tmp_path), NOW) == (None, ())
    file = tmp_path / "register" / "register.db"
    file.parent.mkdir()
    file.write_bytes(b"no database at all" * 100)
    lag, problems = outbox_lag(Settings(data_dir=tmp_path), NOW)
    assert lag is None
    assert "put the last backup in its place" in problems[0]
