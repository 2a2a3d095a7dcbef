"""The command line: `callstream --help`."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

from schemas.errors import InvalidCallError, OperatorError, RetryableError
from schemas.messages.call_analysis import CallAnalysis
from streams.cli.alerts import alerts_app
from streams.cli.check import check_app
from streams.cli.command_settings import command_settings, load_command_settings
from streams.cli.emotion import emotion_app
from streams.cli.export import export_app
from streams.cli.kpi import kpi_app
from streams.cli.rate import rate, rollup
from streams.cli.replay import replay
from streams.cli.roles import roles_app
from streams.cli.rules import rules_app
from streams.cli.sample_data import sample_data
from streams.cli.scorecards import scorecards_app
from streams.cli.search import search
from streams.cli.topology import topology
from streams.ports import SystemClock
from streams.runtime.logs import configure_logging, describe
from streams.settings import PREFIX, load_settings, setting_fields
from streams.topology import WORKER_NAMES

EXIT_PROBLEM = 1
EXIT_UNREACHABLE = 4
EXIT_BUG = 70

AGITATED = 0.5
"""`analyze` notes the agitation of a segment above this probability."""
PLAIN_WIDTH = 140
"""Columns of a table that is not printed to a terminal."""

HELP = """
callstream analyses every call of a call centre: recordings in, rows in ClickHouse out.

\b
First steps
  callstream demo                          ten example calls through the whole pipeline
  callstream up                            the same pipeline on this machine, kept on disk
  callstream publish my.wav --agent A1     a recording of your own, while `up` runs
  callstream status                        lag, outcomes, dead letters
  callstream analyze my.wav --json         one recording, without broker or database

\b
Settings come from CALLSTREAM_* variables, over the TOML file that CALLSTREAM_CONFIG names (or, where a stack of
`callstream up` runs, over its address file), over the defaults. `callstream config` lists them all.

\b
Exit codes
  0  done                                  4  Kafka, ClickHouse or the object store does not answer
  1  done, and there is a problem to see   5  a process of the embedded stack failed
  2  the command line is wrong            70  a bug: please report the log
  3  a setting is wrong                  130  interrupted
