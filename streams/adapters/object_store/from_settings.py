"""The object store that the settings ask for."""

from streams.adapters.object_store.bucket import Bucket
from streams.ports import ObjectStore
from streams.settings import Settings, SettingsError


def object_store_from(settings: Settings) -> ObjectStore:
    """The store of the chosen kind; nothing is read or sent yet. Raises `SettingsError`, which names the setting."""
    try:
        Bucket(settings.store_bucket)
    except ValueError as error:
        raise SettingsError(f"store_bucket does not fit: {error}") from None
    return settings.object_store.open(settings.store_bucket, settings.data_dir)
