"""`callstream replay`: past calls judged again under other rules."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.config.rule_pack import RulePack, RulePackError
from schemas.messages.topics import RULES_PUBLISHED
from streams.cli.command_settings import command_settings
from streams.cli.console.interrupt import sigterm_as_interrupt
from streams.cli.console.options import JsonOption
from streams.cli.console.output import end_with_problems, print_json
from streams.cli.console.times import parse_moment
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.runtime.replay_progress import ReplayProgress
    from streams.stages.replay import BatchJudge, ReplayPlan, ReplayReport

NAMED_CHANGES = 20
WAIT_FOR_LIVE_S = 2.0
FOLDER = "replay"
"""In the data folder: how far it has got."""


def replay(
    since: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Calls that ended at this time or later: 2026-01-01 (UTC), 2026-01-01T08:00:00+08:00.",
        ),
    ] = None,
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
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with a replay that did not end, with the calls and rules it was given."),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes that judge; by default one for each core.")
    ] = None,
    rate: Annotated[float, typer.Option(min=0, help="Largest number of calls judged per second; 0 for no limit.")] = 0,
    max_live_lag: Annotated[
        int, typer.Option(min=0, help="Wait while the live stages are more than this many messages behind.")
    ] = 500,
    as_json: JsonOption = False,
) -> None:
    """Judge stored transcripts again under other rules.

    The new results replace the old ones. Transcripts are read from the object store; recordings are not touched.

    Live traffic goes first: results wait in a topic of their own until there is room, and this command pauses while
    the live stages are behind. No alerts are raised without --alerts. A replay that was stopped or killed goes on where
    it was with --resume. A call that cannot be judged is named and stays as it is; the others are judged.
    """
    from streams.runtime.replay_progress import ReplayProgress

    settings = command_settings()
    if resume and (since or until or rules or tenant or dry_run or alerts):
        raise typer.BadParameter(
            "it goes on with what it was given: leave out the calls and rules", param_hint="--resume"
        )
    if not resume and since is None:
        raise typer.BadParameter("say from when, or go on with --resume", param_hint="--from")
    with sigterm_as_interrupt(), ReplayProgress(settings.data_dir / FOLDER) as kept:
        if resume:
            plan = _plan_of(kept)
        else:
            asked = _Asked(
                parse_moment(since or "", "--from", UTC), parse_moment(until, "--to", UTC) if until else None
            )
            if asked.until is not None and asked.until <= asked.since:
                raise typer.BadParameter(f"{until} is not after {since}", param_hint="--to")
            plan = _new_plan(settings, asked, tenant, rules or [], dry_run=dry_run, alerts=alerts)
            kept.begin(plan.to_json())
        report = _run(settings, plan, kept, workers or cores(), lambda: _give_way(settings, max_live_lag), rate)
        kept.finish()
    _print(report, plan.dry_run, as_json)


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class _Asked:
    since: datetime
    until: datetime | None


def _new_plan(
    settings: Settings, asked: _Asked, tenant: str | None, names: list[str], *, dry_run: bool, alerts: bool
) -> "ReplayPlan":
    from importlib.metadata import version

    from streams.ports import SystemClock
    from streams.stages.replay import ReplayPlan, ReplayWindow

    window = ReplayWindow.of(asked.since, asked.until, tenant, SystemClock().now())
    try:
        packs = packs_of(settings, names)
    except RulePackError as error:
        end_with_problems(error.problems)
    return ReplayPlan(version("callstream"), window, packs, dry_run, alerts)


def _plan_of(kept: "ReplayProgress") -> "ReplayPlan":
    """Of the replay that goes on. Raises `ReplayError`."""
    from importlib.metadata import version

    from streams.stages.replay import ReplayError, ReplayPlan

    reached = kept.reached()
    if reached is None:
        raise ReplayError("there is no replay to go on with: every one has ended; begin one with --from")
    release = version("callstream")
    if reached.plan.get("release") != release:
        raise ReplayError(
            f"the replay was begun by callstream {reached.plan.get('release')}, and this is {release}, which may judge "
            "otherwise: begin it again with --from"
        )
    return ReplayPlan.of_json(reached.plan)


def _run(
    settings: Settings,
    plan: "ReplayPlan",
    kept: "ReplayProgress",
    workers: int,
    give_way: Callable[[], None],
    rate: float,
) -> "ReplayReport":
    """From where it is to its end."""
    from streams.adapters.kafka.by_hand import publisher_by_hand
    from streams.adapters.object_store.from_settings import object_store_from
    from streams.adapters.register.register import Register
    from streams.runtime.processes import in_processes, in_this_process
    from streams.stages.replay import Change, Replay, ReplayReport, Unjudged, Unreadable, step_aside
    from streams.wiring import require_register, require_sealed_transcripts, transcript_store_from

    store = object_store_from(settings)
    store.check()
    require_register(Register.of(settings))
    transcripts = transcript_store_from(settings, store)
    require_sealed_transcripts(transcripts)
    reached = kept.reached()
    assert reached is not None, "it was begun"  # noqa: S101
    report = ReplayReport.of_counts(
        reached.counts,
        (Change(*one) for one in reached.changes),  # type: ignore[arg-type] # written as such
        (Unreadable(*one) for one in reached.unreadable),
        (Unjudged(*one) for one in reached.unjudged),
    )
    step_aside()
    build = BatchJudgeBuilder(settings, plan.packs, alerts=plan.alerts)
    with ExitStack() as stack:
        judged = stack.enter_context(in_this_process(build) if workers == 1 else in_processes(build, workers))
        publisher = None
        if not plan.dry_run:
            publisher = publisher_by_hand(settings, again="go on with callstream replay --resume")
            stack.callback(publisher.close)
        work = Replay(transcripts, judged, publisher, give_way, rate)
        return work.run(plan.window, kept, report, reached.last_key, _progress)


@dataclass(frozen=True)
class BatchJudgeBuilder:
    """What each process of a replay makes before it judges."""

    settings: Settings
    packs: tuple[RulePack, ...]
    alerts: bool

    def __call__(self) -> "BatchJudge":
        """Raises `OperatorError`."""
        from processors.judging.pipeline import Judge
        from processors.rules.rulebook import Rulebooks
        from processors.text.phonetic import Sounds
        from streams.adapters.clickhouse.connection import connect
        from streams.adapters.clickhouse.history import ClickHouseHistory
        from streams.adapters.clickhouse.risks import StoredRisks
        from streams.adapters.object_store.from_settings import object_store_from
        from streams.analysis import judge_settings
        from streams.ports import SystemClock
        from streams.runtime.stage import no_side_outputs
        from streams.stages.judge import alert_outputs
        from streams.stages.replay import BatchJudge
        from streams.wiring import buried_calls, transcript_store_from

        settings = self.settings
        rulebooks = Rulebooks(self.packs, Sounds(settings.merged_sounds), settings.days)
        judge = Judge(judge_settings(settings), rulebooks=rulebooks)
        return BatchJudge(
            transcript_store_from(settings, object_store_from(settings)),
            judge,
            StoredRisks(connect(settings.clickhouse_url.get_secret_value())),
            SystemClock(),
            ClickHouseHistory.of(settings),
            (lambda analysis: alert_outputs(analysis, judge.category_names(analysis), settings.alert_min_severity))
            if self.alerts
            else no_side_outputs,
            buried_calls(settings),
        )


def packs_of(settings: Settings, names: list[str]) -> tuple[RulePack, ...]:
    """The rules in force, with those that are named in their place. Raises `RulePackError`, `ReplayError`."""
    from processors.text.phonetic import Sounds
    from streams.adapters.kafka.client import TopicReader
    from streams.runtime.rule_signatures import read_public_keys
    from streams.runtime.rules_feed import check_rulebooks, decode_published, rules_in_force
    from streams.stages.replay import choose_packs

    keys = read_public_keys(settings.rules_public_keys)
    reader = TopicReader(settings, RULES_PUBLISHED.name)
    try:
        registry = rules_in_force(settings, decode_published(reader.read_to_end(), keys)).registry
    finally:
        reader.close()
    chosen = choose_packs(names, registry)
    packs = registry.in_force(chosen)
    check_rulebooks(packs, Sounds(settings.merged_sounds), chosen, settings.days)
    return packs


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
        sys.stderr.write(f"\r{report.transcripts} transcripts read, {report.judged} judged, {report.changed} changed ")


def _print(report: "ReplayReport", dry_run: bool, as_json: bool) -> None:
    if as_json:
        shown = {
            "dry_run": dry_run,
            "transcripts": report.transcripts,
            "unreadable": report.unreadable,
            "unreadable_objects": [asdict(one) for one in report.named_unreadable],
            "unjudged": report.unjudged,
            "unjudged_calls": [asdict(one) for one in report.named_unjudged],
            "judged": report.judged,
            "changed": report.changed,
            "moves": dict(report.moves),
            "changes": [asdict(change) for change in report.gravest()],
            "findings": dict(report.findings.most_common()),
        }
        print_json(shown)
        return
    change = "would change" if dry_run else "changes"
    typer.echo(
        f"\n{report.transcripts} transcripts read, {report.judged} calls judged again; "
        f"the risk of {report.changed} {change}"
    )
    for move, calls in report.moves.most_common():
        typer.echo(f"  {move}: {calls}")
    for named in report.gravest()[:NAMED_CHANGES]:
        typer.echo(f"  {named.tenant_id}/{named.call_id}: {named.before} → {named.after}")
    if len(report.changes) > NAMED_CHANGES:
        typer.echo(f"  and {len(report.changes) - NAMED_CHANGES} more; --json lists them all")
    _print_left_out(
        f"{report.unreadable} objects among the transcripts could not be read:",
        report.unreadable,
        [f"{one.key}: {one.reason}" for one in report.named_unreadable],
    )
    _print_left_out(
        f"{report.unjudged} calls could not be judged again and stay as they are:",
        report.unjudged,
        [f"{one.tenant_id}/{one.call_id}: {one.reason}" for one in report.named_unjudged],
    )


def _print_left_out(title: str, count: int, named: Sequence[str]) -> None:
    """Nothing where there are none."""
    if not count:
        return
    typer.echo(title)
    for one in named[:NAMED_CHANGES]:
        typer.echo(f"  {one}")
    if count > NAMED_CHANGES:
        typer.echo(f"  and {count - NAMED_CHANGES} more; --json lists them")
