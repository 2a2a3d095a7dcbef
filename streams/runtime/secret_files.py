"""Secrets in files, looked at again and again: a password that is changed there is used without anybody's doing.

By content, not by name or time: Kubernetes exchanges the folder behind a symbolic link, others write the file anew, and
a tool that writes the same once more has changed nothing.
"""

import logging
import random
import threading
from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from pathlib import Path

from schemas.errors import OperatorError
from streams.runtime.logs import describe
from streams.settings import Settings, secrets_in

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 5.0
APART_S = 10.0
"""Workers that see the same change begin anew within so long, not all at once."""

CERTIFICATE_FILES = ("kafka_ca_file", "kafka_ssl_certificate_file", "kafka_ssl_key_file", "register_ca_file")
"""Settings that name files which connections are made with."""


class SecretFiles:
    """What stands in the secrets of a worker: those of its groups of settings, and its certificates."""

    def __init__(self, settings: Settings, groups: Collection[str]) -> None:
        self._folder = settings.secrets_dir
        self._groups = groups
        named = {name: getattr(settings, name) for name in CERTIFICATE_FILES}
        self._files: dict[str, Path] = {name: path for name, path in named.items() if path is not None}
        self._told: str | None = None
        self.used = self.digests()
        """What stood there when it was read for use."""

    @property
    def have_changed(self) -> bool:
        """Whether something else stands there now."""
        now = self.digests()
        return now is not None and now != self.used

    @property
    def are_none(self) -> bool:
        """Whether there is nothing to look at."""
        return self._folder is None and not self._files

    def digests(self) -> Mapping[str, bytes] | None:
        """Setting → SHA-256 of what its file holds; None where that cannot be read just now."""
        try:
            folder = self._folder
            texts = {} if folder is None else secrets_in(folder, self._groups)
            found = {name: text.encode() for name, text in texts.items()}
            found |= {name: path.read_bytes() for name, path in self._files.items()}
        except OperatorError as error:
            self._tell_once(str(error))
            return None
        except OSError as error:
            self._tell_once(describe(error))
            return None
        self._told = None
        return {name: sha256(content).digest() for name, content in found.items()}

    def _tell_once(self, why: str) -> None:
        if why != self._told:
            log.warning("secrets in files are not looked at, what was read before holds: %s", why)
        self._told = why


def follow(
    files: SecretFiles, read_again: Callable[[], object], stop: threading.Event, changed: threading.Event
) -> threading.Thread:
    """A thread that sets `changed` once another secret stands there, has stood there for a look, and `read_again`
    takes it: it raises `OperatorError` for settings that do not fit, which are told and not used.
    """
    used = files.used

    def look() -> None:
        before = used
        refused: Mapping[str, bytes] | None = None
        while not stop.wait(LOOK_AGAIN_S):
            now = files.digests()
            if now is None or now in (used, refused) or now != before:
                before = now if now is not None else before
                continue
            try:
                read_again()
            except OperatorError as error:
                log.error("secrets in files have changed and do not fit, what was read before holds: %s", str(error))
                refused = now
                continue
            names = sorted(name for name in now if used is None or now[name] != used.get(name))
            log.warning("secrets in files have changed: %s", ", ".join(names) or "some are gone")
            stop.wait(random.uniform(0, APART_S))  # noqa: S311 - jitter, not a secret
            changed.set()
            return

    thread = threading.Thread(target=look, name="secrets", daemon=True)
    thread.start()
    return thread
