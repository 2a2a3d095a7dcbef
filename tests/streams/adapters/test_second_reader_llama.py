"""The second reader against llama.cpp's own server. Its model is noise: this is about shape, limits and refusals, and
says nothing of sense, which a scripted endpoint stands for (`test_second_readers.py`).
"""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from pydantic import SecretStr

from processors.judging.call_context import CallContext
from processors.second_reading.question import NotReadError, Question, question_about
from processors.second_reading.verification import answer_schema, verify
from processors.text.normalized_text import normalize
from schemas.config.prompt_pack import PromptPacks
from schemas.config.tenants import TenantDays
from schemas.errors import RetryableError
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.records import ConsumerRecord
from schemas.messages.topics import CALLS_ANALYZED, CALLS_REANALYZED
from schemas.messages.transcript import Transcript
from streams.adapters.second_readers import second_reader
from streams.adapters.second_readers.answers import Answers
from streams.ports import SecondReader
from streams.settings import Settings
from streams.stages.second_read import ReadingPolicy, SecondRead
from tests.processors.rules.rule_packs import called
from tests.support.judged_calls import NOW, FixedClock
from tests.support.llama_server import KEY, running_llama_server
from tests.support.model_server import ModelServerUnavailableError
from tests.support.shipped_rules import shipped_judge

pytestmark = [pytest.mark.loopback, pytest.mark.processes, pytest.mark.llama]

CALLS = 24
"""So many different calls are asked about; noise finds something in some of them."""
SOME = range(14, CALLS)
"""A few of them, in some of which something is found."""
MOST_TOKENS = 400


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        with running_llama_server(tmp_path_factory.mktemp("llama")) as running:
            yield running
    except ModelServerUnavailableError as error:
        pytest.skip(str(error))


def a_reader(server: str, **changes: Any) -> SecondReader:
    fields = {
        "second_reader_url": server,
        "second_reader_model": "noise",
        "second_reader_secret_key": SecretStr(KEY),
        "second_reader_max_tokens": MOST_TOKENS,
        "second_reader_attempts": 1,
    }
    return second_reader(Settings.model_validate(fields | changes), threading.Event(), FixedClock(NOW))


@cache
def transcript_of(number: int) -> Transcript:
    words = "您好，包您稳赚不赔" + "啊" * number
    return called(("agent", words), ("customer", "好的"), call_id=f"c{number}", tenant_id="acme")


def a_question(number: int = 0) -> Question:
    return question_about(CallContext(transcript_of(number)), PromptPacks.read().of("acme"), 30_000)


@dataclass(frozen=True)
class Told:
    """An answer of the model to the question about a call."""

    question: Question
    text: str
    tokens: int | None

    @property
    def findings(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.text)["findings"]
        return found


@pytest.fixture(scope="module")
def told(server: str) -> list[Told]:
    """What it answers about the calls; of noise that goes on for ever, nothing."""
    reader, answered, reasons = a_reader(server), [], set()
    for number in range(CALLS):
        question = a_question(number)
        try:
            answer = reader.ask(question)
        except NotReadError as error:
            reasons.add(error.reason)
        else:
            answered.append(Told(question, answer.text, answer.tokens))
    assert reasons <= {"answer_cut"}
    return answered


def test_every_whole_answer_keeps_to_the_schema_that_was_asked_for(told: list[Told]) -> None:
    assert len(told) > CALLS / 2
    assert any(each.findings for each in told), "noise that finds nothing would prove nothing"
    for each in told:
        jsonschema.validate(json.loads(each.text), answer_schema(each.question))


def test_no_quote_of_noise_is_believed(told: list[Told]) -> None:
    """Nor is one where turn and confidence are as they should be."""
    for each in told:
        reading = verify(each.text, each.question)
        assert (len(reading.quotes), reading.dropped) == (0, len(each.findings))
        mended = [finding | {"turn": 0, "confidence": 0.5} for finding in each.findings]
        said = [passage.utterance.normalized.letters for passage in each.question.passages]
        assert not any(normalize(finding["quote"]).letters in text for finding in mended for text in said)
        reading = verify(json.dumps({"findings": mended}), each.question)
        assert (len(reading.quotes), reading.dropped) == (0, len(mended))


def test_the_tokens_of_question_and_answer_are_told(told: list[Told]) -> None:
    """By which the budget is corrected. The vocabulary is of bytes: a character of Chinese has up to three."""
    for each in told:
        assert each.tokens is not None
        assert each.question.characters < each.tokens < 3 * (each.question.characters + MOST_TOKENS)


