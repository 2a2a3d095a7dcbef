"""`callstream rules` as a person meets it."""

import json

import pytest

from schemas.config.rule_pack import MAX_EXPRESSIONS, RULE_PACK_FOLDER, load_rule_packs
from schemas.messages.topics import RULES_PUBLISHED
from streams.embedded.ports import free_port
from streams.runtime.rule_signatures import problem_with_signature, read_public_keys
from tests.processors.rules.rule_packs import pack_of, rule
from tests.schemas.config.yaml_change import line_of
from tests.streams.cli.terminal import Terminal
from tests.streams.runtime.published_rules import Broker, pack, pack_text

RULE = "desk.golden_key"
BAD_EXAMPLE = "请您走官方渠道"
"""Shares nothing with the word of the pack."""


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    return Broker(monkeypatch)


class TestLint:
    def test_without_files_the_shipped_packs_are_in_order(self, terminal: Terminal) -> None:
        ended = terminal.run("rules", "lint")
        assert (ended.code, ended.err) == (0, "")
        expected = {f"{one.label}: {sum(1 for _ in one.entries())} rules" for one in load_rule_packs()}
        assert set(ended.out.splitlines()) == expected

    def test_it_runs_no_example(self, terminal: Terminal) -> None:
        assert terminal.run("rules", "lint", terminal.file("own.yaml", pack_text(match=BAD_EXAMPLE))).code == 0

    @pytest.mark.parametrize(
        ("text", "line", "problem"),
        [
            pytest.param(
                pack_text().replace("severity: high", "severity: grave"),
                "severity",
                "sensitive_words golden_key, field sensitive_words.0.severity",
                id="a severity",
            ),
            pytest.param(pack_text().replace("owner:", "ownr:"), "ownr", "field ownr", id="an unknown field"),
            pytest.param(
                pack_text() + "conditions:\n  one: {ref: two}\n  two: {ref: one}\n",
                "one",
                "condition one",
                id="a circle",
            ),
            pytest.param(
                pack_text() + "conditions:\n  one: {regex: '('}\n", "one", "condition one", id="a bad expression"
            ),
            pytest.param(
                pack_text()
                + "rules:\n  - {id: mine, name: 规则, category: x, measure: duration_ms,"
                + " find: 苹果, match: [苹果], no_match: [梨]}\n",
                "id: mine",
                "duration_ms is already measured by duration",
                id="a measure of the code",
            ),
        ],
    )
    def test_a_problem_is_named_with_file_line_and_rule(
        self, terminal: Terminal, text: str, line: str, problem: str
    ) -> None:
        file = terminal.file("own.yaml", text)
        ended = terminal.run("rules", "lint", file)
        assert (ended.code, ended.out) == (1, "")
        assert f"own.yaml:{line_of(file, line)}: " in ended.err
        assert problem in ended.err

    def test_the_problems_of_all_files_are_told(self, terminal: Terminal) -> None:
        for name in ("a.yaml", "b.yaml"):
            terminal.file(f"packs/{name}", pack_text().replace("version: 1", "version: 0"))
        ended = terminal.run("rules", "lint", terminal.folder / "packs")
        assert ended.code == 1
        assert "a.yaml:2: field version" in ended.err
        assert "b.yaml:2: field version" in ended.err

    @pytest.mark.parametrize("text", ["", "[", "- 1", "pack", "\t", "\x00"], ids=repr)
    def test_what_is_no_pack_at_all_is_a_sentence(self, terminal: Terminal, text: str) -> None:
        file = terminal.file("own.yaml", text)
        ended = terminal.run("rules", "lint", file)
        assert ended.code == 1
        assert ended.err.startswith(str(file))

    def test_a_file_that_is_not_there_is_named(self, terminal: Terminal) -> None:
        ended = terminal.run("rules", "lint", "missing.yaml")
        assert ended.code == 1
        assert "missing.yaml" in ended.err

    def test_a_folder_without_a_pack_is_a_sentence(self, terminal: Terminal) -> None:
        (terminal.folder / "empty").mkdir()
        ended = terminal.run("rules", "lint", "empty")
        assert (ended.code, ended.err) == (1, "empty holds no YAML file (*.yaml)\n")


