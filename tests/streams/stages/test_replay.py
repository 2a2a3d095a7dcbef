"""History judged again, from transcripts in a folder."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from processors.judging.call_context import NO_BACKGROUND, Background
from processors.judging.pipeline import Judge, JudgeSettings
from processors.rules.rulebook import Rulebooks
from schemas.config.rule_pack import RulePack
from schemas.errors import RetryableError
from schemas.messages.call_analysis import CallAnalysis, Risk
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CALLS_ANALYZED, CALLS_REANALYZED
from schemas.messages.transcript import Transcript
from streams.adapters.memory.broker import MAX_BYTES, MemoryBroker
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.transcripts import TranscriptStore
from streams.ports import CallKey, RiskOrNone
from streams.runtime.processes import LostProcessError, in_processes, in_this_process
from streams.runtime.replay_progress import ReplayProgress, ReplayRunsError
from streams.runtime.rules_feed import PackRegistry
from streams.stages.replay import (
    FOREIGN,
    BatchJudge,
    Change,
    JudgedBatch,
    Replay,
    ReplayBatch,
    ReplayError,
    ReplayPlan,
    ReplayReport,
    ReplayWindow,
    Unjudged,
    Unreadable,
    choose_packs,
)
from tests.processors.rules.rule_packs import called, pack_of, rule
from tests.support.data_keys import MemoryDataKeys
from tests.support.stored_keys import DerivedKeys, transcripts_in

NOW = datetime(2026, 3, 2, tzinfo=UTC)
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)
ALL = ReplayWindow(JANUARY, NOW)
BUCKET = "bucket"


class FixedClock:
    def now(self) -> datetime:
        return NOW


class Stored:
    """Judgements as they are stored."""

    def __init__(self, levels: Mapping[CallKey, RiskOrNone]) -> None:
        self.levels = levels

    def risks(self, calls: Sequence[Transcript]) -> Mapping[CallKey, RiskOrNone]:
        wanted = {(call.tenant_id, call.call_id) for call in calls}
        return {key: level for key, level in self.levels.items() if key in wanted}


class RiskyJudge(Judge):
    """A high risk for whoever breaks a rule, a low one for all others."""

    def judge(self, transcript: Transcript, now: datetime, background: Background = NO_BACKGROUND) -> CallAnalysis:
        analysis = super().judge(transcript, now, background)
        hit = any(finding.detector == "rules" for finding in analysis.findings)
        return analysis.model_copy(update={"risk": Risk(level="high" if hit else "low", score=90 if hit else 0)})


def judge_of(*packs: RulePack) -> Judge:
    return RiskyJudge(JudgeSettings(), rulebooks=Rulebooks(packs))


def call(call_id: str, text: str, day: int = 5, tenant_id: str = "acme") -> Transcript:
    started_at = datetime(2026, 1, day, 9, 0, tzinfo=UTC)
    facts: dict[str, Any] = {"started_at": started_at, "ended_at": started_at + timedelta(minutes=5)}
    return called(("agent", text), call_id=call_id, tenant_id=tenant_id, **facts)


APPLE = pack_of(version=2, rules=[rule("苹果")])
CALLS = (call("c1", "苹果"), call("c2", "香蕉"), call("c3", "苹果", day=20), call("c4", "苹果", tenant_id="other"))
LOW: Mapping[CallKey, RiskOrNone] = {(one.tenant_id, one.call_id): "low" for one in CALLS}


class Shelf:
    """Transcripts in a folder, a broker in memory, and replays over both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = FolderStore(folder, BUCKET)
        self.store.apply()
        self.keys = MemoryDataKeys()
        self.transcripts = transcripts_in(self.store, self.keys)
        self.broker = MemoryBroker()

    def hear(self, *calls: Transcript) -> None:
        for one in calls:
            self.transcripts.save(one)

    def replay(
        self,
        window: ReplayWindow = ALL,
        levels: Mapping[CallKey, RiskOrNone] = LOW,
        *,
        publisher: MemoryBroker | None = None,
        judge: Judge | None = None,
        after: str = "",
        report: ReplayReport | None = None,
        kept: ReplayProgress | None = None,
        progress: Callable[[ReplayReport], None] = lambda _report: None,
        side_outputs: Callable[[CallAnalysis], Sequence[ProducerRecord]] = lambda _analysis: (),
        **fields: Any,
    ) -> ReplayReport:
        """In this process; nothing is written unless there is a publisher."""
        work = BatchJudge(
            self.transcripts, judge or judge_of(APPLE), Stored(levels), FixedClock(), side_outputs=side_outputs
        )
        with in_this_process(lambda: work) as judged:
            return Replay(self.transcripts, judged, publisher, **fields).run(window, kept, report, after, progress)

    @property
    def written(self) -> list[str]:
        return [CALLS_REANALYZED.decode(record.value).call_id for record in self.broker.records[CALLS_REANALYZED.name]]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "objects")


