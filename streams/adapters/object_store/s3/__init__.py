"""Any S3 that there is: its settings. The client takes 0.3 s to import, which only who chooses it waits for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AfterValidator, Field, SecretStr

from streams.ports import ObjectStoreSettings
from streams.settings import SettingsError

if TYPE_CHECKING:
    from streams.adapters.object_store.s3.client import S3Store


def _read_at_once(storage_class: str) -> str:
    if storage_class in ("GLACIER", "DEEP_ARCHIVE"):
        raise ValueError("what must be thawed first cannot be read: take GLACIER_IR, STANDARD_IA or the like")
    return storage_class


class S3Settings(ObjectStoreSettings):
    """Where the store is, and who we are to it."""

    kind: ClassVar[str] = "s3"

    s3_endpoint: str = Field(
        default="127.0.0.1:9000", pattern=r"^[^/\s]+$", description="s3 store: host:port, without https://"
    )
    s3_secure: bool = Field(default=True, description="s3 store: TLS")
    s3_region: str = Field(default="us-east-1", description="s3 store: region")
    s3_access_key: str = Field(default="", description="s3 store: access key")
    s3_secret_key: SecretStr = Field(default=SecretStr(""), description="s3 store: secret key")
    s3_older_versions_days: int = Field(
        default=7,
        ge=0,
        le=3650,
        description="s3 store: days for which the bucket keeps what was overwritten or deleted, 0 for none. Set "
        "by `callstream bucket apply` where the server can",
    )
    s3_archive_class: Annotated[str, AfterValidator(_read_at_once)] = Field(
        default="",
        pattern=r"^[A-Z0-9_]*$",
        description="s3 store: class of storage of what is archived, such as GLACIER_IR; empty: that of the bucket. "
        "Not GLACIER or DEEP_ARCHIVE: what must be thawed first cannot be read",
    )

    def open(self, bucket: str, data_dir: Path) -> "S3Store":  # noqa: ARG002 - nothing is kept on this machine
        """See `ObjectStoreSettings.open`. Raises `SettingsError`."""
        from streams.adapters.object_store.s3.client import S3Store

        for name in ("s3_access_key", "s3_secret_key"):
            if not getattr(self, name):
                raise SettingsError(f"{name} is not set, and store_kind is s3")
        try:
            return S3Store(
                self.s3_endpoint,
                bucket,
                access_key=self.s3_access_key,
                secret_key=self.s3_secret_key,
                secure=self.s3_secure,
                region=self.s3_region,
                older_versions_days=self.s3_older_versions_days,
                archive_class=self.s3_archive_class,
            )
        except ValueError:
            raise SettingsError(
                "s3_endpoint or s3_region does not fit: the endpoint is host:port, without scheme"
            ) from None
