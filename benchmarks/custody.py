"""What custody costs on this machine: `python benchmarks/custody.py seal`, `… rewrap`.

Ratios against the bare cipher of the same library, in processor time and taken in turns, so that they hold on a busy
machine, too.
"""

import argparse
import hashlib
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from processors.custody.floe import FloeParameters, start_sealing
from processors.custody.ports import SealedIdentity
from processors.custody.sealed import SUITE, Sealer, open_sealed, seal, sealed_bytes_of
from schemas.errors import OperatorError

IDENTITY = SealedIdentity("acme", "call-1", "recording", "0011223344556677")
HOUR_BYTES = 115_200_000
"""An hour of two channels of 16 bits at 8 kHz."""
SECOND_BYTES = HOUR_BYTES // 3600
SEGMENT_BYTES = 16 * 1024
PIECE_BYTES = 64 * 1024
"""What comes from a socket or file at once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    of_seal = commands.add_parser("seal", help="sealing and opening, against bare AES-256-GCM")
    of_seal.add_argument("--rounds", type=int, default=9)
    of_rewrap = commands.add_parser("rewrap", help="day keys wrapped anew in a second, on SQLite and a key ring file")
    of_rewrap.add_argument("--day-keys", type=int, default=20_000)
    given = parser.parse_args()
    if given.command == "seal":
        measure_sealing(given.rounds)
    else:
        measure_rewrapping(given.day_keys)


def measure_sealing(rounds: int) -> None:
    """Prints medians, and the median of the ratios of each round."""
    data, key = os.urandom(HOUR_BYTES), os.urandom(32)
    view = memoryview(data)
    parameters = FloeParameters(segment_bytes=SEGMENT_BYTES)
    step = parameters.plaintext_bytes

    def bare() -> None:
        aead = AESGCM(key)
        for at in range(0, HOUR_BYTES, step):
            aead.encrypt(os.urandom(12), view[at : at + step], b"123456789")

    def bare_joined() -> None:
        """What whoever stores it needs: nonces and ciphertext in one piece."""
        aead = AESGCM(key)
        for start in range(0, HOUR_BYTES, 4 * step):
            parts: list[bytes] = []
            for at in range(start, min(start + 4 * step, HOUR_BYTES), step):
                iv = os.urandom(12)
                parts += (iv, aead.encrypt(iv, view[at : at + step], b"123456789"))
            b"".join(parts)

    def digest() -> None:
        found = hashlib.sha256()
        for at in range(0, HOUR_BYTES, PIECE_BYTES):
            found.update(view[at : at + PIECE_BYTES])

    def floe() -> None:
        message = start_sealing(key, b"", parameters)
        run = 4 * step
        whole = HOUR_BYTES // run * run
        for at in range(0, whole, run):
            b"".join(message.seal(view[at : at + run], at // step))

    def sealer() -> None:
        each = Sealer(key, IDENTITY)
        each.start()
        for at in range(0, HOUR_BYTES, PIECE_BYTES):
            each.update(data[at : at + PIECE_BYTES])
        each.finish()

    tried = {"bare AES-GCM": bare, "… joined": bare_joined, "SHA-256": digest, "FLOE": floe, "sealed object": sealer}
    taken = in_turns(rounds, tried)
    for name, seconds in taken.items():
        middle = statistics.median(seconds)
        print(f"{name:14} {middle * 1000:7.1f} ms an hour of audio, {HOUR_BYTES / middle / 1e6:7.0f} MB/s")
    ratio = statistics.median(b / f for b, f in zip(taken["bare AES-GCM"], taken["FLOE"], strict=True))
    joined = statistics.median(b / f for b, f in zip(taken["… joined"], taken["FLOE"], strict=True))
    print(f"FLOE ÷ bare AES-GCM: {ratio:.2f}; ÷ bare AES-GCM joined: {joined:.2f}")
    both = zip(taken["bare AES-GCM"], taken["SHA-256"], taken["sealed object"], strict=True)
    ratio = statistics.median((b + d) / s for b, d, s in both)
    print(f"sealed object ÷ (bare AES-GCM + SHA-256): {ratio:.2f}")
    print(f"{SUITE}: overhead {(sealed_bytes_of(HOUR_BYTES) / HOUR_BYTES - 1) * 100:.3f} %")
    measure_opening(key, data)


def measure_opening(key: bytes, data: bytes) -> None:
    """Of a file: opened anew each time, and one second read at a random place."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sealed")
        path.write_bytes(seal(key, IDENTITY, data))
        size = path.stat().st_size
        taken = []
        with path.open("rb", buffering=0) as file:
            for _ in range(2_000):
                at = random.randrange(HOUR_BYTES - SECOND_BYTES)  # noqa: S311 - nothing secret
                start = time.perf_counter()
                opened = open_sealed(key, IDENTITY, lambda start, length: os.pread(file.fileno(), length, start), size)
                second = opened.read(at, SECOND_BYTES)
                taken.append(time.perf_counter() - start)
                if second != data[at : at + SECOND_BYTES]:
                    raise OperatorError("a second was opened wrongly")
    taken.sort()
    print(f"a random second, opened: p50 {taken[1000] * 1000:.3f} ms, p99 {taken[1980] * 1000:.3f} ms")


