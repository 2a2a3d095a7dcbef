"""`callstream replay`: past calls judged again under other rules."""

import sys
import time
from dataclasses import asdict
from datetime import UTC
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.config.rule_pack import RulePackError
from schemas.messages.topics import CALLS_TRANSCRIBED, RULES_PUBLISHED
from streams.cli.command_settings import command_settings
from streams.cli.console.options import JsonOption
from streams.cli.console.output import end_with_problems, print_json
from streams.cli.console.times import parse_moment
from streams.settings import Settings

if TYPE_CHECKING:
    from processors.judging.pipeline import Judge
    from streams.stages.replay import ReplayReport

NAMED_CHANGES = 20
WAIT_FOR_LIVE_S = 2.0


def replay(
    since: Annotated[
        str,
        typer.Option(
            "--from",
            help="Calls that ended at this time or later: 2026-01-01 (UTC), 2026-01-01T08:00:00+08:00.",
        ),
    ],
    until: Annotated[
        str | None, typer.Option("--to", help="Calls that ended before this time; by default now.")
    ] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option(
            help="Pack to use: finance@12, acme/finance@3 or a .yaml file; can be repeated. By default those in force."
        ),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only calls of this tenant.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; show which calls would change.")] = False,
    alerts: Annotated[bool, typer.Option("--alerts", help="Also raise the alerts that result.")] = False,
    rate: Annotated[float, typer.Option(min=0, help="Largest number of calls judged per second; 0 for no limit.")] = 0,
    max_live_lag: Annotated[
        int, typer.Option(min=0, help="Wait while the live stages are more than this many messages behind.")
    ] = 500,
    as_json: JsonOption = False,
) -> None:
    """Judge stored transcripts again under other rules.

    The new results replace the old ones. Recordings are not touched.

    Live traffic goes first: results wait in a topic of their own until there is room, and this command pauses while
    the live stages are behind. No alerts are raised without --alerts. Transcripts are available for as long as the
    topic calls.transcribed.v1 keeps them.
    """
    from streams.adapters.clickhouse.connection import connect
    from streams.adapters.clickhouse.history import ClickHouseHistory
    from streams.adapters.clickhouse.risks import StoredRisks
    from streams.adapters.kafka.client import Publisher, TopicReader
    from streams.ports import SystemClock
    from streams.runtime.stage import no_side_outputs
    from streams.stages.judge import alert_outputs
    from streams.stages.replay import Replay, ReplayWindow, step_aside

    settings = command_settings()
    window = ReplayWindow(
        parse_moment(since, "--from", UTC), parse_moment(until, "--to", UTC) if until else None, tenant
    )
    if window.until is not None and window.until <= window.since:
        raise typer.BadParameter(f"{until} is not after {since}", param_hint="--to")
    try:
        judge = _judge(settings, rules or [])
    except RulePackError as error:
        end_with_problems(error.problems)
    client = connect(settings.clickhouse_url.get_secret_value())
    step_aside()
    source = TopicReader(settings, CALLS_TRANSCRIBED.name, since=window.since)
    publisher = None if dry_run else Publisher(settings)
    history = ClickHouseHistory.of(settings)
    work = Replay(
        source,
        judge,
        StoredRisks(client),
        SystemClock(),
        publisher,
        give_way=lambda: _give_way(settings, max_live_lag),
        most_per_s=rate,
        history=history,
        side_outputs=(
            lambda analysis: alert_outputs(analysis, judge.category_names(analysis), settings.alert_min_severity)
        )
        if alerts
        else no_side_outputs,
    )
    try:
        with history:
            report = work.run(window, _progress)
    finally:
        source.close()
        if publisher is not None:
            publisher.close()
    _print(report, dry_run, as_json)


def _judge(settings: Settings, names: list[str]) -> "Judge":
    """The judge with the rules that are named in place of those in force. Raises `RulePackError`, `ReplayError`."""
    from processors.judging.pipeline import Judge
    from processors.text.phonetic import Sounds
    from streams.adapters.kafka.client import TopicReader
    from streams.runtime.rule_signatures import read_public_keys
    from streams.runtime.rules_feed import check_rulebooks, decode_published, rules_in_force
    from streams.stages.replay import choose_packs
    from streams.wiring import judge_settings

    keys = read_public_keys(settings.rules_public_keys)
    reader = TopicReader(settings, RULES_PUBLISHED.name)
    try:
        registry = rules_in_force(settings, decode_published(reader.read_to_end(), keys)).registry
    finally:
        reader.close()
    chosen = choose_packs(names, registry)
    rulebooks = check_rulebooks(registry.in_force(chosen), Sounds(settings.merged_sounds), chosen, settings.days)
    return Judge(judge_settings(settings), rulebooks=rulebooks)


def _give_way(settings: Settings, max_live_lag: int) -> None:
    """Return once live stages are no further behind than that."""
    from streams.adapters.kafka.client import lags
    from streams.topology import consumer_groups

    groups = consumer_groups()
    live = {stage: groups[stage] for stage in ("judge", "store")}
    while sum(lag.messages for lag in lags(settings, live)) > max_live_lag:
        time.sleep(WAIT_FOR_LIVE_S)


def _progress(report: "ReplayReport") -> None:
    if sys.stderr.isatty():
        sys.stderr.write(
            f"\r{report.transcripts} transcripts read, {report.judged} judged, {_changed(report)} changed "
        )


def _changed(report: "ReplayReport") -> int:
    return sum(report.moves.values())


def _print(report: "ReplayReport", dry_run: bool, as_json: bool) -> None:
    if as_json:
        shown = {
            "dry_run": dry_run,
            "transcripts": report.transcripts,
            "unreadable": report.unreadable,
            "judged": report.judged,
            "changed": _changed(report),
            "moves": dict(report.moves),
            "changes": [asdict(change) for change in report.gravest()],
            "findings": dict(report.findings.most_common()),
        }
        print_json(shown)
        return
    change = "would change" if dry_run else "changes"
    typer.echo(
        f"\n{report.transcripts} transcripts read, {report.judged} calls judged again; "
        f"the risk of {_changed(report)} {change}"
    )
    for move, calls in report.moves.most_common():
        typer.echo(f"  {move}: {calls}")
    for named in report.gravest()[:NAMED_CHANGES]:
        typer.echo(f"  {named.tenant_id}/{named.call_id}: {named.before} → {named.after}")
    if len(report.changes) > NAMED_CHANGES:
        typer.echo(f"  and {len(report.changes) - NAMED_CHANGES} more; --json lists them all")
    if report.unreadable:
        typer.echo(f"{report.unreadable} messages could not be read; they had become dead letters before")
