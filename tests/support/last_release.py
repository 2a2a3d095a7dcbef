"""The source of the last release, from the history of this repository."""

import subprocess
from pathlib import Path

import pytest

from tests.compatibility.freeze import frozen_releases

ROOT = Path(__file__).parents[2]


def _git(*arguments: str) -> str | None:
    """What it says; None where it fails, or there is no git."""
    try:
        told = subprocess.run(("git", "-C", str(ROOT), *arguments), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return told.stdout.strip() if told.returncode == 0 else None


def commit_of_last_release() -> tuple[str, str]:
    """Version and commit of the newest release that lies before the present commit: by its tag, or, because a clone may
    have none, by what `tests/compatibility/v<version>/commit` says. Skips the test where neither is in the history.
    """
    present = _git("rev-parse", "HEAD")
    for version, folder in reversed(frozen_releases().items()):
        name, written = ".".join(map(str, version)), folder / "commit"
        candidates = [f"v{name}", *([written.read_text(encoding="ascii").strip()] if written.is_file() else [])]
        for candidate in candidates:
            commit = _git("rev-parse", "--verify", "--quiet", f"{candidate}^{{commit}}")
            if commit is not None and commit != present and _git("cat-file", "-e", f"{commit}:pyproject.toml") == "":
                return name, commit
    pytest.skip("the history of this clone does not reach back to the last release")


def unpack_last_release(folder: Path, *, whole: bool = False) -> str:
    """Its source in this folder, or the whole of its repository; its version. Skips as `commit_of_last_release`."""
    version, commit = commit_of_last_release()
    packed = folder / "source.tar"
    parts = () if whole else ("streams", "processors", "schemas", "pyproject.toml")
    assert _git("archive", "--output", str(packed), commit, *parts) == ""
    subprocess.run(("tar", "-x", "-C", str(folder), "-f", str(packed)), check=True)
    packed.unlink()
    return version
