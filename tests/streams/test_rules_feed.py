"""Rules that are published while a judge runs, on a broker in memory; tests/integration has the real ones."""

import logging
import threading
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from processors.judging import JudgeSettings
from processors.rule_examples import imagined_transcript
from schemas.errors import RetryableError
from schemas.rule_pack import RulePack
from schemas.rules_published import RulesPublished
from schemas.topics import RULES_PUBLISHED
from streams.raw import RawMessage
from streams.rules_feed import LiveJudge, Shelf, VersionConflictError, follow
from tests.processors.rule_packs import pack_of, rule

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def pack(word: str, version: int = 1, **fields: object) -> RulePack:
    """A pack with one rule that finds one word; its examples hold."""
    return pack_of(version=version, rules=[rule(word, match=[word], no_match=["别的"])], **fields)


def record(content: RulePack | bytes, offset: int = 0) -> RawMessage:
    if isinstance(content, bytes):
        return RawMessage(RULES_PUBLISHED.name, 0, offset, None, content)
    message = RulesPublished(pack=content, published_at=NOW, published_by="tests")
    return RawMessage(RULES_PUBLISHED.name, 0, offset, message.key(), message.encode())


def words_found(live: LiveJudge, text: str = "苹果香蕉樱桃") -> list[tuple[str, str]]:
    analysis = live.current.judge(imagined_transcript([("agent", text)], "general"), NOW)
    return [(finding.rule_version, finding.matched) for finding in analysis.findings if finding.detector == "rules"]


def live_judge(*packs: RulePack) -> LiveJudge:
    return LiveJudge(JudgeSettings(), Shelf(packs))


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
        shelf = Shelf([pack("苹果"), pack("香蕉", 4), pack("樱桃", 2), pack("梨", 9, tenant="acme")])
        assert [one.label for one in shelf.in_force()] == ["own@4", "acme/own@9"]
        assert shelf.versions(None, "own") == (1, 2, 4)

    def test_a_chosen_version_takes_the_place_of_the_highest(self) -> None:
        shelf = Shelf([pack("苹果"), pack("香蕉", 4)])
        old = shelf.version(None, "own", 1)
        assert old is not None
        assert [one.label for one in shelf.in_force([old])] == ["own@1"]

    def test_a_version_cannot_be_two_things(self) -> None:
        with pytest.raises(VersionConflictError, match="higher version than 1"):
            Shelf([pack("苹果"), pack("香蕉")])


class Source:
    """What was published before, then what the test puts in; fails as often as it is told."""

    def __init__(self, records: Iterable[RawMessage]) -> None:
        self.waiting = list(records)
        self.failures = 0
        self.is_at_end = False

    def read(self, most: int, wait_s: float) -> list[RawMessage]:
        if self.failures:
            self.failures -= 1
            raise RetryableError("Kafka cannot be read")
        batch, self.waiting = self.waiting[:most], self.waiting[most:]
        self.is_at_end = self.is_at_end or not self.waiting
        if not batch:
            threading.Event().wait(min(wait_s, 0.01))
        return batch


def test_what_was_published_before_is_in_force_when_the_judge_begins_and_what_follows_comes_into_force() -> None:
    live, stop = live_judge(pack("苹果")), threading.Event()
    source = Source([record(pack("香蕉", 2))])
    thread = follow(live, lambda: source, stop, 0.01)
    assert words_found(live) == [("2", "香蕉")]
    source.failures = 2
    source.waiting.append(record(pack("樱桃", 3)))
    while words_found(live) != [("3", "樱桃")]:
        assert thread.is_alive()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_judge_does_not_begin_while_the_rules_cannot_be_read() -> None:
    source = Source([])
    source.failures = 1
    with pytest.raises(RetryableError):
        follow(live_judge(pack("苹果")), lambda: source, threading.Event(), 0.01)
