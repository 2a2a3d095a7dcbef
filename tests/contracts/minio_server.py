"""A real MinIO server on loopback, for the object-store contract.

The binary is the one that MINIO_BINARY names, else it is built from its Go module, once. It is never part of the
distribution (AGPL-3.0, 150 MB).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.contracts.s3_server import S3Server, binary_of, new_server, serving

MINIO_MODULE = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
"""The commit that is tested, as Go names it: the tags of MinIO (RELEASE.<date>) are no versions of a module."""


@contextmanager
def running_minio(folder: Path, certificates: Path | None = None) -> Iterator[S3Server]:
    """Start a server that keeps its data in `folder`, wait until it answers, stop it at the end.

    `certificates` holds `public.crt` and `private.key`; with it the server speaks TLS. Raises
    `ServerUnavailableError`.
    """
    binary = binary_of("minio", MINIO_MODULE, "MINIO_BINARY")
    no_certificates = folder / "no-certificates"
    no_certificates.mkdir(parents=True)
    server = new_server(certificates / "public.crt" if certificates else None)
    command = [str(binary), "server", "--quiet", "--address", server.endpoint]
    command += ["--certs-dir", str(certificates or no_certificates), str(folder / "data")]
    credentials = {
        "MINIO_ROOT_USER": server.access_key,
        "MINIO_ROOT_PASSWORD": server.secret_key,
        "MINIO_BROWSER": "off",
    }
    with serving(server, command, credentials, folder / "minio.log"):
        yield server
