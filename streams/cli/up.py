"""`callstream up`: the whole pipeline on this machine."""

import time
from contextlib import suppress
from typing import Annotated, get_args

import typer

from streams.cli.console.interrupt import sigterm_as_interrupt
from streams.cli.console.output import console
from streams.runtime.logs import configure_logging
from streams.settings import load_settings


def up(
    broker: Annotated[
        str, typer.Option(help="Broker: kafka (Apache Kafka, on disk) or tansu (in memory, keeps nothing).")
    ] = "kafka",
    kafka_port: Annotated[int, typer.Option(help="Port of the broker on 127.0.0.1.")] = 9092,
    clickhouse_port: Annotated[int, typer.Option(help="HTTP port of ClickHouse on 127.0.0.1.")] = 8123,
    clickhouse_tcp_port: Annotated[int, typer.Option(help="Native port of ClickHouse on 127.0.0.1.")] = 9000,
    listen_workers: Annotated[
        int,
        typer.Option(min=1, max=64, help="Number of speech recognition processes; each takes a core and about 700 MB."),
    ] = 1,
) -> None:
    """Run the whole pipeline on this machine until Ctrl-C.

    Results are kept in the data folder (`callstream config` shows where). Workers that die are restarted.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from streams.embedded.clickhouse_engine import password_file
    from streams.embedded.stack import Broker, Stack, StackPlan
    from streams.embedded.worker_care import TARGETS_FILE

    if broker not in get_args(Broker):
        raise typer.BadParameter(f"{broker} is not a broker: kafka or tansu", param_hint="--broker")
    settings = load_settings().settings
    configure_logging(settings.log_level, settings.log_format)
    out = console(soft_wrap=True)
    plan = StackPlan(
        "tansu" if broker == "tansu" else "kafka",
        settings.data_dir,
        kafka_port=kafka_port,
        clickhouse_port=clickhouse_port,
        clickhouse_tcp_port=clickhouse_tcp_port,
        serve_port=settings.serve_port,
        play_port=settings.play_port,
        listen_workers=listen_workers,
        metrics=True,
    )
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with sigterm_as_interrupt(), Stack(plan, settings) as stack:
        with Progress(*columns, console=out, transient=True) as progress:
            jars = progress.add_task("jars of Apache Kafka", total=None, visible=False)

            def fetched(done_bytes: int, total_bytes: int, _name: str) -> None:
                progress.update(jars, completed=done_bytes, total=total_bytes, visible=True)

            stack.start(say=progress.console.print, fetched=fetched)
        address_file = stack.announce()
        host = f"http://127.0.0.1:{clickhouse_port}"
        out.print(f"callstream is up: Kafka at 127.0.0.1:{kafka_port}, ClickHouse at {host} (database callstream)")
        scheme = "https" if settings.serves_tls else "http"
        out.print(
            f"recordings are taken in at {scheme}://{settings.serve_host}:{stack.settings.serve_port}/v1/recordings; "
            "`callstream api-keys issue TENANT` makes a key"
        )
        out.print(
            f"people listen at {scheme}://{settings.play_host}:{stack.settings.play_port}/v1/recordings/CALL/audio; "
            "`callstream user add` makes an account"
        )
        password = password_file(settings.data_dir / "clickhouse", "analyst")
        out.print(f"analysts log in as user analyst; the password is in {password}")
        if settings.clickhouse_users_file is not None:
            out.print(f"the users in {settings.clickhouse_users_file} can log in too, with the rights of their roles")
        out.print(f"other commands find this stack through {address_file}; logs are in {settings.data_dir / 'logs'}")
        out.print(f"Prometheus finds the metrics of all workers through {settings.data_dir / TARGETS_FILE}")
        if broker == "tansu":
            out.print("tansu keeps messages in memory: whatever has not reached ClickHouse is lost when this stops")
        out.print("press Ctrl-C to stop")
        with suppress(KeyboardInterrupt):
            while True:
                stack.check()
                time.sleep(0.5)
        out.print(f"stopping; the results stay in {settings.data_dir}")
