"""Rules change and history is judged again while a stack runs: one story on each broker, then what came of it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from processors.rules.examples import imagine_transcript
from schemas.config.rule_pack import RulePack, parse_rule_pack
from schemas.messages.alert import Alert
from schemas.messages.records import ProducerRecord
from schemas.messages.rules_published import RulesPublished
from schemas.messages.topics import CALLS_ENDED, CALLS_TRANSCRIBED, RULES_PUBLISHED, message_key
from schemas.messages.transcript import Transcript
from streams.adapters.kafka.client import Publisher
from streams.adapters.object_store.from_settings import object_store_from
from streams.embedded.stack import Stack
from streams.runtime.rule_signatures import read_private_key, sign
from streams.settings import CONFIG_VARIABLE, PREFIX
from streams.wiring import transcript_store_from
from tests.schemas.config.yaml_change import line_of
from tests.support.stack import rows, running_stack, wait_for_outcomes, wait_until

TENANT = "acme"
RULE = "desk.golden_key"
WORKERS = ("judge", "store")
HISTORY_CALLS = 240
BATCH_MESSAGES = 10
LIVE_CALLS = 3
SINCE = "2026-01-01"

PACK = """\
pack: desk
version: {version}
industry: finance
tenant: acme
owner: 合规部
sensitive_words:
  - id: golden_key
    category: forbidden_promise
    severity: {severity}
    score_delta: {delta}
    words: [{word}]
    advice: 不得提及金钥匙名单。
    match: [我帮您进{match}]
    no_match: [请您走官方渠道]
"""
EARLIER = ("before-1", "before-2", "before-clean")


def pack_text(version: int, severity: str = "info", word: str = "金钥匙名单", match: str = "金钥匙名单") -> str:
    delta = 0 if severity == "info" else -60
    return PACK.format(version=version, severity=severity, word=word, match=match, delta=delta)


def pack(version: int, severity: str = "info", word: str = "金钥匙名单", match: str = "金钥匙名单") -> RulePack:
    return parse_rule_pack("desk.yaml", pack_text(version, severity, word, match))


def call(call_id: str, agent: str = "我帮您进金钥匙名单") -> Transcript:
    """Long enough to be judged, and with nothing that a shipped rule is grave about."""
    lines = [("agent", agent), ("customer", "好的谢谢您"), ("agent", "不客气，还有什么可以帮您吗")]
    return imagine_transcript(lines, "finance", tenant_id=TENANT, call_id=call_id)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Finished:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Story:
    """A running stack, what was done to it, and what was seen on the way."""

    stack: Stack
    folder: Path
    said: dict[str, Finished] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)

    def run(self, *arguments: str | Path) -> Finished:
        """A command as a person gives it, with nothing but the address file of the stack."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        done = subprocess.run(
            [sys.executable, "-m", "streams.cli.main", *map(str, arguments)],
            env=environment | {CONFIG_VARIABLE: str(self.seen["address_file"])},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def produce(self, outputs: Sequence[ProducerRecord]) -> None:
        publisher = Publisher(self.stack.settings)
        publisher.publish(outputs)
        publisher.close()

    def hear(self, *calls: Transcript) -> None:
        """As `ingest` and `listen` would: the transcript where `replay` finds it, then the event and the transcript."""
        kept = transcript_store_from(self.stack.settings, object_store_from(self.stack.settings))
        for one in calls:
            kept.save(one)
        keys = [message_key(one.tenant_id, one.call_id) for one in calls]
        self.produce(
            [ProducerRecord(CALLS_ENDED.name, key, one.call.encode()) for key, one in zip(keys, calls, strict=True)]
        )
        self.produce(
            [ProducerRecord(CALLS_TRANSCRIBED.name, key, one.encode()) for key, one in zip(keys, calls, strict=True)]
        )

    def judged(self, *calls: Transcript) -> None:
        """These calls, until they are accounted for."""
        self.hear(*calls)
        wait_for_outcomes(self.stack, [one.call_id for one in calls], tenant_id=TENANT)

    def published_past_the_command(self, one: RulePack) -> None:
        """Signed, for who holds the key may still publish what the command would refuse."""
        key_file = self.stack.settings.rules_private_key_file
        assert key_file is not None
        message = RulesPublished(pack=one, published_at=datetime.now(UTC), published_by="nobody")
        message = sign(message, read_private_key(key_file))
        self.produce([RULES_PUBLISHED.record(message)])

    def wait_for_log(self, worker: str, sentence: str, times: int = 1) -> None:
        log = self.stack.supervisor.log_file(worker)
        wait_until(self.stack, lambda: log.read_text().count(sentence) >= times, lambda: f"{worker} to say {sentence}")

    def wait_for_versions(self, call_ids: Sequence[str], version: str) -> None:
        def all_have_it() -> bool:
            return all(self.found(call_id) == [(version, "high")] for call_id in call_ids)

        wait_until(self.stack, all_have_it, lambda: f"{call_ids} to be judged by version {version}")

    def found(self, call_id: str) -> list[tuple[str, str]]:
        """Version and severity of the findings of the tenant's rule."""
        query = f"SELECT rule_version, severity FROM findings WHERE call_id = '{call_id}' AND rule_id = '{RULE}'"  # noqa: S608
        return [(row["rule_version"], row["severity"]) for row in rows(self.stack, query)]

    def risks(self) -> dict[str, str]:
        return {row["call_id"]: row["risk_level"] for row in rows(self.stack, "SELECT call_id, risk_level FROM calls")}

    def alerts(self) -> list[dict[str, Any]]:
        return rows(self.stack, "SELECT call_id, rule_id, rule_version, alert_id FROM alerts ORDER BY ALL")

    def pids(self) -> dict[str, int | None]:
        return {name: self.stack.supervisor.pid(name) for name in WORKERS}

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        queries = {name: f"SELECT * FROM {name} ORDER BY ALL" for name in ("calls", "findings", "alerts")}  # noqa: S608
        return {name: rows(self.stack, query) for name, query in queries.items()}

    def judged_by(self, version: str) -> int:
        """How many calls of history have a finding of that version."""
        query = (
            "SELECT count() AS calls FROM findings WHERE startsWith(call_id, 'history-') "  # noqa: S608
            f"AND rule_id = '{RULE}' AND rule_version = '{version}'"
        )
        return int(rows(self.stack, query)[0]["calls"])


