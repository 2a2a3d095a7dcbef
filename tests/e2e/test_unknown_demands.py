"""A demand that nobody wrote a topic for: found, adopted, published, replayed and counted, by commands alone."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from processors.rules.examples import imagine_transcript
from schemas.config.rule_pack import RULE_PACK_FOLDER, read_rule_pack
from schemas.messages.records import ProducerRecord
from schemas.messages.topics import CALLS_ENDED, CALLS_TRANSCRIBED, message_key
from schemas.messages.transcript import Transcript
from streams.adapters.kafka.client import Publisher
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.register.register import Register
from streams.embedded.stack import Stack
from streams.settings import CONFIG_VARIABLE, PREFIX
from streams.wiring import transcript_store_from
from tests.support.access_log import accesses
from tests.support.stack import rows, running_stack, wait_for_outcomes, wait_until

pytestmark = [pytest.mark.embedded, pytest.mark.long]

TENANT = "acme"
BEFORE, WEEK = date(2026, 3, 23), date(2026, 3, 30)
OTHERS_A_WEEK = 60

ASKED = (
    "你好，我买的数字藏品想转赠给我朋友，怎么转不出去啊",
    "我那个数字藏品转赠的按钮是灰的，点不了",
    "数字藏品能转赠给家里人吗，我找不到地方",
    "喂，我想问一下数字藏品转赠要等多久，朋友说没收到",
    "昨天在你们活动里领的数字藏品，转赠的时候说我没实名",
    "我把数字藏品转赠错人了，能撤回来吗",
    "你们这个数字藏品转赠，对方一定要先开户吗",
    "我孩子领了个数字藏品，想转赠到我名下",
    "数字藏品转赠失败了两回，页面一直在转圈",
)
"""What nobody has foreseen, in nine wordings."""


def call(call_id: str, asked: str, day: date) -> Transcript:
    lines = [
        ("agent", "您好，很高兴为您服务"),
        ("customer", asked),
        ("agent", "好的，我帮您看一下"),
        ("customer", "好"),
    ]
    ended_at = datetime(day.year, day.month, day.day, 3, tzinfo=UTC)
    facts = {"tenant_id": TENANT, "call_id": call_id, "started_at": ended_at - timedelta(minutes=2)}
    return imagine_transcript(lines, "telecom", ended_at=ended_at, **facts)  # type: ignore[arg-type]


def usual(week: date, name: str) -> list[Transcript]:
    """Calls about what the shipped pack has topics for, in the words of its examples."""
    topics = read_rule_pack(RULE_PACK_FOLDER / "telecom.yaml").topics
    sentences = [one for topic in topics for one in topic.match if isinstance(one, str)][:OTHERS_A_WEEK]
    return [
        call(f"{name}-{number:02}", asked, week + timedelta(days=number % 7)) for number, asked in enumerate(sentences)
    ]


@dataclass
class Story:
    """A running stack, and what commands said."""

    stack: Stack
    folder: Path
    address_file: Path
    said: dict[str, Any] = field(default_factory=dict)

    def run(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        return subprocess.run(
            [sys.executable, "-m", "streams.cli.main", *map(str, arguments)],
            env=environment | {CONFIG_VARIABLE: str(self.address_file), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    def unknown(self, week: str) -> dict[str, Any]:
        done = self.run("demands", "unknown", "--week", week, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def judged(self, *calls: Transcript) -> None:
        """Kept in the store as `listen` keeps them, so that `replay` finds them, and judged."""
        kept = transcript_store_from(self.stack.settings, object_store_from(self.stack.settings))
        for one in calls:
            kept.save(one)
        publisher = Publisher(self.stack.settings)
        for topic, messages in (
            (CALLS_ENDED.name, [one.call.encode() for one in calls]),
            (CALLS_TRANSCRIBED.name, [one.encode() for one in calls]),
        ):
            publisher.publish(
                ProducerRecord(topic, message_key(one.tenant_id, one.call_id), message)
                for one, message in zip(calls, messages, strict=True)
            )
        publisher.close()
        wait_for_outcomes(self.stack, [one.call_id for one in calls], tenant_id=TENANT)

    def covered(self) -> int:
        query = "SELECT uniqExact(call_id) AS calls FROM topics WHERE topic_id = 'own_topics.gift_collectible'"
        return int(rows(self.stack, query)[0]["calls"])


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("stack")
    with running_stack("tansu", folder, stages=("judge", "store")) as stack:
        told = Story(stack, folder, stack.announce())
        told.judged(
            *usual(BEFORE, "before"),
            *usual(WEEK, "usual"),
            *(call(f"new-{number}", asked, WEEK + timedelta(days=number % 7)) for number, asked in enumerate(ASKED)),
        )
        pack = folder / "own_topics.yaml"
        pack.write_text(
            "# of the analysts\npack: own_topics\nversion: 4\nindustry: telecom\ntenant: acme\nowner: 分析组\n"
            "topics:\n- {id: esim, name: 数字卡, phrases: [数字卡], match: [我要办数字卡], no_match: [您好]}\n",
            encoding="utf-8",
        )
        told.said["before"] = told.unknown("2026-W13")
        told.said["week"] = told.unknown("2026-W14")
        told.said["table"] = told.run("demands", "unknown", "--week", "2026-W14")
        cluster = told.said["week"]["demands"][0]["cluster"] if told.said["week"]["demands"] else "none"
        options = ("--week", "2026-W14", "--file", pack)
        told.said["no such"] = told.run("demands", "adopt", "nobody", *options)
        told.said["adopt"] = told.run(
            "demands", "adopt", cluster, "--id", "gift_collectible", "--name", "藏品转赠", *options, "--publish"
        )
        told.said["pack"] = pack.read_text(encoding="utf-8")
        told.said["test"] = told.run("rules", "test", pack)
        log = stack.supervisor.log_file("judge")
        wait_until(stack, lambda: "rules acme/own_topics@5 are in force" in log.read_text(), lambda: "the new rules")
        told.said["covered before"] = told.covered()
        told.said["replay"] = told.run("replay", "--from", "2026-01-01", "--tenant", TENANT, "--json")
        wait_until(
            stack, lambda: told.covered() >= len(ASKED) - 2, lambda: f"the topic; {told.covered()} calls have it"
        )
        told.said["after"] = told.unknown("2026-W14")
        register = Register.of(stack.settings)
        told.said["accesses"] = accesses(register)
        register.close()
        yield told


def test_the_week_before_has_nothing_of_it(story: Story) -> None:
    assert not [one for one in story.said["before"]["demands"] if "藏品" in "".join(one["words"])]


def test_it_is_the_largest_group_and_new_with_its_words_quotes_and_a_topic(story: Story) -> None:
    week = story.said["week"]
    first = week["demands"][0]
    assert first["calls"] >= len(ASKED) - 2
    assert first["share"]["value"] == pytest.approx(first["calls"] / week["calls"])
    assert (first["trend"], first["calls_before"]) == ("new", 0)
    assert any("数字藏品" in word for word in first["words"])
    assert {quote["text"] for quote in first["quotes"]} <= set(ASKED)
    assert all(quote["call_id"].startswith("new-") and quote["start_ms"] > 0 for quote in first["quotes"])
    assert len(first["quotes"]) == 5
    assert any("藏品" in phrase for phrase in first["topic"]["phrases"])
    assert "数字藏品" in story.said["table"].stdout


def test_the_topic_is_written_into_the_pack_which_stays_what_it_was(story: Story) -> None:
    assert story.said["adopt"].returncode == 0, story.said["adopt"].stderr
    text = story.said["pack"]
    assert text.startswith("# of the analysts\npack: own_topics\nversion: 5\n")
    assert "- {id: esim, name: 数字卡, phrases: [数字卡], match: [我要办数字卡], no_match: [您好]}\n" in text
    assert "name: 藏品转赠" in text
    assert story.said["test"].returncode == 0, story.said["test"].stderr


def test_replayed_its_calls_are_covered_and_counted(story: Story) -> None:
    assert story.said["covered before"] == 0
    assert story.said["replay"].returncode == 0, story.said["replay"].stderr
    assert story.covered() >= len(ASKED) - 2
    assert not [one for one in story.said["after"]["demands"] if "数字藏品" in "".join(one["words"])]
    assert story.said["after"]["uncovered"] <= story.said["week"]["uncovered"] - len(ASKED) + 2


def test_a_group_that_is_not_there_is_said(story: Story) -> None:
    done = story.said["no such"]
    assert (done.returncode, done.stdout) == (1, "")
    assert "acme has no group of that name in 2026-W14" in done.stderr


def test_every_look_stands_in_the_log_of_access_without_a_word(story: Story) -> None:
    looks = [one for one in story.said["accesses"] if "unknown_demands" in one.filters]
    assert len(looks) == 6
    assert {(one.tenant_id, one.action, one.client) for one in looks} == {(TENANT, "searched", "cli")}
    assert any(one.calls_count and one.calls_count >= 5 for one in looks)
    assert "藏品" not in "".join(one.model_dump_json() for one in looks)