"""

app = typer.Typer(
    help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)
topics_app = typer.Typer(help="Kafka topics.", no_args_is_help=True)
store_app = typer.Typer(help="The object store for recordings and transcripts.", no_args_is_help=True)
app.add_typer(topics_app, name="topics")
app.add_typer(store_app, name="store")
app.add_typer(rules_app, name="rules")
app.add_typer(scorecards_app, name="scorecards")
app.add_typer(alerts_app, name="alerts")
app.add_typer(emotion_app, name="emotion")
app.add_typer(kpi_app, name="kpi")
app.add_typer(roles_app, name="roles")
app.add_typer(check_app, name="check")
app.add_typer(export_app, name="export")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]


def main() -> None:
    """Entry point: errors that a person can mend are one sentence, everything else is a bug with its frames."""
    code = EXIT_BUG
    try:
        with _errors_as_sentences():
            app(standalone_mode=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else EXIT_PROBLEM
    sys.stdout.flush()
    sys.stderr.flush()
    raise SystemExit(code)


@contextmanager
def _errors_as_sentences() -> Iterator[None]:
    try:
        yield
    except OperatorError as error:
        _fail(str(error), error.exit_code)
    except RetryableError as error:
        _fail(str(error), EXIT_UNREACHABLE)
    except Exception as error:
        # The text of an exception may hold what a caller said: its class and frames must do.
        _fail(f"this is a bug: {describe(error)}", EXIT_BUG)


def _fail(sentence: str, code: int) -> NoReturn:
    sys.stderr.write(f"callstream: {sentence}\n")
    raise SystemExit(code)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


@contextmanager
def _sigterm_as_interrupt() -> Iterator[threading.Event]:
    """SIGTERM ends a foreground command as Ctrl-C does: in order, with every child stopped."""
    stopped = threading.Event()

    def interrupt(_number: int, _frame: object) -> None:
        stopped.set()
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGTERM, former)


@app.command()
def demo(
    calls: Annotated[
        Path | None, typer.Option(help="A folder of recordings, each with its metadata (name.wav and name.json).")
    ] = None,
) -> None:
    """Analyse the example recordings on a fresh embedded stack, show what was found, and stop everything.

    Starts the broker tansu, the ClickHouse engine and one worker per stage as child processes; keeps nothing.
    """
    from streams.demo.demo import run_demo

    settings = load_settings().settings
    configure_logging("WARNING")
    with _sigterm_as_interrupt() as stopped:
        console = Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)
        raise typer.Exit(run_demo(settings, console, calls, lambda: not stopped.is_set()))


@app.command()
def up(
    broker: Annotated[
        str, typer.Option(help="kafka: Apache Kafka, on disk. tansu: in memory, forgets everything.")
    ] = "kafka",
    kafka_port: Annotated[int, typer.Option(help="Port of the broker on 127.0.0.1.")] = 9092,
    clickhouse_port: Annotated[int, typer.Option(help="HTTP port of ClickHouse on 127.0.0.1.")] = 8123,
    clickhouse_tcp_port: Annotated[int, typer.Option(help="Native port of ClickHouse on 127.0.0.1.")] = 9000,
    listen_workers: Annotated[
        int, typer.Option(min=1, max=64, help="Recognising processes, one core and about 700 MB each.")
    ] = 1,
) -> None:
    """Run the whole pipeline on this machine and keep what it finds, until Ctrl-C.

    Everything lies in the data folder (`callstream config` says where); workers that die are started again.
    """
    from typing import get_args

    from streams.embedded.clickhouse_engine import password_file
    from streams.embedded.stack import Broker as _Broker
    from streams.embedded.stack import Stack, StackPlan

    if broker not in get_args(_Broker):
        raise typer.BadParameter(f"{broker} is not a broker: kafka or tansu", param_hint="--broker")
    settings = load_settings().settings
    configure_logging(settings.log_level)
    console = Console(soft_wrap=True)
    plan = StackPlan(
        "tansu" if broker == "tansu" else "kafka",
        settings.data_dir,
        kafka_port=kafka_port,
        clickhouse_port=clickhouse_port,
        clickhouse_tcp_port=clickhouse_tcp_port,
        listen_workers=listen_workers,
    )
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with _sigterm_as_interrupt(), Stack(plan, settings) as stack:
        with Progress(*columns, console=console, transient=True) as progress:
            jars = progress.add_task("jars of Apache Kafka", total=None, visible=False)

            def fetched(done_bytes: int, total_bytes: int, _name: str) -> None:
                progress.update(jars, completed=done_bytes, total=total_bytes, visible=True)

            stack.start(say=progress.console.print, fetched=fetched)
        address_file = stack.announce()
        host = f"http://127.0.0.1:{clickhouse_port}"
        console.print(f"callstream is up. Kafka 127.0.0.1:{kafka_port}, ClickHouse {host} (database callstream)")
        password = password_file(settings.data_dir / "clickhouse", "analyst")
        console.print(f"analysts read as user analyst; the password is in {password}")
        if settings.clickhouse_users_file is not None:
            console.print(f"so may the users of {settings.clickhouse_users_file}, each as its role says")
        console.print(f"other commands find this stack by {address_file}; logs lie in {settings.data_dir / 'logs'}")
        if broker == "tansu":
            console.print("tansu keeps messages in memory: what is not in ClickHouse when this stops is lost")
        console.print("stop with Ctrl-C")
        with suppress(KeyboardInterrupt):
            while True:
                stack.check()
                time.sleep(0.5)
        console.print(f"stopping; what was found stays in {settings.data_dir}")


@app.command()
def worker(
    stages: Annotated[list[str], typer.Argument(help=f"{', '.join(WORKER_NAMES)}: one or several.")],
) -> None:
    """Run one stage in this process, or several stages in a child process each, until SIGTERM or Ctrl-C."""

    unknown = [name for name in stages if name not in WORKER_NAMES]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]} is not a stage: {', '.join(WORKER_NAMES)}")
    settings = command_settings()
    chosen = [name for name in WORKER_NAMES if name in stages]
    if len(chosen) > 1:
        from streams.embedded.stack import run_workers

        with _sigterm_as_interrupt(), suppress(KeyboardInterrupt):
            run_workers(chosen, settings)
        return
    from streams.worker import run_worker

    code = run_worker(chosen[0], settings)
    # The thread of the stage may still be recognising; its message is not acknowledged, so nothing is lost by going.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@app.command()
def publish(
    files: Annotated[list[Path], typer.Argument(help="Recordings: WAV, MP3, FLAC, Opus, µ-law, A-law …")],
    meta: Annotated[
        Path | None,
        typer.Option(help="JSON with fields of CallEnded, or a folder with such a name.json for each recording."),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant id.")] = None,
    call_id: Annotated[
        str | None, typer.Option(help="Call id; by default made from recording and end of call.")
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Agent id.")] = None,
    team: Annotated[str | None, typer.Option(help="The agent's team.")] = None,
    customer: Annotated[
        str | None,
        typer.Option(
            help="The customer's phone number, or - to read it from standard input; only its keyed hash is kept."
        ),
    ] = None,
    queue: Annotated[str | None, typer.Option(help="Queue.")] = None,
    inquiry_type: Annotated[str | None, typer.Option(help="Inquiry type.")] = None,
    industry: Annotated[str | None, typer.Option(help="general, finance, ecommerce, education, medical …")] = None,
    direction: Annotated[str | None, typer.Option(help="inbound or outbound.")] = None,
    language: Annotated[str | None, typer.Option(help="Language hint, such as zh.")] = None,
    started_at: Annotated[str | None, typer.Option(help="2026-03-02T10:15:00+08:00")] = None,
    ended_at: Annotated[str | None, typer.Option(help="By default when the file was last written.")] = None,
    channel_roles: Annotated[
        str | None, typer.Option(help="Role of each channel; agent,customer for two channels unless said.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Store recordings and publish their call-ended events, with the least metadata or as much as there is."""
    from streams.adapters.decoder.process import DecoderProcess
    from streams.adapters.kafka.client import Publisher
    from streams.adapters.object_store.from_settings import object_store_from
    from streams.adapters.object_store.recordings import RecordingStore
    from streams.stages.capture import Ingest, call_of_file, customer_key, extension_of, read_facts

    if call_id and len(files) > 1:
        raise typer.BadParameter("one call id cannot name several recordings", param_hint="--call-id")
    settings = command_settings()
    given: dict[str, Any] = {
        "tenant_id": tenant,
        "call_id": call_id,
        "queue": queue,
        "inquiry_type": inquiry_type,
        "industry": industry,
        "direction": direction,
        "language_hint": language,
        "started_at": started_at,
        "ended_at": ended_at,
    }
    options = {name: value for name, value in given.items() if value is not None}
    number = sys.stdin.readline().strip() if customer == "-" else customer
    recordings = RecordingStore(object_store_from(settings), settings.max_recording_bytes)
    ingest = Ingest(recordings, Publisher(settings))
    published: list[dict[str, str]] = []
    decoder = DecoderProcess()
    for file in files:
        facts = (read_facts(_meta_of(file, meta)) if meta else {}) | options
        if agent or team:
            facts["agent"] = _part_of(facts, "agent") | {k: v for k, v in (("id", agent), ("team", team)) if v}
            facts["agent"].setdefault("id", "unknown")
        if number is not None:
            key = customer_key(number, settings.customer_key_secret.get_secret_value())
            facts["customer"] = _part_of(facts, "customer") | {"key": key}
        if channel_roles:
            facts["audio"] = _part_of(facts, "audio") | {"channel_roles": channel_roles.split(",")}
        try:
            call, data = call_of_file(file, facts, settings.max_recording_bytes, decoder)
        except InvalidCallError as error:
            raise InvalidCallError(f"{file.name}: {error}") from None
        stored = ingest.publish(call, data, extension_of(file))
        published.append({"file": str(file), "tenant_id": stored.tenant_id, "call_id": stored.call_id})
        if not as_json:
            sys.stdout.write(f"{file}: call {stored.tenant_id}/{stored.call_id}\n")
    if as_json:
        _print_json(published)


