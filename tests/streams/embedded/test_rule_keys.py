"""A stack signs rules with a key pair of its own, unless there are public keys in the settings."""

import stat
from pathlib import Path

import pytest

from streams.embedded.stack import Stack, StackPlan
from streams.runtime.rule_signatures import make_key_pair, read_private_key, read_public_keys
from streams.settings import Settings

pytestmark = pytest.mark.loopback


def settings_within(data_dir: Path, base: Settings) -> Settings:
    with Stack(StackPlan("tansu", data_dir), base) as stack:
        return stack.reachable_settings()


def test_a_stack_has_keys_of_its_own_that_stay(tmp_path: Path) -> None:
    first = settings_within(tmp_path, Settings(data_dir=tmp_path))
    assert first.rules_private_key_file is not None
    assert first.rules_public_keys is not None
    assert stat.S_IMODE(first.rules_private_key_file.stat().st_mode) == 0o600
    keys = read_public_keys(first.rules_public_keys)
    assert keys == (read_private_key(first.rules_private_key_file).public_key(),)
    assert read_public_keys(settings_within(tmp_path, Settings(data_dir=tmp_path)).rules_public_keys) == keys
    environment = first.environment()
    assert environment["CALLSTREAM_RULES_PUBLIC_KEYS"] == str(first.rules_public_keys)


def test_public_keys_of_the_settings_stay(tmp_path: Path) -> None:
    private_file, public_file = make_key_pair(tmp_path / "mine")
    base = Settings(data_dir=tmp_path, rules_public_keys=public_file, rules_private_key_file=private_file)
    within = settings_within(tmp_path / "stack", base)
    assert (within.rules_public_keys, within.rules_private_key_file) == (public_file, private_file)
    assert not (tmp_path / "stack" / "rules_keys").exists()
