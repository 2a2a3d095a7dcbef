"""`callstream publish`: what makes no event is named, and no number is repeated."""

import json
from typing import Any

import pytest

from tests.processors.recordings import tone, wav
from tests.streams.cli.terminal import Terminal

pytestmark = [pytest.mark.processes, pytest.mark.loopback]

SECRET = "tiger-lily-7"
NUMBER = "13800138000"
SOUND = wav([tone(440, 1_500, 8_000)], 8_000)


class TestPublish:
    @pytest.mark.parametrize(
        ("options", "meta", "sentence"),
        [
            pytest.param(["--customer", NUMBER], None, "customer_key_secret is not set", id="no secret"),
            pytest.param(["--ended-at", "2026-03-02T10:15:00"], None, "a.wav: ended_at: has no time zone", id="naive"),
            pytest.param(["--direction", "up"], None, "a.wav: direction: literal_error", id="direction"),
            pytest.param(["--channel-roles", "boss"], None, "a.wav: audio.channel_roles.0: literal_error", id="role"),
            pytest.param(["--tenant", "../x"], None, "a.wav: tenant_id: string_pattern_mismatch", id="tenant"),
            pytest.param(["--team", "one"], '{"agent": "A1"}', "agent: must be an object", id="agent in the metadata"),
            pytest.param(
                ["--channel-roles", "agent"], '{"audio": "x"}', "audio: must be an object", id="audio in the metadata"
            ),
            pytest.param([], "[]", "must hold one JSON object", id="metadata of another shape"),
            pytest.param([], '{"phone": 1}', "a.wav: <unknown field>: extra_forbidden", id="unknown field"),
        ],
    )
    def test_what_makes_no_event_ends_with_1_and_is_named(
        self, terminal: Terminal, options: list[str], meta: str | None, sentence: str
    ) -> None:
        file = terminal.file("a.wav", SOUND)
        with_meta = ["--meta", str(terminal.file("a.json", meta))] if meta else []
        ended = terminal.run("publish", file, *with_meta, *options)
        assert ended.code == 1
        assert sentence in ended.err
        assert NUMBER not in ended.err

    def test_a_number_that_is_none_is_not_repeated(self, terminal: Terminal) -> None:
        terminal.set(customer_key_secret=SECRET)
        ended = terminal.run("publish", terminal.file("a.wav", SOUND), "--customer", NUMBER + " 王小明")
        assert ended.code == 1
        assert "is not a phone number" in ended.err
        assert NUMBER not in ended.err
        assert "王小明" not in ended.err

    @pytest.mark.parametrize("command", ["publish", "analyze"])
    def test_a_missing_recording_ends_with_1_and_is_named(self, terminal: Terminal, command: str) -> None:
        ended = terminal.run(command, "missing.wav")
        assert ended.code == 1
        assert "missing.wav cannot be read: No such file or directory" in ended.err

    @pytest.mark.parametrize("command", ["publish", "analyze"])
    def test_missing_metadata_ends_with_1_and_is_named(self, terminal: Terminal, command: str) -> None:
        ended = terminal.run(command, terminal.file("a.wav", SOUND), "--meta", "missing.json")
        assert ended.code == 1
        assert "missing.json does not exist" in ended.err


SAID: dict[str, Any] = {
    "call": {"call_id": "t1"},
    "utterances": [{"role": "customer", "text": "我叫王小明。"}],
}


class TestPublishTranscripts:
    @pytest.mark.parametrize(
        ("change", "options", "sentence"),
        [
            pytest.param({"call": {}}, [], "b.json: call.call_id: missing (give the call an id", id="no call id"),
            pytest.param(
                {"utterances": [{"role": "boss", "text": "王小明"}]}, [], "(agent, customer or unknown)", id="role"
            ),
            pytest.param({"words": []}, [], "b.json: words: extra_forbidden (no such field; ", id="unknown field"),
            pytest.param({}, ["--tenant", "../x"], "a.json: call.tenant_id: string_pattern_mismatch", id="tenant"),
            pytest.param({}, ["--customer", NUMBER], "customer_key_secret is not set", id="no secret"),
        ],
    )
    def test_what_makes_no_message_is_named_and_nothing_is_sent_not_even_what_is_right(
        self, terminal: Terminal, change: dict[str, Any], options: list[str], sentence: str
    ) -> None:
        good, bad = terminal.file("a.json", json.dumps(SAID)), terminal.file("b.json", json.dumps(SAID | change))
        ended = terminal.run("publish", "--transcript", good, "--transcript", bad, *options)
        # No broker runs here: to send anything would end with 4.
        assert (ended.code, ended.out) == (1, "")
        assert sentence in ended.err
        assert "王小明" not in ended.err

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            pytest.param(["--transcript", "b.json", "--call-id", "c1"], "one call id cannot name", id="one id for two"),
            pytest.param(["--channel-roles", "agent"], "a transcript has roles, not channels", id="channels"),
        ],
    )
    def test_options_that_make_no_sense_end_with_2(self, terminal: Terminal, options: list[str], sentence: str) -> None:
        ended = terminal.run("publish", "--transcript", terminal.file("a.json", json.dumps(SAID)), *options)
        assert ended.code == 2
        assert sentence in ended.err
