"""A small Debian that systemd runs in a container without a network, for what only a whole machine shows.

Packages of Debian and wheels of Python are fetched once, into the cache folder; nothing else is.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PROGRAMS = ("systemd-nspawn", "nsenter", "mmdebstrap", "tar")
PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv,procps"
WHEELS = "/wheels"
"""Where the machine finds them."""
_BOOT_WITHIN_S = 120


@dataclass(frozen=True)
class Machine:
    """One that runs; `root` is its root folder as others see it."""

    root: Path
    leader: int

    def try_run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """A command of its root user; an answer with its exit code and output."""
        enter = ["nsenter", "-t", str(self.leader), "-m", "-p", "-u", "-i", "-n", "-C", "env", "-i"]
        enter += ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"]
        enter += ["PIP_NO_INDEX=1", f"PIP_FIND_LINKS={WHEELS}"]
        return subprocess.run([*enter, *command], capture_output=True, text=True, check=False)

    def run(self, *command: str) -> str:
        """What the command prints; it must end well."""
        done = self.try_run(*command)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def shown(self, unit: str, what: str) -> str:
        return self.run("systemctl", "show", unit, "--property", what, "--value").strip()

    def wait_until(self, comes_true: Callable[[], bool], awaited: str, within_s: float = 600) -> None:
        deadline_s = time.monotonic() + within_s
        while not comes_true():
            if time.monotonic() > deadline_s:
                told = self.try_run("journalctl", "--no-pager", "-n", "60").stdout
                raise AssertionError(f"waited {within_s} s for {awaited}\n{told}")
            time.sleep(1)


def cached_root(cache: Path) -> Path:
    """An archive of Debian 12 with Python 3.11, made once; skips the test where it cannot be had."""
    archive = cache / "debian-12.tar"
    if not archive.exists():
        made = cache / "making.tar"
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(made)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no packages of Debian: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
        made.rename(archive)
    return archive


def cached_wheels(cache: Path) -> Path:
    """All that an installation of one machine needs, by its hashes; skips the test where it cannot be had."""
    locks = [REPOSITORY / f"requirements/{name}.lock" for name in ("build", "embedded")]
    folder = cache / f"wheels-{sha256(b''.join(lock.read_bytes() for lock in locks)).hexdigest()[:12]}"
    if folder.exists():
        return folder
    made = cache / "wheels-unfinished"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps", "-d", str(made)]
    command += [part for lock in locks for part in ("-r", str(lock))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no wheels: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    made.rename(folder)
    return folder


def require_programs() -> None:
    """Skips the test where no such machine can be run."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing or os.geteuid() != 0 or sys.version_info[:2] != (3, 11):
        pytest.skip(f"needs root, Python 3.11 as Debian 12 has it, and {', '.join(missing or PROGRAMS)}")


@contextmanager
def running_machine(folder: Path, cache: Path) -> Iterator[Machine]:
    """Boot one whose disk is `folder`/root; it is turned off at the end."""
    root = folder / "root"
    root.mkdir()
    subprocess.run(["tar", "-x", "-C", str(root), "-f", str(cached_root(cache))], check=True)
    command = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "--directory", str(root)]
    command += ["--private-network", "--console=read-only", f"--bind-ro={cached_wheels(cache)}:{WHEELS}"]
    with (folder / "console.log").open("wb") as console:
        nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
    try:
        yield _booted(nspawn, root, folder / "console.log")
    finally:
        nspawn.terminate()  # it turns the machine off
        try:
            nspawn.wait(timeout=300)
        except subprocess.TimeoutExpired:
            nspawn.kill()
            nspawn.wait()


def _booted(nspawn: subprocess.Popen[bytes], root: Path, console: Path) -> Machine:
    deadline_s = time.monotonic() + _BOOT_WITHIN_S
    while time.monotonic() < deadline_s and nspawn.poll() is None:
        children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text(encoding="ascii").split()
        if children:
            machine = Machine(root, int(children[0]))
            if machine.try_run("systemctl", "is-system-running").stdout.strip() == "running":
                return machine
        time.sleep(0.5)
    raise AssertionError(f"the machine does not boot:\n{console.read_text(encoding='utf-8', errors='replace')[-3000:]}")
