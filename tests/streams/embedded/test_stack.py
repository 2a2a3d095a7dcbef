"""The address file by which other commands find a stack."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from processors.listening.engines.faster_whisper import WhisperSettings
from streams.adapters.object_store.s3 import S3Settings
from streams.embedded.ports import PortTakenError
from streams.embedded.stack import FullDiskError, Stack, StackPlan
from streams.settings import Settings, load_settings
from tests.support.disks import small_disk

pytestmark = pytest.mark.loopback


def test_other_commands_read_the_settings_of_the_stack_in_its_address_file(tmp_path: Path) -> None:
    values = {
        "kafka_flavour": "tansu",
        "clickhouse_url": "http://me:tiger-lily-7@127.0.0.1:5/callstream",
        "data_dir": tmp_path,
        "store_kind": "s3",
        "timezone": "Asia/Tokyo",
        "surge_ratio": 2.5,
        "sound_mergers": "n_l",
        "rules_folder": tmp_path / "rules",
        "score_forms_folder": tmp_path / "forms",
        "risk_file": tmp_path / "risk.yaml",
        "retention_file": tmp_path / "retention.yaml",
        "subscriptions_file": tmp_path / "subscriptions.yaml",
        "clickhouse_users_file": tmp_path / "users.yaml",
    }
    settings = Settings.model_validate(values).with_parts(
        S3Settings(s3_secure=False, s3_secret_key=SecretStr("tiger-lily-8")),
        WhisperSettings(whisper_hot_words='金钥匙 "😀" \\n'),
    )
    of_parts = {"s3_secure", "s3_secret_key", "whisper_hot_words"}
    with Stack(StackPlan("tansu", tmp_path), settings) as stack:
        file = stack.announce()
        found = load_settings({}, file)
        assert file.stat().st_mode & 0o777 == 0o600
    assert found.settings == settings
    assert {name for name, origin in found.origin.items() if origin == "file"} == {*values, *of_parts}
    assert not file.exists()


def test_paths_in_the_address_file_lead_to_the_same_files_from_every_folder(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path, "rules_folder": "mine"})
    with Stack(StackPlan("tansu", tmp_path), settings) as stack:
        found = load_settings({}, stack.announce()).settings
    assert found.rules_folder == Path.cwd() / "mine"


@pytest.mark.processes
def test_a_stack_on_a_full_disk_says_so_before_it_starts_anything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        with Stack(StackPlan("tansu", disk / "data"), Settings(data_dir=disk / "data")) as stack:
            with pytest.raises(FullDiskError, match=r"MiB are free in .*make room there"):
                stack.start()
            stack.check()
        assert f"MiB are free in {disk}" in caplog.text
        assert [path.name for path in (disk / "data").iterdir()] == ["stack.lock"]


@pytest.mark.parametrize("stage", ["serve", "play"])
def test_a_port_that_is_taken_from_a_server_is_said_before_anything_starts(tmp_path: Path, stage: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            Stack(
                replace(StackPlan("tansu", tmp_path), **{f"{stage}_port": port}), Settings(data_dir=tmp_path)
            ) as stack,
            pytest.raises(
                PortTakenError, match=f"{stage} cannot listen on 127.0.0.1:{port}.*CALLSTREAM_{stage.upper()}_PORT"
            ),
        ):
            stack.start()
    assert not (tmp_path / "clickhouse").exists()
