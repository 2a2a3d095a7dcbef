"""The worker `serve` in a stack: uploads end in Kafka and ClickHouse, also where it is killed in the middle."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import pytest

from streams.adapters.register.api_keys import RegisterApiKeys
from streams.adapters.register.register import Register
from streams.embedded.stack import Stack
from streams.ports import SystemClock
from tests.support.serving import event
from tests.support.stack import rows, running_stack, wait_until

pytestmark = pytest.mark.embedded

STAGES = ("serve", "sweep", "relay", "store")
TRIED_FOR_S = 240.0
"""What a killed server was at is given free after a minute, by its lease."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack("tansu", tmp_path_factory.mktemp("stack"), {"sweep_every_s": 1}, stages=STAGES) as running:
        yield running


@pytest.fixture(scope="module")
def key(stack: Stack) -> Iterator[str]:
    register = Register.of(stack.settings)
    keys = RegisterApiKeys(register, SystemClock())
    yield keys.issue("acme", "test", ["recordings:write", "calls:read"], None, actor="test").text
    register.close()


def sender(stack: Stack, key: str) -> httpx.Client:
    url = f"http://127.0.0.1:{stack.settings.serve_port}"
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False)


def form(call_id: str, data: bytes) -> Any:
    return [("event", (None, json.dumps(event(call_id)), "application/json")), ("file", ("a.wav", data, "audio/wav"))]


def insistently(client: httpx.Client, call_id: str, data: bytes) -> httpx.Response:
    """As docs/api.md asks of senders: again after no answer, after 429 and after 503."""
    until_s = time.monotonic() + TRIED_FOR_S
    while True:
        answer = None
        with suppress(httpx.TransportError):
            answer = client.post("/v1/recordings", files=form(call_id, data))
        if answer is not None and answer.status_code not in (429, 503):
            return answer
        assert time.monotonic() < until_s, answer
        time.sleep(0.3)


def pending(stack: Stack) -> set[str]:
    """The calls of which `store` has read the event."""
    return {row["call_id"] for row in rows(stack, "SELECT call_id FROM outcomes WHERE tenant_id = 'acme'")}


def test_a_stack_that_has_started_takes_recordings_in(stack: Stack) -> None:
    """The first of those that it is started for: nobody has waited for it."""
    url = f"http://127.0.0.1:{stack.settings.serve_port}/v1/health/live"
    assert httpx.get(url, timeout=30, trust_env=False).status_code == 200


def test_an_upload_is_in_clickhouse_soon_and_its_state_says_so(stack: Stack, key: str) -> None:
    with sender(stack, key) as client:
        answer = insistently(client, "one", b"RIFF" + bytes(100_000))
        assert answer.status_code == 201
        wait_until(stack, lambda: "one" in pending(stack), lambda: "the event to be stored")
        told = client.get("/v1/calls/one").json()
        assert (told["state"], told["outcome"]) == ("pending", None)
        assert told["capture_ms"] == answer.json()["capture_ms"]


@pytest.mark.long
def test_a_server_that_is_killed_in_mid_upload_loses_and_doubles_nothing(stack: Stack, key: str) -> None:
    names = [f"killed{number}" for number in range(60)]

    def send(name: str) -> httpx.Response:
        with sender(stack, key) as client:
            return insistently(client, name, name.encode() * 20_000)

    with ThreadPoolExecutor(20) as pool:
        sent = [pool.submit(send, name) for name in names]
        for _ in range(2):
            time.sleep(1)
            stack.supervisor.kill("serve")
            wait_until(stack, lambda: stack.supervisor.pid("serve") is not None, lambda: "serve to be started again")
        wait_until(stack, lambda: all(each.done() for each in sent), lambda: "every upload to be answered", 300)
    assert {each.result().status_code for each in sent} <= {200, 201}
    wait_until(stack, lambda: pending(stack) >= set(names), lambda: "every event to be stored")
    with sender(stack, key) as client:
        assert {client.get(f"/v1/calls/{name}").json()["state"] for name in names} == {"pending"}
        again = [client.post("/v1/recordings", files=form(name, name.encode() * 20_000)) for name in names[:5]]
        assert {answer.status_code for answer in again} == {200}


def test_a_stack_that_stops_ends_the_server(stack: Stack) -> None:
    stack.supervisor.stop_child("serve")
    with pytest.raises(httpx.ConnectError), sender(stack, "none") as client:
        client.get("/v1/health/live")
