"""The object store as a bucket of MinIO or any other S3, through the `minio` client."""

import os
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import TypeVar
from xml.etree.ElementTree import ParseError

import certifi
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error
from pydantic import SecretStr
from urllib3 import BaseHTTPResponse, PoolManager, Timeout
from urllib3.exceptions import HTTPError, SSLError

from schemas.errors import RetryableError
from streams.adapters.object_store.bucket import Bucket, require_range
from streams.ports import ObjectMissingError, StoreAccessError

T = TypeVar("T")

_PART_BYTES = 5 * 1024 * 1024
"""Larger objects go up in parts of this size, the smallest that S3 allows, three at a time.

urllib3 sends each under the connect timeout, so the part decides how slow a line may be: 3 × 5 MiB in 20 s, 0.8 MB/s.
"""

_PASSING = {
    "BadDigest",
    "IncompleteBody",
    "OperationAborted",
    "RequestTimeout",
    "SlowDown",
    "TemporaryRedirect",
    "Throttling",
    "TooManyRequests",
    "XAmzContentSHA256Mismatch",
}
"""Codes that S3 gives with a 4xx status although the same request may succeed the next time."""

_NO_SUCH_OBJECT = {"NoSuchKey", "XMinioInvalidObjectName"}
"""No object is there, or none can be, as with a colon on Windows: a key must never look like a broken store."""

_REFUSALS = {
    "InvalidAccessKeyId": "does not know the access key: check s3_access_key",
    "SignatureDoesNotMatch": "refuses the signature: check s3_secret_key",
    "AccessDenied": "forbids this to the access key: grant it GetObject and PutObject on the objects and ListBucket "
    "on the bucket (without ListBucket, S3 calls a missing object forbidden)",
    "RequestTimeTooSkewed": "and this machine disagree about the time by more than 15 minutes: set both clocks by NTP",
    "PermanentRedirect": "keeps this bucket in another region: check s3_region",
    "AuthorizationHeaderMalformed": "expects another region: check s3_region",
    "InvalidRegion": "expects another region: check s3_region",
    "IllegalLocationConstraintException": "expects another region: check s3_region",
    "BucketAlreadyExists": "says that this bucket belongs to another account: choose another store_bucket",
}

_NOT_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"}
"""What OpenSSL says when plain HTTP answers a TLS greeting; which of them depends on its version."""


@dataclass(frozen=True)
class Patience:
    """How long one try may take, and how often and after which pauses it is repeated."""

    connect_timeout_s: float = 20
    read_timeout_s: float = 60
    tries: int = 5
    first_pause_s: float = 0.2
    max_pause_s: float = 5

    def pause_s(self, failures: int) -> float:
        """Seconds to wait after so many failures: exponential, capped, with full jitter.

        See https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/: workers that failed together
        must not come back together.
        """
        longest_s = min(self.max_pause_s, self.first_pause_s * 2 ** (failures - 1))
        return random.uniform(0, longest_s)  # noqa: S311 - no secret depends on it


class _BucketMissingError(StoreAccessError):
    """The credentials are good, the bucket is not there."""


