"""Runs a stage as a Faust agent. The only file that knows Faust, with its traps written down where they bite."""

import asyncio
import logging
import os
import signal
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import faust

from schemas.errors import OperatorError
from streams.adapters.kafka.client import FETCH_BYTES, GROUP_PREFIX
from streams.runtime.logs import describe
from streams.runtime.record import ConsumerRecord
from streams.runtime.runner import StageRunner, StoppedError
from streams.settings import Settings

log = logging.getLogger(__name__)

LONGEST_MESSAGE_S = 4 * 60 * 60
"""A member that does not come back for its next message within this time is taken for stalled."""


EX_SOFTWARE = 70


def build_app(settings: Settings, stage_name: str) -> faust.App:
    """A Faust app that only consumes: no tables, no web server, no leader topic, nothing on disk."""
    tansu = settings.kafka_flavour == "tansu"
    directory = settings.data_dir / "faust" / stage_name
    directory.parent.mkdir(parents=True, exist_ok=True)  # Faust makes its folder, but not the parent
    return faust.App(
        GROUP_PREFIX + stage_name,
        broker=[f"kafka://{address}" for address in settings.kafka_bootstrap.split(",")],
        broker_credentials=_credentials(settings),
        broker_session_timeout=6.0 if tansu else 10.0,
        broker_heartbeat_interval=2.0,
        broker_max_poll_interval=float(LONGEST_MESSAGE_S),
        broker_max_poll_records=16,
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=FETCH_BYTES,
        key_serializer="raw",
        value_serializer="raw",
        store="memory://",
        # Waiting for the message under way would hold up a rebalance for as long as a recognition takes;
        # what is done twice because of it is found to be done already.
        stream_wait_empty=False,
        # Prefetched messages are memory: a two-hour transcript is about 3 MB.
        stream_buffer_maxsize=16,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        datadir=directory,
        worker_redirect_stdouts=False,
        autodiscover=False,
    )


def _credentials(settings: Settings) -> Any:
    protocol = settings.kafka_security_protocol
    context = None
    if protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=str(settings.kafka_ca_file) if settings.kafka_ca_file else None)
    if protocol.startswith("SASL"):
        return faust.SASLCredentials(
            mechanism=settings.kafka_sasl_mechanism,
            username=settings.kafka_sasl_username,
            password=settings.kafka_sasl_password.get_secret_value(),
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None


class _Worker(faust.Worker):
    """Tells the thread of the stage to stop as soon as the process is asked to."""

    def __init__(self, app: faust.App, stop: threading.Event) -> None:
        super().__init__(app, loglevel=None, quiet=True, redirect_stdouts=False, override_logging=False)
        self.spinner = None  # it writes escape sequences to stdout even when quiet
        self._stop_stage = stop

    def _on_sigint(self) -> None:
        self._schedule_shutdown(signal.SIGINT)

    def _schedule_shutdown(self, signal: signal.Signals) -> None:
        self._stop_stage.set()
        super()._schedule_shutdown(signal)


def run(settings: Settings, work: StageRunner, stop: threading.Event) -> int:
    """Consume until SIGTERM or SIGINT; the exit code of the process: 0, 70 when a bug stopped the stage,
    or that of the `OperatorError` that did.

    * The stage runs in one thread beside the event loop: a loop that is blocked for longer than the session
      time-out loses its partitions.
    * Messages are acknowledged by hand after their outputs are durable. An agent that raises acknowledges all
      the same, so nothing may be raised here: a bug ends the process instead, and the offset stays.

    The thread may still be at work when this returns. Its message is not acknowledged; end the process without
    waiting for it.
    """
    app = build_app(settings, work.stage.name)
    failures: list[BaseException] = []
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=work.stage.name)
    topic = app.topic(work.stage.source.name, key_serializer="raw", value_serializer="raw")

    async def agent(stream: faust.StreamT[Any]) -> None:
        loop = asyncio.get_running_loop()
        async for event in cast(faust.Stream[Any], stream).noack().events():
            message = event.message
            raw = ConsumerRecord(message.topic, message.partition, message.offset, message.key, message.value)
            try:
                await loop.run_in_executor(executor, work.process, raw)
            except StoppedError:
                await asyncio.Event().wait()  # until Faust has stopped; going on would take the next message
            except Exception as error:
                why = str(error) if isinstance(error, OperatorError) else describe(error)
                log.critical("%s: stopped at %s by %s", work.stage.name, raw.place, why)
                failures.append(error)
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.Event().wait()
            event.ack()

    app.agent(topic, name=work.stage.name)(agent)
    worker = _Worker(app, stop)
    code = 0
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        code = int(end.code or 0)
    if failures and isinstance(failures[0], OperatorError):
        return failures[0].exit_code
    return EX_SOFTWARE if failures or code else 0
