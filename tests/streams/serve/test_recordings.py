"""Recordings over HTTP: a real server over a real folder, register and use case."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.processes import eventually
from tests.support.serving import CUSTOMERS, Serving, event, serving

pytestmark = pytest.mark.loopback

DATA = bytes(range(256)) * 4_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture
def client(server: Serving) -> Iterator[httpx.Client]:
    with server.client(server.key()) as made:
        yield made


def form(said: dict[str, Any], data: bytes = DATA, name: str = "a.wav", media_type: str = "audio/wav") -> Any:
    return [("event", (None, json.dumps(said), "application/json")), ("file", (name, data, media_type))]


def header(said: dict[str, Any]) -> dict[str, str]:
    return {"X-Callstream-Event": base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")}


def of_call(server: Serving, call_id: str) -> list[Any]:
    return [call for call in server.announced() if call.call_id == call_id]


def test_a_form_is_taken_in_sealed_and_announced_before_the_answer(server: Serving, client: httpx.Client) -> None:
    answer = client.post("/v1/recordings", files=form(event("form")))
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/calls/form"
    assert answer.json() == {
        "tenant_id": "acme",
        "call_id": "form",
        "created": True,
        "sha256": hashlib.sha256(DATA).hexdigest(),
        "bytes": len(DATA),
        "capture_ms": 0,
    }
    (call,) = of_call(server, "form")
    assert server.recording(call) == DATA
    assert call.audio.uri.endswith(".wav")
    assert all(DATA[:64] not in path.read_bytes() for path in server.objects())


def test_the_recording_may_be_the_body_itself(server: Serving, client: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        for start in range(0, len(DATA), 100_001):
            yield DATA[start : start + 100_001]

    headers = header(event("raw")) | {"Content-Type": "audio/mpeg"}
    answer = client.post("/v1/recordings", content=pieces(), headers=headers)
    assert answer.status_code == 201
    (call,) = of_call(server, "raw")
    assert server.recording(call) == DATA
    assert call.audio.uri.endswith(".mp3")


def test_an_empty_recording_is_taken_in_and_listen_says_what_it_is(server: Serving, client: httpx.Client) -> None:
    assert client.post("/v1/recordings", files=form(event("empty"), b"")).status_code == 201
    (call,) = of_call(server, "empty")
    assert server.recording(call) == b""


def test_the_same_recording_again_is_the_same_call(server: Serving, client: httpx.Client) -> None:
    first = client.post("/v1/recordings", files=form(event("again")))
    second = client.post("/v1/recordings", content=DATA, headers=header(event("again")) | {"Content-Type": "audio/wav"})
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json() | {"created": False}
    assert len(of_call(server, "again")) == 1


def test_the_phone_number_becomes_the_key_and_is_kept_nowhere(
    server: Serving, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    number = "13800138000"
    answer = client.post(
        "/v1/recordings",
        files=form(event("number", customer={"number": number, "number_last4": "8000", "tags": ["vip"]})),
    )
    assert answer.status_code == 201
    (call,) = of_call(server, "number")
    assert call.customer.key == CUSTOMERS.of("acme", number)
    assert (call.customer.key_version, call.customer.number_last4) == (1, None)
    assert call.customer.tags == ("vip",)
    kept = b"".join(path.read_bytes() for path in server.folder.rglob("*") if path.is_file())
    assert number.encode() not in kept + answer.content + caplog.text.encode() + call.encode()


def test_where_a_call_stands_is_told_from_its_intake_to_its_outcome(server: Serving, client: httpx.Client) -> None:
    client.post("/v1/recordings", files=form(event("stands")))
    told = {"tenant_id": "acme", "call_id": "stands", "outcome": None, "outcome_reason": None, "capture_ms": 0}
    assert client.get("/v1/calls/stands").json() == told | {"state": "announced"}
    server.outcomes.of["acme", "stands"] = ("pending", "")
    assert client.get("/v1/calls/stands").json() == told | {"state": "pending"}
    server.outcomes.of["acme", "stands"] = ("bad_audio", "not_audio")
    done = {"state": "done", "outcome": "bad_audio", "outcome_reason": "not_audio"}
    assert client.get("/v1/calls/stands").json() == told | done


def test_an_outcome_that_cannot_be_asked_for_is_null_with_a_reason(server: Serving, client: httpx.Client) -> None:
    client.post("/v1/recordings", files=form(event("unknown")))
    server.outcomes.down = True
    try:
        known, unknown = client.get("/v1/calls/unknown"), client.get("/v1/calls/never")
    finally:
        server.outcomes.down = False
    assert known.json() | {"capture_ms": 0} == {
        "tenant_id": "acme",
        "call_id": "unknown",
        "state": "announced",
        "outcome": None,
        "outcome_reason": "not_available",
        "capture_ms": 0,
    }
    assert unknown.status_code == 503, "it may be there"


def test_a_call_that_came_another_way_is_known_by_its_outcome(server: Serving, client: httpx.Client) -> None:
    server.outcomes.of["acme", "published"] = ("analyzed", "")
    assert client.get("/v1/calls/published").json()["state"] == "done"


def test_health_needs_no_key_and_names_what_does_not_answer(tmp_path: Path) -> None:
    with serving(tmp_path) as server, server.client(None) as nobody:
        assert nobody.get("/v1/health/live").json() == {"status": "live"}
        server.broker.down = True
        answer = nobody.get("/v1/health/ready")
        assert answer.status_code == 503
        assert "Kafka" in answer.json()["detail"]
        assert answer.headers["retry-after"]


def test_every_answer_has_an_id_that_stands_in_the_log(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        answer = client.get("/v1/calls/nobody")
        # The server writes its line after the answer has gone out.
        assert eventually(lambda: answer.headers["x-request-id"] in caplog.text, 10)
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        pytest.param(
            {"call_id": ""}, "call_id: string_pattern_mismatch (a letter or digit, then", id="a call without id"
        ),
        pytest.param({"agent": None}, "agent: model_type", id="an agent that is none"),
        pytest.param({"ended_at": "2026-04-30T09:00:00+08:00"}, "message: ended_before_started", id="an end too early"),
        pytest.param(
            {"customer": {"phone": "13800138000"}},
            "customer.<unknown field>: extra_forbidden (there is no such field",
            id="a field",
        ),
        pytest.param(
            {"customer": {"number": "call me"}}, "customer.number: not_a_number", id="a number that has no digits"
        ),
        pytest.param(
            {"customer": {"number": "13800138000", "key": "0" * 64}}, "customer: number_and_key", id="number and key"
        ),
        pytest.param({"audio": {"uri": "s3://callstream/x"}}, "audio.<unknown field>: extra_forbidden", id="a place"),
        pytest.param({"audio": {"sha256": "0" * 64}}, "audio.sha256", id="another content than was said"),
        pytest.param({"audio": {"bytes": 1}}, "audio.bytes", id="another length than was said"),
    ],
)
def test_a_wrong_event_is_refused_by_the_names_of_its_fields(
    server: Serving, client: httpx.Client, said: dict[str, Any], problem: str
) -> None:
    answer = client.post("/v1/recordings", files=form(event("wrong") | said))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert any(each.startswith(problem) for each in answer.json()["errors"]), answer.json()
    assert "13800138000" not in answer.text
    assert of_call(server, "wrong") == []


def test_what_is_refused_leaves_nothing_and_may_come_again(server: Serving, client: httpx.Client) -> None:
    before = server.objects()
    wrong = event("second_try", audio={"sha256": "0" * 64})
    assert client.post("/v1/recordings", files=form(wrong)).status_code == 422
    assert server.objects() == before
    assert client.get("/v1/calls/second_try").status_code == 404
    assert client.post("/v1/recordings", files=form(event("second_try"))).status_code == 201
