"""The key wrapper that the settings ask for."""

from collections.abc import Collection

from processors.custody.ports import PURPOSES, KeyWrapper, Purpose
from streams.settings import Settings


def key_wrapper_from(settings: Settings, purposes: Collection[Purpose] = PURPOSES) -> KeyWrapper:
    """The wrapper of the chosen kind, for these purposes alone; nothing is read or sent yet.

    Raises `OperatorError`, which names the setting.
    """
    return settings.key_wrapper_settings.open(settings.data_dir, purposes)
