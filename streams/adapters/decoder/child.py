"""`python -m streams.adapters.decoder.child`: decodes what comes on standard input, under limits, for one parent.

A request is one line of JSON, `{"bytes": n, "max_duration_ms": n, "wanted": …}`, and the recording. What is wanted are
`facts`, `sound`, `renditions`, these with `convert_to`, or a `stretch`, this with `at_ms`, `first`, `count` and
`channels` (`processors.listening.stretch`). The answer is one line of JSON, of which one key says what
became of it, and for sound and renditions what that line announces:

* `{"facts": …}`
* `{"facts": …, "truncated": bool, "rate_hz": n, "samples": n}`, and the samples of each channel, 16 bit, native order
* `{"renditions": [n, n or null, n or null]}`, and so many bytes of peaks, of the seek index, of the converted recording
* `{"stretch": n}`, and so many bytes of 16-bit samples, those of all channels at one time side by side
* `{"unhearable": [outcome, reason]}`
* `{"failed": class}`
"""

import ctypes
import gc
import json
import os
import resource
import signal
import sys
import sysconfig
from pathlib import Path
from typing import Any, BinaryIO

from processors.listening.audio import DecodeLimits, UnhearableError, decode, probe
from processors.listening.renditions import render
from processors.listening.stretch import decode_stretch
from streams.runtime.landlock import read_nothing_but

CPU_S = 120
"""Processor time for one recording; two hours of two channels take about ten seconds."""

BASE_BYTES = 2 * 1024**3
"""Address space without any recording: the interpreter, FFmpeg and NumPy."""

SAMPLES_TIMES = 6
"""So many times the largest sound of a recording may be held: once decoded, once as it grows, and what FFmpeg takes."""


def main() -> None:
    """Until standard input ends."""
    source, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    _die_with_parent()
    # The worker decides when it ends: a recording that is not decoded to its end would pass for one that cannot be.
    for asked_to_end in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked_to_end, signal.SIG_IGN)
    # Whatever a library prints must not stand between the answers.
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    read_programs_alone()
    while line := source.readline():
        request = json.loads(line)
        _limit(request["bytes"], request["max_duration_ms"])
        data = source.read(request["bytes"])
        _answer(answers, data, request)
        answers.flush()
        del data
        if request["wanted"] != "stretch":  # what that leaves is small, and who listens waits for the next one
            gc.collect()


def _die_with_parent() -> None:
    """A worker that is killed leaves no decoder behind (Linux; elsewhere the end of standard input ends it)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def read_programs_alone() -> None:
    """Before any recording: no file of the user, and nothing that /proc shows of other processes, as their passwords.

    Held by the kernel where it has Landlock, which also hides processes that are not held like this one.
    """
    sources = Path(__file__).parents[3]
    programs = [Path(path) for path in (*sysconfig.get_paths().values(), "/usr", "/lib", "/lib64", "/dev", "/sys")]
    read_nothing_but([*programs, *(sources / name for name in ("streams", "processors", "schemas"))])


def _limit(recording_bytes: int, max_duration_ms: int) -> None:
    """Room for this recording, counted from what is used now. The hard limits stay open, for the next one."""
    largest_bytes = max_duration_ms * 16 * 2 * 2  # 16 samples a millisecond, 2 bytes, 2 channels
    memory = BASE_BYTES + 2 * recording_bytes + SAMPLES_TIMES * largest_bytes
    resource.setrlimit(resource.RLIMIT_AS, (memory, resource.RLIM_INFINITY))
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_S, resource.RLIM_INFINITY))


def _answer(answers: BinaryIO, data: bytes, request: dict[str, Any]) -> None:
    try:
        limits = DecodeLimits(request["max_duration_ms"])
        if request["wanted"] == "facts":
            _write(answers, {"facts": probe(data).model_dump(mode="json")})
            return
        if request["wanted"] == "renditions":
            made = render(data, limits, request["convert_to"])
            parts = (made.peaks, made.seek_index, made.converted)
            _write(answers, {"renditions": [None if part is None else len(part) for part in parts]})
            answers.writelines(part for part in parts if part is not None)
            return
        if request["wanted"] == "stretch":
            wanted = (request[name] for name in ("at_ms", "first", "count", "channels"))
            sound = decode_stretch([data], *wanted)
            _write(answers, {"stretch": sound.nbytes})
            answers.write(sound.data)
            return
        recording = decode(data, limits)
        first = recording.channels[0]
        head = {
            "facts": recording.facts.model_dump(mode="json"),
            "truncated": recording.truncated,
            "rate_hz": first.sample_rate_hz,
            "samples": len(first.pcm),
        }
        _write(answers, head)
        for channel in recording.channels:
            answers.write(channel.pcm.data)
    except UnhearableError as error:
        _write(answers, {"unhearable": [error.outcome, error.reason]})
    except Exception as error:
        _write(answers, {"failed": type(error).__name__})


def _write(answers: BinaryIO, head: dict[str, Any]) -> None:
    answers.write(json.dumps(head).encode() + b"\n")


if __name__ == "__main__":
    main()
