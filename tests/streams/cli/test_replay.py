"""`callstream replay` as a person meets it, on a broker in memory and without a database."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from processors.judging.call_context import NO_BACKGROUND, Background
from schemas.errors import RetryableError
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.call_ended import CallEnded
from schemas.messages.topics import ALERTS_RAISED, CALLS_REANALYZED, CALLS_TRANSCRIBED
from schemas.messages.transcript import Transcript
from streams.adapters.kafka.client import Lag
from streams.adapters.object_store.from_settings import object_store_from
from streams.adapters.object_store.transcripts import TranscriptStore
from streams.adapters.register.migrate import migrate_register
from streams.adapters.register.register import Register
from streams.embedded.ports import free_port
from streams.ports import CallKey, ObjectStore, RiskOrNone
from streams.runtime.replay_progress import ReplayProgress
from streams.settings import load_settings
from streams.wiring import prepare_keys, transcript_store_from
from tests.processors.rules.rule_packs import called
from tests.streams.cli.terminal import Terminal
from tests.streams.runtime.published_rules import Broker, pack, pack_text

RULE = "desk.golden_key"
HIT = "我帮您进金钥匙名单"


class NoStoredRisks:
    """Nothing was judged before."""

    def __init__(self, _client: object) -> None: ...

    def risks(self, _calls: Sequence[Transcript]) -> Mapping[CallKey, RiskOrNone]:
        return {}


class NothingKnown:
    """Knows of no other call."""

    @classmethod
    def of(cls, _settings: object) -> "NothingKnown":
        return cls()

    def __enter__(self) -> "NothingKnown":
        return self

    def __exit__(self, *_error: object) -> None: ...

    def background(self, _call: CallEnded) -> Background:
        return NO_BACKGROUND


class Shelf:
    """Where the command finds transcripts: the store and the register of its settings."""

    def __init__(self) -> None:
        settings = load_settings().settings
        migrate_register(Register.of(settings))
        prepare_keys(settings)
        self.store: ObjectStore = object_store_from(settings)
        self.store.apply()
        self.transcripts: TranscriptStore = transcript_store_from(settings, self.store)

    def hear(self, *calls: Transcript) -> None:
        for one in calls:
            self.transcripts.save(one)


@pytest.fixture
def shelf(terminal: Terminal) -> Shelf:  # noqa: ARG001 - it says where the data folder is
    """Four calls of two tenants, on two days, of which one says nothing remarkable."""
    shelf = Shelf()
    shelf.hear(call("c1", 5), call("c2", 5, text="您好"), call("c3", 20), call("c4", 20, tenant_id="other"))
    return shelf


@pytest.fixture
def broker(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> Broker:
    """Kafka, and no ClickHouse; everything is judged in this process, where that is so."""
    assert shelf.store
    monkeypatch.setattr("streams.cli.replay.cores", lambda: 1)
    monkeypatch.setattr("streams.adapters.clickhouse.connection.connect", lambda _url: object())
    monkeypatch.setattr("streams.adapters.clickhouse.risks.StoredRisks", NoStoredRisks)
    monkeypatch.setattr("streams.adapters.clickhouse.history.ClickHouseHistory", NothingKnown)
    monkeypatch.setattr("streams.adapters.kafka.client.lags", lambda _settings, _groups: [])
    monkeypatch.setattr("streams.stages.replay.step_aside", lambda: None)
    return Broker(monkeypatch)


def call(call_id: str, day: int, text: str = HIT, tenant_id: str = "acme") -> Transcript:
    ended_at = datetime(2026, 1, day, 9, 5, tzinfo=UTC)
    return called(
        ("agent", text),
        industry="finance",
        call_id=call_id,
        tenant_id=tenant_id,
        started_at=ended_at - timedelta(minutes=5),
        ended_at=ended_at,
    )


def judged(broker: Broker) -> dict[str, list[str]]:
    """Call id → versions of the rule that was found in it, of what was written."""
    return {
        analysis.call_id: [finding.rule_version for finding in analysis.findings if finding.rule_id == RULE]
        for analysis in broker.messages(CALLS_REANALYZED)
    }


def test_calls_are_judged_by_the_rules_in_force(terminal: Terminal, broker: Broker) -> None:
    broker.publish_rules(pack(1), pack(2))
    ended = terminal.run("replay", "--from", "2026-01-01")
    assert (ended.code, ended.err) == (0, "")
    assert "4 transcripts read, 4 calls judged again; the risk of 4 changes" in ended.out
    assert judged(broker) == {"c1": ["2"], "c2": [], "c3": ["2"], "c4": ["2"]}
    assert broker.messages(ALERTS_RAISED) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(["--rules", "desk@1"], "1", id="an older version"),
        pytest.param(["--rules", "desk@2"], "2", id="the one in force"),
        pytest.param(["--rules", "desk"], "2", id="by its name"),
        pytest.param(["--rules", "own.yaml"], "7", id="a file that nobody published"),
        pytest.param(["--rules", "desk@1", "--rules", "finance"], "1", id="several"),
    ],
)
def test_they_are_judged_by_the_rules_that_are_named(
    terminal: Terminal, broker: Broker, options: list[str], expected: str
) -> None:
    terminal.file("own.yaml", pack_text(7))
    broker.publish_rules(pack(1), pack(2))
    assert terminal.run("replay", "--from", "2026-01-01", *options).code == 0
    assert judged(broker)["c1"] == [expected]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(["--from", "2026-01-10"], {"c3", "c4"}, id="from a day"),
        pytest.param(["--from", "2026-01-05T17:05:00+08:00"], {"c1", "c2", "c3", "c4"}, id="from a moment"),
        pytest.param(["--from", "2026-01-05T17:05:01+08:00"], {"c3", "c4"}, id="from a moment later"),
        pytest.param(["--from", "2026-01-01", "--to", "2026-01-10"], {"c1", "c2"}, id="to a day"),
        pytest.param(["--from", "2026-01-01", "--tenant", "other"], {"c4"}, id="of a tenant"),
        pytest.param(["--from", "2026-02-01"], set(), id="none"),
    ],
)
def test_only_calls_that_were_asked_for_are_judged(
    terminal: Terminal, broker: Broker, options: list[str], expected: set[str]
) -> None:
    assert terminal.run("replay", *options).code == 0
    assert judged(broker).keys() == expected


def test_a_dry_run_writes_nothing(terminal: Terminal, broker: Broker) -> None:
    broker.publish_rules(pack())
    before = {topic: list(records) for topic, records in broker.records.items()}
    ended = terminal.run("replay", "--from", "2026-01-01", "--dry-run", "--alerts")
    assert ended.code == 0
    assert "the risk of 4 would change" in ended.out
    assert {topic: list(records) for topic, records in broker.records.items()} == before


def test_json_tells_all_of_it(terminal: Terminal, broker: Broker, shelf: Shelf) -> None:
    broker.publish_rules(pack())
    shelf.store.put("transcripts/acme/2026/01/05/notes.txt", b"x")
    told = terminal.run("replay", "--from", "2026-01-01", "--tenant", "acme", "--json").json
    assert (told["dry_run"], told["transcripts"], told["unreadable"], told["judged"]) == (False, 3, 1, 3)
    assert [one["key"] for one in told["unreadable_objects"]] == ["transcripts/acme/2026/01/05/notes.txt"]
    assert told["findings"][RULE] == 2
    assert told["changed"] == 3 == sum(told["moves"].values())
    assert {(one["tenant_id"], one["call_id"], one["before"]) for one in told["changes"]} == {
        ("acme", "c1", "none"),
        ("acme", "c2", "none"),
        ("acme", "c3", "none"),
    }


@pytest.mark.parametrize("options", [["--dry-run"], []], ids=["dry run", "real run"])
def test_a_call_with_too_many_findings_is_named_and_the_others_are_judged(
    terminal: Terminal, broker: Broker, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    monkeypatch.setattr(CallAnalysis, "max_bytes", 200_000)
    shelf.hear(call("c1-large", 5, text=HIT * 300))
    broker.publish_rules(pack())
    ended = terminal.run("replay", "--from", "2026-01-01", "--tenant", "acme", *options)
    assert (ended.code, ended.err) == (0, "")
    assert "4 transcripts read, 3 calls judged again" in ended.out
    assert (
        "1 calls could not be judged again and stay as they are:\n  acme/c1-large: the message is larger" in ended.out
    )
    assert f"300 of {RULE}" in ended.out
    assert judged(broker).keys() == (set() if options else {"c1", "c2", "c3"})
    told = terminal.run("replay", "--from", "2026-01-01", "--tenant", "acme", "--json", *options).json
    assert (told["judged"], told["unjudged"]) == (3, 1)
    assert [(one["tenant_id"], one["call_id"]) for one in told["unjudged_calls"]] == [("acme", "c1-large")]


def test_alerts_are_raised_when_asked(terminal: Terminal, broker: Broker) -> None:
    broker.publish_rules(pack())
    assert terminal.run("replay", "--from", "2026-01-01", "--alerts").code == 0
    raised = broker.messages(ALERTS_RAISED)
    assert {(alert.call_id, alert.rule_id) for alert in raised if not alert.triggers} == {
        ("c1", RULE),
        ("c3", RULE),
        ("c4", RULE),
    }
    selected = {alert.call_id for alert in raised if "sensitive_word" in alert.triggers}
    assert selected == {"c1", "c3", "c4"}, "by the rules of the replay"


def test_what_cannot_be_heard_is_judged_too(terminal: Terminal, broker: Broker, shelf: Shelf) -> None:
    many = [("agent", HIT), *[("customer", "好")] * 9_999]
    shelf.hear(
        called(industry="finance", call_id="empty"),
        called(("agent", "😀\x07\u202e\u200b" * 200), industry="finance", call_id="emoji"),
        called(*many, industry="finance", call_id="long"),  # type: ignore[arg-type]
    )
    broker.publish_rules(pack())
    assert terminal.run("replay", "--from", "2026-01-01").code == 0
    found = judged(broker)
    assert (found["empty"], found["emoji"], found["long"]) == ([], [], ["1"])


def test_it_waits_while_live_stages_are_behind(
    terminal: Terminal, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = [701, 700, 3]
    asked: list[set[str]] = []
    pauses: list[float] = []

    def lags(_settings: object, groups: Mapping[str, Sequence[str]]) -> list[Lag]:
        assert judged(broker) == {}
        asked.append(set(groups))
        return [Lag("judge", CALLS_TRANSCRIBED.name, behind.pop(0)), Lag("store", ALERTS_RAISED.name, 0)]

    monkeypatch.setattr("streams.adapters.kafka.client.lags", lags)
    monkeypatch.setattr("time.sleep", pauses.append)
    assert terminal.run("replay", "--from", "2026-01-01", "--max-live-lag", "650").code == 0
    assert asked == [{"judge", "store"}] * 3
    assert len(pauses) == 2
    assert len(judged(broker)) == 4


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param([], "say from when, or go on with --resume", id="from when"),
        pytest.param(["--resume"], "there is no replay to go on with", id="nothing to go on with"),
        pytest.param(["--resume", "--from", "2026-01-01"], "it goes on with what it was given", id="both"),
        pytest.param(["--from", "2026-01-01", "--workers", "0"], "--workers", id="nobody who judges"),
        pytest.param(["--from", "yesterday"], "yesterday is not a time: write 2026-03-01", id="no date"),
        pytest.param(["--from", "2026-01-01", "--to", "soon"], "soon is not a time: write 2026-03-01", id="no end"),
        pytest.param(
            ["--from", "2026-02-01", "--to", "2026-01-01"],
            "2026-01-01 is not after 2026-02-01",
            id="turned round",
        ),
        pytest.param(["--from", "0001-01-01"], "the year must be from 1971 to 2105", id="long before any call"),
        pytest.param(["--from", "9999-12-31"], "the year must be from 1971 to 2105", id="long after any call"),
        pytest.param(["--from", "2026-01-01", "--rate", "-1"], "--rate", id="pace"),
        pytest.param(["--from", "2026-01-01", "--max-live-lag", "-1"], "--max-live-lag", id="lag"),
        pytest.param(["--from", "2026-01-01", "--rules", "desk@9"], "there is no desk@9; of desk there", id="version"),
        pytest.param(["--from", "2026-01-01", "--rules", "nothing"], "there are no rules nothing", id="no such pack"),
        pytest.param(["--from", "2026-01-01", "--rules", "a/b/desk@1"], "there are no rules a/b/desk@1", id="tenants"),
        pytest.param(["--from", "2026-01-01", "--rules", ""], "there are no rules", id="no name"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_writes_nothing(
    terminal: Terminal, broker: Broker, options: list[str], sentence: str
) -> None:
    broker.publish_rules(pack())
    ended = terminal.run("replay", *options)
    assert ended.code == 2
    assert sentence in ended.err
    assert judged(broker) == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(pack_text(7, match="请您走官方渠道"), "must be found, and is not", id="an example does not hold"),
        pytest.param("pack: 1", "own.yaml", id="no pack"),
    ],
)
def test_rules_that_cannot_be_used_end_with_1_and_write_nothing(
    terminal: Terminal, broker: Broker, text: str, sentence: str
) -> None:
    ended = terminal.run("replay", "--from", "2026-01-01", "--rules", terminal.file("own.yaml", text))
    assert ended.code == 1
    assert sentence in ended.err
    assert judged(broker) == {}


def test_published_rules_that_workers_refuse_are_not_used(terminal: Terminal, broker: Broker) -> None:
    broker.publish_rules(pack(1), pack(2, match="请您走官方渠道"))
    assert terminal.run("replay", "--from", "2026-01-01").code == 0
    assert judged(broker)["c1"] == ["1"]
    named = terminal.run("replay", "--from", "2026-01-01", "--rules", "desk@2")
    assert named.code == 1
    assert "must be found, and is not" in named.err


class TestResume:
    def test_one_that_broke_off_goes_on_with_the_rules_that_it_was_given(
        self, terminal: Terminal, broker: Broker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rules that were published meanwhile are of no concern to it."""
        broker.publish_rules(pack(1))
        monkeypatch.setattr("streams.stages.replay.BATCH_CALLS", 1)
        publish = broker.publish

        def leaves(outputs: Any) -> None:
            if len(broker.messages(CALLS_REANALYZED)) == 2:
                raise RetryableError("Kafka did not take it")
            publish(outputs)

        monkeypatch.setattr(broker, "publish", leaves)
        ended = terminal.run("replay", "--from", "2026-01-01")
        assert (ended.code, len(judged(broker))) == (4, 2)
        monkeypatch.setattr(broker, "publish", publish)
        broker.publish_rules(pack(2))
        ended = terminal.run("replay", "--resume")
        assert ended.code == 0
        assert "4 transcripts read, 4 calls judged again; the risk of 4 changes" in ended.out
        assert judged(broker) == {"c1": ["1"], "c2": [], "c3": ["1"], "c4": ["1"]}
        assert terminal.run("replay", "--resume").code == 2

    def test_one_of_another_release_is_not_gone_on_with(self, terminal: Terminal) -> None:
        with ReplayProgress(load_settings().settings.data_dir / "replay") as kept:
            kept.begin({"release": "0.0.1"})
        ended = terminal.run("replay", "--resume")
        assert ended.code == 2
        assert "was begun by callstream 0.0.1" in ended.err


