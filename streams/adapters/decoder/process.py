"""The decoder as a child process with limits of memory, processor and time, and without our secrets."""

import json
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

import streams
from processors.listening.audio import ChannelSound, DecodeLimits, Recording, UnhearableError
from processors.listening.renditions import Renditions
from processors.listening.virtual_wav import SoundFrames
from schemas.config.tenants import RecordingFormat
from schemas.messages.transcript import AudioFacts

log = logging.getLogger(__name__)

DECODE_WITHIN_S = 600.0
"""By the clock, for one recording; then the child is killed."""

_ASKED_TO_END = (-signal.SIGTERM, -signal.SIGINT)
"""Whoever stops the worker sent it, before the child could ignore it; that says nothing about the recording."""

COMMAND = (sys.executable, "-P", "-m", "streams.adapters.decoder.child")


class DecoderProcess:
    """Decodes recordings one at a time. The child is started at first use, and again after a recording that ended it.

    For one thread at a time: another waits.
    """

    def __init__(self, within_s: float = DECODE_WITHIN_S, command: Sequence[str] = COMMAND) -> None:
        self._within_s = within_s
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def decode(self, data: bytes, limits: DecodeLimits) -> Recording:
        """As `processors.listening.audio.decode`; what ends the child is `bad_audio` (`decoder_failed`)."""
        with self._lock:
            head, channels = self._ask(data, {"wanted": "sound", "max_duration_ms": limits.max_duration_ms})
        sounds = tuple(
            ChannelSound(np.frombuffer(pcm, dtype=np.int16), head["rate_hz"]) for pcm in channels if pcm is not None
        )
        return Recording(AudioFacts.model_validate(head["facts"]), sounds, head["truncated"])

    def probe(self, data: bytes) -> AudioFacts:
        """As `processors.listening.audio.probe`."""
        with self._lock:
            head, _ = self._ask(data, {"wanted": "facts", "max_duration_ms": 0})
        return AudioFacts.model_validate(head["facts"])

    def render(self, data: bytes, limits: DecodeLimits, convert_to: RecordingFormat | None = None) -> Renditions:
        """As `processors.listening.renditions.render`; what ends the child is `bad_audio` (`decoder_failed`)."""
        wanted = {"wanted": "renditions", "max_duration_ms": limits.max_duration_ms, "convert_to": convert_to}
        with self._lock:
            _, parts = self._ask(data, wanted)
        peaks, seek_index, converted = (None if part is None else bytes(part) for part in parts)
        assert peaks is not None  # noqa: S101 - the child always makes them
        return Renditions(peaks, seek_index, converted)

    def stretch(self, parts: Sequence[bytes], at_ms: int, first: int, count: int, channels: int) -> SoundFrames:
        """As `processors.listening.stretch.decode_stretch`; what ends the child is `bad_audio` (`decoder_failed`)."""
        wanted = {"wanted": "stretch", "at_ms": at_ms, "first": first, "count": count, "channels": channels}
        with self._lock:
            _, (sound,) = self._ask(b"".join(parts), {**wanted, "max_duration_ms": 0})
        assert sound is not None  # noqa: S101 - the child always makes it
        return np.frombuffer(sound, dtype=np.int16).reshape(count, channels)

    @property
    def pid(self) -> int | None:
        """Of the child, where it runs."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()

    def _ask(
        self, data: bytes, wanted: Mapping[str, object], *, once_more: bool = True
    ) -> tuple[dict[str, Any], list[bytearray | None]]:
        child = self._running()
        watch = threading.Timer(self._within_s, child.kill)
        watch.daemon = True
        watch.start()
        try:
            return _exchange(child, data, wanted)
        except (OSError, EOFError, ValueError):
            child.kill()
            child.communicate()
            self._child = None
            if once_more and child.returncode in _ASKED_TO_END:
                return self._ask(data, wanted, once_more=False)
            # The child is gone, by a limit or a crash; only the recording can be the reason.
            log.warning("the decoder ended with %s on a recording of %d bytes", child.returncode, len(data))
            raise UnhearableError("bad_audio", "decoder_failed") from None
        finally:
            watch.cancel()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            self.close()
            self._child = subprocess.Popen(  # noqa: S603 - the command is our own
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # Nothing of what the worker knows: a file that takes over the decoder finds no password.
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONPATH": str(Path(streams.__file__).parents[1])},
                cwd="/",
                # Who stops a worker signals its group: what is being decoded is brought to an end first.
                process_group=0,
            )
        return self._child


def _exchange(
    child: subprocess.Popen[bytes], data: bytes, wanted: Mapping[str, object]
) -> tuple[dict[str, Any], list[bytearray | None]]:
    """One question and its answer. Raises `OSError`, `EOFError` or `ValueError` where the child does not answer."""
    assert child.stdin is not None  # noqa: S101 - both are pipes
    assert child.stdout is not None  # noqa: S101
    request = {"bytes": len(data), **wanted}
    child.stdin.write(json.dumps(request).encode() + b"\n")
    child.stdin.write(data)
    child.stdin.flush()
    line = child.stdout.readline()
    if not line:
        raise EOFError
    head: dict[str, Any] = json.loads(line)
    if unhearable := head.get("unhearable"):
        raise UnhearableError(*unhearable)
    if failed := head.get("failed"):
        log.warning("the decoder failed by %s on a recording of %d bytes", failed, len(data))
        raise UnhearableError("bad_audio", "decoder_failed")
    parts = [None if length is None else bytearray(length) for length in _lengths_of(head)]
    for part in parts:
        if part is not None:
            _fill(child, part)
    return head, parts


def _lengths_of(head: dict[str, Any]) -> list[int | None]:
    """Of what follows the line, in bytes."""
    if "stretch" in head:
        return [head["stretch"]]
    if "renditions" in head:
        lengths: list[int | None] = head["renditions"]
        return lengths
    return [head["samples"] * 2] * head["facts"]["channels"] if "samples" in head else []


def _fill(child: subprocess.Popen[bytes], buffer: bytearray) -> None:
    view = memoryview(buffer)
    while view:
        assert child.stdout is not None  # noqa: S101
        count = child.stdout.readinto(view)  # type: ignore[attr-defined]  # a buffered reader
        if not count:
            raise EOFError
        view = view[count:]
