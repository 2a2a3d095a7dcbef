"""Attacks on `listen` by a recording: headers that lie, files that change in the middle, keys that lead elsewhere."""

import socket
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from pydantic import SecretStr

from processors.listening.audio import DecodeLimits, UnhearableError, decode
from schemas.messages.call_ended import Agent, Audio, CallEnded
from streams.adapters.decoder.process import DecoderProcess
from streams.adapters.object_store.folder import FolderStore
from streams.adapters.object_store.recordings import RecordingStore, UnreadableRecordingError
from streams.adapters.object_store.s3.client import Patience, S3Store
from streams.adapters.object_store.sealed_store import SealedStore
from streams.ports import ObjectStore
from tests.processors.recordings import encoded, tone
from tests.support.data_keys import MemoryDataKeys

LIMITS = DecodeLimits(3_600_000)
PCM = tone(440, 6_000, 16_000).astype("<i2").tobytes()
NO_NUMBERS = np.array([np.nan, np.inf, -np.inf, 1e308] * 20_000, "<f8").tobytes()


def riff(form: bytes, data: bytes = PCM, announced: int | None = None) -> bytes:
    size = len(data) if announced is None else announced
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", len(body) if announced is None else announced) + body


def form(code: int, channels: int, rate_hz: int, align: int, bits: int, more: bytes = b"") -> bytes:
    return struct.pack("<HHIIHH", code, channels, rate_hz, rate_hz * 2, align, bits) + more


def flac(bits_of_stream: int, mask: int) -> bytes:
    """A FLAC file with some bits of its header (rate 20, channels 3, depth 5, samples 36) set to others."""
    data = bytearray(encoded([tone(440, 3_000, 16_000)], 16_000, "flac", "flac"))
    told = int.from_bytes(data[18:26], "big")
    data[18:26] = ((told & ~mask) | bits_of_stream).to_bytes(8, "big")
    return bytes(data)


def opus(*channels: int) -> bytes:
    streams = (encoded([tone(440, 1_000, 48_000)] * count, 48_000, "libopus", "ogg") for count in channels)
    return b"".join(streams)


def mp3(rate_hz: int, channels: int) -> bytes:
    return encoded([tone(440, 1_000, rate_hz)] * channels, rate_hz, "libmp3lame", "mp3")


EXTENSIBLE = struct.pack("<HHI16s", 22, 16, 0xFFFFFFFF, bytes.fromhex("0100000000001000800000aa00389b71"))
LYING = {
    "WAV, blocks of no bytes": (riff(form(1, 1, 16_000, 0, 16)), "decoded"),
    "WAV, a size of 2 GB": (riff(form(1, 1, 16_000, 2, 16), announced=2**31), "decoded"),
    "WAV, samples of 65,535 bits": (riff(form(1, 1, 16_000, 65_535, 65_535)), "bad_audio"),
    "WAV, 65,535 channels": (riff(form(0xFFFE, 65_535, 16_000, 2, 16, EXTENSIBLE)), "bad_audio"),
    "WAV, ADPCM blocks of 65,535 samples": (
        riff(form(0x11, 1, 16_000, 65_535, 4, struct.pack("<HH", 2, 65_535))),
        "decoded",
    ),
    "WAV, samples that are no numbers": (riff(form(3, 1, 16_000, 8, 64), NO_NUMBERS), "decoded"),
    "FLAC, no rate": (flac(0, ((1 << 20) - 1) << 44), "decoded"),
    "FLAC, 2^36 samples": (flac((1 << 36) - 1, (1 << 36) - 1), "decoded"),
    "FLAC, eight channels told, one there": (flac(7 << 41, 7 << 41), "decoded"),
    "Ogg, mono and then stereo": (opus(1, 2), "decoded"),
    "Ogg, thirty streams": (opus(*[1] * 30), "decoded"),
    "MP3, nothing but heads of frames": (b"\xff\xfb\x90\x00" * 20_000, "bad_audio"),
    "MP3, a tag of 256 MB": (b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + mp3(16_000, 1), "bad_audio"),
    "MP3, mono and then stereo at another rate": (mp3(16_000, 1) + mp3(44_100, 2), "decoded"),
    "MP3, stereo and then mono": (mp3(44_100, 2) + mp3(16_000, 1), "decoded"),
    "MP3, a rate that falls": (mp3(16_000, 1) + mp3(8_000, 1), "decoded"),
}


@pytest.fixture(scope="module")
def decoder() -> Iterator[DecoderProcess]:
    with DecoderProcess(within_s=60) as running:
        yield running


@pytest.mark.processes
@pytest.mark.parametrize(("data", "outcome"), LYING.values(), ids=LYING)
def test_a_file_that_lies_about_itself_has_an_outcome(decoder: DecoderProcess, data: bytes, outcome: str) -> None:
    """And what is said of it fits what is there: a reader who believed in one more channel would wait for it."""
    for attempt in (decode, decoder.decode):
        if outcome != "decoded":
            with pytest.raises(UnhearableError, match=f"{outcome}: undecodable"):
                attempt(data, LIMITS)
        else:
            recording = attempt(data, LIMITS)
            assert recording.facts.channels == len(recording.channels)
            lengths = {len(channel.pcm) for channel in recording.channels}
            assert len(lengths) == 1
            (length,) = lengths
            assert recording.facts.duration_ms == length * 1000 // recording.channels[0].sample_rate_hz


