"""The object store as a bucket of any S3, through the client of AWS for Python (`botocore`)."""

import os
import random
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import md5
from typing import Any, TypeVar
from urllib.parse import urlsplit

import botocore.session
import certifi
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, SSLError
from botocore.parsers import ResponseParserError
from pydantic import SecretStr
from urllib3.exceptions import ProtocolError

from schemas.errors import RetryableError
from streams.adapters.object_store.bucket import ARCHIVE_PREFIX, Bucket, require_range
from streams.adapters.object_store.s3.bucket_rules import CANNOT_LIST_VERSIONS, BucketRules
from streams.ports import (
    BucketRule,
    Clock,
    ObjectEntry,
    ObjectMissingError,
    ObjectWriter,
    StoreAccessError,
    SystemClock,
)

T = TypeVar("T")

_PART_BYTES = 5 * 1024 * 1024
"""Larger objects go up in parts of this size, the smallest that S3 allows.

urllib3 sends each under the connect timeout, so the part decides how slow a line may be: 5 MiB in 20 s, 0.26 MB/s.
"""

_MOST_PARTS = 10_000
"""So many S3 takes: an object has at most 48 GiB."""

_UNFINISHED_AFTER = timedelta(days=1)
"""Longer than any object takes to be written."""

_ONLY_VERSION = "null"
"""What S3 calls the version of an object in a bucket that never kept any."""

