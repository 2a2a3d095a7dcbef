"""`callstream demo`: the example recordings through a fresh stack, and what was found, read back from ClickHouse."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from clickhouse_connect.driver.client import Client
from pydantic import SecretStr
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from schemas.errors import EmbeddedStackError
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.message import Message
from schemas.messages.topics import CALLS_ANALYZED, CALLS_DEAD_LETTERS, CALLS_TRANSCRIBED
from schemas.messages.transcript import Transcript
from streams.adapters.clickhouse.connection import connect
from streams.adapters.clickhouse.status import outcome_counts
from streams.adapters.decoder.process import DecoderProcess
from streams.adapters.kafka.client import BatchConsumer, Publisher
from streams.adapters.object_store.folder import FolderSettings
from streams.demo.examples import EXAMPLE_TENANT, example_recordings
from streams.embedded.stack import Stack, StackPlan
from streams.embedded.supervisor import ChildFailedError
from streams.settings import Settings
from streams.stages.capture import read_facts
from streams.stages.take_in import take_in_file, take_in_from

LONGEST_RUN_S = 30 * 60
EXCERPT_CHARACTERS = 60


LOG_LINES = 20


class DemoTimeoutError(EmbeddedStackError):
    """Not every call reached its outcome in time."""


class DemoChildError(EmbeddedStackError):
    """A child failed; the text holds the end of its log, because the file goes with the demo's folder."""

    def __init__(self, failure: ChildFailedError) -> None:
        log = failure.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        end = "\n".join(["The end of its log:", *log]) if log else "It logged nothing."
        super().__init__(f"{failure.name} {failure.what_happened}. {end}")


@dataclass
class Seen:
    """What has passed through the topics so far."""

    transcribed: set[str] = field(default_factory=set)
    analyzed: set[str] = field(default_factory=set)
    refused: int = 0
    audio_ms: int = 0

    def take(self, topic: str, message: Message) -> None:
        """Count a message once, however often it comes."""
        if isinstance(message, Transcript) and message.call_id not in self.transcribed:
            self.transcribed.add(message.call_id)
            self.audio_ms += message.audio.duration_ms if message.audio else 0
        elif isinstance(message, CallAnalysis):
            self.analyzed.add(message.call_id)
        elif topic == CALLS_DEAD_LETTERS.name:
            self.refused += 1


def run_demo(base: Settings, console: Console, calls_dir: Path | None, still_wanted: Callable[[], bool]) -> int:
    """Run it and return the exit code. Leaves neither a process nor a file."""
    files = example_recordings(calls_dir)
    with tempfile.TemporaryDirectory(prefix="callstream-demo-") as folder:
        plan = StackPlan("tansu", Path(folder), restart_workers=False)
        own_folder = base.model_copy(
            update={"store_kind": FolderSettings.kind, "register_url": SecretStr("")}
        ).with_parts(FolderSettings())
        with Stack(plan, own_folder) as stack:
            try:
                _run(stack, files, console, still_wanted)
            except ChildFailedError as failure:
                raise DemoChildError(failure) from None
    console.print(
        "Everything above was read from ClickHouse; the demo's own engine and broker have been stopped.\n"
        "Keep a stack running and query it:  [bold]make up[/bold]  (callstream up), then\n"
        "  [bold]callstream publish my.wav --agent A1 --queue refunds[/bold]   analyse a recording of your own\n"
        "  [bold]callstream status[/bold]                                      lag, outcomes, dead letters\n"
        "  ClickHouse at http://127.0.0.1:8123, database callstream, user analyst (read only); `callstream up` prints "
        "where the password is.",
        markup=True,
    )
    return 0


def _run(stack: Stack, files: Sequence[Path], console: Console, still_wanted: Callable[[], bool]) -> None:
    with console.status("starting") as status:
        stack.start(say=lambda sentence: status.update(sentence))
    began_s = time.monotonic()
    call_ids = _publish(stack.settings, files)
    console.print(f"published {len(call_ids)} recordings to {stack.settings.kafka_bootstrap} (tansu)")
    _follow(stack, call_ids, console, began_s, still_wanted)
    console.print(table_of_calls(connect(stack.settings.clickhouse_url.get_secret_value())))


