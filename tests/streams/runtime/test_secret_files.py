"""Secrets in files, exchanged in all the ways in which they are: a worker hears of what is new, and of nothing else."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.runtime import secret_files
from streams.runtime.secret_files import SecretFiles, follow
from streams.settings import SettingsError, load_settings
from tests.support.processes import eventually

GROUPS = ("Kafka", "register")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_files, "LOOK_AGAIN_S", 0.02)
    monkeypatch.setattr(secret_files, "APART_S", 0.0)


class Following:
    """A folder of secrets as a worker follows it."""

    def __init__(self, tmp_path: Path, **more: str) -> None:
        self.folder = tmp_path / "secrets"
        self.folder.mkdir(exist_ok=True)
        self.refusal: str | None = None
        environ = {"CALLSTREAM_SECRETS_DIR": str(self.folder), **more}
        self.files = SecretFiles(load_settings(environ, groups=GROUPS).settings, GROUPS)
        self.stop, self.changed, self.asked = threading.Event(), threading.Event(), 0

    def start(self) -> None:
        self.thread = follow(self.files, self.read_again, self.stop, self.changed)

    def read_again(self) -> None:
        self.asked += 1
        if self.refusal:
            raise SettingsError(self.refusal)

    def hears(self) -> bool:
        return eventually(self.changed.is_set, 10)

    def hears_nothing(self) -> bool:
        return not self.changed.wait(0.3)


@pytest.fixture
def following(tmp_path: Path) -> Iterator[Following]:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "kafka_sasl_password").write_text("old\n")
    found = Following(tmp_path)
    yield found
    found.stop.set()


def test_a_file_that_is_written_anew_is_heard_of_and_the_same_once_more_is_not(following: Following) -> None:
    following.start()
    (following.folder / "kafka_sasl_password").write_text("old\n")
    assert following.hears_nothing()
    (following.folder / "kafka_sasl_password").write_text("new\n")
    assert following.hears()


def test_so_is_a_folder_that_kubernetes_exchanges_behind_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    for version in ("1", "2"):
        (folder / f"..{version}").mkdir(parents=True)
        (folder / f"..{version}" / "register_url").write_text(f"sqlite:////tmp/{version}.db")
    (folder / "..data").symlink_to("..1")
    (folder / "register_url").symlink_to("..data/register_url")
    following = Following(tmp_path)
    following.start()
    (folder / "..next").symlink_to("..2")
    (folder / "..next").rename(folder / "..data")
    assert following.hears()
    following.stop.set()


def test_so_is_a_certificate(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("one")
    following = Following(tmp_path, CALLSTREAM_REGISTER_CA_FILE=str(ca))
    following.start()
    ca.write_text("two")
    assert following.hears()
    following.stop.set()


def test_a_secret_of_another_stage_is_no_matter(following: Following) -> None:
    following.start()
    (following.folder / "s3_secret_key").write_text("of others")
    assert following.hears_nothing()


def test_what_does_not_fit_or_cannot_be_read_is_told_once_and_not_used(
    following: Following, caplog: pytest.LogCaptureFixture
) -> None:
    following.refusal = "kafka_sasl_password is empty"
    following.start()
    with caplog.at_level(logging.WARNING):
        (following.folder / "kafka_sasl_password").write_text("")
        assert eventually(lambda: "is empty" in caplog.text)
        assert following.hears_nothing()
        assert following.asked == 1
        (following.folder / "kafka_sasl_pasword").write_text("hush-hush")
        assert eventually(lambda: "named as no setting" in caplog.text)
        assert following.hears_nothing()
    (following.folder / "kafka_sasl_pasword").unlink()
    following.refusal = None
    (following.folder / "kafka_sasl_password").write_text("new")
    assert following.hears()
    assert "hush-hush" not in caplog.text
    assert caplog.text.count("named as no setting") == 1


def test_without_files_there_is_nothing_to_look_at() -> None:
    assert SecretFiles(load_settings({}).settings, GROUPS).are_none