_PASSING = {
    "BadDigest",
    "BadRequest",
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
    "AccessDenied": "forbids this to the access key: grant it what its worker "
    "needs (docs/operations.md; without ListBucket on the bucket, S3 calls a missing object forbidden)",
    "RequestTimeTooSkewed": "and this machine disagree about the time by more than 15 minutes: set both clocks by NTP",
    "PermanentRedirect": "keeps this bucket in another region: check s3_region",
    "AuthorizationHeaderMalformed": "expects another region: check s3_region",
    "InvalidRegion": "expects another region: check s3_region",
    "IllegalLocationConstraintException": "expects another region: check s3_region",
    "InvalidStorageClass": "does not know the class of storage: check s3_archive_class",
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
        older_versions_days: int = 7,
        archive_class: str = "",
        patience: Patience | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`endpoint` is host:port. With TLS the CA is certifi's, or the file that SSL_CERT_FILE names.

        `archive_class` is the class of storage of what is written below `archive/`; the bucket's where it is empty.

        Nothing is sent before the first call. Raises `ValueError` for an endpoint or a bucket name that cannot be.
        """
        self._bucket = Bucket(bucket)
        address = urlsplit(f"//{endpoint}")
        if address.netloc != endpoint or not address.hostname or address.port == 0:  # `port` raises for what is none
            raise ValueError("an endpoint is host:port")
        self._endpoint = endpoint
        self._secure = secure
        self._archive_class = archive_class
        self._patience = patience or Patience()
        self._clock = clock or SystemClock()
        try:
            self._client = _client(endpoint, access_key, secret_key, secure, region, self._patience)
        except BotoCoreError as error:
            raise ValueError(f"no client can be made of this endpoint and region: {type(error).__name__}") from None
        self._rules = BucketRules(self._call, self._client, bucket, older_versions_days)

    def uri_of(self, key: str) -> str:
        """See `ObjectStore.uri_of`."""
        return self._bucket.uri_of(key)

    def key_of(self, uri: str) -> str:
        """See `ObjectStore.key_of`."""
        return self._bucket.key_of(uri)

    def apply(self) -> None:
        """See `ObjectStore.apply`. An access key that may not do one of these leaves it as it is."""
        try:
            self.check()
        except _BucketMissingError:
            self._call(self._make_bucket)
        self._rules.set()
        self._remove_unfinished()

    def rules(self) -> Sequence[BucketRule]:
        """See `ObjectStore.rules`."""
        return self._rules.states()

    def check(self) -> None:
        """Raises `StoreAccessError` unless the bucket can be listed, saying what to do."""
        # A HEAD request would do for S3, but its errors have no body that tells one refusal from another.
        self._call(lambda: self._client.list_objects_v2(Bucket=self._bucket.name, MaxKeys=1))

    def put(self, key: str, data: bytes, *, content_type: str = "application/octet-stream") -> None:
        """See `ObjectStore.put`. S3 shows an object when all of it has arrived and its checksum is right."""
        with self.writer(key, content_type=content_type) as writer:
            view = memoryview(data)
            for start in range(0, len(data), _PART_BYTES):
                writer.write(bytes(view[start : start + _PART_BYTES]))
            writer.commit()

    def put_locked(self, key: str, data: bytes, until: datetime, *, content_type: str) -> None:
        """See `LocksObjects.put_locked`: in compliance mode, which nobody can take back."""
        self._bucket.parts(key)
        # S3 asks for this digest where an object is to be locked; no secret depends on it.
        digest = b64encode(md5(data, usedforsecurity=False).digest()).decode()
        self._call(
            lambda: self._client.put_object(
                Bucket=self._bucket.name,
                Key=key,
                Body=data,
                ContentType=content_type,
                ContentMD5=digest,
                ObjectLockMode="COMPLIANCE",
                ObjectLockRetainUntilDate=until,
            )
        )

    @contextmanager
    def writer(self, key: str, *, content_type: str = "application/octet-stream") -> Iterator[ObjectWriter]:
        """See `ObjectStore.writer`. Holds one part; an object of no more than that goes up in one request."""
        self._bucket.parts(key)
        how = {"ContentType": content_type}
        if self._archive_class and key.startswith(ARCHIVE_PREFIX):
            how["StorageClass"] = self._archive_class
        upload = _Upload(self._call, self._client, {"Bucket": self._bucket.name, "Key": key}, how)
        try:
            yield upload
        finally:
            upload.abort()

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        self._bucket.parts(key)
        more: Mapping[str, str] | None = {}
        while more is not None:
            versions, more = self._call(partial(self._versions, key, more))
            for version in versions:
                self._call(partial(self._client.delete_object, Bucket=self._bucket.name, Key=key, VersionId=version))

    def entries(self, prefix: str = "", *, after: str = "") -> Iterator[ObjectEntry]:
        """See `ObjectStore.entries`. Asks for a thousand at a time."""
        truncated = True
        while truncated:
            page = self._call(partial(self._page, prefix, after))
            truncated = page["IsTruncated"]
            for found in page.get("Contents", ()):
                after = found["Key"]
                yield ObjectEntry(after, found["Size"], found["LastModified"].astimezone(UTC))

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
        region = self._client.meta.region_name
        where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        try:
            self._client.create_bucket(Bucket=self._bucket.name, **where)
        except ClientError as error:
            # Another process was faster, or our first try did arrive.
            if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
                raise

    def _remove_unfinished(self) -> None:
        """What writers that were killed have left behind, where the server does not remove it by itself."""
        with suppress(StoreAccessError):  # it may be forbidden to us
            page = self._call(lambda: self._client.list_multipart_uploads(Bucket=self._bucket.name))
            for upload in page.get("Uploads", ()):  # at most a thousand; the next `apply` removes more
                if self._clock.now() - upload["Initiated"] > _UNFINISHED_AFTER:
                    which = {"Key": upload["Key"], "UploadId": upload["UploadId"]}
                    self._call(partial(self._client.abort_multipart_upload, Bucket=self._bucket.name, **which))

    def _page(self, prefix: str, after: str) -> dict[str, Any]:
        behind = {"StartAfter": after} if after else {}
        page: dict[str, Any] = self._client.list_objects_v2(Bucket=self._bucket.name, Prefix=prefix, **behind)
        return page

    def _versions(self, key: str, more: Mapping[str, str]) -> tuple[list[str], Mapping[str, str] | None]:
        """Versions of an object, delete markers too, and where to go on; None where there are no more."""
        try:
            page = self._client.list_object_versions(Bucket=self._bucket.name, Prefix=key, **more)
        except ClientError as error:
            if error.response["Error"]["Code"] not in CANNOT_LIST_VERSIONS or self._rules.is_versioned():
                raise
            return [_ONLY_VERSION], None
        found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        versions = [version["VersionId"] for version in found if version["Key"] == key]
        if not page["IsTruncated"] or len(versions) < len(found):  # sorted: ours come before those of longer keys
            return versions, None
        return versions, {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    def _get(self, key: str, start: int, length: int | None) -> "_Piece":
        end = "" if length is None else start + length - 1
        part = {} if (start, length) == (0, None) else {"Range": f"bytes={start}-{end}"}
        try:
            answer = self._client.get_object(Bucket=self._bucket.name, Key=key, **part)
        except ClientError as error:
            if error.response["Error"]["Code"] == "InvalidRange":  # begins at or behind the end; at 0: an empty object
                return _Piece(b"", "bytes */0")
            raise
        try:
            return _Piece(_body(answer["Body"], length), answer.get("ContentRange", ""))
        finally:
            answer["Body"].close()

    def _call(self, request: Callable[[], T]) -> T:
        """Do it, and again where that may help. Raises the errors of the port, which name no key and no secret."""
        failures = 0
        while True:
            try:
                return request()
            except (BotoCoreError, ClientError, OSError) as error:
                failure = self._failure(error)
            failures += 1
            if not isinstance(failure, RetryableError) or failures >= self._patience.tries:
                raise failure
            time.sleep(self._patience.pause_s(failures))

    def _failure(self, error: Exception) -> Exception:
        """What an error means to the caller. The library's own texts hold keys and whole URLs: none is passed on."""
        if isinstance(error, ClientError):
            return self._refusal(error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
        if isinstance(error, ResponseParserError):
            return _foreign_answer("HTTP 200")
        # What urllib3 said of the connection; botocore wraps it and would tell the URL.
        cause = getattr(error, "kwargs", {}).get("error") or error
        if isinstance(error, SSLError):
            return _tls_failure(cause, self._endpoint)
        reason = type(cause).__name__
        if isinstance(cause, ProtocolError) and not self._secure:  # so a server may end what is no TLS
            reason += " (if it expects TLS, set s3_secure to true)"
        return _unanswered(self._endpoint, reason)

    def _refusal(self, code: str, status: int) -> Exception:
        if not code or code.isdigit():  # no answer of S3: a proxy, a TLS port, another server altogether
            if status >= 500 or status == 429:
                return RetryableError(f"the object store cannot answer now: HTTP {status}")
            if status == 400 and not self._secure:
                return StoreAccessError(
                    "what answers is no S3 object store without TLS (HTTP 400): set s3_secure to true or check "
                    "s3_endpoint"
                )
            return _foreign_answer(f"HTTP {status}")
        if code in _NO_SUCH_OBJECT:
            return ObjectMissingError("there is no object under this key")
        if code == "NoSuchBucket":
            return _BucketMissingError(f"bucket {self._bucket.name} does not exist: run `callstream bucket apply`")
        if code in _REFUSALS:
            return StoreAccessError(f"the object store {_REFUSALS[code]}")
        if status >= 500 or status == 429 or code in _PASSING:
            return RetryableError(f"the object store cannot answer now: {code}")
        return StoreAccessError(f"the object store refuses: {code} (HTTP {status})")


class _Upload:
    """An object that is going up: in one request at the end, or in parts as soon as there are enough for one."""

    def __init__(
        self, call: Callable[[Callable[[], Any]], Any], client: Any, place: dict[str, str], how: dict[str, str]
    ) -> None:
        self._call = call
        self._client = client
        self._place = place
        self._how = how
        self._waiting = bytearray()
        self._sent_bytes = 0
        self._upload_id: str | None = None
        self._parts: list[dict[str, object]] = []
        self._tried_to_complete = False

    def write(self, data: bytes) -> None:
        """See `ObjectWriter.write`."""
        self._waiting += data
        while len(self._waiting) > _PART_BYTES:  # one byte more: the last part is never empty
            self._send_part(_PART_BYTES)

    def commit(self) -> None:
        """See `ObjectWriter.commit`."""
        if self._upload_id is None:
            body = bytes(self._waiting)
            self._call(lambda: self._client.put_object(**self._place, **self._how, Body=body))
            return
        self._send_part(len(self._waiting))
        self._call(self._complete)
        self._upload_id = None

    def abort(self) -> None:
        """Remove the parts of an upload that was not completed, as far as the store answers."""
        if self._upload_id is not None:
            with suppress(RetryableError, StoreAccessError):  # what stays is removed with `callstream bucket apply`
                self._call(partial(self._client.abort_multipart_upload, **self._place, UploadId=self._upload_id))
            self._upload_id = None

    def _send_part(self, size_bytes: int) -> None:
        if len(self._parts) == _MOST_PARTS:
            raise StoreAccessError(f"an object of more than {_MOST_PARTS * _PART_BYTES >> 30} GiB is too large for S3")
        if self._upload_id is None:
            begun = self._call(lambda: self._client.create_multipart_upload(**self._place, **self._how))
            self._upload_id = begun["UploadId"]
        body = bytes(memoryview(self._waiting)[:size_bytes])
        number = len(self._parts) + 1
        sent = self._call(
            lambda: self._client.upload_part(**self._place, UploadId=self._upload_id, PartNumber=number, Body=body)
        )
        del self._waiting[:size_bytes]
        self._sent_bytes += size_bytes
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})

    def _complete(self) -> None:
        tried_before, self._tried_to_complete = self._tried_to_complete, True
        try:
            self._client.complete_multipart_upload(
                **self._place, UploadId=self._upload_id, MultipartUpload={"Parts": self._parts}
            )
        except ClientError as error:
            # The first try may have done it, and its answer been lost.
            if not (tried_before and error.response["Error"]["Code"] == "NoSuchUpload" and self._is_there()):
                raise

    def _is_there(self) -> bool:
        found = self._client.list_objects_v2(Bucket=self._place["Bucket"], Prefix=self._place["Key"], MaxKeys=1)
        return [(entry["Key"], entry["Size"]) for entry in found.get("Contents", ())] == [
            (self._place["Key"], self._sent_bytes)
        ]


