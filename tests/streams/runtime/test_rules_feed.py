"""Rules that are published while a judge runs, on a broker in memory; tests/integration has the real ones."""

import logging
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from processors.judging.pipeline import JudgeSettings
from processors.rules.examples import imagine_transcript
from processors.rules.rulebook import Rulebooks
from schemas.config.rule_pack import RulePack
from schemas.errors import RetryableError
from schemas.messages.records import ConsumerRecord
from schemas.messages.rules_published import RulesPublished
from schemas.messages.topics import RULES_PUBLISHED
from streams.runtime.rules_feed import LiveJudge, PackRegistry, VersionConflictError, check_rulebooks, follow
from tests.processors.rules.rule_packs import pack_of, rule

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def pack(word: str, version: int = 1, **fields: object) -> RulePack:
    """A pack with one rule that finds one word; its examples hold."""
    return pack_of(version=version, rules=[rule(word, match=[word], no_match=["别的"])], **fields)


def record(content: RulePack | bytes, offset: int = 0) -> ConsumerRecord:
    if isinstance(content, bytes):
        return ConsumerRecord(RULES_PUBLISHED.name, 0, offset, None, content)
    message = RulesPublished(pack=content, published_at=NOW, published_by="tests")
    return ConsumerRecord(RULES_PUBLISHED.name, 0, offset, message.key(), message.encode())


def words_found(live: LiveJudge, text: str = "苹果香蕉樱桃") -> list[tuple[str, str]]:
    analysis = live.current.judge(imagine_transcript([("agent", text)], "general"), NOW)
    return [(finding.rule_version, finding.matched) for finding in analysis.findings if finding.detector == "rules"]


def live_judge(*packs: RulePack) -> LiveJudge:
    return LiveJudge(JudgeSettings(), packs)


