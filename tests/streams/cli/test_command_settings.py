"""Every command finds the stack that runs on this machine, unless a settings file is named."""

from pathlib import Path

import pytest

from processors.listening.engines.faster_whisper import WhisperSettings
from schemas.config.retention import RETENTION_FILE
from schemas.config.risk import RISK_FILE
from schemas.config.score_form import SCORE_FORM_FOLDER
from streams.embedded.stack import Stack, StackPlan
from streams.settings import Settings
from tests.processors.recordings import tone, wav
from tests.schemas.config.yaml_change import changed
from tests.streams.cli.terminal import Terminal
from tests.streams.runtime.published_rules import pack_text

pytestmark = pytest.mark.loopback

SUBSCRIPTION = "subscriptions: [{name: desk, tenant: acme, channel: {kafka: {topic: risk.alerts}}}]"
HIT = "我帮您进金钥匙名单"


@pytest.fixture
def stack(terminal: Terminal) -> Settings:
    """The settings of a stack that has written its address file; nothing else tells the commands of them."""
    folder = terminal.folder / "of_the_stack"
    for name in ("rules", "forms"):
        (folder / name).mkdir(parents=True)
    terminal.file("of_the_stack/rules/own.yaml", pack_text(7))
    changed(SCORE_FORM_FOLDER / "finance.yaml", folder / "forms", "version: 2", "version: 5\ntenant: acme")
    settings = Settings.model_validate(
        {
            "data_dir": terminal.folder / "data",
            "kafka_bootstrap": "127.0.0.1:1",
            "rules_folder": folder / "rules",
            "score_forms_folder": folder / "forms",
            "risk_file": changed(RISK_FILE, folder, "version: 1", "version: 6"),
            "retention_file": changed(RETENTION_FILE, folder, "version: 2", "version: 8"),
            "subscriptions_file": terminal.file("of_the_stack/subscriptions.yaml", SUBSCRIPTION),
        }
    ).with_parts(WhisperSettings(whisper_model="/nowhere/of-the-stack"))
    settings.data_dir.mkdir()
    Stack(StackPlan("tansu", settings.data_dir), settings).announce()
    return settings


@pytest.mark.usefixtures("stack")
def test_alerts_are_those_of_the_stack(terminal: Terminal) -> None:
    assert [row["name"] for row in terminal.run("alerts", "list", "--json").json] == ["desk"]
    assert terminal.run("alerts", "check").out == "1 subscription(s), no problems\n"
    assert "no subscription of this name" in terminal.run("alerts", "test", "nobody").err


@pytest.mark.usefixtures("stack")
def test_a_file_that_is_named_by_nothing_is_no_file(terminal: Terminal) -> None:
    """So workers of a stack, which are given an empty name, do not read the secrets of others in its address file."""
    terminal.set(config="")
    assert "desk" not in terminal.run("alerts", "list", "--json").out
    assert "desk" not in terminal.run("rules", "show", "--json").out


@pytest.mark.usefixtures("stack")
def test_rules_are_those_of_the_stack(terminal: Terminal) -> None:
    assert "desk@7: 1 rules\n" in terminal.run("rules", "lint").out
    assert "desk@7: 2 examples pass\n" in terminal.run("rules", "test").out
    assert "desk@7" in {row["pack"] for row in terminal.run("rules", "show", "--json").json}
    tried = terminal.run("rules", "try", "--industry", "finance", "--text", HIT, "--json").json
    assert "desk.golden_key" in {finding["rule_id"] for finding in tried["findings"]}


@pytest.mark.usefixtures("stack")
def test_scorecards_are_those_of_the_stack(terminal: Terminal) -> None:
    linted = terminal.run("scorecards", "lint").out
    for label in ("acme/finance@5, ", "risk rules @6, ", "retention policy @8, "):
        assert label in linted
    assert "acme/finance@5" in {row["form"] for row in terminal.run("scorecards", "show", "--json").json}


def test_heads_are_judged_with_the_recogniser_of_the_stack(terminal: Terminal, stack: Settings) -> None:
    terminal.file("calls/a.wav", wav([tone(440, 1_500, 8_000)], 8_000))
    terminal.file("calls/labels.csv", "file,start_ms,end_ms,channel,speaker,label\na.wav,0,1000,0,s,angry\n")
    ended = terminal.run("emotion", "evaluate", "--data", Path("calls"))
    assert ended.code == 3, ended.err
    assert stack.part(WhisperSettings).whisper_model in ended.err


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("command", [["alerts", "list"], ["rules", "show"], ["scorecards", "show"]], ids=" ".join)
def test_a_settings_file_that_is_named_goes_before_the_stack(terminal: Terminal, command: list[str]) -> None:
    terminal.set(config=terminal.file("mine.toml", ""))
    ended = terminal.run(*command, "--json")
    assert "desk" not in ended.out
    assert "acme/finance@5" not in ended.out
