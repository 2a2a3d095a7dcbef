"""Listening over HTTP, on a real server over a real folder."""

import io
import socket
import threading
import time
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from processors.listening.renditions import read_peaks
from tests.processors.recordings import encoded, tone, wav
from tests.support.playing import CHIEF, Plays, personal, played, said

pytestmark = pytest.mark.loopback

RATE_HZ = 8_000
SOUND = [tone(300, 20_000, RATE_HZ), tone(700, 20_000, RATE_HZ)]
DATA = wav(SOUND, RATE_HZ)
SEGMENT = said("我的手机是[手机号]", 0, 20_000)
AUDIO = "/v1/recordings/c1/audio"
MOST = 256 * 1024


@pytest.fixture(scope="module")
def all_of_it(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plays]:
    with played(tmp_path_factory.mktemp("play"), play_most_bytes=MOST) as found:
        found.put(DATA, segments=(SEGMENT,), pii=(personal(SEGMENT, 2_000, 2_500),))
        found.put(DATA, "not-heard", outcome="bad_audio")
        found.put(DATA, "destroyed", segments=(SEGMENT,))
        found.tombstones.of.add(("acme", "destroyed"))
        yield found


@pytest.fixture(scope="module")
def whole(all_of_it: Plays) -> bytes:
    """The recording as an inspector hears it."""
    return all_of_it.listening.play(all_of_it.request()).wav.read(0, 10**9)


def test_without_a_range_all_of_it_comes(all_of_it: Plays, whole: bytes) -> None:
    with all_of_it.client() as client:
        answer = client.get(AUDIO)
    assert answer.status_code == 200
    assert answer.content == whole
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["cache-control"] == "no-store, private"
    assert answer.headers["x-callstream-masking"] == "masked"
    with wave.open(io.BytesIO(answer.content)) as read:
        assert (read.getnchannels(), read.getframerate(), read.getnframes()) == (2, RATE_HZ, 160_000)


@given(
    start=st.integers(0, 640_044), length=st.integers(1, 500_000), kind=st.sampled_from(["bounded", "open", "suffix"])
)
@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_range_is_that_slice_of_the_whole(
    all_of_it: Plays, whole: bytes, start: int, length: int, kind: str
) -> None:
    asked = {"bounded": f"{start}-{start + length - 1}", "open": f"{start}-", "suffix": f"-{length}"}[kind]
    begin = max(0, len(whole) - length) if kind == "suffix" else start
    end = min(len(whole), begin + MOST, start + length if kind == "bounded" else len(whole))
    with all_of_it.client() as client:
        answer = client.get(AUDIO, headers={"Range": f"bytes={asked}"})
    if begin >= len(whole):
        assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(whole)}")
        return
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {begin}-{end - 1}/{len(whole)}"
    assert answer.content == whole[begin:end]


def test_several_ranges_are_answered_by_all_of_it(all_of_it: Plays, whole: bytes) -> None:
    with all_of_it.client() as client:
        answer = client.get(AUDIO, headers={"Range": "bytes=0-9,20-29"})
    assert (answer.status_code, answer.content) == (200, whole)


