"""History judged again, on a broker in memory."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from processors.judging.call_context import NO_BACKGROUND, Background
from processors.judging.pipeline import Judge, JudgeSettings
from processors.rules.rulebook import Rulebooks
from schemas.config.rule_pack import RulePack
from schemas.messages.call_analysis import CallAnalysis, Risk
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CALLS_ANALYZED, CALLS_REANALYZED, CALLS_TRANSCRIBED
from schemas.messages.transcript import Transcript
from streams.adapters.memory.broker import MemoryBroker, MemoryReader
from streams.ports import CallKey, RiskOrNone
from streams.runtime.rules_feed import PackRegistry
from streams.stages.replay import Change, Replay, ReplayError, ReplayReport, ReplayWindow, choose_packs
from tests.processors.rules.rule_packs import called, pack_of, rule

NOW = datetime(2026, 3, 2, tzinfo=UTC)
JANUARY = datetime(2026, 1, 1, tzinfo=UTC)


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


def stored(*calls: Transcript) -> MemoryBroker:
    broker = MemoryBroker()
    broker.publish(CALLS_TRANSCRIBED.record(one) for one in calls)
    return broker


def replay(broker: MemoryBroker, judge: Judge, levels: Mapping[CallKey, RiskOrNone], **fields: object) -> Replay:
    source = MemoryReader(broker, CALLS_TRANSCRIBED.name)
    return Replay(source, judge, Stored(levels), FixedClock(), **fields)  # type: ignore[arg-type]


APPLE = pack_of(version=2, rules=[rule("苹果")])
CALLS = (call("c1", "苹果"), call("c2", "香蕉"), call("c3", "苹果", day=20), call("c4", "苹果", tenant_id="other"))
LOW: Mapping[CallKey, RiskOrNone] = {(one.tenant_id, one.call_id): "low" for one in CALLS}


def written(broker: MemoryBroker) -> list[str]:
    return [CALLS_REANALYZED.decode(record.value).call_id for record in broker.records[CALLS_REANALYZED.name]]


def test_every_stored_call_is_judged_again_and_goes_to_a_lane_of_its_own() -> None:
    broker = stored(*CALLS)
    report = replay(broker, judge_of(APPLE), LOW, publisher=broker).run(ReplayWindow(JANUARY))
    assert written(broker) == ["c1", "c2", "c3", "c4"]
    assert broker.records[CALLS_ANALYZED.name] == []
    assert (report.transcripts, report.judged, dict(report.moves)) == (4, 4, {"low → high": 3})
    assert report.findings["own.one"] == 3
    analysis = CALLS_REANALYZED.decode(broker.records[CALLS_REANALYZED.name][0].value)
    assert [finding.rule_version for finding in analysis.findings] == ["2"]
    assert broker.records[CALLS_REANALYZED.name][0].key == b"acme/c1"


@pytest.mark.parametrize(
    ("texts", "moves"),
    [
        pytest.param(("苹果", "香蕉"), {}, id="high first, and in the end as it was"),
        pytest.param(("香蕉", "苹果"), {"low → high": 1}, id="as it was first, and high in the end"),
        pytest.param(("苹果", "苹果"), {"low → high": 1}, id="the same twice"),
        pytest.param(("苹果", "香蕉", "苹果"), {"low → high": 1}, id="there, back and there"),
    ],
)
def test_of_a_call_that_was_heard_several_times_the_last_verdict_is_reported(
    texts: tuple[str, ...], moves: dict[str, int]
) -> None:
    broker = stored(*(call("c1", text) for text in texts))
    report = replay(broker, judge_of(APPLE), {("acme", "c1"): "low"}).run(ReplayWindow(JANUARY))
    assert report.moves == moves
    assert [(change.before, change.after) for change in report.gravest()] == [("low", "high")] * len(moves)


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        pytest.param(ReplayWindow(datetime(2026, 1, 10, tzinfo=UTC)), ["c3"], id="from a day on"),
        pytest.param(
            ReplayWindow(JANUARY, datetime(2026, 1, 10, tzinfo=UTC)), ["c1", "c2", "c4"], id="to before a day"
        ),
        pytest.param(ReplayWindow(JANUARY, tenant_id="other"), ["c4"], id="of one tenant"),
        pytest.param(ReplayWindow(datetime(2026, 2, 1, tzinfo=UTC)), [], id="none"),
    ],
)
def test_only_the_calls_that_were_asked_for_are_judged(window: ReplayWindow, expected: list[str]) -> None:
    broker = stored(*CALLS)
    replay(broker, judge_of(APPLE), LOW, publisher=broker).run(window)
    assert written(broker) == expected


def test_a_dry_run_writes_nothing_and_says_what_would_change() -> None:
    broker = stored(*CALLS)
    levels: Mapping[CallKey, RiskOrNone] = {**LOW, ("acme", "c1"): "high", ("acme", "c2"): "high"}
    report = replay(broker, judge_of(APPLE), levels).run(ReplayWindow(JANUARY))
    assert set(broker.records) == {CALLS_TRANSCRIBED.name}
    assert report.gravest() == [
        Change("acme", "c3", "low", "high"),
        Change("other", "c4", "low", "high"),
        Change("acme", "c2", "high", "low"),
    ]


def test_a_call_that_was_never_judged_had_no_risk() -> None:
    broker = stored(CALLS[0])
    report = replay(broker, judge_of(APPLE), {}).run(ReplayWindow(JANUARY))
    assert dict(report.moves) == {"none → high": 1}


def test_what_follows_from_a_judgement_is_written_only_when_asked() -> None:
    broker = stored(CALLS[0])
    replay(
        broker,
        judge_of(APPLE),
        LOW,
        publisher=broker,
        side_outputs=lambda analysis: [ProducerRecord("alerts", b"k", analysis.call_id.encode())],
    ).run(ReplayWindow(JANUARY))
    assert [record.value for record in broker.records["alerts"]] == [b"c1"]


def test_a_message_that_cannot_be_read_is_counted_and_passed_over() -> None:
    broker = stored(CALLS[0])
    broker.publish([ProducerRecord(CALLS_TRANSCRIBED.name, b"x", b"{}")])
    report = replay(broker, judge_of(APPLE), LOW, publisher=broker).run(ReplayWindow(JANUARY))
    assert (report.transcripts, report.judged, report.unreadable) == (2, 1, 1)


def test_it_gives_way_before_every_batch_and_tells_how_far_it_is() -> None:
    broker = stored(*[call(f"c{n}", "苹果") for n in range(250)])
    asked: list[int] = []
    told: list[int] = []

    def progress(report: ReplayReport) -> None:
        told.append(report.judged)

    replay(broker, judge_of(APPLE), {}, give_way=lambda: asked.append(1)).run(ReplayWindow(JANUARY), progress)
    assert told == [100, 200, 250]
    assert len(asked) == 3


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