def test_a_higher_version_takes_over() -> None:
    live = live_judge(pack("苹果"))
    before = live.current
    live.take([record(pack("香蕉", 2))])
    assert words_found(live) == [("2", "香蕉")]
    assert live.current is not before, "a message that is under way goes on with the judge that it began with"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(
            pack_of(version=2, rules=[rule("香蕉", match=["苹果"], no_match=["梨"])]),
            "must be found",
            id="an example does not hold",
        ),
        pytest.param(pack_of(version=2, rules=[rule({"ref": "nowhere"})]), "there is no condition", id="dead ref"),
        pytest.param(pack("香蕉", 1), "higher version", id="another content under the same version"),
        pytest.param(b"{}", "pack: missing", id="no pack"),
        pytest.param(b"\xff", "not UTF-8", id="no text"),
    ],
)
def test_what_cannot_be_used_is_refused_and_the_old_stays(
    content: RulePack | bytes, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    live = live_judge(pack("苹果"))
    with caplog.at_level(logging.ERROR):
        live.take([record(content)])
    assert words_found(live) == [("1", "苹果")]
    assert says in caplog.text
    assert "stay in force" in caplog.text


def test_a_bad_pack_keeps_out_no_good_one() -> None:
    live = live_judge(pack("苹果"))
    bad = pack_of(version=3, rules=[rule({"ref": "nowhere"})])
    live.take([record(bad, 0), record(pack("香蕉", 2), 1), record(pack("樱桃", 1, pack="other"), 2)])
    assert words_found(live) == [("2", "香蕉"), ("1", "樱桃")]


def test_an_older_version_that_comes_late_changes_nothing() -> None:
    live = live_judge(pack("苹果"))
    live.take([record(pack("香蕉", 3))])
    live.take([record(pack("樱桃", 2))])
    assert words_found(live) == [("3", "香蕉")]


def test_the_same_version_twice_is_no_news() -> None:
    live = live_judge(pack("苹果"))
    live.take([record(pack("香蕉", 2))])
    judge = live.current
    live.take([record(pack("香蕉", 2))])
    assert live.current is judge


class TestShelf:
    def test_in_force_is_the_highest_version_of_each_pack(self) -> None:
        registry = PackRegistry([pack("苹果"), pack("香蕉", 4), pack("樱桃", 2), pack("梨", 9, tenant="acme")])
        assert [one.label for one in registry.in_force()] == ["own@4", "acme/own@9"]
        assert registry.versions(None, "own") == (1, 2, 4)

    def test_a_chosen_version_takes_the_place_of_the_highest(self) -> None:
        registry = PackRegistry([pack("苹果"), pack("香蕉", 4)])
        old = registry.version(None, "own", 1)
        assert old is not None
        assert [one.label for one in registry.in_force([old])] == ["own@1"]

    def test_a_version_cannot_be_two_things(self) -> None:
        with pytest.raises(VersionConflictError, match="higher version than 1"):
            PackRegistry([pack("苹果"), pack("香蕉")])


class Source:
    """What was published before, then what the test puts in; fails as often as it is told."""

    def __init__(self, records: Iterable[ConsumerRecord]) -> None:
        self.waiting = list(records)
        self.failures = 0
        self.is_at_end = False
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True

    def read(self, most: int, wait_s: float) -> list[ConsumerRecord]:
        assert not self.is_closed
        if self.failures:
            self.failures -= 1
            raise RetryableError("Kafka cannot be read")
        batch, self.waiting = self.waiting[:most], self.waiting[most:]
        self.is_at_end = self.is_at_end or not self.waiting
        if not batch:
            threading.Event().wait(min(wait_s, 0.01))
        return batch


class Drip(Source):
    """Gives one record at a time."""

    def read(self, most: int, wait_s: float) -> list[ConsumerRecord]:  # noqa: ARG002 - it gives one
        return super().read(1, wait_s)


def test_what_was_published_before_is_in_force_when_the_judge_begins_and_what_follows_comes_into_force() -> None:
    live, stop = live_judge(pack("苹果")), threading.Event()
    source = Source([record(pack("香蕉", 2))])
    sources = [source, Source([]), Source([record(pack("香蕉", 2)), record(pack("樱桃", 3), 1)])]
    sources[1].failures = 1
    to_open = iter(sources)
    thread = follow(live, lambda: next(to_open), stop, 0.01)
    assert words_found(live) == [("2", "香蕉")]
    source.failures = 1
    while words_found(live) != [("3", "樱桃")]:
        assert thread.is_alive()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert [one.is_closed for one in sources] == [True, True, True]


def test_a_judge_does_not_begin_while_the_rules_cannot_be_read() -> None:
    source = Source([])
    source.failures = 1
    with pytest.raises(RetryableError):
        follow(live_judge(pack("苹果")), lambda: source, threading.Event(), 0.01)


def dependent(version: int = 2, **fields: object) -> RulePack:
    """A pack that needs the condition `fruit` of another one."""
    found = rule({"ref": "fruit"}, match=["苹果"], no_match=["梨"])
    return pack_of(pack="dependent", industry="finance", version=version, rules=[found], **fields)


def with_condition(version: int = 2) -> RulePack:
    """The pack that has it."""
    return pack_of(version=version, conditions={"fruit": {"say": ["苹果"]}})


@pytest.mark.parametrize(
    "batches",
    [
        pytest.param([[dependent(), with_condition()]], id="both at once"),
        pytest.param([[dependent()], [with_condition()]], id="first what needs the other"),
        pytest.param([[with_condition()], [dependent()]], id="first what is needed"),
        pytest.param(
            [[dependent(), pack_of(pack="bad", rules=[rule({"ref": "nowhere"})]), with_condition()]],
            id="among others of which one is bad",
        ),
        pytest.param(
            [[dependent()], [pack_of(pack="bad", rules=[rule({"ref": "nowhere"})])], [with_condition()]],
            id="one by one, among others of which one is bad",
        ),
    ],
)
def test_all_workers_come_to_the_same_rules_however_they_came(batches: list[list[RulePack]]) -> None:
    live = live_judge(pack("香蕉"))
    for batch in batches:
        live.take([record(one) for one in batch])
    assert [one.label for one in live.current.rulebooks.packs] == ["dependent@2", "own@2"]


def test_a_pack_that_would_break_one_in_force_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    packs = [record(one) for one in (with_condition(), dependent(), pack_of(version=3))]
    one_by_one, at_once = live_judge(), live_judge()
    for each in packs:
        one_by_one.take([each])
    at_once.take(packs)
    for live in (one_by_one, at_once):
        assert [one.label for one in live.current.rulebooks.packs] == ["dependent@2", "own@2"]
    assert "rules own@3 are refused" in caplog.text


def test_a_refused_version_cannot_be_published_again_with_other_content(caplog: pytest.LogCaptureFixture) -> None:
    bad, mended = pack_of(version=2, rules=[rule({"ref": "nowhere"})]), pack("香蕉", 2)
    one_by_one, at_once = live_judge(pack("苹果")), live_judge(pack("苹果"))
    one_by_one.take([record(bad)])
    one_by_one.take([record(mended, 1)])
    at_once.take([record(bad), record(mended, 1)])
    assert words_found(one_by_one) == words_found(at_once) == [("1", "苹果")]
    assert "own@2 is known with other content: give it a higher version than 2" in caplog.text


def test_a_bad_pack_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    live = live_judge(pack("苹果"))
    live.take([record(pack_of(version=2, rules=[rule({"ref": "nowhere"})]))])
    live.take([record(pack("香蕉", 3), 1)])
    live.take([record(pack("樱桃", 4), 2)])
    assert words_found(live) == [("4", "樱桃")]
    assert caplog.text.count("are refused") == 1


@pytest.mark.parametrize(
    ("measure", "owner"),
    [
        pytest.param("duration_ms", "duration", id="of the code"),
        pytest.param("mandatory_scripts_asked", "mandatory_scripts", id="of a detector that reads rules"),
        pytest.param("thanks", "rules", id="of other rules"),
    ],
)
def test_a_measure_that_is_taken_already_is_refused(measure: str, owner: str, caplog: pytest.LogCaptureFixture) -> None:
    live = live_judge(pack_of(rules=[rule("谢谢", match=["谢谢"], measure="thanks")]))
    threat = rule("苹果", match=["苹果"], measure=measure, severity="low", advice="好")
    live.take([record(pack_of(pack="second", threats=[threat]))])
    assert f"{measure} is already measured by {owner}" in caplog.text
    assert [one.label for one in live.current.rulebooks.packs] == ["own@1"]


def test_a_bug_in_making_rules_ready_refuses_the_pack_and_quotes_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = live_judge(pack("苹果"))

    def bug(*_arguments: object) -> None:
        raise KeyError("王小明")

    monkeypatch.setattr("streams.runtime.rules_feed.check_examples", bug)
    live.take([record(pack("香蕉", 2))])
    monkeypatch.undo()
    assert words_found(live) == [("1", "苹果")]
    assert "this is a bug: builtins.KeyError" in caplog.text
    assert "王小明" not in caplog.text


def test_what_was_published_before_is_made_ready_once(monkeypatch: pytest.MonkeyPatch) -> None:
    live, stop = live_judge(pack("苹果")), threading.Event()
    made: list[int] = []

    def counted(*arguments: Any) -> Rulebooks:
        made.append(1)
        return check_rulebooks(*arguments)

    monkeypatch.setattr("streams.runtime.rules_feed.check_rulebooks", counted)
    source = Drip([record(pack("香蕉", version), version) for version in range(2, 102)])
    thread = follow(live, lambda: source, stop, 0.01)
    stop.set()
    thread.join(10)
    assert words_found(live) == [("101", "香蕉")]
    assert len(made) == 1


def test_a_bad_pack_among_many_is_found_in_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    live = live_judge(pack("苹果"))
    made: list[int] = []

    def counted(*arguments: Any) -> Rulebooks:
        made.append(1)
        return check_rulebooks(*arguments)

    monkeypatch.setattr("streams.runtime.rules_feed.check_rulebooks", counted)
    good = [record(pack("香蕉", version), version) for version in range(2, 101)]
    live.take([*good, record(pack_of(version=101, rules=[rule({"ref": "nowhere"})]), 101)])
    assert words_found(live) == [("100", "香蕉")]
    assert len(made) < 20