def test_every_stored_call_is_judged_again_and_goes_to_a_lane_of_its_own(shelf: Shelf) -> None:
    shelf.hear(*CALLS)
    report = shelf.replay(publisher=shelf.broker)
    assert shelf.written == ["c1", "c2", "c3", "c4"]
    assert shelf.broker.records[CALLS_ANALYZED.name] == []
    assert (report.transcripts, report.judged, dict(report.moves)) == (4, 4, {"low → high": 3})
    assert report.findings["own.one"] == 3
    record = shelf.broker.records[CALLS_REANALYZED.name][0]
    assert [finding.rule_version for finding in CALLS_REANALYZED.decode(record.value).findings] == ["2"]
    assert record.key == b"acme/c1"


def test_of_a_call_that_was_heard_several_times_the_last_transcript_is_judged(shelf: Shelf) -> None:
    shelf.hear(call("c1", "苹果"), call("c1", "香蕉"))
    report = shelf.replay(publisher=shelf.broker)
    assert (report.judged, dict(report.moves)) == (1, {})


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        pytest.param(ReplayWindow(datetime(2026, 1, 10, tzinfo=UTC), NOW), ["c3"], id="from a day on"),
        pytest.param(
            ReplayWindow(JANUARY, datetime(2026, 1, 10, tzinfo=UTC)), ["c1", "c2", "c4"], id="to before a day"
        ),
        pytest.param(
            ReplayWindow(JANUARY, datetime(2026, 1, 5, 9, 5, tzinfo=UTC)), [], id="to before the end of the calls"
        ),
        pytest.param(
            ReplayWindow(datetime(2026, 1, 5, 9, 5, tzinfo=UTC), datetime(2026, 1, 5, 9, 6, tzinfo=UTC)),
            ["c1", "c2", "c4"],
            id="some minutes",
        ),
        pytest.param(ReplayWindow(JANUARY, NOW, "other"), ["c4"], id="of one tenant"),
        pytest.param(ReplayWindow(JANUARY, NOW, "nobody"), [], id="of a tenant without calls"),
        pytest.param(ReplayWindow(datetime(2026, 2, 1, tzinfo=UTC), NOW), [], id="none"),
    ],
)
def test_only_the_calls_that_were_asked_for_are_judged(shelf: Shelf, window: ReplayWindow, expected: list[str]) -> None:
    shelf.hear(*CALLS)
    shelf.replay(window, publisher=shelf.broker)
    assert shelf.written == expected


def test_a_transcript_that_came_late_is_found_under_the_day_of_its_call(shelf: Shelf) -> None:
    """Its recording was repaired weeks later: the topic had it under the day on which it was heard."""
    shelf.hear(*CALLS)
    late = call("late", "苹果").model_copy(update={"transcribed_at": NOW})
    shelf.hear(late)
    shelf.replay(ReplayWindow(JANUARY, datetime(2026, 1, 6, tzinfo=UTC), "acme"), publisher=shelf.broker)
    assert shelf.written == ["c1", "c2", "late"]


def test_one_that_comes_while_the_replay_runs_is_judged_once_or_left_to_the_live_judge(shelf: Shelf) -> None:
    shelf.hear(*[call(f"c{n:03}", "香蕉") for n in range(150)])
    came = iter([call("a-late", "苹果"), call("x-late", "苹果")])

    def progress(_report: ReplayReport) -> None:
        shelf.hear(*[one for one in [next(came, None)] if one is not None])

    shelf.replay(publisher=shelf.broker, progress=progress)
    assert len(shelf.written) == len(set(shelf.written))
    assert {f"c{n:03}" for n in range(150)} <= set(shelf.written)
    assert "a-late" not in shelf.written, "it came behind the replay: it is judged as it comes"


