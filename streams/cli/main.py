"""The command line: `callstream --help`.

`callstream status` is in `status.py`, `callstream rules publish` in `rules/publish.py`, and so on.
"""

import errno
import os
import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from schemas.errors import OperatorError, RetryableError
from streams.cli.console.exit_codes import EXIT_BUG, EXIT_PROBLEM, EXIT_UNREACHABLE
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

COMMANDS = (
    "demo",
    "up",
    "worker",
    "serve",
    "publish",
    "purge",
    "analyze",
    "replay",
    "rate",
    "rollup",
    "sample-data",
    "search",
    "index-sounds",
    "topology",
    "migrate",
    "status",
    "pause",
    "drain",
    "resume",
    "metrics",
    "meters",
    "surges",
    "contracts",
    "config",
    "release",
    "api-keys",
    "topics",
    "bucket",
    "custody",
    "audit",
    "store",
    "rules",
    "scorecards",
    "alerts",
    "emotion",
    "kpi",
    "reports",
    "keys",
    "recording",
    "demands",
    "verdicts",
    "cdr",
    "facts",
    "learn",
    "roles",
    "check",
    "quarantine",
    "dead-letters",
    "export",
    "user",
    "retain",
    "hold",
    "erase",
    "receipts",
    "backup",
)
"""In the order of the help; `streams.cli.NAME` has each."""


class CommandsAtNeed(Mapping[str, Any]):
    """Name → command. Its module is imported when it is asked for: thirteen workers need not load what others run."""

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        module = import_module(f"streams.cli.{name.replace('-', '_')}")
        holder = typer.Typer(add_completion=False, rich_markup_mode=None)
        word = module.__name__.rpartition(".")[2]
        if group := getattr(module, f"{word}_app", None):
            holder.add_typer(group, name=name)
        else:
            holder.command(name)(getattr(module, word))
        return typer.main.get_group(holder).commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class LazyGroup(TyperGroup):
    """The first words of a command line."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = CommandsAtNeed()  # type: ignore[assignment]  # nobody adds commands later


app = typer.Typer(
    cls=LazyGroup,
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 120},
)


@app.callback()
def _callstream() -> None:
    """Typer makes a group of what has a callback, also while no command is loaded."""


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
