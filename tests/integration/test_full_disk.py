"""The embedded Apache Kafka where there is no room: it takes records as soon as there is some."""

import time
from pathlib import Path

import pytest

from schemas.errors import RetryableError
from schemas.messages.topics import CALLS_ENDED
from streams.adapters.kafka.canary import write_canary
from streams.adapters.kafka.client import apply_topics
from streams.embedded.apache_kafka import apache_kafka_spec, client_settings, fetch_jars
from streams.embedded.kafka_natives import FOLDER, KafkaNativesError, native_options
from streams.embedded.ports import free_port
from streams.embedded.supervisor import Backoff, Supervisor
from streams.settings import Settings, load_settings
from tests.support.brokers import write_batch
from tests.support.disks import fill, small_disk

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def libs() -> list[Path]:
    """Apache Kafka's jars out of the user's cache."""
    settings = load_settings().settings
    return fetch_jars(settings.cache_dir, settings.maven_url, lambda _done, _total, _name: None)


def settings_of(folder: Path, port: int) -> Settings:
    return Settings.model_validate(client_settings(folder, port))


def test_a_broker_without_room_for_temporary_files_takes_what_any_codec_has_compressed(
    libs: list[Path], tmp_path: Path
) -> None:
    port = free_port()
    spec = apache_kafka_spec(tmp_path / "kafka", libs, port, free_port())
    with small_disk(tmp_path / "kafka" / "tmp", "8k"), Supervisor(tmp_path / "logs") as supervisor:
        supervisor.start(spec)
        settings = settings_of(tmp_path / "kafka", port)
        apply_topics(settings, [CALLS_ENDED])
        for codec in ("zstd", "lz4", "snappy", "gzip"):
            write_batch(settings, CALLS_ENDED.name, codec, b"acme/c-1", [b"event"])


def linked(libs: list[Path], folder: Path) -> list[Path]:
    """The jars in another folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for lib in libs:
        (folder / lib.name).symlink_to(lib)
    return [folder / lib.name for lib in libs]


def test_codecs_are_unpacked_once_and_again_where_one_is_damaged(libs: list[Path], tmp_path: Path) -> None:
    mine = linked(libs, tmp_path / "jars")
    options = native_options(mine)
    unpacked = {path: path.stat().st_mtime_ns for path in (tmp_path / "jars" / FOLDER).iterdir()}
    assert len(unpacked) == 3
    assert native_options(mine) == options
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "jars" / FOLDER).iterdir()} == unpacked
    damaged, content = next((path, path.read_bytes()) for path in unpacked)
    damaged.write_bytes(content[:-1])
    native_options(mine)
    assert damaged.read_bytes() == content


def test_no_room_for_the_codecs_is_a_sentence_that_says_what_to_do(libs: list[Path], tmp_path: Path) -> None:
    with small_disk(tmp_path / "jars", "128k") as disk:
        mine = linked(libs, disk)
        with pytest.raises(KafkaNativesError, match=rf"into {disk}/{FOLDER}: .*the disk is full, make room there"):
            native_options(mine)


def takes_records(settings: Settings, supervisor: Supervisor, within_s: float) -> bool:
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        supervisor.check()
        try:
            write_canary(settings, 2)
        except RetryableError:
            time.sleep(0.2)
        else:
            return True
    return False


@pytest.mark.long
def test_a_broker_that_was_started_again_on_a_full_disk_takes_records_once_there_is_room(
    libs: list[Path], tmp_path: Path
) -> None:
    port = free_port()
    with (
        small_disk(tmp_path / "disk", "96m") as disk,
        Supervisor(tmp_path / "logs", Backoff(first_s=0.1, longest_s=1)) as supervisor,
    ):
        supervisor.start(apache_kafka_spec(disk / "kafka", libs, port, free_port()))
        settings = settings_of(disk / "kafka", port)
        write_canary(settings)
        filler = fill(disk)
        supervisor.kill("kafka")
        assert not takes_records(settings, supervisor, 12)
        filler.unlink()
        assert takes_records(settings, supervisor, 90)
