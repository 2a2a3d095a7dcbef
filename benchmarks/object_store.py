"""How fast recordings are sealed into an object store, beside the same bytes in clear, and with how much memory.

    python -m benchmarks.object_store [--megabytes 256] [--large-megabytes 2048]

Writes to a folder and to versitygw over TLS (found or built as for the tests), each in a child process of its own whose
peak memory is told. Sealed and plain take turns, and the best of three counts: a busy machine is slower, never faster.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import SecretStr

from processors.custody.ports import SealedIdentity
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.s3.client import S3Store
from streams.adapters.object_store.sealed_store import SealedStore
from streams.ports import ObjectStore
from tests.contracts.s3_server import ServerUnavailableError
from tests.contracts.versitygw_server import running_versitygw
from tests.support.data_keys import MemoryDataKeys

BUCKET = "the-bucket"
KEY = "recordings/acme/2026/01/02/c1.0123456789abcdef.wav"
IDENTITY = SealedIdentity("acme", "c1", "recording", "0123456789abcdef")
DAY = date(2026, 1, 2)
PIECE = os.urandom(128 * 1024)
ROUNDS = 3
SERVER_VARIABLE = "OBJECT_STORE_SERVER"


def main() -> None:
    """Print one line for each store and way of writing."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--megabytes", type=int, default=256, help="size of the objects that are compared")
    arguments.add_argument("--large-megabytes", type=int, default=2048, help="size of the one for which memory is told")
    arguments.add_argument("--child", nargs=3, metavar=("STORE", "WAY", "MEGABYTES"), help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.child:
        child(*given.child)
        return
    with TemporaryDirectory() as folder, ExitStack() as servers:
        stores = [folder]
        try:
            server = servers.enter_context(running_versitygw(Path(folder, "versitygw")))
        except ServerUnavailableError as reason:
            print(f"versitygw: not measured: {reason}")
        else:
            os.environ["SSL_CERT_FILE"] = str(server.certificate)
            os.environ[SERVER_VARIABLE] = json.dumps([server.endpoint, server.access_key, server.secret_key])
            stores.append("versitygw")
        for store in stores:
            report("folder" if store == folder else store, store, given.megabytes, given.large_megabytes)


def report(name: str, store: str, megabytes: int, large_megabytes: int) -> None:
    """Measure one store and print what was found."""
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        for way in ("plain", "sealed"):
            seconds, _ = measured(store, way, megabytes)
            best[way] = min(seconds, best.get(way, seconds))
    rates = {way: megabytes / seconds for way, seconds in best.items()}
    _, small_peak_mb = measured(store, "sealed", 1)
    seconds, peak_mb = measured(store, "sealed", large_megabytes)
    print(
        f"{name}: plain {rates['plain']:.0f} MB/s, sealed {rates['sealed']:.0f} MB/s, "
        f"sealed ÷ plain {rates['sealed'] / rates['plain']:.2f}; {large_megabytes} MB sealed in {seconds:.1f} s, "
        f"peak memory {peak_mb:.0f} MB ({small_peak_mb:.0f} MB for 1 MB)"
    )


def measured(store: str, way: str, megabytes: int) -> tuple[float, float]:
    """Seconds and the peak memory, in MB, of a child that writes so much."""
    command = [sys.executable, "-m", "benchmarks.object_store", "--child", store, way, str(megabytes)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    seconds, peak_mb = json.loads(ended.stdout)
    return seconds, peak_mb


def child(store_name: str, way: str, megabytes: str) -> None:
    """Write one object and print seconds and peak memory."""
    store = store_of(store_name)
    store.apply()
    pieces = int(megabytes) * 1_000_000 // len(PIECE)
    begun = time.perf_counter()
    if way == "sealed":
        with SealedStore(store, MemoryDataKeys()).writer(KEY, IDENTITY, DAY) as sealed:
            for _ in range(pieces):
                sealed.write(PIECE)
            sealed.commit()
    else:
        with store.writer(KEY) as plain:
            for _ in range(pieces):
                plain.write(PIECE)
            plain.commit()
    seconds = time.perf_counter() - begun
    store.delete(KEY)
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000]))


def store_of(name: str) -> ObjectStore:
    """The store that a child writes to: a folder, or the server of the parent."""
    if name != "versitygw":
        return FolderStore(Path(name), BUCKET)
    endpoint, access_key, secret_key = json.loads(os.environ[SERVER_VARIABLE])
    return S3Store(endpoint, BUCKET, access_key=access_key, secret_key=SecretStr(secret_key))


if __name__ == "__main__":
    main()