class S3Store:
    """One bucket. Safe to share between threads; every process builds its own."""

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        *,
        access_key: str,
        secret_key: SecretStr,
        secure: bool = True,
        region: str = "us-east-1",
        patience: Patience | None = None,
    ) -> None:
        """`endpoint` is host:port. With TLS the CA is certifi's, or the file that SSL_CERT_FILE names.

        Nothing is sent before the first call. Raises `ValueError` for an endpoint or a bucket name that cannot be.
        """
        self._bucket = Bucket(bucket)
        self._secure = secure
        self._patience = patience or Patience()
        self._client = Minio(
            endpoint,
            access_key=access_key,
            secret_key=secret_key.get_secret_value(),
            secure=secure,
            region=region,
            http_client=PoolManager(
                timeout=Timeout(connect=self._patience.connect_timeout_s, read=self._patience.read_timeout_s),
                retries=False,  # urllib3 cannot repeat an answer that breaks off in the middle; `_call` can
                maxsize=10,
                cert_reqs="CERT_REQUIRED",
                ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
            ),
        )

    def uri_of(self, key: str) -> str:
        """See `ObjectStore.uri_of`."""
        return self._bucket.uri_of(key)

    def key_of(self, uri: str) -> str:
        """See `ObjectStore.key_of`."""
        return self._bucket.key_of(uri)

    def apply(self) -> None:
        """Create the bucket where it does not exist; an access key that may not create it will do where it does."""
        try:
            self.check()
        except _BucketMissingError:
            self._call(self._make_bucket)

    def check(self) -> None:
        """Raises `StoreAccessError` unless the bucket can be listed, saying what to do."""
        # A HEAD request would do for S3, but its errors have no body that tells one refusal from another.
        self._call(lambda: next(iter(self._client.list_objects(self._bucket.name)), None))

    def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        """See `ObjectStore.put`. S3 shows an object when all of it has arrived and its checksum is right."""
        self._bucket.parts(key)
        self._call(
            lambda: self._client.put_object(
                self._bucket.name, key, BytesIO(data), len(data), content_type=content_type, part_size=_PART_BYTES
            )
        )

    def size(self, key: str) -> int:
        """See `ObjectStore.size`."""
        self._bucket.parts(key)
        return self._call(lambda: self._get(key, 0, 1)).object_bytes

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """See `ObjectStore.read`."""
        self._bucket.parts(key)
        require_range(start, length)
        if length == 0:  # S3 has no empty range
            self.size(key)
            return b""
        return self._call(lambda: self._get(key, start, length)).data

    def _make_bucket(self) -> None:
        try:
            self._client.make_bucket(self._bucket.name)
        except S3Error as error:
            if error.code != "BucketAlreadyOwnedByYou":  # another process was faster, or our first try did arrive
                raise

    def _get(self, key: str, start: int, length: int | None) -> "_Piece":
        try:
            response = self._client.get_object(self._bucket.name, key, offset=start, length=length or 0)
        except S3Error as error:
            if error.code == "InvalidRange":  # begins at or behind the end; at 0 that means an empty object
                return _Piece(b"", "bytes */0")
            raise
        try:
            return _Piece(_body(response, length), response.headers.get("Content-Range", ""))
        finally:
            response.close()
            response.release_conn()

    def _call(self, request: Callable[[], T]) -> T:
        """Do it, and again where that may help. Raises the errors of the port, which name no key and no secret."""
        failures = 0
        while True:
            try:
                return request()
            except (MinioException, HTTPError, OSError, ParseError, UnicodeDecodeError) as error:
                failure = self._failure(error)
            failures += 1
            if not isinstance(failure, RetryableError) or failures >= self._patience.tries:
                raise failure
            time.sleep(self._patience.pause_s(failures))

    def _failure(self, error: Exception) -> Exception:
        """What an error means to the caller. The library's own texts hold keys and addresses: none is passed on."""
        if isinstance(error, S3Error):
            return self._s3_failure(error.code or "", error.response.status)
        if isinstance(error, InvalidResponseError):
            return self._foreign_answer(error._code, error._body or "")
        if isinstance(error, SSLError):
            return _tls_failure(error)
        return RetryableError(f"the object store does not answer as it should: {type(error).__name__}")

    def _s3_failure(self, code: str, status: int) -> Exception:
        if code in _NO_SUCH_OBJECT:
            return ObjectMissingError("there is no object under this key")
        if code == "NoSuchBucket":
            return _BucketMissingError(f"bucket {self._bucket.name} does not exist: run `callstream bucket apply`")
        if code in _REFUSALS:
            return StoreAccessError(f"the object store {_REFUSALS[code]}")
        if status >= 500 or status == 429 or code in _PASSING:
            return RetryableError(f"the object store cannot answer now: {code}")
        return StoreAccessError(f"the object store refuses: {code} (HTTP {status})")

    def _foreign_answer(self, status: int, body: str) -> Exception:
        """An answer that is not S3's: a proxy, a TLS port, another server altogether."""
        if status >= 500 or status == 429:
            return RetryableError(f"the object store cannot answer now: HTTP {status}")
        if status == 400 and not self._secure and "https" in body.lower():
            return StoreAccessError("the object store expects TLS: set s3_secure to true")
        return StoreAccessError(f"what answers is no S3 object store (HTTP {status}): check s3_endpoint")


def _body(response: BaseHTTPResponse, length: int | None) -> bytes:
    """The body as stored: an object uploaded with Content-Encoding would otherwise arrive unpacked.

    No more than was asked for: a server may take no notice of the range, and send whatever it has.
    """
    if length is None:
        return response.read(decode_content=False)
    pieces: list[bytes] = []
    left = length
    # Until nothing comes: only then is a body noticed that breaks off.
    while left > 0 and (piece := response.read(min(left, _PART_BYTES), decode_content=False)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


@dataclass(frozen=True)
class _Piece:
    """Bytes of an object and where they lie in it, as HTTP says it: `bytes 0-0/1234`."""

    data: bytes
    content_range: str

    @property
    def object_bytes(self) -> int:
        return int(self.content_range.rpartition("/")[2])


def _tls_failure(error: SSLError) -> Exception:
    cause = error.args[0] if error.args else None
    reason = cause.reason if isinstance(cause, ssl.SSLError) else None
    if isinstance(cause, ssl.SSLCertVerificationError):
        return StoreAccessError(
            "the certificate of the object store is not trusted: let SSL_CERT_FILE name its CA, and check s3_endpoint"
        )
    if reason in _NOT_TLS:
        return StoreAccessError("the object store does not speak TLS: set s3_secure to false or check s3_endpoint")
    return RetryableError(f"the object store does not answer as it should: {reason or type(error).__name__}")