def heard_from(store: ObjectStore) -> RecordingStore:
    """Recordings in clear, so that it is the place that is refused."""
    return RecordingStore(store, SealedStore(store, MemoryDataKeys()), 1_000_000, hears_unsealed=True)


def call_with(recording: Audio) -> CallEnded:
    ended_at = datetime(2026, 3, 2, 2, 15, tzinfo=UTC)
    return CallEnded(
        tenant_id="acme",
        call_id="c1",
        direction="inbound",
        started_at=ended_at,
        ended_at=ended_at,
        agent=Agent(id="A1"),
        audio=recording,
    )


def audio(key: str, data: bytes = b"secret") -> Audio:
    return Audio(uri=f"s3://callstream/{key}", sha256=sha256(data).hexdigest(), bytes=len(data))


ELSEWHERE = {
    "up and down again": ("recordings/acme/../globex/x.wav", "foreign_uri"),
    "up and down, as a URL would have it": ("recordings/acme/%2e%2e/globex/x.wav", "object_missing"),
    "up and down, as Windows would have it": ("recordings/acme/..\\globex\\x.wav", "object_missing"),
    "an empty part": ("recordings/acme//x.wav", "foreign_uri"),
    "a tenant whose name begins alike": ("recordings/acme2/x.wav", "foreign_key"),
    "the tenant in capitals": ("recordings/ACME/x.wav", "foreign_key"),
    "a transcript of the tenant": ("transcripts/acme/x.json", "foreign_key"),
    "the folder of the tenant": ("recordings/acme", "foreign_key"),
    "a version of an object": ("recordings/acme/x.wav?versionId=1", "object_missing"),
    "a link to the other tenant": ("recordings/acme/link.wav", "object_missing"),
    "a link in a circle": ("recordings/acme/loop.wav", "object_missing"),
    "a link to endless zeros": ("recordings/acme/zero.wav", "object_missing"),
    "a folder": ("recordings/acme/folder.wav", "object_missing"),
    "a socket": ("recordings/acme/socket.wav", "object_missing"),
    "something below an object": ("recordings/acme/x.wav/y", "object_missing"),
}


@pytest.mark.loopback
def test_a_key_that_leads_elsewhere_or_to_no_file_is_an_outcome_of_that_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(tmp_path, "callstream")
    store.apply()
    store.put("recordings/globex/x.wav", b"secret")
    store.put("recordings/acme2/x.wav", b"secret")
    store.put("recordings/acme/x.wav", b"another")
    folder = tmp_path / "callstream" / "recordings" / "acme"
    (folder / "link.wav").symlink_to("../globex/x.wav")
    (folder / "loop.wav").symlink_to("loop.wav")
    (folder / "zero.wav").symlink_to("/dev/zero")
    (folder / "folder.wav").mkdir()
    monkeypatch.chdir(folder)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("socket.wav")
        for name, (key, reason) in ELSEWHERE.items():
            with pytest.raises(UnreadableRecordingError) as refused:
                heard_from(store).load_audio(call_with(audio(key)))
            assert refused.value.reason == reason, name


LISTING = (
    b"<ListBucketResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><Name>callstream</Name></ListBucketResult>"
)


class Bucket(BaseHTTPRequestHandler):
    """An S3 that lists a bucket and refuses each object, by the error that its key names: `<status>.<code>`."""

    def do_GET(self) -> None:
        name = self.path.partition("?")[0].rpartition("/")[2]
        status, _, code = name.partition(".")
        body = f"<Error><Code>{code}</Code><Message>x</Message></Error>".encode() if code else LISTING
        self.send_response(int(status) if code else 200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


REFUSALS = {
    "kept under a key that only its writer has (SSE-C)": "400.InvalidRequest",
    "in an archive": "403.InvalidObjectState",
    "under a key that is disabled": "400.KMS.DisabledException",
    "a mark of deletion": "405.MethodNotAllowed",
    "withheld by law": "451.UnavailableForLegalReasons",
    "moved into another region": "301.PermanentRedirect",
}


@pytest.mark.loopback
def test_one_object_that_a_bucket_refuses_is_an_outcome_of_that_call() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Bucket) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        try:
            store = S3Store(
                f"127.0.0.1:{server.server_port}",
                "callstream",
                access_key="a",
                secret_key=SecretStr("b"),
                secure=False,
                patience=Patience(tries=1),
            )
            for name, key in REFUSALS.items():
                with pytest.raises(UnreadableRecordingError) as refused:
                    heard_from(store).load_audio(call_with(audio(f"recordings/acme/{key}")))
                assert (refused.value.outcome, refused.value.reason) == ("no_audio", "forbidden"), name
        finally:
            server.shutdown()
            serving.join()
