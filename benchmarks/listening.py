"""How long it takes until the first byte of a recording of an hour comes, at any place of it, over HTTP.

    python benchmarks/listening.py [--minutes 60] [--seeks 200]

Each format is sealed in a folder store, with the renditions that `listen` makes, a transcript of 2,000 segments of
which 60 are muted, keys in a register on SQLite, and an audit log that keeps its entries in memory. Places are random;
a request asks for what a player does (`bytes=N-`), and is timed until its first byte of sound; "all" until the last of
the 4 MiB of an answer, cut off at `--all` of them. "first" is the first request of all for the call.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # what lies behind the server belongs to the tests, which are not installed

from streams.adapters.decoder.process import DecoderProcess  # noqa: E402  # after the path is set
from tests.processors.recordings import encoded  # noqa: E402
from tests.support.playing import personal, played, said  # noqa: E402

FORMS = {
    "WAV, PCM, stereo, 8 kHz": ("pcm_s16le", "wav", 8_000, 2),
    "WAV, µ-law, stereo, 8 kHz": ("pcm_mulaw", "wav", 8_000, 2),
    "FLAC, stereo, 8 kHz": ("flac", "flac", 8_000, 2),
    "MP3, stereo, 8 kHz": ("libmp3lame", "mp3", 8_000, 2),
    "Opus, mono": ("libopus", "ogg", 48_000, 1),
    "AMR-NB": ("libopencore_amrnb", "amr", 8_000, 1),
    "AAC in MP4, mono, 16 kHz": ("aac", "mp4", 16_000, 1),
}
SEGMENTS, MUTED = 2_000, 60


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--seeks", type=int, default=200)
    parser.add_argument("--all", type=int, default=10)
    arguments = parser.parse_args()
    print("| recording | MB | first, ms | seek p50, ms | p95, ms | 4 MiB p50, ms |\n|---|---|---|---|---|---|")
    for name, form in FORMS.items():
        try:
            data = recording(arguments.minutes, *form)
        except ValueError as error:  # no such encoder in this FFmpeg
            print(f"| {name} | cannot be made here: {type(error).__name__} | | | | |", flush=True)
            continue
        print(
            f"| {name} | {' | '.join(measured(data, arguments.minutes, arguments.seeks, arguments.all))} |", flush=True
        )


def recording(minutes: int, codec: str, container: str, rate_hz: int, channels: int) -> bytes:
    """Something like speech in loudness and band, each side in turn; a minute that is repeated."""
    chance = np.random.default_rng(1)
    count = 60 * rate_hz
    loud = np.repeat(chance.random((channels, 60 * 4)) > 0.5, rate_hz // 4, axis=1)
    minute = [
        (np.convolve(chance.normal(size=count), np.ones(6), "same") * 900 * np.resize(each, count)).astype(np.int16)
        for each in loud
    ]
    return encoded([np.tile(each, minutes) for each in minute], rate_hz, codec, container)


def segments(minutes: int) -> Iterator[tuple[int, int]]:
    step = minutes * 60_000 // SEGMENTS
    for number in range(SEGMENTS):
        yield number * step, number * step + step * 8 // 10


def measured(data: bytes, minutes: int, seeks: int, whole: int) -> list[str]:
    """Cells of the table."""
    chance = random.Random(2)  # noqa: S311 - places of a recording are no secret
    with (
        tempfile.TemporaryDirectory() as folder,
        DecoderProcess() as decoder,
        played(Path(folder), decoder=decoder.stretch) as all_of_it,
    ):
        spoken = [
            said("您好请说我听着呢" * 2, start, end, segment_id=n) for n, (start, end) in enumerate(segments(minutes))
        ]
        hidden = [personal(each, each.start_ms, each.end_ms) for each in spoken[:: SEGMENTS // MUTED]]
        all_of_it.put(data, segments=tuple(spoken), pii=tuple(hidden))
        with all_of_it.client() as client:
            first_ms, _ = timed(client, 44)
            size = int(client.head("/v1/recordings/c1/audio").headers["content-length"])
            times = [timed(client, chance.randrange(44, size)) for _ in range(seeks)]
            alls = [timed(client, chance.randrange(44, size // 2), to_the_end=True)[1] for _ in range(whole)]
    seek = sorted(each for each, _ in times)
    p95 = seek[int(len(seek) * 0.95)]
    return [
        f"{len(data) / 1e6:.0f}",
        f"{first_ms:.0f}",
        f"{statistics.median(seek):.1f}",
        f"{p95:.1f}",
        f"{statistics.median(alls):.0f}",
    ]


def timed(client: httpx.Client, start: int, *, to_the_end: bool = False) -> tuple[float, float]:
    """Milliseconds to the first byte, and to the last one that was asked for."""
    asked = f"bytes={start}-" if to_the_end else f"bytes={start}-{start + 65_535}"
    began = time.perf_counter()
    with client.stream("GET", "/v1/recordings/c1/audio", headers={"Range": asked}) as answer:
        answer.raise_for_status()
        blocks = answer.iter_raw()
        next(blocks)
        first = time.perf_counter()
        for _ in blocks:
            pass
    return (first - began) * 1_000, (time.perf_counter() - began) * 1_000


if __name__ == "__main__":
    main()
