"""What the S3 servers that tests run against have in common: how they are had, started and asked."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr

from streams.adapters.object_store.s3.client import Patience, S3Store
from streams.embedded.ports import LOOPBACK, free_port
from streams.ports import Clock

_TOOLS = Path(__file__).parents[2] / ".tools"
_START_S = 30

IMPATIENT = Patience(connect_timeout_s=5, read_timeout_s=20, tries=3, first_pause_s=0.01, max_pause_s=0.02)


class ServerUnavailableError(Exception):
    """There is no such server to test against; the text is one line for the skip report."""


@dataclass(frozen=True)
class S3Server:
    """A running server: its address, the credentials of its root user, and its certificate where it speaks TLS."""

    endpoint: str
    access_key: str
    secret_key: str
    certificate: Path | None = None

    def client(self) -> Any:
        """A plain client, to prepare what a test needs. It fails at once: by itself it would wait for minutes."""
        return _client_of(self)

    def store(
        self,
        bucket: str,
        *,
        endpoint: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        secure: bool | None = None,
        patience: Patience = IMPATIENT,
        clock: Clock | None = None,
        older_versions_days: int = 7,
    ) -> S3Store:
        """The store that is tested, as the root user of this server unless told otherwise.

        With TLS, SSL_CERT_FILE names the certificate while it is made.
        """
        return S3Store(
            endpoint or self.endpoint,
            bucket,
            access_key=access_key or self.access_key,
            secret_key=SecretStr(secret_key or self.secret_key),
            secure=self.certificate is not None if secure is None else secure,
            patience=patience,
            clock=clock,
            older_versions_days=older_versions_days,
        )

    def remove_bucket(self, bucket: str) -> None:
        """The bucket with all that is in it; does nothing where there is none."""
        client = self.client()
        if bucket not in {found["Name"] for found in client.list_buckets()["Buckets"]}:
            return
        for upload in client.list_multipart_uploads(Bucket=bucket).get("Uploads", ()):
            client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        while found := self.versions(bucket):
            for key, version in found:
                client.delete_object(Bucket=bucket, Key=key, VersionId=version)
        client.delete_bucket(Bucket=bucket)

    def versions(self, bucket: str) -> list[tuple[str, str]]:
        """Key and version of all that the bucket holds, delete markers too; at most a thousand."""
        page = self.client().list_object_versions(Bucket=bucket)
        found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        return [(version["Key"], version["VersionId"]) for version in found]

    def unfinished_uploads(self, bucket: str, key: str) -> list[str]:
        """Uploads of this key that were begun and neither completed nor aborted; they would take space for ever.

        Of this key alone: MinIO finds uploads by the whole key and not by its beginning.
        """
        page = self.client().list_multipart_uploads(Bucket=bucket, Prefix=key)
        return [found["Key"] for found in page.get("Uploads", ())]


@cache
def _client_of(server: S3Server) -> Any:
    """One for each server: to make one takes a tenth of a second."""
    return botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=f"{'https' if server.certificate else 'http'}://{server.endpoint}",
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        verify=str(server.certificate) if server.certificate else None,
        config=Config(
            connect_timeout=5,
            read_timeout=20,
            retries={"total_max_attempts": 1},
            proxies={},
            s3={"addressing_style": "path"},
        ),
    )


def new_server(certificate: Path | None = None) -> S3Server:
    """An address where nobody listens yet, and credentials for it."""
    return S3Server(f"{LOOPBACK}:{free_port()}", f"root-{token_hex(6)}", token_hex(20), certificate)


def binary_of(name: str, module: str, variable: str, *, built_as: str | None = None) -> Path:
    """The path of a server: the one that the variable names, else `.tools/NAME`, built there from its Go module.

    One whose module calls it by a word that others use, too (`built_as`), has a folder of its own: `.tools/NAME/WORD`.
    Raises `ServerUnavailableError`; the first build takes some minutes.
    """
    if named := os.environ.get(variable):
        return Path(named)  # when this is wrong, starting it fails the tests: somebody meant to run them
    folder = _TOOLS if built_as is None else _TOOLS / name
    built = folder / (built_as or name)
    _TOOLS.mkdir(exist_ok=True)
    with Path(_TOOLS, f"{name}.lock").open("w") as lock:
        flock(lock, LOCK_EX)  # of two test processes one builds, which keeps both cores busy, and the other waits
        if not built.exists():
            _build(name, module, variable, folder)
    return built


def _build(name: str, module: str, variable: str, folder: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise ServerUnavailableError(f"no {name}: set {variable}, or install Go to build it")
    result = subprocess.run(
        [go, "install", module], env={**os.environ, "GOBIN": str(folder)}, capture_output=True, text=True
    )
    if result.returncode != 0:
        last_line = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise ServerUnavailableError(f"no {name}: `go install {module}` failed: {last_line}")


@contextmanager
def serving(server: S3Server, command: Sequence[str], credentials: Mapping[str, str], log: Path) -> Iterator[None]:
    """Start it, wait until it answers its root user, stop it at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, env={**os.environ, **credentials}, stdout=output, stderr=output)
    try:
        _wait_until_ready(process, server, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], server: S3Server, log: Path) -> None:
    """Until it serves its root user: MinIO's health page says "ready" while requests are still told to wait 60 s."""
    client = server.client()
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.list_buckets()
        except (BotoCoreError, ClientError):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")
