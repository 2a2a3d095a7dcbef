"""Passwords of people: hashed with Argon2id, the second recommendation of RFC 9106 (64 MiB, 3 passes, 4 lanes)."""

import secrets
import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING

from processors.custody.accounts import LONGEST_PASSWORD

if TYPE_CHECKING:
    from argon2 import PasswordHasher


class Passwords:
    """Safe to share between threads. A hash takes a tenth of a second, and 64 MiB meanwhile."""

    @cached_property
    def _hasher(self) -> "PasswordHasher":
        from argon2 import PasswordHasher
        from argon2.profiles import RFC_9106_LOW_MEMORY

        return PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)

    @cached_property
    def _of_nobody(self) -> str:
        """To look at where there is no account, so that it takes as long."""
        return self._hasher.hash(secrets.token_urlsafe(32))

    def prepare(self) -> None:
        """Make what the first question would have to wait for, and be told by."""
        assert self._of_nobody  # noqa: S101 - made by asking for it

    def hash(self, password: str) -> str:
        """What is kept of a password that `check_password` has let through."""
        return self._hasher.hash(password)

    def is_password(self, kept: str | None, given: str) -> bool:
        """Whether it is the password. Without a hash it is not, and takes as long to say so."""
        from argon2.exceptions import InvalidHashError, VerificationError

        normal = unicodedata.normalize("NFKC", given[: 4 * LONGEST_PASSWORD])
        try:
            return self._hasher.verify(kept or self._of_nobody, normal) and kept is not None
        except (VerificationError, InvalidHashError):
            return False

    def is_dated(self, kept: str) -> bool:
        """Whether it was hashed with parameters of a former release."""
        return self._hasher.check_needs_rehash(kept)