def _part_of(facts: dict[str, Any], name: str) -> dict[str, Any]:
    """What the metadata says of one part of the event. Raises `InvalidCallError`."""
    part = facts.get(name) or {}
    if not isinstance(part, dict):
        raise InvalidCallError(f"{name}: must be an object")
    return part


def _meta_of(file: Path, meta: Path) -> Path:
    return meta / f"{file.stem}.json" if meta.is_dir() else meta


@app.command()
def analyze(
    file: Annotated[Path, typer.Argument(help="A recording.")],
    meta: Annotated[Path | None, typer.Option(help="JSON with fields of CallEnded.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Analyse one recording in this process: the same stages, without broker, store or database."""
    from streams.cli.analyzing import analyze_file

    settings = command_settings()
    transcript, analysis = analyze_file(file, meta, settings, SystemClock())
    if as_json:
        _print_json({"transcript": transcript.model_dump(mode="json"), "analysis": analysis.model_dump(mode="json")})
        return
    console = Console()
    console.print(
        f"{analysis.outcome} ({analysis.outcome_reason}), language {transcript.language or '-'}", markup=False
    )
    for segment in transcript.segments:
        agitated = segment.emotion.agitated if segment.emotion else 0.0
        note = f"  (agitated {agitated:.2f})" if agitated > AGITATED else ""
        line = f"{segment.start_ms / 1000:8.1f} s  {segment.role:<8} {segment.text}{note}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for finding in analysis.findings:
        # What is found in no words, such as an unusual length, is of the whole call.
        place = f" 「{finding.matched}」 at {finding.start_ms / 1000:.1f} s" if finding.matched else ""
        line = f"{finding.severity}: {finding.rule_id}{place}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for name, value in analysis.measures.items():
        console.print(f"{name} = {value}", markup=False, highlight=False)
    for skipped in analysis.skipped_analysis:
        console.print(f"{skipped.measure}: not measurable, {skipped.reason}", markup=False, highlight=False)
    for line in _verdict_lines(analysis):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _verdict_lines(analysis: CallAnalysis) -> Iterator[str]:
    """Score, risk and retention, where there are any."""
    card, risk = analysis.scorecard, analysis.risk
    if card is not None:
        measured = sum(item.points is not None for item in card.items)
        score = "not measurable" if card.score is None else f"{card.score:g} of 100"
        yield f"score {score}, by {card.form_id}@{card.form_version}, {measured} of {len(card.items)} items measured"
    if risk is not None:
        unseen = f", {len(risk.unmeasured)} parts could not be looked for" if risk.unmeasured else ""
        yield f"risk {risk.level}, {risk.score:g} points{unseen}"
        yield from (f"  {part.points:g} {part.reason}" for part in risk.parts)
    if analysis.retention_class is not None:
        yield f"kept as {analysis.retention_class}, at least {analysis.retention_days} days"


app.command()(replay)
app.command()(rate)
app.command()(rollup)
app.command()(sample_data)
app.command()(search)
app.command()(topology)


@topics_app.command("apply")
def topics_apply() -> None:
    """Create the declared topics, and bring the settings of existing ones to what is declared."""
    from streams.adapters.kafka.client import apply_topics

    for name, change in apply_topics(command_settings()).items():
        sys.stdout.write(f"{name}: {change}\n")


@store_app.command("apply")
def store_apply() -> None:
    """Make the bucket where it does not exist, and check that it can be used."""
    from streams.adapters.object_store.from_settings import object_store_from

    settings = command_settings()
    store = object_store_from(settings)
    store.apply()
    store.check()
    sys.stdout.write(f"bucket {settings.store_bucket} is ready\n")


@app.command()
def migrate(
    show: Annotated[bool, typer.Option("--print", help="Show the SQL that would run, and run nothing.")] = False,
    cluster: Annotated[
        str | None, typer.Option(help="With --print: as it would run on this cluster; by default clickhouse_cluster.")
    ] = None,
) -> None:
    """Bring the ClickHouse tables to this version, and make every view anew, those of KPIs from their registry."""
    from streams.adapters.clickhouse import migrate as database

    if cluster is not None and not show:
        raise typer.BadParameter("set CALLSTREAM_CLICKHOUSE_CLUSTER to migrate a cluster", param_hint="--cluster")
    settings = command_settings()
    url = settings.clickhouse_url.get_secret_value()
    name = settings.clickhouse_cluster if cluster is None else cluster
    views = database.views_of(settings)
    if show:
        sys.stdout.write(database.planned_sql(url, views, name))
        return
    for migration in database.migrate(url, cluster=name, views=views):
        sys.stdout.write(f"applied {migration.name}\n")
    sys.stdout.write(f"made {len(views)} views\n")


@app.command()
def status(as_json: JsonOption = False) -> None:
    """How the pipeline is doing: lag per stage, outcomes, calls without outcome, dead letters.

    Ends with 1 when calls have been without outcome for longer than processing_objective_s.
    """
    from streams.queries.status import pipeline_status, status_tables

    found = pipeline_status(command_settings(), SystemClock())
    if as_json:
        _print_json(found.as_json())
    else:
        console = Console()
        for table in status_tables(found):
            console.print(table)
        console.print(found.summary(), highlight=False, soft_wrap=True)
    raise typer.Exit(EXIT_PROBLEM if found.unaccounted else 0)


@app.command()
def surges(
    at: Annotated[
        str | None, typer.Option(help="A moment, such as 2026-03-02T10:15:00+08:00; the present by default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Topics of the hour up to that moment against the same hour of past weeks. Raises no alert: `worker watch` does.

    Ends with 1 when there is a surge.
    """
    from processors.kpi.surges import last_step
    from streams.stages.watch import as_json as surges_json
    from streams.stages.watch import build_surges, surges_table

    end = last_step(SystemClock().now() if at is None else _moment(at, "--at"))
    assessments = build_surges(command_settings()).assessments(end, end)
    if as_json:
        _print_json(surges_json(assessments))
    else:
        Console().print(surges_table(assessments, end))
    raise typer.Exit(EXIT_PROBLEM if any(one.verdict == "surge" for one in assessments) else 0)


def _moment(text: str, option: str) -> datetime:
    """A point in time with its zone."""
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None and 1970 < moment.year <= 2105:
            return moment
    raise typer.BadParameter("write it with its zone, as 2026-03-02T10:15:00+08:00", param_hint=option)


@app.command()
def contracts(
    out: Annotated[Path, typer.Option(help="Where to write.")] = Path(),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; end with 1 when a file is not current.")
    ] = False,
) -> None:
    """Write the JSON Schemas and the AsyncAPI document of all topics (docs/contracts/)."""
    from schemas.contracts import contracts_text
    from streams.topology import operations

    stale = False
    for name, text in contracts_text(operations()).items():
        path = out / name
        current = path.is_file() and path.read_text(encoding="utf-8") == text
        if check:
            stale = stale or not current
            sys.stdout.write(f"{path}: {'current' if current else 'not current'}\n")
        elif not current:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path}\n")
    raise typer.Exit(EXIT_PROBLEM if stale else 0)


@app.command()
def config(
    as_json: JsonOption = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table of docs/settings.md.")] = False,
) -> None:
    """Every setting: its value, where the value came from, and what it means. Secrets are hidden."""
    from streams.cli.settings_docs import settings_markdown

    if markdown:
        sys.stdout.write(settings_markdown())
        return
    loaded = load_command_settings()
    rows = [
        (name, _shown(value), loaded.origin[name], setting_fields()[name].description or "")
        for name, value in loaded.settings.values().items()
    ]
    if as_json:
        _print_json({name: {"value": value, "origin": origin} for name, value, origin, _ in rows})
        return
    table = Table("variable", "value", "from", "meaning")
    for name, value, origin, meaning in rows:
        table.add_row(PREFIX + name.upper(), value, origin, meaning)
    Console().print(table)


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "********" if value.get_secret_value() else ""
    return "" if value is None else str(value)


if __name__ == "__main__":
    main()