def test_an_answer_that_does_not_end_is_cut(server: str) -> None:
    """Where the endpoint is told of no form, noise is text without end."""
    with pytest.raises(NotReadError) as refused:
        a_reader(server, second_reader_format="text", second_reader_max_tokens=50).ask(a_question())
    assert refused.value.reason == "answer_cut"


def test_a_question_that_the_model_has_no_room_for_is_refused_at_once(tmp_path: Path) -> None:
    try:
        with running_llama_server(tmp_path, context=1_024) as small, pytest.raises(NotReadError) as refused:
            a_reader(small, second_reader_attempts=5).ask(a_question())
    except ModelServerUnavailableError as error:
        pytest.skip(str(error))
    assert refused.value.reason == "reader_refused"


def test_an_answer_that_takes_too_long_is_given_up_and_the_next_one_comes(server: str) -> None:
    endless = {"second_reader_format": "text", "second_reader_max_tokens": 8_000}
    began_s = time.monotonic()
    with pytest.raises(NotReadError) as refused:
        a_reader(server, second_reader_timeout_s=0.5, **endless).ask(a_question())
    assert refused.value.reason == "reader_timed_out"
    assert time.monotonic() - began_s < 5
    assert a_reader(server).ask(a_question()).text


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        pytest.param({"second_reader_secret_key": SecretStr("wrong")}, "CALLSTREAM_SECOND_READER_SECRET_KEY", id="key"),
        pytest.param({"second_reader_url": "/v1/no/such/path"}, "CALLSTREAM_SECOND_READER_URL", id="path"),
    ],
)
def test_what_would_be_the_answer_to_every_call_names_the_setting(
    server: str, changes: dict[str, Any], setting: str
) -> None:
    if "second_reader_url" in changes:
        changes = {"second_reader_url": server.replace("/v1/chat/completions", changes["second_reader_url"])}
    with pytest.raises(RetryableError, match=setting):
        a_reader(server, **changes).ask(a_question())


def test_it_streams_where_it_is_asked_to_and_the_reader_does_not_ask(server: str) -> None:
    """The same answer in pieces: nothing is gained by it here, because a finding counts when all of it has come."""
    body = {"messages": [{"role": "user", "content": "?"}], "max_tokens": 8, "temperature": 0, "stream": True}
    headers = {"Authorization": f"Bearer {KEY}"}
    streamed = httpx.post(server, json=body, headers=headers, timeout=30, trust_env=False)
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert streamed.text.rstrip().endswith("data: [DONE]")
    whole = httpx.post(server, json=body | {"stream": False}, headers=headers, timeout=30, trust_env=False)
    pieces = [json.loads(line[6:]) for line in streamed.text.splitlines() if line.startswith("data: {")]
    words = [piece["choices"][0]["delta"].get("content") or "" for piece in pieces if piece["choices"]]
    assert "".join(words) == whole.json()["choices"][0]["message"]["content"]
    assert json.loads(a_reader(server).ask(a_question()).text), "a whole answer, which is JSON"


@dataclass
class Transcripts:
    """Those of the calls."""

    stored: dict[str, Transcript]

    def transcript_of(self, analysis: CallAnalysis) -> Transcript | None:
        return self.stored[analysis.call_id]


def test_the_stage_publishes_each_call_with_what_became_of_it(server: str, tmp_path: Path) -> None:
    stored = {transcript.call_id: transcript for transcript in map(transcript_of, SOME)}
    clock = FixedClock(NOW + timedelta(minutes=1))
    answers = Answers(tmp_path / "answers.sqlite")
    policy = ReadingPolicy(every_call=True, most_calls=len(SOME) - 1, parallel=2)
    stage = SecondRead(a_reader(server), Transcripts(stored), answers, PromptPacks.read(), policy, TenantDays(), clock)
    judged = [shipped_judge().judge(transcript, NOW) for transcript in stored.values()]
    records = [CALLS_ANALYZED.record(analysis) for analysis in judged]
    outputs = stage.work([ConsumerRecord(CALLS_ANALYZED.name, 0, 0, one.key, one.value) for one in records])
    answers.close()
    joined = [CALLS_REANALYZED.decode(output.value) for output in outputs]
    assert {analysis.call_id for analysis in joined} == stored.keys()
    dropped = [analysis.measures["second_reader_dropped"] for analysis in joined]
    assert any(dropped)
    assert {analysis.measures["second_reader_findings"] for analysis in joined} == {0, None}
    reasons = {one.reason for analysis in joined for one in analysis.skipped_analysis if "second" in one.measure}
    assert "budget_exceeded" in reasons
    assert reasons <= {"budget_exceeded", "answer_cut"}