def tell_of_rules(story: Story) -> None:
    """Rules are published while calls come in."""
    story.judged(*map(call, EARLIER[:2]), call(EARLIER[2], "请您走官方渠道"))
    story.seen["under shipped rules"] = [story.found(call_id) for call_id in EARLIER]
    story.seen["pids"] = story.pids()
    story.said["publish 1"] = story.run("rules", "publish", story.file("one.yaml", pack_text(1)), "--by", "李")
    assert story.said["publish 1"].code == 0, story.said["publish 1"].err
    story.wait_for_log("judge", "rules acme/desk@1 are in force")
    story.judged(call("under-1"))
    first = story.file("two.yaml", pack_text(2, "high"))
    story.said["publish 2"] = story.run("rules", "publish", first, "--by", "李", "--note", "加重")
    story.wait_for_log("judge", "rules acme/desk@2 are in force")
    story.judged(call("under-2"))
    story.seen["versions"] = [story.found(call_id) for call_id in ("under-1", "under-2")]

    story.published_past_the_command(pack(3, match="官方渠道"))
    story.wait_for_log("judge", "rules acme/desk@3 are refused")
    story.judged(call("after-bad"))
    story.seen["after a bad one"] = story.found("after-bad")
    bad = story.file("bad.yaml", pack_text(4, match="官方渠道"))
    story.said["publish bad"] = story.run("rules", "publish", bad)
    story.seen["line of the bad rule"] = line_of(bad, "golden_key")
    story.said["publish lower"] = story.run("rules", "publish", story.file("lower.yaml", pack_text(1, "high")))
    story.said["publish again"] = story.run("rules", "publish", first)
    story.said["list"] = story.run("rules", "list", "--json")
    story.seen["pids afterwards"] = story.pids()