class TestExamples:
    def test_those_of_the_shipped_packs_hold(self, terminal: Terminal) -> None:
        ended = terminal.run("rules", "test")
        assert (ended.code, ended.err) == (0, "")
        assert len(ended.out.splitlines()) == len(load_rule_packs())

    def test_how_many_hold_is_told(self, terminal: Terminal) -> None:
        ended = terminal.run("rules", "test", terminal.file("own.yaml", pack_text()))
        assert (ended.code, ended.out) == (0, "desk@1: 2 examples pass\n")

    def test_one_that_does_not_hold_is_named_with_its_place(self, terminal: Terminal) -> None:
        file = terminal.file("own.yaml", pack_text(match=BAD_EXAMPLE))
        ended = terminal.run("rules", "test", file)
        assert (ended.code, ended.out) == (1, "")
        place = f"{file}:{line_of(file, 'golden_key')}: sensitive_words golden_key, field match"
        assert f"{place}: '{BAD_EXAMPLE}' must be found, and is not" in ended.err


class TestShow:
    def test_json_lists_every_rule_of_every_pack(self, terminal: Terminal) -> None:
        rows = terminal.run("rules", "show", "--json").json
        assert [(row["pack"], row["id"]) for row in rows] == [
            (one.label, entry.id) for one in load_rule_packs() for _, entry in one.entries()
        ]

    def test_a_table_shows_the_rules_of_a_file(self, terminal: Terminal) -> None:
        ended = terminal.run("rules", "show", terminal.file("own.yaml", pack_text()))
        assert ended.code == 0
        for cell in ("desk@1", "sensitive_words", "golden_key", "forbidden_promise", "high"):
            assert cell in ended.out

    def test_packs_of_the_folder_in_the_settings_are_in_use(self, terminal: Terminal) -> None:
        terminal.file("mine/own.yaml", pack_text(7))
        terminal.set(rules_folder=terminal.folder / "mine")
        assert "desk@7" in {row["pack"] for row in terminal.run("rules", "show", "--json").json}

    def test_a_bad_file_is_a_sentence(self, terminal: Terminal) -> None:
        ended = terminal.run("rules", "show", terminal.file("own.yaml", "pack: 1"))
        assert ended.code == 1
        assert "own.yaml" in ended.err


class TestDiff:
    def test_the_same_twice_has_no_difference(self, terminal: Terminal) -> None:
        file = terminal.file("own.yaml", pack_text())
        ended = terminal.run("rules", "diff", file, file)
        assert (ended.code, ended.out) == (0, "desk@1 → desk@1: 0 difference(s)\n")

    def test_what_was_added_taken_away_and_changed_is_told(self, terminal: Terminal) -> None:
        old = terminal.file("old.yaml", pack_text() + "conditions:\n  gone: [苹果]\n  other: [香蕉]\n")
        words = "sensitive_words:\n"
        more = words + pack_text(2).partition(words)[2].replace("金钥匙名单", "特殊关系").replace("golden_key", "more")
        new = terminal.file(
            "new.yaml",
            pack_text(2, "critical").replace(words, more) + "conditions:\n  other: [樱桃]\n  own: [桃子]\n",
        )
        ended = terminal.run("rules", "diff", old, new)
        assert ended.code == 1
        assert ended.out.splitlines() == [
            "- condition gone",
            "~ condition other",
            "+ condition own",
            "~ sensitive_words golden_key: severity",
            "+ sensitive_words more",
            "desk@1 → desk@2: 5 difference(s)",
        ]

    def test_a_bad_file_is_a_sentence(self, terminal: Terminal) -> None:
        file = terminal.file("own.yaml", pack_text())
        ended = terminal.run("rules", "diff", file, "missing.yaml")
        assert ended.code == 1
        assert "missing.yaml" in ended.err


