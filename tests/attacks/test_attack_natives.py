"""Attacks on the codecs of Kafka while they are unpacked."""

import os
import platform
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.embedded.kafka_natives import FOLDER, KafkaNativesError, native_options

CODEC = b"a library of native code" * 1_000
MEMBERS = {
    "zstd-jni-1.jar": "linux/amd64/libzstd-jni-1.so",
    "snappy-java-1.jar": "org/xerial/snappy/native/Linux/x86_64/libsnappyjava.so",
    "lz4-java-1.jar": "net/jpountz/util/linux/amd64/liblz4-java.so",
}


@pytest.fixture
def libs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Jars that hold something in the place of each codec."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    for jar, member in MEMBERS.items():
        with zipfile.ZipFile(tmp_path / jar, "w") as archive:
            archive.writestr(member, CODEC)
    return [tmp_path / jar for jar in MEMBERS]


def unpacked(libs: list[Path]) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (libs[0].parent / FOLDER).iterdir()}


def test_a_stack_that_starts_at_the_same_time_leaves_no_half_a_codec(
    libs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has just begun to write when we put ours in place; Java would load that half."""
    replace: Callable[[Path, Path], Path] = Path.replace

    def begun_by_another(part: Path, target: Path) -> Path:
        for name in (f"{target.name}.part", f"{target.name}.{os.getpid() + 1}.part"):
            target.with_name(name).write_bytes(CODEC[:7])
        return replace(part, target)

    monkeypatch.setattr(Path, "replace", begun_by_another)
    native_options(libs)
    found = unpacked(libs)
    for member in MEMBERS.values():
        assert found[Path(member).name] == CODEC


def test_a_folder_in_the_place_of_a_codec_is_a_sentence_and_leaves_nothing_behind(libs: list[Path]) -> None:
    (libs[0].parent / FOLDER / "libzstd-jni-1.so").mkdir(parents=True)
    with pytest.raises(KafkaNativesError, match=r"libzstd-jni-1\.so of Apache Kafka cannot be unpacked into"):
        native_options(libs)
    assert [path.name for path in (libs[0].parent / FOLDER).iterdir()] == ["libzstd-jni-1.so"]


def test_a_codec_that_is_a_link_to_another_file_is_replaced_and_that_file_stays(libs: list[Path]) -> None:
    elsewhere = libs[0].parent / "elsewhere"
    elsewhere.write_bytes(b"mine")
    (libs[0].parent / FOLDER).mkdir()
    (libs[0].parent / FOLDER / "libzstd-jni-1.so").symlink_to(elsewhere)
    native_options(libs)
    assert unpacked(libs)["libzstd-jni-1.so"] == CODEC
    assert elsewhere.read_bytes() == b"mine"