def test_a_dry_run_writes_nothing_and_says_what_would_change(shelf: Shelf) -> None:
    shelf.hear(*CALLS)
    levels: Mapping[CallKey, RiskOrNone] = {**LOW, ("acme", "c1"): "high", ("acme", "c2"): "high"}
    report = shelf.replay(levels=levels)
    assert set(shelf.broker.records) == set()
    assert report.gravest() == [
        Change("acme", "c3", "low", "high"),
        Change("other", "c4", "low", "high"),
        Change("acme", "c2", "high", "low"),
    ]


def test_a_call_that_was_never_judged_had_no_risk(shelf: Shelf) -> None:
    shelf.hear(CALLS[0])
    assert dict(shelf.replay(levels={}).moves) == {"none → high": 1}


def test_what_follows_from_a_judgement_is_written_only_when_asked(shelf: Shelf) -> None:
    shelf.hear(CALLS[0])
    shelf.replay(
        publisher=shelf.broker,
        side_outputs=lambda analysis: [ProducerRecord("alerts", b"k", analysis.call_id.encode())],
    )
    assert [record.value for record in shelf.broker.records["alerts"]] == [b"c1"]


def test_what_is_no_transcript_is_counted_and_named_and_holds_up_nothing(shelf: Shelf) -> None:
    shelf.hear(*CALLS, call("cut", "苹果"), call("exchanged", "苹果"))
    folder = "transcripts/acme/2026/01/05"
    shelf.store.put(f"{folder}/cut.1", shelf.store.read(f"{folder}/cut.1")[:-1])
    shelf.store.put(f"{folder}/exchanged.1", shelf.store.read(f"{folder}/c1.1"))
    shelf.store.put(f"{folder}/no-key.1", b"x")
    shelf.store.put(f"{folder}/notes.txt", b"x")
    report = shelf.replay(publisher=shelf.broker)
    assert shelf.written == ["c1", "c2", "c3", "c4"]
    broken = "it was changed, cut, exchanged or sealed under another key"
    assert report.unreadable == 3
    assert report.named_unreadable == [
        Unreadable(f"{folder}/cut.1", broken),
        Unreadable(f"{folder}/exchanged.1", broken),
        Unreadable(f"{folder}/notes.txt", FOREIGN),
    ]


def test_a_call_whose_keys_were_destroyed_is_not_there(shelf: Shelf) -> None:
    shelf.hear(*CALLS)
    shelf.keys.destroy("acme", "c1", date(2026, 1, 5))
    report = shelf.replay(publisher=shelf.broker)
    assert shelf.written == ["c2", "c3", "c4"]
    assert (report.transcripts, report.unreadable) == (3, 0)


PEAR = {"id": "pear", "category": "tested", "severity": "low", "score_delta": 0, "words": ["梨子"], "advice": "不提"}
FRUIT = pack_of(version=2, rules=[rule("苹果")], sensitive_words=[PEAR | {"match": ["梨子"], "no_match": ["乙"]}])
TOO_MANY = "梨子" * 200
"""So many findings that its judgement is larger than these tests let it be."""
MOST_BYTES = 50_000
TOO_LARGE = f"the message is larger than {CALLS_REANALYZED.name} takes; it has 200 findings, 200 of own.pear"