class TestTry:
    def test_findings_topics_and_measures_are_told(self, terminal: Terminal) -> None:
        ended = terminal.run(
            *("rules", "try", "--industry", "finance", "--file", terminal.file("own.yaml", pack_text())),
            *("--text", "坐席：我帮您进金钥匙名单", "--text", "客户：我要投诉到银保监会"),
        )
        assert (ended.code, ended.err) == (0, "")
        assert f"high: {RULE} " in ended.out
        assert "「金钥匙名单」" in ended.out
        assert "sensitive_words = 1\n" in ended.out

    def test_an_industry_without_rules_is_noted(self, terminal: Terminal) -> None:
        ended = terminal.run("rules", "try", "--industry", "nosuch", "--text", "客户：我要投诉到银保监会", "--json")
        assert ended.code == 0
        assert ended.json["findings"]
        assert ended.err == (
            "no rule pack at hand is for the industry nosuch (there are packs for ecommerce, education, finance, "
            "medical, telecom): only general rules apply\n"
        )

    def test_not_where_a_pack_to_try_out_is_for_it(self, terminal: Terminal) -> None:
        text = "\n".join(
            "industry: nosuch" if line.startswith("industry:") else line for line in pack_text().split("\n")
        )
        file = terminal.file("own.yaml", text)
        ended = terminal.run(
            "rules", "try", "--industry", "nosuch", "--file", file, "--text", "坐席：我帮您进金钥匙名单"
        )
        assert (ended.code, ended.err) == (0, "")
        assert RULE in ended.out

    @pytest.mark.parametrize(
        ("options", "found"),
        [
            pytest.param(["--text", "我帮您进金钥匙名单"], True, id="the agent, where nothing else is said"),
            pytest.param(["--text", "客户:我帮您进金钥匙名单"], False, id="the customer says it"),
            pytest.param(["--text", "我帮您进金钥匙名单", "--role", "customer"], False, id="by --role"),
            pytest.param(["--text", "时间：我帮您进金钥匙名单"], True, id="another colon"),
            pytest.param(["--text", "我帮您进金钥匙名单", "--industry", "education"], False, id="another industry"),
            pytest.param(["--text", ""], False, id="nothing is said"),
            pytest.param(["--text", "😀\x07\u202e" * 50], False, id="emoji and control characters"),
        ],
    )
    def test_who_says_it_and_where_matters(self, terminal: Terminal, options: list[str], found: bool) -> None:
        file = terminal.file("own.yaml", pack_text())
        ended = terminal.run("rules", "try", "--industry", "finance", "--file", file, *options, "--json")
        assert ended.code == 0
        assert (RULE in {finding["rule_id"] for finding in ended.json["findings"]}) is found

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            pytest.param(["--role", "boss"], "boss is not a role: agent or customer", id="role"),
            pytest.param(["--direction", "up"], "up is not a direction: inbound or outbound", id="direction"),
        ],
    )
    def test_a_wrong_option_ends_with_2(self, terminal: Terminal, options: list[str], sentence: str) -> None:
        ended = terminal.run("rules", "try", "--text", "好", *options)
        assert ended.code == 2
        assert sentence in ended.err

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            pytest.param("--industry", "Finance!", id="industry"),
            pytest.param("--tenant", "../x", id="tenant"),
            pytest.param("--course-type", " ", id="course type"),
        ],
    )
    def test_a_value_that_no_call_can_have_is_no_bug(self, terminal: Terminal, option: str, value: str) -> None:
        ended = terminal.run("rules", "try", "--text", "好", option, value)
        assert ended.code == 2
        assert option in ended.err

    def test_a_bad_file_is_a_sentence(self, terminal: Terminal) -> None:
        ended = terminal.run("rules", "try", "--text", "好", "--file", terminal.file("own.yaml", "pack: 1"))
        assert ended.code == 1
        assert "own.yaml" in ended.err


