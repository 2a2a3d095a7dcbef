"""`callstream config`: every setting, where it came from, and no secret."""

import pytest

from streams.settings import CONFIG_VARIABLE, setting_fields
from tests.streams.cli.terminal import Terminal

SECRET = "tiger-lily-7"


class TestConfig:
    def test_it_tells_every_value_and_where_it_came_from(self, terminal: Terminal) -> None:
        terminal.set(min_call_ms="4000")
        file = terminal.file("callstream.toml", "whisper_beam_size = 1\n")
        terminal.set(config=file)
        shown = terminal.run("config", "--json")
        assert shown.code == 0
        assert set(shown.json) == set(setting_fields())
        assert shown.json["min_call_ms"] == {"value": "4000", "origin": "environment"}
        assert shown.json["whisper_beam_size"] == {"value": "1", "origin": "file"}
        assert shown.json["max_call_minutes"] == {"value": "240", "origin": "default"}

    @pytest.mark.parametrize("form", [["config"], ["config", "--json"], ["config", "--markdown"]], ids=" ".join)
    def test_secrets_are_hidden_in_every_form(self, terminal: Terminal, form: list[str]) -> None:
        terminal.set(
            customer_key_secret=SECRET,
            s3_secret_key=SECRET,
            kafka_sasl_password=SECRET,
            clickhouse_url=f"http://me:{SECRET}@127.0.0.1:8123/callstream",
        )
        shown = terminal.run(*form)
        assert shown.code == 0
        assert SECRET not in shown.out + shown.err

    def test_one_sees_whether_a_secret_is_set(self, terminal: Terminal) -> None:
        terminal.set(customer_key_secret=SECRET)
        shown = terminal.run("config", "--json").json
        assert shown["customer_key_secret"] == {"value": "********", "origin": "environment"}
        assert shown["s3_secret_key"] == {"value": "", "origin": "default"}

    def test_the_address_file_of_a_running_stack_counts_where_no_other_file_is_named(self, terminal: Terminal) -> None:
        terminal.file("data/stack.toml", 'kafka_bootstrap = "127.0.0.1:5"\n')
        assert terminal.run("config", "--json").json["kafka_bootstrap"] == {"value": "127.0.0.1:5", "origin": "file"}
        terminal.set(config=terminal.file("mine.toml", ""))
        assert terminal.run("config", "--json").json["kafka_bootstrap"]["origin"] == "default"

    def test_a_variable_goes_before_the_address_file(self, terminal: Terminal) -> None:
        terminal.file("data/stack.toml", 'kafka_bootstrap = "127.0.0.1:5"\n')
        terminal.set(kafka_bootstrap="127.0.0.1:6")
        shown = terminal.run("config", "--json").json
        assert shown["kafka_bootstrap"] == {"value": "127.0.0.1:6", "origin": "environment"}


def test_the_variable_that_names_the_file_is_the_documented_one(terminal: Terminal) -> None:
    assert CONFIG_VARIABLE == "CALLSTREAM_CONFIG"
    terminal.set(config=terminal.folder / "missing.toml")
    ended = terminal.run("config")
    assert ended.code == 3
    assert "missing.toml does not exist" in ended.err
