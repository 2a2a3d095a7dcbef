"""Attacks on published rules by who can write to the topic and holds no key."""

import base64
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from processors.judging.pipeline import JudgeSettings
from schemas.config import condition
from schemas.config.rule_pack import RULE_PACK_FOLDER, load_rule_packs
from schemas.errors import InvalidMessageError
from schemas.messages.records import ConsumerRecord
from schemas.messages.rules_published import RulesPublished
from schemas.messages.topics import RULES_PUBLISHED, TOPICS
from streams.runtime.rule_signatures import problem_with_record, problem_with_signature
from streams.runtime.rules_feed import LiveJudge, PackKey
from tests.streams.runtime.published_rules import pack
from tests.streams.runtime.test_rule_signatures import KEYS, published

SIGNED = published(pack(2)).encode()
ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of the group of Ed25519: a signature with it added to its second half says the same, unless that is looked at."""

Wire = dict[str, Any]


def judge_that_read(*values: bytes | None) -> LiveJudge:
    live = LiveJudge(JudgeSettings(), [pack(1)], KEYS)
    for offset, value in enumerate(values):
        live.take([ConsumerRecord(RULES_PUBLISHED.name, 0, offset, b"*/desk@2", value)])
    return live


def versions(*values: bytes | None, key: PackKey = (None, "desk")) -> tuple[int, ...]:
    return judge_that_read(*values).rules.registry.versions(*key)


def changed(change: Callable[[Wire], object]) -> bytes:
    wire = json.loads(SIGNED)
    change(wire)
    return json.dumps(wire).encode()


def same_point(wire: Wire) -> None:
    raw = base64.b64decode(wire["signature"])
    second = int.from_bytes(raw[32:], "little") + ORDER
    wire["signature"] = base64.b64encode(raw[:32] + second.to_bytes(32, "little")).decode()


FORGED: dict[str, bytes | None] = {
    "given to a tenant": changed(lambda wire: wire["pack"].update(tenant="acme")),
    "under a higher version": changed(lambda wire: wire["pack"].update(version=3)),
    "a field that is left out, for its default": changed(lambda wire: wire["pack"].pop("language")),
    "a note that is left out": changed(lambda wire: wire.pop("note")),
    "a field within the pack that nobody knows": changed(lambda wire: wire["pack"].update(evil=1)),
    "a version that stands twice": SIGNED.replace(b'"version":2', b'"version":2,"version":9', 1),
    "another form of the signature": changed(same_point),
    "a signature with a line feed": changed(lambda wire: wire.update(signature=wire["signature"] + "\n")),
    "a signature that is an object": changed(lambda wire: wire.update(signature={"a": 1})),
    "half a surrogate pair": changed(lambda wire: wire.update(note="\ud800")),
    "no value: under a key that was published": None,
    "JSON that is nested too deeply": b"[" * 100_000,
    "a number that is too long": b'{"pack":' + b"9" * 5_000 + b',"signature":"AAAA"}',
}


@pytest.mark.parametrize("value", FORGED.values(), ids=FORGED)
def test_what_is_made_out_of_a_signed_pack_changes_nothing(value: bytes | None) -> None:
    assert versions(SIGNED, value) == (1, 2)
    assert versions(value) == (1,)
    assert versions(value, key=("acme", "desk")) == ()


def test_a_signed_pack_that_is_written_again_later_does_not_bring_it_back() -> None:
    later = published(pack(3)).encode()
    latest = judge_that_read(SIGNED, later, SIGNED).rules.registry.latest(None, "desk")
    assert latest is not None
    assert latest.version == 3


def test_what_stands_twice_in_a_signed_message_means_the_same_to_who_signed_and_who_reads() -> None:
    first_counts_for_nobody = SIGNED.replace(b'"version":2', b'"version":9,"version":2', 1)
    assert versions(first_counts_for_nobody) == (1, 2)


def test_a_pack_that_nobody_has_signed_makes_no_expression_ready(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Three thousand of them take twelve seconds of a judge; a whole message of them, minutes."""
    compiled: list[str] = []
    compile_regex = condition.compile_regex

    def counted(text: str) -> object:
        compiled.append(text)
        return compile_regex(text)

    monkeypatch.setattr(condition, "compile_regex", counted)
    wire = json.loads(SIGNED)
    wire["pack"]["threats"] = [
        {
            "id": f"threat_{number}",
            "name": "x",
            "find": {"regex": f".{{0,200}}投诉.{{0,200}}{number}"},
            "match": ["客户：投诉"],
            "no_match": ["客户：好"],
        }
        for number in range(3)
    ]
    with caplog.at_level(logging.ERROR):
        assert versions(json.dumps(wire).encode()) == (1,)
        del wire["signature"]
        assert versions(json.dumps(wire).encode()) == (1,)
    assert "none of the public keys" in caplog.text
    assert "it is not signed" in caplog.text
    assert compiled == []
    RulesPublished.decode(json.dumps(wire).encode())
    assert len(compiled) == 3, "what would have been made ready"


def test_a_pack_with_more_expressions_than_may_be_published_makes_none_ready_for_whoever_reads_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`store` has no keys. The name of the field is escaped here, so that nobody counts letters."""
    monkeypatch.setattr(condition, "compile_regex", lambda _text: pytest.fail("an expression was made ready"))
    wire = json.loads(SIGNED)
    wire["pack"]["conditions"] = {f"c{number}": {"any": [{"regex": f"投诉{number}"}]} for number in range(201)}
    value = json.dumps(wire).replace('"regex"', '"\\u0072egex"').encode()
    with pytest.raises(InvalidMessageError, match="pack: has more than 200 regular expressions"):
        RULES_PUBLISHED.decode(value)


def test_the_signature_of_every_shipped_pack_holds_before_and_after_it_is_read() -> None:
    for shipped in load_rule_packs((RULE_PACK_FOLDER,)):
        value = published(shipped).encode()
        assert problem_with_record(value, KEYS) is None, shipped.label
        assert problem_with_signature(RULES_PUBLISHED.decode(value), KEYS) is None, shipped.label


def test_no_record_of_a_topic_takes_another_away() -> None:
    """Where a topic is compacted, a record without a value under the key of a pack deletes it, whoever writes it."""
    assert {topic.config()["cleanup.policy"] for topic in TOPICS} == {"delete"}
    assert RULES_PUBLISHED.config()["retention.ms"] == "-1"