@pytest.mark.parametrize("dry_run", [True, False], ids=["dry run", "real run"])
def test_a_call_whose_judgement_no_topic_takes_is_counted_and_named_and_holds_up_nothing(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    monkeypatch.setattr(CallAnalysis, "max_bytes", MOST_BYTES)
    shelf.hear(*CALLS, call("c1-large", TOO_MANY))
    report = shelf.replay(publisher=None if dry_run else shelf.broker, judge=judge_of(FRUIT))
    assert (report.transcripts, report.judged, report.unjudged, report.unreadable) == (5, 4, 1, 0)
    assert report.named_unjudged == [Unjudged("acme", "c1-large", TOO_LARGE)]
    assert (report.findings["own.one"], dict(report.moves)) == (3, {"low → high": 3}), "nothing of it counts"
    if not dry_run:
        assert shelf.written == ["c1", "c2", "c3", "c4"]


def test_what_follows_from_a_judgement_that_is_not_written_is_not_written_either(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CallAnalysis, "max_bytes", MOST_BYTES)
    shelf.hear(CALLS[0], call("c1-large", TOO_MANY))
    shelf.replay(
        publisher=shelf.broker,
        judge=judge_of(FRUIT),
        side_outputs=lambda analysis: [ProducerRecord("alerts", b"k", analysis.call_id.encode())],
    )
    assert [record.value for record in shelf.broker.records["alerts"]] == [b"c1"]


def test_a_judgement_that_kafka_never_takes_is_of_a_call_that_could_not_be_judged(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brokers may take less than the topic was declared with."""
    monkeypatch.setitem(MAX_BYTES, CALLS_REANALYZED.name, MOST_BYTES)
    shelf.hear(*CALLS, call("c1-large", TOO_MANY))
    report = shelf.replay(publisher=shelf.broker, judge=judge_of(FRUIT))
    assert set(shelf.written) == {"c1", "c2", "c3", "c4"}
    assert (report.judged, report.unjudged, dict(report.moves)) == (4, 1, {"low → high": 3})
    (unjudged,) = report.named_unjudged
    assert unjudged.call_id == "c1-large"
    assert unjudged.reason.startswith("Kafka takes no message as large")


def test_it_gives_way_before_every_batch_and_tells_how_far_it_is(shelf: Shelf) -> None:
    shelf.hear(*[call(f"c{n}", "苹果") for n in range(250)])
    asked: list[int] = []
    told: list[int] = []
    shelf.replay(give_way=lambda: asked.append(1), progress=lambda report: told.append(report.judged))
    assert told == [100, 200, 250]
    assert len(asked) == 3


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


class TestResumed:
    @pytest.mark.parametrize("batches_done", [0, 1, 2, 3])
    def test_one_that_was_killed_goes_on_where_it_was_and_tells_the_same(
        self, shelf: Shelf, tmp_path: Path, batches_done: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(CallAnalysis, "max_bytes", MOST_BYTES)
        shelf.hear(*[call(f"c{n:03}", "苹果" if n % 3 else "香蕉", day=1 + n % 28) for n in range(250)])
        shelf.hear(*[call(f"o{n:03}", "苹果", tenant_id="other") for n in range(50)])
        shelf.hear(call("c-large", TOO_MANY, day=1))
        shelf.store.put("transcripts/acme/2026/01/02/notes.txt", b"x")
        undisturbed = MemoryBroker()
        judge = judge_of(FRUIT)
        expected = shelf.replay(levels={}, judge=judge, publisher=undisturbed)
        assert (expected.unreadable, expected.unjudged) == (1, 1)
        plan = ReplayPlan("0.0.1", ALL, (APPLE,))

        def killed_after(report: ReplayReport) -> None:
            if report.transcripts + report.unreadable > batches_done * 100:
                raise Killed

        with ReplayProgress(tmp_path / "kept") as kept:
            kept.begin(plan.to_json())
            if batches_done < 3:
                with pytest.raises(Killed):
                    shelf.replay(levels={}, judge=judge, publisher=shelf.broker, kept=kept, progress=killed_after)
        with ReplayProgress(tmp_path / "kept") as kept:
            reached = kept.reached()
            assert reached is not None
            assert ReplayPlan.of_json(reached.plan) == plan
            so_far = ReplayReport.of_counts(
                reached.counts,
                (Change(*one) for one in reached.changes),  # type: ignore[arg-type] # as it was written
                (Unreadable(*one) for one in reached.unreadable),
                (Unjudged(*one) for one in reached.unjudged),
            )
            report = shelf.replay(
                levels={}, judge=judge, publisher=shelf.broker, kept=kept, report=so_far, after=reached.last_key
            )
            kept.finish()
            assert kept.reached() is None
        assert report == expected
        values = [record.value for record in shelf.broker.records[CALLS_REANALYZED.name]]
        assert values == [record.value for record in undisturbed.records[CALLS_REANALYZED.name]]

    def test_one_that_was_killed_before_it_could_note_a_batch_writes_that_batch_again_and_counts_it_once(
        self, shelf: Shelf, tmp_path: Path
    ) -> None:
        """The later judgement of a call replaces the earlier, which is the same but for its time."""
        shelf.hear(*[call(f"c{n:03}", "苹果") for n in range(250)])
        undisturbed = MemoryBroker()
        expected = shelf.replay(levels={}, publisher=undisturbed)

        class Kills(ReplayProgress):
            def advance(self, last_key: str, *rest: Any) -> None:
                if "c199" in last_key:
                    raise Killed
                super().advance(last_key, *rest)

        with Kills(tmp_path / "kept") as killed:
            killed.begin({})
            with pytest.raises(Killed):
                shelf.replay(levels={}, publisher=shelf.broker, kept=killed)
        with ReplayProgress(tmp_path / "kept") as kept:
            reached = kept.reached()
            assert reached is not None
            so_far = ReplayReport.of_counts(reached.counts, (Change(*one) for one in reached.changes), (), ())  # type: ignore[arg-type] # as it was written
            report = shelf.replay(levels={}, publisher=shelf.broker, kept=kept, report=so_far, after=reached.last_key)
        assert report == expected
        assert len(shelf.written) == 350
        assert list(dict.fromkeys(record.value for record in shelf.broker.records[CALLS_REANALYZED.name])) == [
            record.value for record in undisturbed.records[CALLS_REANALYZED.name]
        ]

    def test_one_that_kafka_or_the_store_left_alone_keeps_what_was_done(self, shelf: Shelf, tmp_path: Path) -> None:
        shelf.hear(*[call(f"c{n:03}", "苹果") for n in range(250)])

        class Leaves(MemoryBroker):
            def publish(self, outputs: Any) -> None:
                if len(self.records[CALLS_REANALYZED.name]) >= 100:
                    raise RetryableError("Kafka did not take it")
                super().publish(outputs)

        with ReplayProgress(tmp_path / "kept") as kept:
            kept.begin({})
            with pytest.raises(RetryableError):
                shelf.replay(levels={}, publisher=Leaves(), kept=kept)
            reached = kept.reached()
            assert reached is not None
            assert (reached.last_key, reached.counts["judged"]) == ("transcripts/acme/2026/01/05/c099.1", 100)

    def test_two_at_once_would_not_know_of_each_other(self, tmp_path: Path) -> None:
        with ReplayProgress(tmp_path), pytest.raises(ReplayRunsError, match="another replay runs"):
            ReplayProgress(tmp_path)
        with ReplayProgress(tmp_path) as kept:
            assert kept.reached() is None

    def test_a_new_one_takes_the_place_of_one_that_did_not_end(self, tmp_path: Path) -> None:
        with ReplayProgress(tmp_path) as kept:
            kept.begin({"n": 1})
            kept.advance("k", {"judged": 1}, [("a", "c", "low", "high")], [("x", "y")], [("a", "d", "z")])
            kept.begin({"n": 2})
            reached = kept.reached()
            assert reached is not None
            assert (reached.plan, reached.last_key) == ({"n": 2}, "")
            assert (reached.changes, reached.unreadable, reached.unjudged) == ((), (), ())


@dataclass(frozen=True)
class Builder:
    """What each process of a replay makes of a folder."""

    folder: Path
    dies_at: str = ""

    def __call__(self) -> "BatchJudge | DyingJudge":
        transcripts = transcripts_in(FolderStore(self.folder, BUCKET), DerivedKeys())
        judge = BatchJudge(transcripts, judge_of(APPLE), Stored({}), FixedClock())
        return DyingJudge(judge, self.dies_at) if self.dies_at else judge


@dataclass(frozen=True)
class DyingJudge:
    """Ends its process at a call, as a crash would."""

    judge: BatchJudge
    dies_at: str

    def __call__(self, batch: ReplayBatch) -> JudgedBatch:
        if any(one.key.endswith(f"/{self.dies_at}.1") for one in batch.objects):
            os.kill(os.getpid(), signal.SIGKILL)
        return self.judge(batch)


@pytest.mark.processes
class TestInProcesses:
    def test_several_judge_the_same_in_the_same_order(self, tmp_path: Path) -> None:
        transcripts = folder_of(tmp_path, 450)
        alone, together = MemoryBroker(), MemoryBroker()
        with in_this_process(Builder(tmp_path)) as judged:
            expected = Replay(transcripts, judged, alone).run(ALL)
        with in_processes(Builder(tmp_path), 2) as judged:
            report = Replay(transcripts, judged, together).run(ALL)
        assert report == expected
        assert report.judged == 450
        values = [[record.value for record in one.records[CALLS_REANALYZED.name]] for one in (alone, together)]
        assert values[0] == values[1]

    def test_one_that_crashes_ends_the_replay_with_a_sentence_and_what_was_done_stays(self, tmp_path: Path) -> None:
        transcripts = folder_of(tmp_path, 450)
        broker = MemoryBroker()
        with ReplayProgress(tmp_path / "kept") as kept:
            kept.begin({})
            with in_processes(Builder(tmp_path, dies_at="c00420"), 1) as judged, pytest.raises(LostProcessError):
                Replay(transcripts, judged, broker).run(ALL, kept)
            reached = kept.reached()
        assert reached is not None
        assert reached.counts.get("judged", 0) == len(broker.records[CALLS_REANALYZED.name])

    def test_they_end_when_the_one_that_started_them_is_killed(self, tmp_path: Path) -> None:
        code = (
            "import sys, time\n"
            "from streams.runtime.processes import in_processes\n"
            "from tests.streams.stages.test_replay import own_pid\n"
            "if __name__ == '__main__':\n"
            "    with in_processes(own_pid, 2) as judged:\n"
            "        print(*set(judged(range(20))), flush=True)\n"
            "        time.sleep(600)\n"
        )
        script = tmp_path / "parent.py"
        script.write_text(code, encoding="utf-8")
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
        with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=environment) as parent:
            assert parent.stdout is not None
            pids = [int(pid) for pid in parent.stdout.readline().split()]
            parent.kill()
        assert pids
        deadline_s = time.monotonic() + 20
        while any(runs(pid) for pid in pids) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert [pid for pid in pids if runs(pid)] == []


def own_pid() -> Callable[[int], int]:
    """Work that says who does it."""
    return lambda _number: os.getpid()


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def folder_of(folder: Path, calls: int) -> TranscriptStore:
    """Transcripts that every process can open."""
    store = FolderStore(folder, BUCKET)
    store.apply()
    transcripts = transcripts_in(store, DerivedKeys())
    for number in range(calls):
        transcripts.save(call(f"c{number:05}", "苹果" if number % 2 else "香蕉", day=1 + number % 20))
    return transcripts


class TestChosenPacks:
    SHELF = PackRegistry([APPLE, pack_of(version=12, rules=[rule("香蕉")]), pack_of(tenant="acme", version=3)])

    @pytest.mark.parametrize(
        ("name", "label"),
        [
            pytest.param("own@2", "own@2", id="a version"),
            pytest.param("own", "own@12", id="the one in force"),
            pytest.param("acme/own@3", "acme/own@3", id="a tenant's own"),
        ],
    )
    def test_a_pack_is_named_by_version_or_is_the_one_in_force(self, name: str, label: str) -> None:
        assert [pack.label for pack in choose_packs([name], self.SHELF)] == [label]

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            pytest.param("own@7", "there are the versions 2, 12", id="no such version"),
            pytest.param("nothing@1", "there are no rules nothing@1", id="no such pack"),
            pytest.param("own@x", "write finance@12", id="no number"),
        ],
    )
    def test_what_is_not_known_is_said(self, name: str, says: str) -> None:
        with pytest.raises(ReplayError, match=says):
            choose_packs([name], self.SHELF)

    def test_a_file_is_a_pack_that_nobody_has_published(self, tmp_path: Path) -> None:
        file = tmp_path / "own.yaml"
        file.write_text("{pack: own, version: 13, industry: general, owner: tests}", encoding="utf-8")
        assert [pack.label for pack in choose_packs([str(file)], self.SHELF)] == ["own@13"]
