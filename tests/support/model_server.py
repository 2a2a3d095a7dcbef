"""A server of a model that somebody else wrote, as a child process that answers GET /health once it is there."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from streams.embedded.ports import LOOPBACK
from tests.support.processes import eventually


class ModelServerUnavailableError(Exception):
    """It is not installed; the text is one line for the skip report."""


@contextmanager
def serving(
    command: Sequence[str], port: int, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Start it, wait until its model can be asked, stop it at the end. Raises `RuntimeError` if it does not start."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        if not eventually(lambda: process.poll() is not None or _is_ready(port)) or process.poll() is not None:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            raise RuntimeError(f"{Path(command[0]).name} did not start: {lines[-5:]}")
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://{LOOPBACK}:{port}/health", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
