"""The settings of a command: those of the stack that runs here, where nothing else names a file."""

import os
from collections.abc import Collection
from pathlib import Path

from streams.runtime.logs import configure_logging
from streams.runtime.tracing import configure_tracing
from streams.settings import CONFIG_VARIABLE, LoadedSettings, Settings, load_settings


def load_command_settings(groups: Collection[str] | None = None) -> LoadedSettings:
    """The settings; of the running stack where nothing else names a file. `groups`: as of `load_settings`. Raises
    `SettingsError`.

    `CALLSTREAM_CONFIG` that is set and empty names none: so a worker of a stack has what it was given, and no more.
    """
    loaded = load_settings(groups=groups)
    running = running_stack(loaded.settings)
    return load_settings(file=running, groups=groups) if running and CONFIG_VARIABLE not in os.environ else loaded


def running_stack(settings: Settings) -> Path | None:
    """The address file of `callstream up`, while it runs."""
    path = settings.data_dir / "stack.toml"
    return path if path.is_file() else None


def command_settings(groups: Collection[str] | None = None, stage: str = "") -> Settings:
    """The settings, with logging as they say. `groups`: as of `load_settings`; `stage`: which this process runs."""
    settings = load_command_settings(groups).settings
    configure_logging(settings.log_level, settings.log_format, stage)
    configure_tracing(settings.tracing, stage)
    return settings