def test_transcripts_of_an_earlier_release_must_be_sealed_first(
    terminal: Terminal, broker: Broker, shelf: Shelf
) -> None:
    broker.publish_rules(pack())
    shelf.store.put("transcripts/acme/old.json", call("old", 5).encode())
    ended = terminal.run("replay", "--from", "2026-01-01")
    assert ended.code == 3
    assert "run `callstream custody seal-transcripts`" in ended.err
    sealed = terminal.run("custody", "seal-transcripts")
    assert (sealed.code, sealed.out) == (0, "1 transcripts sealed\n")
    assert terminal.run("replay", "--from", "2026-01-01").code == 0
    assert judged(broker)["old"] == ["1"]


def test_what_is_no_transcript_of_its_call_is_not_sealed_and_named(terminal: Terminal, shelf: Shelf) -> None:
    shelf.store.put("transcripts/acme/old.json", b"{}")
    ended = terminal.run("custody", "seal-transcripts")
    assert ended.code == 1
    assert "left alone, it is no transcript of its call: transcripts/acme/old.json" in ended.out


@pytest.mark.loopback
def test_kafka_that_does_not_answer_ends_with_4(terminal: Terminal) -> None:
    terminal.set(kafka_bootstrap=f"127.0.0.1:{free_port()}")
    ended = terminal.run("replay", "--from", "2026-01-01")
    assert ended.code == 4
    assert ended.err.startswith("callstream: no Kafka broker answers at 127.0.0.1:")
