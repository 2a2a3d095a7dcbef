"""The object store that the settings ask for."""

from pathlib import Path

from streams.adapters.object_store.bucket import Bucket
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.s3 import S3Settings
from streams.adapters.object_store.with_archive import with_archive
from streams.ports import ObjectStore
from streams.settings import Settings, SettingsError

ARCHIVE_BUCKET = "archive"
"""What the bucket in a folder of the archive is called."""


def object_store_from(settings: Settings) -> ObjectStore:
    """The store of the chosen kind; nothing is read or sent yet. Raises `SettingsError`, which names the setting.

    Without the archive where that lies elsewhere: most processes have no right there.
    """
    _require_bucket("store_bucket", settings.store_bucket)
    return settings.object_store.open(settings.store_bucket, settings.data_dir)


def whole_store_from(settings: Settings) -> ObjectStore:
    """The same with the archive, wherever that lies: for who archives, plays, destroys or backs up."""
    store = object_store_from(settings)
    return store if settings.archive_to is None else with_archive(store, _archive(settings, settings.archive_to))


def _archive(settings: Settings, place: str) -> ObjectStore:
    if not place.startswith("s3://"):
        return FolderStore(Path(place), ARCHIVE_BUCKET)
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    if prefix:
        raise SettingsError("archive_to names a bucket alone, s3://BUCKET/: what lies there begins with archive/")
    _require_bucket("archive_to", bucket)
    s3 = settings.part(S3Settings)
    if settings.archive_s3_endpoint:
        for name in ("archive_s3_access_key", "archive_s3_secret_key"):
            if not getattr(settings, name):
                raise SettingsError(f"{name} is not set, and archive_s3_endpoint is")
        elsewhere = {
            "s3_endpoint": settings.archive_s3_endpoint,
            "s3_secure": settings.archive_s3_secure,
            "s3_region": settings.archive_s3_region,
            "s3_access_key": settings.archive_s3_access_key,
            "s3_secret_key": settings.archive_s3_secret_key,
        }
        return s3.model_copy(update=elsewhere).open(bucket, settings.data_dir)
    if settings.store_kind != S3Settings.kind:
        raise SettingsError("archive_s3_endpoint is not set, archive_to is a bucket, and store_kind is not s3")
    if bucket == settings.store_bucket:
        raise SettingsError("archive_to names store_bucket: leave it empty, and the archive lies there below archive/")
    return s3.open(bucket, settings.data_dir)


def _require_bucket(setting: str, name: str) -> None:
    try:
        Bucket(name)
    except ValueError as error:
        raise SettingsError(f"{setting} does not fit: {error}") from None
