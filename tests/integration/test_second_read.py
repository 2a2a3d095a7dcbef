"""`second_read` as a process on the embedded stack, with an endpoint on loopback: killed, and after a replay."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from pydantic import SecretStr

from processors.clickhouse.rows import rows_for_analysis, rows_for_transcript
from processors.judging.pipeline import Judge
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.topics import CALLS_ANALYZED, CALLS_REANALYZED
from schemas.messages.transcript import Transcript
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.migrate import migrate
from streams.adapters.clickhouse.sink import ClickHouseSink
from streams.adapters.clickhouse.stored_transcripts import ClickHouseTranscripts
from streams.adapters.kafka.client import BatchConsumer, Publisher, apply_topics
from streams.embedded.stack import worker_spec
from streams.embedded.supervisor import Backoff, Supervisor
from streams.ports import SystemClock, TranscriptGoneError
from streams.settings import Settings
from tests.processors.rules.rule_packs import called
from tests.support.access_log import register_of
from tests.support.brokers import running_broker
from tests.support.chat_server import ChatServer, running_chat_server
from tests.support.clickhouse_engine import RunningEngine
from tests.support.processes import eventually
from tests.support.receiver import Reply
from tests.support.shipped_rules import shipped_judge

pytestmark = pytest.mark.embedded

NOW = SystemClock().now()
DATABASE = "second_read"


def a_call(number: int, words: str) -> Transcript:
    lines = (("agent", f"您好，这里是{number}号，{words}"), ("customer", "好的"))
    transcript = called(*lines, call_id=f"c{number}", tenant_id="acme")  # type: ignore[arg-type]
    return transcript.model_copy(update={"transcribed_at": NOW})


CALLS = [a_call(number, "包您稳赚不赔" if number % 2 else "马上为您查询") for number in range(8)]


@dataclass
class Running:
    """A worker beside a broker, ClickHouse and an endpoint."""

    supervisor: Supervisor
    settings: Settings
    server: ChatServer
    client: Client
    judge: Judge
    _group: int = 0

    def log(self) -> str:
        return self.supervisor.log_file("second_read").read_text()

    def judged(self, transcripts: Sequence[Transcript], after_s: float = 0) -> list[CallAnalysis]:
        return [self.judge.judge(one, NOW + timedelta(seconds=after_s)) for one in transcripts]

    def publish(self, analyses: Sequence[CallAnalysis], topic: str = CALLS_ANALYZED.name) -> None:
        publisher = Publisher(self.settings)
        of = CALLS_ANALYZED if topic == CALLS_ANALYZED.name else CALLS_REANALYZED
        publisher.publish([of.record(one) for one in analyses])
        publisher.close()

    def joined(self, count: int, later_than: datetime = NOW) -> dict[str, CallAnalysis]:
        """Call → what the stage has published of it by judgements after `later_than`, once there are so many calls."""
        self._group += 1
        consumer = BatchConsumer(self.settings, f"read-{self._group}", [CALLS_REANALYZED.name])
        found: dict[str, CallAnalysis] = {}

        def read() -> bool:
            self.supervisor.check()
            for record in consumer.poll(100, 0.5):
                analysis = CALLS_REANALYZED.decode(record.value)
                if "second_reader_findings" in analysis.measures and analysis.analyzed_at > later_than:
                    found[analysis.call_id] = analysis
            return len(found) >= count

        try:
            assert eventually(read), self.log()
        finally:
            consumer.close()
        return found


@pytest.fixture(scope="module")
def running(engine: RunningEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = tmp_path_factory.mktemp("second_read")
    url = engine.url(DATABASE)
    migrate(url)
    with (
        running_broker("tansu", folder) as broker,
        running_chat_server() as server,
        Supervisor(folder / "workers", Backoff(first_s=0.1)) as supervisor,
    ):
        apply_topics(broker)
        register_of(broker.data_dir).close()
        settings = broker.model_copy(
            update={
                "clickhouse_url": SecretStr(url),
                "second_reader_url": server.url,
                "second_reader_model": "scripted",
                "second_reader_calls": "all",
                "second_reader_parallel": 4,
                "second_reader_attempts": 1,
                "retry_max_wait_s": 0.5,
            }
        )
        client = connect(url)
        sink = ClickHouseSink(client)
        for transcript in CALLS:
            sink.write(rows_for_transcript(transcript))
        supervisor.start(worker_spec("second_read", 0, settings, restart=True))
        yield Running(supervisor, settings, server, client, shipped_judge())
        client.close()


def kinds(analysis: CallAnalysis) -> list[str]:
    return [finding.category for finding in analysis.findings if finding.detector == "second_reader"]


def test_calls_are_read_beside_the_stream_through_a_kill_and_a_replay_without_asking_twice(running: Running) -> None:
    running.publish(running.judged(CALLS))
    joined = running.joined(len(CALLS))
    expected = {one.call_id: ["second_reader_false_promise"] if number % 2 else [] for number, one in enumerate(CALLS)}
    assert {call: kinds(analysis) for call, analysis in joined.items()} == expected
    asked = len(running.server.asked)
    assert asked == len(CALLS)

    running.supervisor.kill("second_read")
    replayed = running.judged(CALLS, after_s=60)
    running.publish(replayed, CALLS_REANALYZED.name)
    again = running.joined(len(CALLS), NOW + timedelta(seconds=30))
    assert {call: kinds(analysis) for call, analysis in again.items()} == expected
    assert len(running.server.asked) == asked, "what was answered is not asked again"

    sink = ClickHouseSink(running.client)
    for analysis in (*again.values(), *replayed, *joined.values(), *running.judged(CALLS)):
        sink.write(rows_for_analysis(analysis))
    shown = running.client.query("SELECT call_id, kind, count() FROM suspicions GROUP BY call_id, kind")
    assert sorted(map(tuple, shown.result_rows)) == [(f"c{number}", "false_promise", 1) for number in (1, 3, 5, 7)]
    assert running.client.query("SELECT uniqExact(analyzed_at) FROM calls").result_rows == [(1,)]


def test_one_bad_answer_becomes_a_reason_and_the_others_go_on(running: Running) -> None:
    bad, good = a_call(20, "这句会坏"), a_call(21, "包您稳赚不赔")
    running.server.answer = lambda turns: Reply(400) if "会坏" in turns[0]["text"] else None
    sink = ClickHouseSink(running.client)
    for one in (bad, good):
        sink.write(rows_for_transcript(one))
    running.publish(running.judged((bad, good)))
    joined = running.joined(len(CALLS) + 2)
    assert kinds(joined["c21"]) == ["second_reader_false_promise"]
    assert [one.reason for one in joined["c20"].skipped_analysis if one.measure == "second_reader_findings"] == [
        "reader_refused"
    ]
    assert "会坏" not in running.log()
    assert "稳赚" not in running.log()


def test_a_transcript_comes_back_as_it_was_stored_and_an_older_or_a_missing_one_does_not(running: Running) -> None:
    transcripts = ClickHouseTranscripts(running.settings.clickhouse_url.get_secret_value())
    (analysis,) = running.judged(CALLS[:1])
    found = transcripts.transcript_of(analysis)
    assert found is not None
    assert [one.model_dump(exclude={"confidence", "words"}) for one in found.segments] == [
        one.model_dump(exclude={"confidence", "words"}) for one in CALLS[0].segments
    ]
    assert [[word.text for word in one.words] for one in found.segments] == [
        [word.text for word in one.words] for one in CALLS[0].segments
    ]
    (unknown,) = running.judged([a_call(99, "没有存")])
    assert transcripts.transcript_of(unknown) is None
    newer = analysis.model_copy(update={"transcribed_at": analysis.transcribed_at + timedelta(seconds=1)})
    assert transcripts.transcript_of(newer) is None
    older = analysis.model_copy(update={"transcribed_at": analysis.transcribed_at - timedelta(seconds=1)})
    with pytest.raises(TranscriptGoneError):
        transcripts.transcript_of(older)