def _publish(settings: Settings, files: Sequence[Path]) -> list[str]:
    publisher = Publisher(settings)
    try:
        with DecoderProcess() as decoder:
            take_in = take_in_from(settings, publisher, decoder.probe)
            calls = []
            for path in files:
                facts = read_facts(path.with_suffix(".json")) | {"tenant_id": EXAMPLE_TENANT}
                taken = take_in_file(take_in, path, facts, settings.max_recording_bytes, source="demo")
                calls.append(taken.call.call_id)
            return calls
    finally:
        publisher.close()


def _follow(
    stack: Stack, call_ids: Sequence[str], console: Console, began_s: float, still_wanted: Callable[[], bool]
) -> None:
    """Show progress until every call has its outcome in ClickHouse."""
    topics = {topic.name: topic for topic in (CALLS_TRANSCRIBED, CALLS_ANALYZED, CALLS_DEAD_LETTERS)}
    consumer = BatchConsumer(stack.settings, "demo", list(topics))
    client = connect(stack.settings.clickhouse_url.get_secret_value())
    seen, stored = Seen(), 0
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    try:
        with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
            bars = {
                stage: progress.add_task(stage, total=len(call_ids), note="") for stage in ("listen", "judge", "store")
            }
            while stored < len(call_ids):
                stack.check()
                if not still_wanted():
                    raise KeyboardInterrupt
                if time.monotonic() - began_s > LONGEST_RUN_S:
                    raise DemoTimeoutError(f"{len(call_ids) - stored} calls have no outcome after {LONGEST_RUN_S} s")
                for raw in consumer.poll(100, 0.5):
                    seen.take(raw.topic, topics[raw.topic].decode(raw.value))
                counts = outcome_counts(client, since=datetime.now(UTC) - timedelta(days=1))
                stored = sum(calls for outcome, calls in counts.items() if outcome != "pending")
                elapsed_s = time.monotonic() - began_s
                factor = (
                    f"real-time factor {elapsed_s * 1000 / seen.audio_ms:.2f}" if seen.audio_ms else "loading the model"
                )
                progress.update(bars["listen"], completed=len(seen.transcribed), note=factor)
                progress.update(bars["judge"], completed=len(seen.analyzed))
                progress.update(bars["store"], completed=stored)
    finally:
        consumer.close()
    console.print(
        f"{seen.audio_ms / 1000:.0f} s of recordings in {time.monotonic() - began_s:.0f} s, "
        f"{stored} calls with an outcome, {seen.refused} refused"
    )


_FOUND = """
SELECT
    calls.call_id AS call_id,
    calls.duration_ms AS duration_ms,
    calls.outcome AS outcome,
    found.matched AS matched,
    found.quotes AS quotes,
    said.text AS text
FROM calls
LEFT JOIN
(
    SELECT call_id, groupArray(matched) AS matched, groupUniqArray(quote) AS quotes
    FROM findings WHERE detector = 'sensitive_words' GROUP BY call_id
) AS found USING call_id
LEFT JOIN
(
    SELECT call_id, arrayStringConcat(arrayMap(s -> s.2, arraySort(groupArray((segment_id, text)))), ' ') AS text
    FROM segments GROUP BY call_id
) AS said USING call_id
ORDER BY call_id
"""


def table_of_calls(client: Client) -> Table:
    """One row per call, read from ClickHouse."""
    table = Table(show_lines=True)
    for title in ("call", "seconds", "outcome"):
        table.add_column(title, no_wrap=True)
    for title in ("sensitive words", "quote", "text"):
        table.add_column(title, overflow="fold", min_width=14)
    for call_id, duration_ms, outcome, matched, quotes, text in client.query(_FOUND).result_rows:
        seconds = "" if duration_ms is None else f"{duration_ms / 1000:.1f}"
        excerpt = text if len(text) <= EXCERPT_CHARACTERS else text[:EXCERPT_CHARACTERS] + "…"
        cells = (call_id, seconds, outcome, "\n".join(matched), "\n".join(quotes), excerpt)
        table.add_row(*(Text(cell) for cell in cells))
    return table