def tell_of_history(story: Story) -> None:
    """The calls from before are judged again by the version in force."""
    again = ("replay", "--from", SINCE, "--tenant", TENANT, "--json")
    story.seen["before the replay"] = story.tables()
    story.seen["risks before"] = story.risks()
    story.said["dry run"] = story.run(*again, "--rules", "acme/desk@2", "--dry-run")
    story.seen["after the dry run"] = story.tables()
    story.said["replay"] = story.run(*again, "--rules", "acme/desk@2")
    story.wait_for_versions([*EARLIER[:2], "under-1"], "2")
    story.seen["risks after"] = story.risks()
    story.seen["alerts before"] = story.seen["before the replay"]["alerts"]
    story.seen["alerts after"] = story.tables()["alerts"]
    story.said["replay with alerts"] = story.run(*again, "--alerts")
    wanted = {Alert.id_of(TENANT, call_id, RULE, "2") for call_id in EARLIER[:2]}
    wait_until(
        story.stack,
        lambda: wanted <= {row["alert_id"] for row in story.alerts()},
        lambda: f"alerts of history; there are {story.alerts()}",
    )
    story.seen["alerts of history"] = story.alerts()
    # The same transcript once more is judged live: what it raises was raised before.
    story.hear(call("before-1"))
    story.judged(call("after-alerts"))
    story.seen["alerts after live"] = [row for row in story.alerts() if row["call_id"] != "after-alerts"]


def tell_of_a_killed_judge(story: Story) -> None:
    """A judge that comes back knows what was published."""
    story.stack.supervisor.kill("judge")
    story.wait_for_log("judge", "judge is ready", times=2)
    story.judged(call("after-kill"))
    story.seen["after the kill"] = story.found("after-kill")


def tell_of_much_history(story: Story) -> None:
    """A replay of many calls is written, live calls come in, and `store` dies in the middle of it."""
    history = [call(f"history-{number:03}") for number in range(HISTORY_CALLS)]
    story.judged(*history)
    third = story.file("five.yaml", pack_text(5, "high"))
    story.said["publish 5"] = story.run("rules", "publish", third)
    story.wait_for_log("judge", "rules acme/desk@5 are in force")
    story.said["replay of much"] = story.run("replay", "--from", SINCE, "--json")
    live = [call(f"live-{number}") for number in range(LIVE_CALLS)]
    story.judged(*live)
    story.seen["history when live was stored"] = story.judged_by("5")
    story.stack.supervisor.kill("store")
    wait_until(
        story.stack,
        lambda: story.judged_by("5") == HISTORY_CALLS,
        lambda: f"all of history; {story.judged_by('5')} calls are done",
        within_s=200,
    )
    story.seen["calls"] = rows(
        story.stack, "SELECT call_id, count() AS times FROM calls GROUP BY call_id ORDER BY call_id"
    )
    story.seen["unaccounted"] = rows(story.stack, "SELECT * FROM unaccounted")
    story.seen["dead letters"] = rows(story.stack, "SELECT * FROM dead_letters")
    story.seen["packs"] = rows(story.stack, "SELECT * FROM rule_packs ORDER BY pack_version")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("tansu", marks=[pytest.mark.embedded, pytest.mark.long]),
        pytest.param("kafka", marks=[pytest.mark.kafka, pytest.mark.long]),
    ],
)
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("stack")
    # Small batches, so that a few hundred calls of history take many turns beside live traffic.
    settings = {"sink_batch_messages": BATCH_MESSAGES, "sink_batch_ms": 500}
    with running_stack(request.param, folder, settings, stages=WORKERS) as stack:
        told = Story(stack, folder)
        told.seen["address_file"] = stack.announce()
        for tell in (tell_of_rules, tell_of_history, tell_of_a_killed_judge, tell_of_much_history):
            partial(tell, told)()
        yield told


