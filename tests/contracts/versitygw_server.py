"""A real versitygw server on loopback, over TLS: the other S3 that the object store is tried on.

The binary is the one that VERSITYGW_BINARY names, else it is built from its Go module, once (Apache-2.0, 84 MB).
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import trustme

from streams.embedded.ports import LOOPBACK, free_port
from tests.contracts.s3_server import S3Server, binary_of, new_server, serving

VERSITYGW_MODULE = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"


@dataclass(frozen=True)
class Versitygw(S3Server):
    """Also where its users are made, and the folder in which it keeps what it is given."""

    binary: Path = Path()
    admin_endpoint: str = ""
    data: Path = Path()

    def make_user(self) -> S3Server:
        """A user who has no rights but those that the policy of a bucket gives."""
        user = S3Server(self.endpoint, f"user-{token_hex(4)}", token_hex(16), self.certificate)
        self._administer("create-user", "--role", "user", "--access", user.access_key, "--secret", user.secret_key)
        return user

    def change_secret(self, user: S3Server, secret_key: str) -> None:
        """The one that the user had holds no longer."""
        self._administer("update-user", "--access", user.access_key, "--secret", secret_key)

    def _administer(self, *what: str) -> None:
        command = [str(self.binary), "admin", "--access", self.access_key, "--secret", self.secret_key]
        subprocess.run(
            [*command, "--endpoint-url", f"http://{self.admin_endpoint}", *what], check=True, capture_output=True
        )


@contextmanager
def running_versitygw(folder: Path, *, versioning: bool = True, tls: bool = True) -> Iterator[Versitygw]:
    """Start a server that keeps its data in `folder`, wait until it answers, stop it at the end.

    Without `versioning` it has no place for versions. It speaks TLS, with a certificate whose CA is `certificate`.
    Raises `ServerUnavailableError`.
    """
    binary = binary_of("versitygw", VERSITYGW_MODULE, "VERSITYGW_BINARY")
    # It changes into the folder of its data: every path is absolute.
    folder = folder.absolute()
    data, versions, users = (folder / name for name in ("data", "versions", "users"))
    for made in (data, versions, users):
        made.mkdir(parents=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert(LOOPBACK)
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(folder / "cert.pem", append=True)
    plain = new_server(folder / "ca.pem" if tls else None)
    server = Versitygw(
        plain.endpoint,
        plain.access_key,
        plain.secret_key,
        plain.certificate,
        binary=binary,
        admin_endpoint=f"{LOOPBACK}:{free_port()}",
        data=folder,
    )
    # Without --keep-alive it ends a connection whose request it refuses before it has read all of it.
    command = [str(binary), "--quiet", "--keep-alive", "--port", server.endpoint, "--admin-port", server.admin_endpoint]
    command += ["--cert", str(folder / "cert.pem"), "--key", str(folder / "key.pem")] if tls else []
    command += ["--iam-dir", str(users)]
    command += ["--iam-cache-disable", "posix", *(["--versioning-dir", str(versions)] if versioning else []), str(data)]
    credentials = {"ROOT_ACCESS_KEY": server.access_key, "ROOT_SECRET_KEY": server.secret_key}
    with serving(server, command, credentials, folder / "versitygw.log"):
        yield server
