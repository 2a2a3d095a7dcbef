"""What a bucket, a key and a URI are: the same for every object store, so that an event means the same in all."""

import re

from streams.ports import ForeignUriError

ARCHIVE_PREFIX = "archive/"
"""Below it lies what need not be kept at hand; it may have a store, and a class of storage, of its own."""

_MAX_KEY_BYTES = 900
_MAX_PART_BYTES = 255
"""The longest file name, in a folder and in MinIO alike."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")


class Bucket:
    """A bucket by name: turns keys into URIs and back."""

    def __init__(self, name: str) -> None:
        """Raises `ValueError` for a name that S3 refuses, whichever store is behind it."""
        forbidden = any(pair in name for pair in ("..", ".-", "-."))
        if not _NAME.fullmatch(name) or forbidden or _ADDRESS.fullmatch(name):
            raise ValueError(
                "a bucket name has 3 to 63 lower-case letters, digits, dots and hyphens, begins and ends with a "
                "letter or digit, has no dot beside a dot or hyphen, and is no IP address"
            )
        self.name = name

    def uri_of(self, key: str) -> str:
        """`s3://<bucket>/<key>`. Raises `ValueError` for a key that leaves the bucket or is not normalised."""
        self.parts(key)
        return f"s3://{self.name}/{key}"

    def key_of(self, uri: str) -> str:
        """The inverse of `uri_of`. Raises `ForeignUriError`, also for a key that no object can have."""
        prefix = f"s3://{self.name}/"
        if not uri.startswith(prefix):
            raise ForeignUriError("the URI points into another bucket")
        key = uri.removeprefix(prefix)
        try:
            self.parts(key)
        except ValueError as error:
            raise ForeignUriError(f"the URI holds no valid key: {error}") from None
        return key

    def parts(self, key: str) -> tuple[str, ...]:
        """The key split at its slashes, at least one part. Raises `ValueError`, without naming the key."""
        parts = tuple(key.split("/"))
        try:
            sizes = [len(part.encode()) for part in parts]
        except UnicodeEncodeError:
            raise ValueError("a key is valid Unicode") from None
        if not key.strip() or _CONTROL.search(key):
            raise ValueError("a key is not blank and holds no control character")
        if any(part in ("", ".", "..") for part in parts):
            raise ValueError("a key has no empty part, no `.` and no `..`")
        if max(sizes) > _MAX_PART_BYTES or len(key.encode()) > _MAX_KEY_BYTES:
            raise ValueError(f"a key has at most {_MAX_KEY_BYTES} bytes, a part of it at most {_MAX_PART_BYTES}")
        return parts

    def can_hold(self, name: str) -> bool:
        """Whether a part of a key may be called so."""
        try:
            return len(self.parts(name)) == 1
        except ValueError:
            return False


def require_range(start: int, length: int | None) -> None:
    """Raises `ValueError` for a range that counts from the end or runs backwards."""
    if start < 0 or (length is not None and length < 0):
        raise ValueError("start and length of a range are not negative")