def _client(
    endpoint: str, access_key: str, secret_key: SecretStr, secure: bool, region: str, patience: Patience
) -> Any:
    """A client that does what it is told here: no file and no variable of AWS has a say."""
    nowhere = (None, None, None, None)
    session = botocore.session.Session(session_vars={"profile": nowhere, "config_file": (None, None, "", None)})
    return session.create_client(
        "s3",
        region_name=region,
        endpoint_url=f"{'https' if secure else 'http'}://{endpoint}",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key.get_secret_value(),
        verify=os.environ.get("SSL_CERT_FILE") or certifi.where(),
        config=Config(
            connect_timeout=patience.connect_timeout_s,
            read_timeout=patience.read_timeout_s,
            retries={"total_max_attempts": 1},  # it cannot repeat an answer that breaks off in the middle; `_call` can
            max_pool_connections=10,
            proxies={},
            # The SHA-256 of every body is signed and checked by every server; newer checksums are not.
            s3={"addressing_style": "path", "payload_signing_enabled": True},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _body(stream: Any, length: int | None) -> bytes:
    """The body as stored, and no more of it than was asked for.

    A server may take no notice of the range, and send whatever it has.
    """
    if length is None:
        whole: bytes = stream.read()
        return whole
    pieces: list[bytes] = []
    left = length
    # Until nothing comes: only then is a body noticed that breaks off.
    while left > 0 and (piece := stream.read(min(left, _PART_BYTES))):
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


def _foreign_answer(answer: str) -> StoreAccessError:
    return StoreAccessError(f"what answers is no S3 object store ({answer}): check s3_endpoint")


def _unanswered(endpoint: str, reason: str) -> RetryableError:
    return RetryableError(
        f"the object store does not answer as it should at {endpoint}: {reason}; start it, or name one that runs in "
        "s3_endpoint (CALLSTREAM_S3_ENDPOINT; of the archive archive_s3_endpoint, of backups backup_s3_endpoint)"
    )


def _tls_failure(error: Exception, endpoint: str) -> Exception:
    cause = error.args[0] if error.args else None
    reason = cause.reason if isinstance(cause, ssl.SSLError) else None
    if isinstance(cause, ssl.SSLCertVerificationError):
        return StoreAccessError(
            "the certificate of the object store is not trusted: let SSL_CERT_FILE name its CA, and check s3_endpoint"
        )
    if reason in _NOT_TLS:
        return StoreAccessError("the object store does not speak TLS: set s3_secure to false or check s3_endpoint")
    return _unanswered(endpoint, reason or type(error).__name__)
