"""What workers believe: packs that were signed with a key of theirs, and nothing else."""

import base64
import json
import logging
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from processors.judging.pipeline import JudgeSettings
from schemas.config.rule_pack import RulePack
from schemas.messages.records import ConsumerRecord
from schemas.messages.rules_published import RulesPublished
from schemas.messages.topics import RULES_PUBLISHED
from streams.runtime.rule_signatures import (
    RuleKeyError,
    kept_key_pair,
    make_key_pair,
    problem_with_signature,
    read_private_key,
    read_public_keys,
    sign,
    signed_bytes,
)
from streams.runtime.rules_feed import MAX_VERSION_STEP, LiveJudge
from tests.streams.runtime.published_rules import pack

NOW = datetime(2026, 3, 2, tzinfo=UTC)
KEY = Ed25519PrivateKey.generate()
KEYS = (Ed25519PrivateKey.generate().public_key(), KEY.public_key())
FORBIDDEN = "我帮您进金钥匙名单"


def published(content: RulePack, key: Ed25519PrivateKey | None = KEY) -> RulesPublished:
    message = RulesPublished(pack=content, published_at=NOW, published_by="合规部 李", note="新增渠道话术")
    return sign(message, key) if key else message


def record(message: RulesPublished, offset: int = 0) -> ConsumerRecord:
    return ConsumerRecord(RULES_PUBLISHED.name, 0, offset, message.key(), message.encode())


def versions(*messages: RulesPublished, at_once: bool = False, keys: bool = True) -> tuple[int, ...]:
    """The versions of `desk` that are known to a judge which read these records; the last one is in force."""
    live = LiveJudge(JudgeSettings(), [pack(1)], KEYS if keys else None)
    records = [record(message, offset) for offset, message in enumerate(messages)]
    for some in [records] if at_once else [[one] for one in records]:
        live.take(some)
    return live.rules.registry.versions(None, "desk")


def test_a_pack_signed_with_one_of_the_keys_comes_into_force() -> None:
    assert versions(published(pack(2))) == (1, 2)


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at a start"])
@pytest.mark.parametrize(
    ("message", "says"),
    [
        pytest.param(published(pack(2), None), "it is not signed", id="unsigned"),
        pytest.param(published(pack(2), Ed25519PrivateKey.generate()), "none of the public keys", id="a strange key"),
        pytest.param(
            published(pack(2)).model_copy(update={"pack": pack(2, severity="low")}),
            "none of the public keys",
            id="another pack under the same signature",
        ),
        pytest.param(
            published(pack(2)).model_copy(update={"published_by": "somebody else"}),
            "none of the public keys",
            id="another name under the same signature",
        ),
        pytest.param(published(pack(2)).model_copy(update={"signature": "?"}), "cannot be read", id="no signature"),
        pytest.param(published(pack(2)).model_copy(update={"signature": ""}), "none of the public", id="an empty one"),
    ],
)
def test_what_is_not_signed_as_it_stands_is_refused(
    message: RulesPublished, says: str, at_once: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        assert versions(message, at_once=at_once) == (1,)
    assert says in caplog.text


def test_what_is_refused_uses_up_no_number_and_nothing_is_signed_where_no_key_is_configured() -> None:
    assert versions(published(pack(2, severity="low"), None), published(pack(2))) == (1, 2)
    assert versions(published(pack(2), None), keys=False) == (1, 2)


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at a start"])
def test_nobody_is_locked_out_by_a_version_far_above_the_others(
    at_once: bool, caplog: pytest.LogCaptureFixture
) -> None:
    last = 1 + MAX_VERSION_STEP
    messages = [published(pack(number)) for number in (1_000_000_000, last + 1, 2, last, last + MAX_VERSION_STEP)]
    assert versions(*messages, at_once=at_once) == (1, 2, last, last + MAX_VERSION_STEP)
    assert "give it a lower one" in caplog.text


def test_compaction_does_not_replace_a_version_by_another_content() -> None:
    first, second = published(pack(2)), published(pack(2, severity="low"))
    assert first.key().startswith(b"*/desk@2+")
    assert first.key() != second.key()
    assert published(pack(2), None).key() == first.key()


def test_a_signature_holds_for_a_reader_whose_packs_have_more_fields() -> None:
    """What a reader fills in for fields that were not on the wire is not part of what was signed."""
    wire = json.loads(published(pack(2), None).encode())
    del wire["pack"]["language"], wire["signature"]
    earlier = RULES_PUBLISHED.decode(json.dumps(wire).encode())
    signature = base64.b64encode(KEY.sign(signed_bytes(earlier))).decode()
    received = RULES_PUBLISHED.decode(json.dumps(wire | {"signature": signature, "of_a_later_release": 1}).encode())
    assert received.pack.language == "zh"
    assert problem_with_signature(received, KEYS) is None


def test_keys_are_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    private_file, public_file = make_key_pair(tmp_path / "keys")
    assert stat.S_IMODE(private_file.stat().st_mode) == 0o600
    keys = read_public_keys(tmp_path / "keys")
    assert keys is not None
    assert problem_with_signature(sign(published(pack(2), None), read_private_key(private_file)), keys) is None
    assert read_public_keys(public_file) == keys
    before = private_file.read_bytes()
    with pytest.raises(RuleKeyError, match="exists"):
        make_key_pair(tmp_path / "keys")
    assert kept_key_pair(tmp_path / "keys") == (private_file, public_file)
    assert private_file.read_bytes() == before
    private_file.unlink()
    kept_key_pair(tmp_path / "keys")
    assert private_file.read_bytes() != before
    assert read_public_keys(public_file) != keys


def test_a_file_that_is_no_key_is_said_and_not_quoted(tmp_path: Path) -> None:
    wrong = tmp_path / "public.pem"
    wrong.write_text("-----BEGIN SECRET-----")
    for read in (read_private_key, read_public_keys):
        with pytest.raises(RuleKeyError, match=r"public\.pem") as raised:
            read(wrong)
        assert "SECRET" not in str(raised.value)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(RuleKeyError, match="holds no public key"):
        read_public_keys(empty)
    assert read_public_keys(None) is None
