"""Second readers over HTTP: what is sent, what is tried again, what waits, what a call ends with."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from processors.judging.call_context import CallContext
from processors.second_reading.question import NotReadError, Question, question_about
from processors.second_reading.verification import verify
from schemas.config.prompt_pack import PromptPacks
from schemas.errors import RetryableError
from streams.adapters.second_readers import exchange, second_reader
from streams.embedded.ports import free_port
from streams.ports import ReaderBusyError, SecondReader, SystemClock
from streams.settings import Settings
from tests.processors.rules.rule_packs import called
from tests.support.chat_server import ChatServer, completion, running_chat_server
from tests.support.receiver import DRIP, DROP, HANG, Reply

pytestmark = pytest.mark.loopback

KEY = "sk-a-secret-of-the-tests"
SIGNING = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOTHING = json.dumps({"findings": []})
NULL = Reply(200, {}, b'{"choices": [{"message": {"content": null}}]}')
HUGE = Reply(200, {}, b'{"choices": "' + b"x" * 200_000 + b'"}')


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(exchange, "LONGEST_PAUSE_S", 0.05)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with running_chat_server() as running:
        yield running


def a_reader(url: str, **changes: Any) -> SecondReader:
    fields = {
        "second_reader_url": url,
        "second_reader_model": "qwen",
        "second_reader_secret_key": SecretStr(KEY),
        "second_reader_timeout_s": 0.6,
    }
    return second_reader(Settings.model_validate(fields | changes), threading.Event(), SystemClock())


def a_question(words: str = "您好，包您稳赚不赔") -> Question:
    transcript = called(("agent", words), ("customer", "好的"))
    return question_about(CallContext(transcript), PromptPacks.read().of("acme"), 10_000)


def test_a_chat_endpoint_is_asked_with_model_key_schema_and_the_turns(server: ChatServer) -> None:
    answer = a_reader(server.url).ask(a_question())
    (request,) = server.receiver.requests
    sent = json.loads(request.body)
    assert request.path == "/v1/chat/completions"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert (sent["model"], sent["temperature"], sent["stream"]) == ("qwen", 0, False)
    assert sent["response_format"]["json_schema"]["strict"] is True
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert "包您稳赚不赔" not in sent["messages"][0]["content"], "words of a call are no instructions"
    assert answer.tokens == 321
    assert [quote.kind for quote in verify(answer.text, a_question()).quotes] == ["false_promise"]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        pytest.param("json_object", {"type": "json_object"}, id="an endpoint that knows no schemas"),
        pytest.param("text", None, id="one that knows no forms at all"),
    ],
)
def test_the_form_that_is_asked_for_is_a_setting(server: ChatServer, form: str, expected: object) -> None:
    a_reader(server.url, second_reader_format=form).ask(a_question())
    assert json.loads(server.receiver.requests[0].body).get("response_format") == expected


@pytest.mark.parametrize(
    ("reply", "reason", "requests"),
    [
        pytest.param(Reply(400), "reader_refused", 1, id="the question is refused"),
        pytest.param(Reply(413), "reader_refused", 1, id="the question is too large"),
        pytest.param(Reply(500), "reader_failed", 3, id="it fails"),
        pytest.param(DROP, "reader_failed", 3, id="it hangs up"),
        pytest.param(HANG, "reader_timed_out", 3, id="it never answers"),
        pytest.param(DRIP, "reader_timed_out", 3, id="it answers for ever"),
        pytest.param(Reply(302, {"location": "http://127.0.0.1:9/"}), "reader_redirected", 1, id="a redirect"),
        pytest.param(HUGE, "answer_too_large", 1, id="a huge body"),
        pytest.param(Reply(200, {}, b"<html>"), "answer_wrong_schema", 1, id="no JSON"),
        pytest.param(Reply(200, {}, b"\xff\xfe"), "answer_wrong_schema", 1, id="no text"),
        pytest.param(Reply(200, {}, b"[" * 60_000), "answer_wrong_schema", 1, id="very deep"),
        pytest.param(Reply(200, {}, b'{"choices": []}'), "answer_wrong_schema", 1, id="no choice"),
        pytest.param(
            Reply(200, {}, b'{"choices": [{"message": {"content": null}}]}'), "answer_wrong_schema", 1, id="null"
        ),
        pytest.param(completion("{", finish="length"), "answer_cut", 1, id="the answer is cut off"),
    ],
)
def test_what_only_this_call_is_to_blame_for_ends_it_with_a_reason(
    server: ChatServer, reply: Reply, reason: str, requests: int
) -> None:
    server.answer = lambda _turns: reply
    with pytest.raises(NotReadError) as caught:
        a_reader(server.url).ask(a_question())
    assert caught.value.reason == reason
    assert len(server.receiver.requests) == requests


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_every_call_would_meet_waits_and_says_which_setting_to_look_at(server: ChatServer, status: int) -> None:
    server.answer = lambda _turns: Reply(status, {}, KEY.encode())
    with pytest.raises(RetryableError, match="CALLSTREAM_SECOND_READER") as caught:
        a_reader(server.url).ask(a_question())
    assert KEY not in str(caught.value)
    assert len(server.receiver.requests) == 1


def test_an_endpoint_that_is_not_there_waits() -> None:
    with pytest.raises(RetryableError, match="does not answer: ConnectionRefusedError"):
        a_reader(f"http://127.0.0.1:{free_port()}/v1/chat/completions").ask(a_question())


@pytest.mark.names
def test_an_address_of_credentials_is_never_asked() -> None:
    with pytest.raises(RetryableError, match="nothing is sent"):
        a_reader("https://169.254.169.254/v1/chat/completions").ask(a_question())


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_endpoint_is_asked_again_after_a_pause(server: ChatServer, status: int) -> None:
    replies = [Reply(status, {"retry-after": "0"}), Reply(status), completion(NOTHING)]
    server.answer = lambda _turns: replies.pop(0)
    assert a_reader(server.url).ask(a_question()).text == NOTHING
    assert len(server.receiver.requests) == 3


def test_an_endpoint_that_stays_busy_says_so(server: ChatServer) -> None:
    server.answer = lambda _turns: Reply(429)
    with pytest.raises(ReaderBusyError):
        a_reader(server.url).ask(a_question())
    assert len(server.receiver.requests) == 3


def test_a_pause_ends_when_the_worker_is_asked_to_stop(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "FIRST_PAUSE_S", 60)
    monkeypatch.setattr(exchange, "LONGEST_PAUSE_S", 60)
    server.answer = lambda _turns: Reply(500)
    stop = threading.Event()
    settings = Settings.model_validate({"second_reader_url": server.url, "second_reader_model": "qwen"})
    reader = second_reader(settings, stop, SystemClock())
    threading.Timer(0.2, stop.set).start()
    began_s = time.monotonic()
    with pytest.raises(RetryableError, match="broken off"):
        reader.ask(a_question())
    assert time.monotonic() - began_s < 10


def test_a_hook_is_given_the_transcript_signed_and_answers_with_findings(server: ChatServer) -> None:
    found = {"findings": [{"kind": "false_promise", "turn": 0, "quote": "稳赚不赔", "confidence": 0.9}]}
    server.receiver.choose = lambda _request: Reply(200, {}, json.dumps(found, ensure_ascii=False).encode())
    reader = a_reader(
        server.receiver.url("/read"), second_reader_kind="hook", second_reader_secret_key=SecretStr(SIGNING)
    )
    question = a_question()
    answer = reader.ask(question)
    (request,) = server.receiver.requests
    sent = Webhook(SIGNING).verify(request.body.decode(), dict(request.headers))
    assert sent["type"] == "transcript.read"
    assert [(turn["speaker"], turn["text"]) for turn in sent["data"]["turns"]] == [
        ("agent", "您好，包您稳赚不赔"),
        ("customer", "好的"),
    ]
    assert "false_promise" in {kind["id"] for kind in sent["data"]["kinds"]}
    assert "authorization" not in request.headers
    assert len(verify(answer.text, question).quotes) == 1
