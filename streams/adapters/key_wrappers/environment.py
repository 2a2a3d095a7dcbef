"""Wrapping keys that whoever starts the process hands it in variables: of a secret store, of systemd credentials."""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import ClassVar, NoReturn

from pydantic import Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError

from processors.custody.ports import Purpose
from schemas.errors import OperatorError
from streams.adapters.key_wrappers.ring import KEY_BYTES, Ring, require_purpose
from streams.ports import KeyWrapperSettings

_VERSION = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FORM = "version:base64 of 32 bytes, several separated by commas, the newest last"


def _read(text: str) -> dict[str, bytes]:
    """Version → key. Raises `ValueError`, without a word of the text."""
    keys: dict[str, bytes] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        version, _, encoded = part.partition(":")
        try:
            key = b64decode(encoded, validate=True)
        except Base64Error:
            key = b""
        if not _VERSION.fullmatch(version) or len(key) != KEY_BYTES or version in keys:
            raise ValueError
        keys[version] = key
    return keys


class EnvironmentSettings(KeyWrapperSettings):
    """Wrapping keys in clear."""

    kind: ClassVar[str] = "environment"

    audio_keys: SecretStr = Field(default=SecretStr(""), description=f"environment keys: those of audio; {_FORM}")
    transcript_keys: SecretStr = Field(default=SecretStr(""), description="environment keys: those of transcripts")
    received_keys: SecretStr = Field(
        default=SecretStr(""), description="environment keys: those of transcripts from outside, not yet masked"
    )

    @field_validator("audio_keys", "transcript_keys", "received_keys")
    @classmethod
    def _are_keys(cls, text: SecretStr) -> SecretStr:
        fits = True
        try:
            _read(text.get_secret_value())
        except ValueError:
            fits = False
        if not fits:  # outside of the except block: nothing of the text rides along
            raise PydanticCustomError("keys", "write it as {form}", {"form": _FORM})
        return text

    def open(self, data_dir: Path, purposes: Collection[Purpose]) -> "EnvironmentKeys":  # noqa: ARG002 - nothing is kept on this machine
        """See `KeyWrapperSettings.open`."""
        keys = {purpose: _read(getattr(self, f"{purpose}_keys").get_secret_value()) for purpose in purposes}
        return EnvironmentKeys(keys)


class EnvironmentKeys(Ring):
    """The keys as they were when the process started."""

    def __init__(self, keys: Mapping[Purpose, Mapping[str, bytes]]) -> None:
        """Purpose → version → key, the newest last."""
        super().__init__(keys)
        self._keys = keys

    def keys(self, purpose: Purpose) -> Mapping[str, bytes]:
        """See `Ring.keys`."""
        return self._keys[purpose]

    def make_version(self, purpose: Purpose) -> NoReturn:
        """Raises `OperatorError`, which says how it is done by hand."""
        require_purpose(purpose, self._keys)
        name = f"CALLSTREAM_{purpose.upper()}_KEYS"
        raise OperatorError(
            f"keys in variables are made by hand: append `,<a new version>:<key>` to {name} of every process that has "
            f"it, and start them again; `openssl rand -base64 {KEY_BYTES}` prints a key"
        )

    def remove_version(self, purpose: Purpose, version: str) -> None:
        """Raises `OperatorError` where there is such a version."""
        if version in self.versions(purpose):
            raise OperatorError(
                f"keys in variables are destroyed by hand: take {version} out of CALLSTREAM_{purpose.upper()}_KEYS of "
                "every process and wherever else it is kept"
            )
