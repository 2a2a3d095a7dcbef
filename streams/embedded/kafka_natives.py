"""The codecs of Kafka that are native code, unpacked once beside its jars.

By themselves they unpack at their first use, into a folder for temporary files. On a full disk that fails, and Java
does not try again: the broker then answers, and takes no compressed record until its end.
"""

import errno
import os
import platform
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from schemas.errors import EmbeddedStackError

FOLDER = "natives"
"""Below the folder of the jars."""

_NAMES_OF_MACHINE = {"x86_64": ("amd64", "x86_64"), "aarch64": ("aarch64", "aarch64")}
"""As zstd and lz4 name it, and as snappy does."""


class KafkaNativesError(EmbeddedStackError):
    """The codecs cannot be unpacked."""


def native_options(libs: Sequence[Path]) -> tuple[str, ...]:
    """Options of Java by which the codecs are loaded from where they are unpacked; unpacks what is not there.

    None on a machine for which no codecs are known here: there they unpack by themselves. Raises `KafkaNativesError`.
    """
    names = _NAMES_OF_MACHINE.get(platform.machine())
    if names is None:
        return ()
    jni, xerial = names
    folder = libs[0].absolute().parent / FOLDER
    zstd = _unpacked(libs, "zstd-jni-", f"linux/{jni}/libzstd-jni-", folder)
    snappy = _unpacked(libs, "snappy-java-", f"org/xerial/snappy/native/Linux/{xerial}/libsnappyjava.so", folder)
    _unpacked(libs, "lz4-java-", f"net/jpountz/util/linux/{jni}/liblz4-java.so", folder)
    return (
        f"-DZstdNativePath={zstd}",
        f"-Dorg.xerial.snappy.lib.path={folder}",
        f"-Dorg.xerial.snappy.lib.name={snappy.name}",
        f"-Djava.library.path={folder}",  # where lz4 looks first
    )


def _unpacked(libs: Sequence[Path], jar: str, member: str, folder: Path) -> Path:
    """The file of the jar whose name begins so, whole and as it is in there."""
    path = next(lib for lib in libs if lib.name.startswith(jar))
    with zipfile.ZipFile(path) as archive:
        info = next(info for info in archive.infolist() if info.filename.startswith(member))
        target = folder / Path(info.filename).name
        try:
            if not target.is_file() or zlib.crc32(target.read_bytes()) != info.CRC:
                folder.mkdir(mode=0o755, parents=True, exist_ok=True)
                # Of this process: what another one writes at the same time must not take its place half written.
                part = target.with_name(f"{target.name}.{os.getpid()}.part")
                try:
                    part.write_bytes(archive.read(info))
                    part.replace(target)
                finally:
                    part.unlink(missing_ok=True)
        except OSError as error:
            full = "; the disk is full, make room there" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
            raise KafkaNativesError(
                f"{target.name} of Apache Kafka cannot be unpacked into {folder}: {error.strerror}{full}"
            ) from None
    return target
