"""The transit engine of OpenBao or HashiCorp Vault: its settings. Wrapping keys never leave it."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from processors.custody.ports import Purpose
from schemas.config.settings_part import OptionalPath
from streams.ports import KeyWrapperSettings
from streams.settings import SettingsError

if TYPE_CHECKING:
    from streams.adapters.key_wrappers.transit.client import TransitKeys

_KEY_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"


class TransitSettings(KeyWrapperSettings):
    """Where the service is, and who we are to it."""

    kind: ClassVar[str] = "transit"

    transit_url: str = Field(
        default="",
        pattern=r"^(https?://[A-Za-z0-9\[\]:._-]+/?)?$",
        description="transit keys: https://host:port of OpenBao or Vault; http:// on this machine alone",
    )
    transit_mount: str = Field(
        default="transit",
        pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$",
        description="transit keys: path of the engine",
    )
    transit_namespace: str = Field(
        default="", pattern=r"^[A-Za-z0-9_./-]*$", description="transit keys: namespace, where the service has them"
    )
    transit_token_file: OptionalPath = Field(
        default=None, description="transit keys: file with the token, read anew each time (an agent may renew it)"
    )
    transit_ca_file: OptionalPath = Field(
        default=None, description="transit keys: CA certificates (PEM) of the service in place of the usual ones"
    )
    transit_timeout_s: float = Field(default=10, gt=0, le=120, description="transit keys: so long an answer may take")
    transit_audio_key: str = Field(
        default="callstream-audio", pattern=_KEY_NAME, description="transit keys: name of the key of audio"
    )
    transit_transcript_key: str = Field(
        default="callstream-transcript", pattern=_KEY_NAME, description="transit keys: name of that of transcripts"
    )
    transit_received_key: str = Field(
        default="callstream-received",
        pattern=_KEY_NAME,
        description="transit keys: name of that of transcripts from outside, not yet masked",
    )

    def open(self, data_dir: Path, purposes: Collection[Purpose]) -> "TransitKeys":  # noqa: ARG002 - nothing is kept on this machine
        """See `KeyWrapperSettings.open`. Raises `SettingsError`."""
        from streams.adapters.key_wrappers.transit.client import TransitKeys, is_acceptable

        if not self.transit_url or self.transit_token_file is None:
            name = "transit_url" if not self.transit_url else "transit_token_file"
            raise SettingsError(f"{name} is not set, and key_wrapper is transit")
        if not is_acceptable(self.transit_url):
            raise SettingsError(
                "transit_url is http:// on another machine, where keys would cross in clear: use https://"
            )
        return TransitKeys(
            self.transit_url.rstrip("/"),
            {purpose: getattr(self, f"transit_{purpose}_key") for purpose in purposes},
            mount=self.transit_mount,
            namespace=self.transit_namespace,
            token_file=self.transit_token_file,
            ca_file=self.transit_ca_file,
            timeout_s=self.transit_timeout_s,
        )
