"""Transcripts over HTTP: what was said lies sealed, and only its reference goes into Kafka."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from schemas.messages.topics import TRANSCRIPTS_RECEIVED
from schemas.messages.transcript_received import TranscriptReceived
from tests.support.serving import CUSTOMERS, Serving, event, serving

pytestmark = pytest.mark.loopback

SAID = "我的卡号是六二二二"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture
def client(server: Serving) -> Iterator[httpx.Client]:
    with server.client(server.key()) as made:
        yield made


def transcript(call_id: str, **fields: Any) -> dict[str, Any]:
    said = [{"role": "agent", "text": "您好"}, {"role": "customer", "text": SAID}]
    return {"call": event(call_id), "utterances": said} | fields


def handed_over(server: Serving, call_id: str) -> list[TranscriptReceived]:
    records = [record for record in server.broker.records[TRANSCRIPTS_RECEIVED.name] if record.value is not None]
    messages = [TRANSCRIPTS_RECEIVED.decode(record.value) for record in records]
    return [message for message in messages if message.call_id == call_id]


def test_a_transcript_is_sealed_and_handed_over_before_the_answer(server: Serving, client: httpx.Client) -> None:
    answer = client.post("/v1/transcripts", json=transcript("t1", recogniser="other"))
    assert answer.status_code == 202
    assert answer.json() == {"tenant_id": "acme", "call_id": "t1"}
    assert answer.headers["location"] == "/v1/calls/t1"
    (message,) = handed_over(server, "t1")
    assert SAID not in message.model_dump_json()
    whole = server.received.open(message)
    assert [said.text for said in whole.utterances] == ["您好", SAID]
    assert whole.recogniser == "other"
    assert all(SAID.encode() not in path.read_bytes() for path in server.objects())


def test_the_phone_number_becomes_the_key(server: Serving, client: httpx.Client) -> None:
    call = event("t2", customer={"number": "13800138000"})
    assert client.post("/v1/transcripts", json=transcript("t2", call=call)).status_code == 202
    (message,) = handed_over(server, "t2")
    assert message.call.customer.key == CUSTOMERS.of("acme", "13800138000")


@pytest.mark.parametrize(
    ("fields", "status", "problem"),
    [
        pytest.param(
            {"utterances": []},
            422,
            "utterances: too_short (at least one object with role and text)",
            id="nothing was said",
        ),
        pytest.param({"sealed": {"version": "0" * 16}}, 422, "sealed: none_required", id="an object of another"),
        pytest.param({"call": event("t3") | {"call_id": "../x"}}, 422, "call.call_id", id="a path for an id"),
        pytest.param({"call": event("t3", tenant_id="globex")}, 404, "", id="another tenant"),
        pytest.param(
            {"extra": 1}, 422, "<unknown field>: extra_forbidden (no such field; docs/", id="an unknown field"
        ),
        pytest.param(
            {"utterances": [{"role": "customer", "text": ""}]},
            422,
            "utterances.0.text: string_too_short (what was said; leave out utterances without words)",
            id="an utterance without words",
        ),
        pytest.param(
            {"utterances": [{"role": "boss", "text": "您好"}]},
            422,
            "utterances.0.role: literal_error (agent, customer or unknown)",
            id="a role that there is not",
        ),
    ],
)
def test_a_wrong_transcript_is_refused_by_the_names_of_its_fields(
    server: Serving, client: httpx.Client, fields: dict[str, Any], status: int, problem: str
) -> None:
    answer = client.post("/v1/transcripts", json=transcript("t3", **fields))
    assert answer.status_code == status
    assert any(each.startswith(problem) for each in answer.json()["errors"] or [""]), answer.json()
    assert SAID not in answer.text
    assert handed_over(server, "t3") == []


def test_what_is_no_json_or_too_much_of_it_is_refused(client: httpx.Client) -> None:
    as_json = {"Content-Type": "application/json"}
    assert client.post("/v1/transcripts", content=b"{", headers=as_json).status_code == 422
    assert client.post("/v1/transcripts", content=b"[" * 100_000, headers=as_json).status_code == 422
    assert client.post("/v1/transcripts", content=b" " * 3_000_000, headers=as_json).status_code == 413
    assert client.post("/v1/transcripts", content=b"{}", headers={"Content-Type": "text/xml"}).status_code == 415


def test_kafka_down_is_503_and_the_transcript_may_come_again(server: Serving, client: httpx.Client) -> None:
    server.broker.down = True
    try:
        answer = client.post("/v1/transcripts", json=transcript("t4"))
    finally:
        server.broker.down = False
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert client.post("/v1/transcripts", json=transcript("t4")).status_code == 202
    assert len(handed_over(server, "t4")) == 1


def test_a_key_for_recordings_hands_over_no_transcript(server: Serving) -> None:
    with server.client(server.key(scopes=("recordings:write",))) as client:
        assert client.post("/v1/transcripts", json=transcript("t5")).status_code == 403