class TestPublish:
    def test_a_pack_is_written_with_who_and_why(self, terminal: Terminal, broker: Broker) -> None:
        ended = terminal.run("rules", "publish", terminal.file("own.yaml", pack_text()), "--by", "李", "--note", "新增")
        assert (ended.code, ended.out, ended.err) == (0, "desk@1: published\n", "")
        (message,) = broker.messages(RULES_PUBLISHED)
        assert (message.pack.digest(), message.published_by, message.note) == (pack().digest(), "李", "新增")
        assert broker.records[RULES_PUBLISHED.name][0].key == message.key()

    def test_the_same_again_is_written_once(self, terminal: Terminal, broker: Broker) -> None:
        broker.publish_rules(pack())
        ended = terminal.run("rules", "publish", terminal.file("own.yaml", pack_text()))
        assert (ended.code, ended.out) == (0, "desk@1: already published\n")
        assert len(broker.messages(RULES_PUBLISHED)) == 1

    def test_all_packs_of_a_folder_or_none_are_published(self, terminal: Terminal, broker: Broker) -> None:
        terminal.file("packs/a.yaml", pack_text())
        other = terminal.file("packs/b.yaml", pack_text().replace("desk", "other").replace("golden_key", "二"))
        assert terminal.run("rules", "publish", "packs").code == 1
        assert broker.messages(RULES_PUBLISHED) == []
        other.write_text(pack_text().replace("desk", "other").replace("金钥匙名单", "特殊关系"), encoding="utf-8")
        assert terminal.run("rules", "publish", "packs").out == "desk@1: published\nother@1: published\n"

    def test_a_pack_of_the_folder_in_the_settings_can_be_published_for_all_workers(
        self, terminal: Terminal, broker: Broker
    ) -> None:
        file = terminal.file("mine/own.yaml", pack_text())
        terminal.set(rules_folder=terminal.folder / "mine")
        assert terminal.run("rules", "publish", file).out == "desk@1: published\n"
        assert [message.pack.label for message in broker.messages(RULES_PUBLISHED)] == ["desk@1"]

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            pytest.param(pack_text(4, match=BAD_EXAMPLE), "must be found, and is not", id="an example does not hold"),
            pytest.param(pack_text(2), "desk@2 is older than desk@3, which is in force", id="a lower version"),
            pytest.param(pack_text(3, "low"), "desk@3 is known with other content", id="other content"),
            pytest.param(pack_text(0), "field version", id="no version"),
        ],
    )
    def test_what_cannot_come_into_force_is_not_written(
        self, terminal: Terminal, broker: Broker, text: str, sentence: str
    ) -> None:
        broker.publish_rules(pack(3))
        ended = terminal.run("rules", "publish", terminal.file("own.yaml", text))
        assert (ended.code, ended.out) == (1, "")
        assert sentence in ended.err
        assert len(broker.messages(RULES_PUBLISHED)) == 1

    def test_what_went_past_it_and_is_bad_is_in_nobodys_way(self, terminal: Terminal, broker: Broker) -> None:
        broker.publish_rules(
            pack_of(pack="broken", rules=[rule({"ref": "nowhere"})]), pack(5, match=BAD_EXAMPLE), b"{}"
        )
        ended = terminal.run("rules", "publish", terminal.file("own.yaml", pack_text(1)))
        assert (ended.code, ended.out) == (0, "desk@1: published\n")

    def test_a_refused_version_stays_refused(self, terminal: Terminal, broker: Broker) -> None:
        broker.publish_rules(pack(5, match=BAD_EXAMPLE))
        again = terminal.run("rules", "publish", terminal.file("own.yaml", pack_text(5, match=BAD_EXAMPLE)))
        assert again.code == 1
        assert "desk@5 was published before and is refused" in again.err
        mended = terminal.run("rules", "publish", terminal.file("own.yaml", pack_text(5)))
        assert mended.code == 1
        assert "give it a higher version than 5" in mended.err

    @pytest.mark.loopback
    def test_kafka_that_does_not_answer_ends_with_4(self, terminal: Terminal) -> None:
        terminal.set(kafka_bootstrap=f"127.0.0.1:{free_port()}")
        ended = terminal.run("rules", "publish", terminal.file("own.yaml", pack_text()))
        assert ended.code == 4
        assert ended.err.startswith("callstream: no Kafka broker answers at 127.0.0.1:")

    def test_something_to_publish_must_be_named(self, terminal: Terminal) -> None:
        ended = terminal.run("rules", "publish")
        assert ended.code == 2
        assert "Missing argument" in ended.err

    @pytest.mark.parametrize("option", ["--by", "--note"])
    def test_a_name_or_note_that_is_too_long_is_no_bug(self, terminal: Terminal, broker: Broker, option: str) -> None:
        ended = terminal.run("rules", "publish", terminal.file("own.yaml", pack_text()), option, "长" * 600)
        assert ended.code == 2
        assert option in ended.err
        assert broker.messages(RULES_PUBLISHED) == []