class TestPublishing:
    def test_a_call_before_has_none_of_the_findings(self, story: Story) -> None:
        assert story.seen["under shipped rules"] == [[], [], []]

    def test_the_next_call_is_judged_by_the_new_version_and_names_it(self, story: Story) -> None:
        assert (story.said["publish 1"].code, story.said["publish 1"].out) == (0, "acme/desk@1: published\n")
        assert (story.said["publish 2"].code, story.said["publish 2"].out) == (0, "acme/desk@2: published\n")
        assert story.seen["versions"] == [[("1", "info")], [("2", "high")]]

    def test_no_process_was_started_again_for_it(self, story: Story) -> None:
        assert story.seen["pids"] == story.seen["pids afterwards"]
        assert None not in story.seen["pids"].values()

    def test_a_bad_one_that_went_past_the_command_leaves_the_old_in_force(self, story: Story) -> None:
        assert story.seen["after a bad one"] == [("2", "high")]

    def test_the_command_refuses_a_bad_one_with_file_line_and_rule(self, story: Story) -> None:
        refused = story.said["publish bad"]
        assert (refused.code, refused.out) == (1, "")
        place = f"bad.yaml:{story.seen['line of the bad rule']}: sensitive_words golden_key, field match"
        assert place in refused.err

    def test_the_command_refuses_a_lower_version(self, story: Story) -> None:
        refused = story.said["publish lower"]
        assert (refused.code, refused.out) == (1, "")
        assert "acme/desk@1 is older than acme/desk@2, which is in force" in refused.err

    def test_the_same_again_is_no_news(self, story: Story) -> None:
        assert story.said["publish again"].code == 0
        assert story.said["publish again"].out == "acme/desk@2: already published\n"

    def test_the_list_tells_what_is_in_force(self, story: Story) -> None:
        listed = {row["pack"]: (row["state"], row["published_by"], row["note"]) for row in story.said["list"].json}
        assert listed == {
            "acme/desk@1": ("superseded", "李", ""),
            "acme/desk@2": ("in force", "李", "加重"),
            "acme/desk@3": ("refused", "nobody", ""),
        }

    def test_every_published_version_can_be_queried(self, story: Story) -> None:
        found = [
            (row["tenant_id"], row["pack"], row["pack_version"], row["published_by"]) for row in story.seen["packs"]
        ]
        by = {1: "李", 2: "李", 3: "nobody", 5: "unknown"}
        assert found == [(TENANT, "desk", version, name) for version, name in by.items()]
        assert {row["sha256"] for row in story.seen["packs"]} >= {pack(1).digest(), pack(2, "high").digest()}

    def test_a_judge_that_was_killed_comes_back_with_what_was_published(self, story: Story) -> None:
        assert story.seen["after the kill"] == [("2", "high")]


class TestHistory:
    def test_a_dry_run_tells_which_calls_change_and_changes_nothing(self, story: Story) -> None:
        told = story.said["dry run"]
        assert told.code == 0, told.err
        assert told.json["dry_run"] is True
        changed = {one["call_id"]: (one["before"], one["after"]) for one in told.json["changes"]}
        assert set(changed) == {*EARLIER[:2], "under-1"}
        assert set(changed.values()) == {("low", "medium")}
        assert told.json["findings"][RULE] == 5
        assert story.seen["before the replay"] == story.seen["after the dry run"]

    def test_a_replay_replaces_the_results_and_says_the_same(self, story: Story) -> None:
        dry, real = story.said["dry run"].json, story.said["replay"].json
        assert {**real, "dry_run": True} == dry
        before, after = story.seen["risks before"], story.seen["risks after"]
        assert {call_id for call_id in after if after[call_id] != before[call_id]} == {*EARLIER[:2], "under-1"}
        assert before.keys() == after.keys()

    def test_it_raises_no_alert_unless_asked(self, story: Story) -> None:
        assert story.seen["alerts after"] == story.seen["alerts before"]
        assert {row["call_id"] for row in story.seen["alerts before"]} == {"under-2", "after-bad"}

    def test_alerts_that_are_asked_for_are_those_of_live_judging(self, story: Story) -> None:
        of_history = story.seen["alerts of history"]
        assert story.seen["alerts after live"] == of_history
        ids = [row["alert_id"] for row in of_history]
        assert len(set(ids)) == len(ids)
        assert {row["alert_id"] for row in story.seen["alerts before"]} <= set(ids)
        assert {row["call_id"] for row in of_history} == {*EARLIER[:2], "under-1", "under-2", "after-bad"}

    def test_history_waits_for_live_calls(self, story: Story) -> None:
        assert story.said["replay of much"].json["judged"] >= HISTORY_CALLS
        assert story.seen["history when live was stored"] < HISTORY_CALLS

    def test_nothing_is_lost_when_store_dies_in_the_middle(self, story: Story) -> None:
        expected = {f"history-{number:03}" for number in range(HISTORY_CALLS)}
        expected |= {f"live-{number}" for number in range(LIVE_CALLS)}
        expected |= {*EARLIER, "under-1", "under-2", "after-bad", "after-alerts", "after-kill"}
        assert {row["call_id"]: row["times"] for row in story.seen["calls"]} == dict.fromkeys(expected, 1)
        assert (story.seen["unaccounted"], story.seen["dead letters"]) == ([], [])
