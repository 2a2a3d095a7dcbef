"""The object store that the settings ask for."""

from streams.adapters.object_store.bucket import Bucket
from streams.adapters.object_store.folder import FolderStore
from streams.ports import ObjectStore
from streams.settings import Settings, SettingsError


def object_store_from(settings: Settings) -> ObjectStore:
    """A folder or an S3 bucket; nothing is read or sent yet. Raises `SettingsError`, which names the setting."""
    try:
        Bucket(settings.store_bucket)
    except ValueError as error:
        raise SettingsError(f"store_bucket does not fit: {error}") from None
    if settings.store_kind == "folder":
        return FolderStore(settings.folder_root, settings.store_bucket)
    return _s3_store(settings)


def _s3_store(settings: Settings) -> ObjectStore:
    from streams.adapters.object_store.s3 import (
        S3Store,  # the folder does not need the client, which takes 0.2 s to import
    )

    for name in ("s3_access_key", "s3_secret_key"):
        if not getattr(settings, name):
            raise SettingsError(f"{name} is not set, and store_kind is s3")
    try:
        return S3Store(
            settings.s3_endpoint,
            settings.store_bucket,
            access_key=settings.s3_access_key,
            secret_key=settings.s3_secret_key,
            secure=settings.s3_secure,
            region=settings.s3_region,
        )
    except ValueError:
        raise SettingsError(
            "s3_endpoint or s3_region does not fit: the endpoint is host:port, without scheme"
        ) from None