class TestList:
    def test_without_any_it_says_so(self, terminal: Terminal, broker: Broker) -> None:
        ended = terminal.run("rules", "list")
        assert (ended.code, ended.out.splitlines()[-1][:11]) == (0, "0 published")
        assert broker.messages(RULES_PUBLISHED) == []
        assert terminal.run("rules", "list", "--json").json == []

    def test_every_version_has_its_state(self, terminal: Terminal, broker: Broker) -> None:
        broker.publish_rules(pack(1), pack(2), pack(3, match=BAD_EXAMPLE), pack(2, "low"), b"{}", by="李")
        ended = terminal.run("rules", "list")
        assert ended.code == 0
        assert [line.split("  ")[:4] for line in ended.out.splitlines()[:-1]] == [
            ["desk@1", "superseded", "2026-03-02T10:15:00+00:00", "李"],
            ["desk@2", "in force", "2026-03-02T10:15:00+00:00", "李"],
            ["desk@3", "refused", "2026-03-02T10:15:00+00:00", "李"],
            ["desk@2", "refused", "2026-03-02T10:15:00+00:00", "李"],
        ]
        shown = terminal.run("rules", "list", "--json").json
        assert [row["state"] for row in shown] == ["superseded", "in force", "refused", "refused"]

    def test_a_pack_that_also_lies_in_the_folder_is_in_force(self, terminal: Terminal, broker: Broker) -> None:
        terminal.file("mine/own.yaml", pack_text())
        terminal.set(rules_folder=terminal.folder / "mine")
        broker.publish_rules(pack())
        assert [row["state"] for row in terminal.run("rules", "list", "--json").json] == ["in force"]

    def test_a_shipped_pack_that_was_published_is_in_force(self, terminal: Terminal, broker: Broker) -> None:
        assert terminal.run("rules", "publish", RULE_PACK_FOLDER / "finance.yaml").code == 0
        (row,) = json.loads(terminal.run("rules", "list", "--json").out)
        assert row["state"] == "in force"
        assert len(broker.messages(RULES_PUBLISHED)) == 1


def test_packs_are_signed_where_workers_ask_for_it(terminal: Terminal, broker: Broker) -> None:
    ended = terminal.run("rules", "keygen", "keys")
    assert ended.code == 0
    assert "rules-private.pem: for callstream rules publish" in ended.out
    assert terminal.run("rules", "keygen", "keys").code == 3
    file = terminal.file("own.yaml", pack_text())
    terminal.set(rules_public_keys=terminal.folder / "keys")
    ended = terminal.run("rules", "publish", file)
    assert (ended.code, ended.err) == (1, "workers take signed packs only: name the private key with --key\n")
    broker.publish_rules(pack())
    assert [row["state"] for row in terminal.run("rules", "list", "--json").json] == ["refused"]
    ended = terminal.run("rules", "publish", file, "--key", "keys/rules-private.pem")
    assert (ended.code, ended.out) == (0, "desk@1: published\n")
    keys = read_public_keys(terminal.folder / "keys")
    assert keys is not None
    unsigned, signed = broker.messages(RULES_PUBLISHED)
    assert problem_with_signature(unsigned, keys)
    assert problem_with_signature(signed, keys) is None
    assert [row["state"] for row in terminal.run("rules", "list", "--json").json] == ["refused", "in force"]


def test_a_pack_with_expressions_that_take_too_long_is_not_published(terminal: Terminal, broker: Broker) -> None:
    expressions = ", ".join(f"{{regex: '苹{number}.?果'}}" for number in range(MAX_EXPRESSIONS + 1))
    conditions = f"conditions:\n  many: {{any_of: [{expressions}]}}\n"
    ended = terminal.run("rules", "publish", terminal.file("own.yaml", pack_text() + conditions))
    assert (ended.code, ended.out) == (1, "")
    assert "201 regular expressions" in ended.err
    assert broker.messages(RULES_PUBLISHED) == []


def test_a_folder_of_rules_that_cannot_be_used_is_said_by_every_command(terminal: Terminal, broker: Broker) -> None:
    terminal.file("mine/own.yaml", pack_text(match=BAD_EXAMPLE))
    terminal.set(rules_folder=terminal.folder / "mine")
    file = terminal.file("other.yaml", pack_text().replace("desk", "other").replace("金钥匙名单", "特殊关系"))
    for command, code in ((["publish", file], 1), (["list"], 3)):
        ended = terminal.run("rules", *command)
        assert ended.code == code
        assert "must be found, and is not" in ended.err
    assert broker.messages(RULES_PUBLISHED) == []
