"""`callstream replay`: history judged again under other rules."""

import json
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from processors.judging.pipeline import Judge
from processors.text.phonetic import Sounds
from schemas.config.rule_pack import RulePackError
from schemas.messages.topics import CALLS_TRANSCRIBED, RULES_PUBLISHED
from streams.cli.command_settings import command_settings
from streams.ports import SystemClock
from streams.runtime.rules_feed import check_rulebooks, decode_published, rules_in_force
from streams.runtime.stage import no_side_outputs
from streams.settings import Settings
from streams.stages.judge import alert_outputs
from streams.stages.replay import Replay, ReplayReport, ReplayWindow, choose_packs, step_aside
from streams.topology import consumer_groups

NAMED_CHANGES = 20
WAIT_FOR_LIVE_S = 2.0
EXIT_PROBLEM = 1
LAST_YEAR = 2105


def replay(
    since: Annotated[
        str, typer.Option("--from", help="Calls that ended then or later: 2026-01-01, or 2026-01-01T08:00:00+08:00.")
    ],
    until: Annotated[str | None, typer.Option("--to", help="Calls that ended before; by default until now.")] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option(help="finance@12, acme/finance@3, or a .yaml file; may be repeated. Else the rules in force."),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Calls of this tenant only.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing: show which calls would change.")] = False,
    alerts: Annotated[bool, typer.Option("--alerts", help="Raise the alerts that follow, too.")] = False,
    rate: Annotated[float, typer.Option(min=0, help="Calls per second at most; 0: as fast as it goes.")] = 0,
    max_live_lag: Annotated[
        int, typer.Option(min=0, help="Wait while live stages are further behind than this, in messages.")
    ] = 500,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Judge stored transcripts again under other rules, and replace the results. No recording is touched.

    Live traffic goes first: the results wait in a topic of their own until it leaves room, and this command waits while
    live stages are behind. No alert is raised unless --alerts says so. Transcripts are kept as long as the topic
    calls.transcribed.v1 keeps them.
    """
    from streams.adapters.clickhouse.connection import connect
    from streams.adapters.clickhouse.history import ClickHouseHistory
    from streams.adapters.clickhouse.risks import StoredRisks
    from streams.adapters.kafka.client import Publisher, TopicReader

    settings = command_settings()
    window = ReplayWindow(_moment(since, "--from"), _moment(until, "--to") if until else None, tenant)
    if window.until is not None and window.until <= window.since:
        raise typer.BadParameter(f"no call ends from {since} to {until}", param_hint="--to")
    try:
        judge = _judge(settings, rules or [])
    except RulePackError as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(EXIT_PROBLEM) from None
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


def _judge(settings: Settings, names: list[str]) -> Judge:
    """The judge with the rules that are named in place of those in force. Raises `RulePackError`, `ReplayError`."""
    from streams.adapters.kafka.client import TopicReader
    from streams.wiring import judge_settings

    reader = TopicReader(settings, RULES_PUBLISHED.name)
    try:
        registry = rules_in_force(settings, decode_published(reader.read_to_end())).registry
    finally:
        reader.close()
    chosen = choose_packs(names, registry)
    rulebooks = check_rulebooks(registry.in_force(chosen), Sounds(settings.merged_sounds), chosen)
    return Judge(judge_settings(settings), rulebooks=rulebooks)


def _give_way(settings: Settings, max_live_lag: int) -> None:
    """Return once live stages are no further behind than that."""
    from streams.adapters.kafka.client import lags

    groups = consumer_groups()
    live = {stage: groups[stage] for stage in ("judge", "store")}
    while sum(lag.messages for lag in lags(settings, live)) > max_live_lag:
        time.sleep(WAIT_FOR_LIVE_S)


def _moment(text: str, option: str) -> datetime:
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
        if 1970 < moment.year <= LAST_YEAR:
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    raise typer.BadParameter(f"{text} is no date: write 2026-01-01", param_hint=option)


def _progress(report: ReplayReport) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(
            f"\r{report.transcripts} transcripts read, {report.judged} judged, {_changed(report)} changed "
        )


def _changed(report: ReplayReport) -> int:
    return sum(report.moves.values())


def _print(report: ReplayReport, dry_run: bool, as_json: bool) -> None:
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
        sys.stdout.write(json.dumps(shown, ensure_ascii=False, indent=2) + "\n")
        return
    would = "would change" if dry_run else "changes"
    sys.stdout.write(
        f"\n{report.transcripts} transcripts read, {report.judged} calls judged again; "
        f"the risk of {_changed(report)} {would}\n"
    )
    for move, calls in report.moves.most_common():
        sys.stdout.write(f"  {move}: {calls}\n")
    for change in report.gravest()[:NAMED_CHANGES]:
        sys.stdout.write(f"  {change.tenant_id}/{change.call_id}: {change.before} → {change.after}\n")
    if len(report.changes) > NAMED_CHANGES:
        sys.stdout.write(f"  and {len(report.changes) - NAMED_CHANGES} more; --json names them\n")
    if report.unreadable:
        sys.stdout.write(f"{report.unreadable} messages could not be read; they were dead letters before\n")
