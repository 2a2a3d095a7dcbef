"""A real MinIO server on loopback, for the object-store contract.

The binary is the one that MINIO_BINARY names, else `.tools/minio` in the repository, else it is built there from the
Go module, once. It is never part of the distribution (AGPL-3.0, 150 MB).
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from minio import Minio
from minio.error import MinioException
from urllib3 import PoolManager
from urllib3.exceptions import HTTPError

from streams.embedded.ports import LOOPBACK, free_port

MINIO_MODULE = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
"""The commit that is tested, as Go names it: the tags of MinIO (RELEASE.<date>) are no versions of a module."""

_TOOLS = Path(__file__).parents[2] / ".tools"
_START_S = 30


class MinioUnavailableError(Exception):
    """There is no MinIO to test against; the text is one line for the skip report."""


@dataclass(frozen=True)
class MinioServer:
    """A running server: its address, the credentials of its root user, and its certificate where it speaks TLS."""

    endpoint: str
    access_key: str
    secret_key: str
    certificate: Path | None = None

    def client(self) -> Minio:
        """A plain client, to prepare what a test needs. It fails at once: by itself it would wait for minutes."""
        return Minio(
            self.endpoint,
            access_key=self.access_key,
            secret_key=self.secret_key,
            secure=self.certificate is not None,
            region="us-east-1",
            http_client=PoolManager(
                ca_certs=str(self.certificate) if self.certificate else None, retries=False, timeout=20
            ),
        )


def minio_binary() -> Path:
    """The path of a MinIO server. Raises `MinioUnavailableError`; the first build takes some minutes."""
    if named := os.environ.get("MINIO_BINARY"):
        return Path(named)  # when this is wrong, starting it fails the tests: somebody meant to run them
    built = _TOOLS / "minio"
    if not built.exists():
        _build()
    return built


def _build() -> None:
    go = shutil.which("go")
    if go is None:
        raise MinioUnavailableError("no MinIO: set MINIO_BINARY, or install Go to build it")
    _TOOLS.mkdir(exist_ok=True)
    result = subprocess.run(
        [go, "install", MINIO_MODULE], env={**os.environ, "GOBIN": str(_TOOLS)}, capture_output=True, text=True
    )
    if result.returncode != 0:
        last_line = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise MinioUnavailableError(f"no MinIO: `go install {MINIO_MODULE}` failed: {last_line}")


@contextmanager
def running_minio(folder: Path, certificates: Path | None = None) -> Iterator[MinioServer]:
    """Start a server that keeps its data in `folder`, wait until it answers, stop it at the end.

    `certificates` holds `public.crt` and `private.key`; with it the server speaks TLS. Raises
    `MinioUnavailableError`.
    """
    binary = minio_binary()
    no_certificates = folder / "no-certificates"
    no_certificates.mkdir(parents=True)
    server = MinioServer(
        f"{LOOPBACK}:{free_port()}",
        access_key=f"root-{token_hex(6)}",
        secret_key=token_hex(20),
        certificate=certificates / "public.crt" if certificates else None,
    )
    command = [str(binary), "server", "--quiet", "--address", server.endpoint]
    command += ["--certs-dir", str(certificates or no_certificates), str(folder / "data")]
    credentials = {
        "MINIO_ROOT_USER": server.access_key,
        "MINIO_ROOT_PASSWORD": server.secret_key,
        "MINIO_BROWSER": "off",
    }
    log = folder / "minio.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env={**os.environ, **credentials}, stdout=output, stderr=output)
    try:
        _wait_until_ready(process, server, log)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], server: MinioServer, log: Path) -> None:
    """Until it serves its root user: its health page says "ready" while requests are still told to wait 60 s."""
    client = server.client()
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.list_buckets()
        except (MinioException, HTTPError):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"MinIO did not start:\n{log.read_text(errors='replace')[-2000:]}")
