"""`callstream worker`: stages of the pipeline as processes."""

import os
import sys
from contextlib import suppress
from typing import Annotated

import typer

from streams.cli.command_settings import command_settings, load_command_settings
from streams.cli.console.interrupt import sigterm_as_interrupt
from streams.topology import WORKER_NAMES, worker_stage


def worker(
    stages: Annotated[list[str], typer.Argument(help=f"Stages to run, one or several: {', '.join(WORKER_NAMES)}.")],
) -> None:
    """Run stages of the pipeline until SIGTERM or Ctrl-C.

    One stage runs in this process; several stages run in a child process each. While a stage is paused or drained
    (`callstream pause`, `callstream drain`), its worker waits. One whose secrets in files change begins anew with them.
    """
    unknown = [name for name in stages if name not in WORKER_NAMES]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]} is not a stage: {', '.join(WORKER_NAMES)}")
    chosen = [name for name in WORKER_NAMES if name in stages]
    groups = {group for name in chosen for group in worker_stage(name).setting_groups}
    settings = command_settings(groups, chosen[0] if len(chosen) == 1 else "")
    if len(chosen) > 1:
        from streams.embedded.stack import run_workers

        with sigterm_as_interrupt(), suppress(KeyboardInterrupt):
            run_workers(chosen, settings)
        return
    from streams.worker import WorkerEnd, run_worker

    end = run_worker(chosen[0], settings, lambda: load_command_settings(groups))
    # The thread of the stage may still be recognising; its message is not acknowledged, so nothing is lost by going.
    sys.stdout.flush()
    sys.stderr.flush()
    if end is not WorkerEnd.STOPPED:
        # In place of this process, under its number: no supervisor sees an end, and nothing of it stays in memory.
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - the command line that started this process
    os._exit(0)
