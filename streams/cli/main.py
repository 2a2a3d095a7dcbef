"""The command line: `callstream --help`.

`callstream status` is in `status.py`, `callstream rules publish` in `rules/publish.py`, and so on.
"""

import errno
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from schemas.errors import OperatorError, RetryableError
from streams.cli.alerts import alerts_app
from streams.cli.analyze import analyze
from streams.cli.api_keys import api_keys_app
from streams.cli.audit import audit_app
from streams.cli.backup import backup_app
from streams.cli.bucket import bucket_app, store_app
from streams.cli.cdr import cdr_app
from streams.cli.check import check_app
from streams.cli.config import config
from streams.cli.console.exit_codes import EXIT_BUG, EXIT_PROBLEM, EXIT_UNREACHABLE
from streams.cli.contracts import contracts
from streams.cli.custody import custody_app
from streams.cli.demands import demands_app
from streams.cli.demo import demo
from streams.cli.emotion import emotion_app
from streams.cli.erase import erase_app
from streams.cli.export import export_app
from streams.cli.hold import hold_app
from streams.cli.index_sounds import index_sounds
from streams.cli.keys import keys_app
from streams.cli.kpi import kpi_app
from streams.cli.learn import learn_app
from streams.cli.meters import meters
from streams.cli.migrate import migrate
from streams.cli.publish import publish
from streams.cli.purge import purge
from streams.cli.quarantine import quarantine_app
from streams.cli.rate import rate
from streams.cli.receipts import receipts_app
from streams.cli.recording import recording_app
from streams.cli.release import release
from streams.cli.replay import replay
from streams.cli.retain import retain_app
from streams.cli.roles import roles_app
from streams.cli.rollup import rollup
from streams.cli.rules import rules_app
from streams.cli.sample_data import sample_data
from streams.cli.scorecards import scorecards_app
from streams.cli.search import search
from streams.cli.serve import serve
from streams.cli.status import status
from streams.cli.surges import surges
from streams.cli.topics import topics_app
from streams.cli.topology import topology
from streams.cli.up import up
from streams.cli.user import user_app
from streams.cli.verdicts import verdicts_app
from streams.cli.worker import worker
from streams.embedded.child import PRIVATE_UMASK
from streams.runtime.logs import describe

HELP = """
Analyse every call of a call centre: recordings in, rows in ClickHouse out.

\b
First steps
  callstream demo                          send ten example calls through the whole pipeline
  callstream up                            run the pipeline on this machine and keep its results
  callstream publish my.wav --agent A1     analyse a recording of your own while `up` is running
  callstream status                        show lag, outcomes and dead letters
  callstream analyze my.wav --json         analyse one recording without a broker or a database

\b
Settings come from CALLSTREAM_* variables; what they leave open, from the TOML file named by CALLSTREAM_CONFIG or, while
`callstream up` is running, from its address file; the rest from defaults. `callstream config` lists them all.

\b
Exit codes
  0  done                                  4  Kafka, ClickHouse or the object store does not answer
  1  done, but there is a problem          5  a process of the embedded stack failed
  2  the command line is wrong            70  a bug: please report the log
  3  a setting is wrong                  130  interrupted
"""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 120},
)
app.command()(demo)
app.command()(up)
app.command()(worker)
app.command()(serve)
app.command()(publish)
app.command()(purge)
app.command()(analyze)
app.command()(replay)
app.command()(rate)
app.command()(rollup)
app.command()(sample_data)
app.command()(search)
app.command()(index_sounds)
app.command()(topology)
app.command()(migrate)
app.command()(status)
app.command()(meters)
app.command()(surges)
app.command()(contracts)
app.command()(config)
app.command()(release)
app.add_typer(api_keys_app, name="api-keys")
app.add_typer(topics_app, name="topics")
app.add_typer(bucket_app, name="bucket")
app.add_typer(custody_app, name="custody")
app.add_typer(audit_app, name="audit")
app.add_typer(store_app, name="store", hidden=True)
app.add_typer(rules_app, name="rules")
app.add_typer(scorecards_app, name="scorecards")
app.add_typer(alerts_app, name="alerts")
app.add_typer(emotion_app, name="emotion")
app.add_typer(kpi_app, name="kpi")
app.add_typer(keys_app, name="keys")
app.add_typer(recording_app, name="recording")
app.add_typer(demands_app, name="demands")
app.add_typer(verdicts_app, name="verdicts")
app.add_typer(cdr_app, name="cdr")
app.add_typer(learn_app, name="learn")
app.add_typer(roles_app, name="roles")
app.add_typer(check_app, name="check")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(export_app, name="export")
app.add_typer(user_app, name="user")
app.add_typer(retain_app, name="retain")
app.add_typer(hold_app, name="hold")
app.add_typer(erase_app, name="erase")
app.add_typer(receipts_app, name="receipts")
app.add_typer(backup_app, name="backup")
app.add_typer(recording_app, name="recording")


def main() -> None:
    """Entry point: errors that a person can fix are one sentence; anything else is a bug, shown with its frames."""
    os.umask(PRIVATE_UMASK)
    # A core file holds recordings, texts and keys as they were in memory; children inherit the limit.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
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
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            _fail(f"this is a bug: {describe(error)}", EXIT_BUG)
        where = f" of {error.filename}" if error.filename else ""
        _fail(f"the disk{where} is full: make room there, then run the command again", EXIT_UNREACHABLE)
    except Exception as error:
        # The text of an exception may hold what a caller said: its class and frames must do.
        _fail(f"this is a bug: {describe(error)}", EXIT_BUG)


def _fail(sentence: str, code: int) -> NoReturn:
    sys.stderr.write(f"callstream: {sentence}\n")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