def test_a_part_of_another_recording_is_never_sent(all_of_it: Plays, whole: bytes) -> None:
    with all_of_it.client() as client:
        etag = client.head(AUDIO).headers["etag"]
        assert etag.startswith('"')
        same = client.get(AUDIO, headers={"Range": "bytes=0-9", "If-Range": etag})
        other = client.get(AUDIO, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (same.status_code, same.content) == (206, whole[:10])
    assert (other.status_code, other.content) == (200, whole)
    with all_of_it.client("chief") as client:
        assert client.head(AUDIO, params={"unmasked": "true"}).headers["etag"] != etag


def test_head_tells_the_length_and_sends_nothing(all_of_it: Plays, whole: bytes) -> None:
    with all_of_it.client() as client:
        answer = client.head(AUDIO, headers={"Range": "bytes=0-9"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(whole))


REFUSED: dict[str, tuple[str | None, str, dict[str, str | None], int, str]] = {
    "nobody": (None, "c1", {}, 401, "unauthorized"),
    "no purpose": ("inspector", "c1", {"purpose": None}, 422, "purpose"),
    "another purpose": ("inspector", "c1", {"purpose": "fun"}, 422, "invalid"),
    "not granted": ("reader", "c1", {}, 403, "not_granted"),
    "without a role": ("roleless", "c1", {}, 403, "no_role"),
    "without a role, a tenant by name": ("roleless", "c1", {"tenant": "acme"}, 404, "not_found"),
    "not unmasked": ("inspector", "c1", {"unmasked": "true"}, 403, "not_granted"),
    "another tenant's": ("stranger", "c1", {}, 404, "not_found"),
    "another tenant by name": ("stranger", "c1", {"tenant": "acme"}, 404, "not_found"),
    "no such call": ("chief", "c404", {}, 404, "not_found"),
    "not heard": ("chief", "not-heard", {}, 409, "not_analyzed"),
    "destroyed": ("chief", "destroyed", {}, 410, "destroyed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(all_of_it: Plays, case: str) -> None:
    name, call_id, given, status, code = REFUSED[case]
    before = len(all_of_it.audit_log.entries)
    with all_of_it.client(name, None) as client:
        params = {key: value for key, value in ({"purpose": "sampling"} | given).items() if value is not None}
        answer = client.get(f"/v1/recordings/{call_id}/audio", params=params)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    entered = [entry.result for entry in all_of_it.audit_log.entries[before:]]
    assert entered == ([] if status in (401, 422) else ["refused"])


def test_a_call_of_somebody_else_and_none_are_answered_alike(all_of_it: Plays) -> None:
    with all_of_it.client("stranger") as client:
        one, other = (
            client.get(f"/v1/recordings/{call_id}/audio", params={"tenant": "acme"}).json()
            for call_id in ("c1", "c404")
        )
    one.pop("request_id"), other.pop("request_id")
    assert one == other


def test_what_is_needed_may_be_away(all_of_it: Plays) -> None:
    all_of_it.audit_log.down = True
    try:
        with all_of_it.client(purpose="audit") as client:
            answer = client.get(AUDIO)
    finally:
        all_of_it.audit_log.down = False
    assert answer.status_code == 503
    assert "retry-after" in answer.headers


def begun(client: httpx.Client) -> bytes:
    """What comes of an answer that ends before its length."""
    got = b""
    with suppress(httpx.RemoteProtocolError), client.stream("GET", "/v1/recordings/changed/audio") as answer:
        for block in answer.iter_raw():
            got += block
        pytest.fail("a part was taken for the whole")
    return got


def test_a_recording_that_was_changed_gives_nothing_of_the_changed_segment(all_of_it: Plays) -> None:
    data = wav([tone(300, 60_000, RATE_HZ)], RATE_HZ)
    call = all_of_it.put(data, "changed", segments=())
    key = all_of_it.store.key_of(call.audio.uri)
    sealed = bytearray(all_of_it.store.read(key))
    sealed[500_000] ^= 1
    all_of_it.store.put(key, bytes(sealed))
    with all_of_it.client("chief") as client:
        early = client.get("/v1/recordings/changed/audio", headers={"Range": "bytes=0-99999"})
        assert (early.status_code, early.content) == (206, data[:100_000])
        broken = client.get("/v1/recordings/changed/audio", headers={"Range": "bytes=499000-"})
        assert (broken.status_code, broken.json()["code"]) == (500, "seal_broken")
        got = begun(client)
    assert 0 < len(got) < 500_000
    assert got == data[: len(got)]
    all_of_it.store.put(key, bytes(sealed)[:400_000])
    with all_of_it.client("chief") as client:
        assert client.get("/v1/recordings/changed/audio").json()["code"] == "seal_broken"


def test_many_play_at_once(all_of_it: Plays, whole: bytes) -> None:
    def play(number: int) -> bool:
        start = number * 20_000
        with all_of_it.client("chief") as client:
            answer = client.get(AUDIO, headers={"Range": f"bytes={start}-{start + 99_999}"})
        return bool(answer.content == whole[start : start + 100_000])

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(play, range(24)))


def _ask(all_of_it: Plays, call_id: str) -> socket.socket:
    parts = urlsplit(all_of_it.url)
    asking = socket.create_connection((parts.hostname, parts.port))
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    asking.sendall(
        f"GET /v1/recordings/{call_id}/audio HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer chief\r\n"
        "X-Callstream-Purpose: audit\r\n\r\n".encode()
    )
    return asking


def test_who_takes_slowly_gets_all_and_holds_up_nobody(all_of_it: Plays, whole: bytes) -> None:
    with _ask(all_of_it, "c1") as slow, all_of_it.client() as client:
        got = slow.recv(1_000)
        assert client.get(AUDIO, headers={"Range": "bytes=0-9"}).content == whole[:10]
        slow.settimeout(30)
        while len(got) < len(whole):
            got += slow.recv(65_536)
            time.sleep(0.001)
    assert got.partition(b"\r\n\r\n")[2] == whole[: len(got.partition(b"\r\n\r\n")[2])]


def test_of_who_hangs_up_nothing_more_is_read(all_of_it: Plays) -> None:
    data = wav([tone(300, 1_200_000, RATE_HZ)], RATE_HZ)
    all_of_it.put(data, "long", segments=())
    threads = threading.active_count()
    gone = _ask(all_of_it, "long")
    gone.recv(1_000)
    gone.close()
    with all_of_it.client() as client:
        assert client.get(AUDIO, headers={"Range": "bytes=0-9"}).status_code == 206
    assert threading.active_count() <= threads + 16


def test_a_waveform_comes_as_json_or_binary(all_of_it: Plays) -> None:
    with all_of_it.client() as client:
        told = client.get("/v1/recordings/c1/peaks").json()
        binary = client.get("/v1/recordings/c1/peaks", headers={"Accept": "application/octet-stream"})
    peaks = read_peaks(binary.content)
    assert peaks.pairs.shape == (told["length"], told["channels"], 2)
    assert peaks.pairs.reshape(-1).tolist() == told["data"]
    assert not peaks.pairs[35:55].any()
    assert (told["sample_rate"], told["bits"], told["masking"]) == (RATE_HZ, 8, "masked")


def test_a_transcript_comes_masked_with_its_times(all_of_it: Plays) -> None:
    with all_of_it.client("reader") as client:
        told = client.get("/v1/calls/c1/transcript").json()
    (segment,) = told["segments"]
    assert (segment["text"], segment["start_ms"], segment["end_ms"]) == (SEGMENT.text, 0, 20_000)
    assert told["pii"][0]["start_ms"] == 2_000
    assert "rejected" not in told


def test_coded_recordings_are_played_over_http_too(all_of_it: Plays) -> None:
    all_of_it.put(encoded(SOUND, RATE_HZ, "libmp3lame", "mp3"), "coded", segments=())
    expected = all_of_it.listening.play(all_of_it.request(CHIEF, "coded")).wav.read(0, 10**9)
    with all_of_it.client("chief") as client:
        answer = client.get("/v1/recordings/coded/audio", headers={"Range": "bytes=300000-399999"})
    assert answer.content == expected[300_000:400_000]
    assert np.frombuffer(answer.content[: 2 * 1_000], dtype="<i2").any()


def test_the_server_says_whether_it_is_of_use(all_of_it: Plays) -> None:
    with all_of_it.client() as client:
        assert client.get("/v1/health/ready").status_code == 200
        assert client.get("/v1/health/live").json() == {"status": "live"}
        assert client.get("/v1/openapi.json").status_code == 200


def test_nobody_asks_without_end(tmp_path: Path) -> None:
    with played(tmp_path, serve_requests_per_s=0.2) as all_of_it, all_of_it.client("stranger") as client:
        statuses = [client.get(AUDIO, params={"tenant": "acme"}).status_code for _ in range(5)]
        assert statuses[:2] == [404, 404]
        assert statuses[2:] == [429] * 3
        assert len(all_of_it.audit_log.entries) == 2
        with all_of_it.client("inspector") as other:
            assert other.get("/v1/recordings/c404/audio").status_code == 404, "others are not held up"


def test_who_takes_slowly_and_often_holds_up_nobody_else(tmp_path: Path) -> None:
    with played(tmp_path, play_requests=8) as all_of_it:
        all_of_it.put(wav([tone(300, 600_000, RATE_HZ)], RATE_HZ), "long", segments=())
        slow = [_ask(all_of_it, "long") for _ in range(2)]
        try:
            assert all(each.recv(12) == b"HTTP/1.1 200" for each in slow)
            with all_of_it.client("chief") as same, all_of_it.client() as other:
                assert same.head("/v1/recordings/long/audio").status_code == 429
                assert other.head("/v1/recordings/long/audio").status_code == 200
        finally:
            for each in slow:
                each.close()
        deadline_s = time.monotonic() + 20
        with all_of_it.client("chief") as same:
            while same.head("/v1/recordings/long/audio").status_code == 429 and time.monotonic() < deadline_s:
                time.sleep(0.05)
            assert same.head("/v1/recordings/long/audio").status_code == 200
