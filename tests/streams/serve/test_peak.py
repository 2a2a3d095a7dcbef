"""Fifty uploads at once, and ten times as many: none is lost (R78)."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.streams.serve.test_recordings import form
from tests.support.serving import Serving, event, serving

pytestmark = pytest.mark.loopback

USUAL, PEAK = 50, 500


def insistently(server: Serving, key: str, call_id: str, data: bytes, refused: Counter[int]) -> int:
    """The status at last, as docs/api.md asks of senders: again after no answer, after 429 and after 503."""
    with server.client(key) as client:
        for _ in range(200):
            try:
                answer = client.post("/v1/recordings", files=form(event(call_id), data))
            except httpx.TransportError:
                refused[0] += 1
                time.sleep(0.2)
                continue
            if answer.status_code not in (429, 503):
                return answer.status_code
            refused[answer.status_code] += 1
            time.sleep(min(0.5, float(answer.headers["retry-after"])))
    raise AssertionError(f"{call_id} was never taken in")


@pytest.mark.parametrize(
    ("at_once", "size"), [pytest.param(USUAL, 200_000, id="as usual"), pytest.param(PEAK, 20_000, id="ten times")]
)
def test_every_upload_of_a_peak_is_taken_in_once(tmp_path: Path, at_once: int, size: int) -> None:
    refused: Counter[int] = Counter()
    data = {f"c{number}": f"c{number}/".encode() * (size // 6) for number in range(at_once)}
    with serving(tmp_path, serve_requests=200, serve_wait_s=5) as server:
        key = server.key()
        together = threading.Barrier(at_once)

        def send(call_id: str) -> int:
            together.wait(60)
            return insistently(server, key, call_id, data[call_id], refused)

        with ThreadPoolExecutor(at_once) as pool:
            statuses = list(pool.map(send, data))
        assert set(statuses) <= {200, 201}
        announced = server.announced()
        assert Counter(call.call_id for call in announced) == Counter(data.keys())
        for call in announced[:: max(1, at_once // 50)]:
            assert server.recording(call) == data[call.call_id]
    if at_once == PEAK:
        assert refused[429] > 0, "the peak is higher than what is let in at once"