def measure_rewrapping(count: int) -> None:
    """Prints day keys a second; what is rewrapped is opened again afterwards."""
    from streams.adapters.key_wrappers.key_ring_file import KeyRingFileSettings
    from streams.adapters.register.keys import RegisterKeys
    from streams.adapters.register.migrate import migrate_register
    from streams.adapters.register.register import Register, sqlite_url
    from streams.adapters.register.rotation import Rotation
    from streams.adapters.register.tables import day_keys
    from streams.ports import SystemClock

    folder = Path(tempfile.mkdtemp())
    try:
        register = Register(sqlite_url(folder / "register.db"))
        migrate_register(register)
        wrapper = KeyRingFileSettings().open(folder, ["audio"])
        rotation = Rotation(register, wrapper, SystemClock(), "benchmark")
        rotation.prepare("audio")
        version = rotation.switch("audio")
        keys = RegisterKeys(register, wrapper, SystemClock())
        first = keys.make("acme", "c1", date(2026, 1, 1), "audio")
        rows = []
        for number in range(1, count):
            day = date(2026, 1, 1) + timedelta(days=number % 400)
            tenant = f"tenant-{number // 400}"
            context = _context(tenant, day)
            wrapped = wrapper.wrap("audio", version, os.urandom(32), context)
            rows.append(
                {"tenant_id": tenant, "day": day, "purpose": "audio", "version": version, "blob": wrapped.blob}
                | {"made_at": SystemClock().now()}
            )
        with register.transaction() as tx:
            tx.execute(day_keys.insert(), rows)
        rotation.prepare("audio")
        rotation.switch("audio")
        start, start_cpu = time.perf_counter(), time.process_time()
        result = rotation.rewrap("audio")
        seconds, seconds_cpu = time.perf_counter() - start, time.process_time() - start_cpu
        fresh = RegisterKeys(register, wrapper, SystemClock())
        if (result.done, result.refused) != (count, 0) or fresh.get("acme", "c1", date(2026, 1, 1), "audio") != first:
            raise OperatorError("not every day key was wrapped anew")
        print(f"{count} day keys wrapped anew in {seconds:.1f} s: {count / seconds:.0f} a second")
        print(f"of that {seconds_cpu:.1f} s of processor: {count / seconds_cpu:.0f} a second of it")
    finally:
        shutil.rmtree(folder)


def _context(tenant_id: str, day: date) -> bytes:
    from processors.custody.data_keys import day_context

    return day_context(tenant_id, day, "audio")


def in_turns(rounds: int, tried: dict[str, Callable[[], None]]) -> dict[str, list[float]]:
    """Name → seconds of processor of each round; one round to warm up is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in tried}
    for number in range(rounds + 1):
        for name, function in tried.items():
            start = time.process_time()
            function()
            if number:
                taken[name].append(time.process_time() - start)
    return taken


if __name__ == "__main__":
    main()
