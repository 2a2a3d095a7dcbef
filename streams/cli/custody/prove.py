"""`callstream custody prove`: a running stack is given secrets, and then searched for them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from streams.cli.command_settings import command_settings
from streams.cli.console.access import PermittedCommand, account, require_permission
from streams.cli.console.exit_codes import EXIT_PROBLEM
from streams.cli.console.options import JsonOption
from streams.cli.console.output import console, print_json
from streams.cli.console.served import http_of_serve, url_of_serve
from streams.settings import Settings, variable_of

if TYPE_CHECKING:
    from streams.adapters.register.register import Register
    from streams.ports import ObjectStore, PublisherPort
    from streams.proof.actions import ActionsProof
    from streams.proof.custody import CustodyProof, Entrance
    from streams.proof.erasing import ErasureOfCustomers, ErasureOnStack
    from streams.proof.exports import ExportProof

NAMED = 20
EXPORT_SEQUENCES = 10_000
"""Of random actions on exports, in memory: some ten seconds."""
ACTION_SEQUENCES = 200
"""Of random plays, holds and deletions, on a register and a folder of their own: some ten seconds."""
FLOORS_ARE_OVER = timedelta(days=36_525)
"""So far ahead is the clock by which it is asked how long the law keeps calls of the proof; nothing else goes by it."""


def prove(
    calls: Annotated[int, typer.Option(min=2, max=100_000, help="Number of calls that carry secrets.")] = 1_000,
    recordings: Annotated[
        float, typer.Option(min=0, max=1, help="Share of them with a recording; the others are transcripts.")
    ] = 0.5,
    within: Annotated[float, typer.Option(min=1, help="Seconds that the stack has to hear and judge them.")] = 3_600,
    erases: Annotated[
        bool, typer.Option("--erase/--no-erase", help="Erase customers afterwards, which needs a backup of everything.")
    ] = True,
    customers: Annotated[
        int, typer.Option(min=1, max=1_000, help="Customers that are erased, with their calls: a minute each.")
    ] = 3,
    url: Annotated[str, typer.Option(help="Where `serve` listens; by default where the settings say.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Prove on a running stack that nothing unmasked lies in clear, and that what is erased is gone.

    Calls of the tenant custody-proof, with numbers and sounds that nobody else has, are taken in, heard, judged, and
    judged again, while every key is wrapped anew. Then all that the stack has written is searched for them: every file,
    byte by byte, and topics, tables and register unpacked. Sealed objects are tampered with: none may open. And audit
    logs are: each change must be found. And people at random ask for exports, approve and download them: none may leave
    that nobody else approved. And they listen, hold, release, purge and erase while years pass, with a register and a
    folder of their own: nothing may be heard across tenants, and nothing may go that is held.

    At last some of the customers are erased. Before, and after that, after a replay, after everything of their calls
    was sent again, and after a backup from before was given back beside the stack, all files, tables and the register
    are searched for what was theirs alone. The backup is one of the whole installation: --no-erase leaves all of this
    out.

    The rows of the calls stay. Ends with 1 if anything is found. Run it where the stack runs: it reads the files of its
    data folder.
    """
    from streams.adapters.clickhouse.connection import connect
    from streams.adapters.kafka.by_hand import publisher_by_hand
    from streams.adapters.key_wrappers.from_settings import key_wrapper_from
    from streams.adapters.object_store.from_settings import whole_store_from
    from streams.adapters.register.keys import RegisterKeys
    from streams.adapters.register.register import Register
    from streams.adapters.register.rotation import Rotation
    from streams.demo.examples import example_recordings
    from streams.ports import SystemClock
    from streams.proof.actions import prove_actions
    from streams.proof.custody import ProofOfCustody, WholeRotation
    from streams.proof.entrance import HttpEntrance
    from streams.proof.exports import prove_exports
    from streams.proof.secrets import TENANT, ProofCalls
    from streams.wiring import received_store_from, require_register

    settings = command_settings()
    if erases:  # who may not do it is told so before anything is taken in
        require_permission(settings, "administer", None, entered_as="backup_created")
    by = require_permission(settings, "delete", TENANT, entered_as="erased") if erases else None
    register = Register.of(settings)
    require_register(register)
    store, now = whole_store_from(settings), SystemClock().now()
    store.check()
    connect(settings.clickhouse_url.get_secret_value()).close()
    speech = [file.read_bytes() for file in example_recordings()[:6]]
    recorded = round(calls * recordings)
    # Of one customer at least nothing is erased, where there are two: it has to be found afterwards.
    erased_customers = min(customers, max(max(recorded, calls - recorded) - 1, 1)) if erases else 0
    secret_calls = ProofCalls(
        now.isoformat(),
        now,
        speech,
        lambda number: settings.customer_keys.fields(TENANT, number, keep_last_digits=False),
        erased_customers,
    )
    publisher = publisher_by_hand(settings)
    try:
        with _api_key(register, now, within) as api_key:
            entrance = HttpEntrance(
                url or url_of_serve(settings),
                api_key,
                http_of_serve(settings, now),
                received_store_from(settings, store),
                publisher,
            )
            entrance.require_answer()
            proof = ProofOfCustody(
                settings,
                register,
                store,
                RegisterKeys(register, key_wrapper_from(settings), SystemClock()),
                entrance,
                WholeRotation(Rotation(register, key_wrapper_from(settings), SystemClock(), account())),
                lambda since: _replay(settings, since),
                _say,
                within,
            ).run(secret_calls, calls, recorded)
            erasure = None
            if by is not None and proof.holds:
                erasing = _erasing(settings, register, store, entrance, publisher, by, within)
                erasure = erasing.run(secret_calls, proof.replayed)
        typer.echo("asking for exports, approving and downloading them at random", err=True)
        exports = prove_exports(EXPORT_SEQUENCES, now.toordinal())
        typer.echo("listening, holding, releasing and destroying at random", err=True)
        actions = prove_actions(ACTION_SEQUENCES, now.toordinal(), houses=5)
    finally:
        publisher.close()
        register.close()
    holds = proof.holds and exports.holds and actions.holds and (by is None or (erasure is not None and erasure.holds))
    if as_json:
        print_json(_as_json(proof, exports, actions, erasure, holds=holds))
    else:
        _print(proof, exports, actions, erasure)
        typer.echo("custody holds" if holds else "custody does NOT hold")
    raise typer.Exit(0 if holds else EXIT_PROBLEM)


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)


def _erasing(
    settings: Settings,
    register: "Register",
    store: "ObjectStore",
    entrance: "Entrance",
    publisher: "PublisherPort",
    by: PermittedCommand,
    within_s: float,
) -> "ErasureOfCustomers":
    from streams.adapters.register.retentions import RegisterRetentions
    from streams.backup.systems import ByWhom
    from streams.ports import SystemClock
    from streams.proof.backup_drill import BackupDrill
    from streams.proof.erasing import AheadClock, ErasureOfCustomers
    from streams.purging import eraser_from, keeps_calls

    clock, actor = SystemClock(), by.actor.actor_id
    floors = RegisterRetentions(register, AheadClock(clock, FLOORS_ARE_OVER))
    return ErasureOfCustomers(
        settings,
        register,
        store,
        entrance,
        publisher,
        eraser_from(settings, register, clock, replace(keeps_calls(register, clock), floors=floors)),
        BackupDrill.of(settings, register, clock, ByWhom(actor, by.role)),
        lambda since: _replay(settings, since),
        _say,
        actor,
        by.role,
        within_s,
    )


@contextmanager
def _api_key(register: "Register", now: datetime, within_s: float) -> Iterator[str]:
    """One that lasts as long as the proof."""
    from streams.adapters.register.api_keys import RegisterApiKeys
    from streams.ports import SystemClock
    from streams.proof.secrets import TENANT

    keys = RegisterApiKeys(register, SystemClock())
    ends = now + timedelta(seconds=within_s, hours=1)
    fresh = keys.issue(TENANT, "proof of custody", ["recordings:write"], ends, actor=account())
    try:
        yield fresh.text
    finally:
        keys.revoke(fresh.key.key_id, actor=account())


def _replay(settings: Settings, since: datetime) -> int:
    """How many calls were judged again, by the command that anybody would use. Raises `EmbeddedStackError`."""
    from schemas.errors import EmbeddedStackError
    from streams.proof.secrets import TENANT

    options = ("--from", since.isoformat(), "--tenant", TENANT, "--json")
    done = subprocess.run(  # noqa: S603 - our own command
        (sys.executable, "-P", "-m", "streams.cli.main", "replay", *options),
        stdout=subprocess.PIPE,
        cwd=settings.data_dir.absolute(),
        env=os.environ | {variable_of("data_dir"): str(settings.data_dir.absolute())},
        check=False,
    )
    if done.returncode:
        raise EmbeddedStackError(f"callstream replay ended with {done.returncode}: see what it says above")
    return int(json.loads(done.stdout)["judged"])


def _print(
    proof: "CustodyProof", exports: "ExportProof", actions: "ActionsProof", erasure: "ErasureOnStack | None"
) -> None:
    out = console(soft_wrap=True)
    outcomes = ", ".join(f"{count} {name}" for name, count in sorted(proof.outcomes.items()))
    out.print(f"{proof.calls} calls with {proof.secrets} secrets, {proof.recordings} of them recordings: {outcomes}")
    out.print(f"{proof.rewrapped} day keys wrapped anew while they came in; {proof.replayed} calls judged again")
    table = Table("searched", "parts", "MB", "mark seen", "secrets in clear", box=None, header_style="")
    for one in proof.searched:
        found = proof.found(one)
        told = ", ".join(f"{count} × {name}" for name, count in sorted(found.items())) or "none"
        seen = "no: the search is blind" if one.place in proof.blind else "yes"
        table.add_row(one.place, str(one.parts), f"{one.size_bytes / 1e6:.1f}", seen, told)
    out.print(table)
    for one in proof.searched:
        for part, hits in one.where.most_common(NAMED):
            out.print(f"  {hits} hits in {part}")
        for part in one.unreadable[:NAMED]:
            out.print(f"  not searched: {part}")
    out.print(f"{proof.mutations.tried} changed objects tried: {len(proof.mutations.unnoticed)} opened")
    for kind in sorted(set(proof.mutations.unnoticed)):
        out.print(f"  not noticed: {kind}")
    noticed = proof.audit_mutations.tried - len(proof.audit_mutations.unnoticed)
    out.print(f"audit mutations found: {noticed} of {proof.audit_mutations.tried}")
    for kind in sorted(set(proof.audit_mutations.unnoticed)):
        out.print(f"  not noticed: {kind}")
    out.print(
        f"{exports.sequences} sequences of {exports.actions.total()} random actions on exports, with "
        f"{exports.downloads} downloads: unapproved exports {exports.unapproved}, approvals of one's own "
        f"{exports.self_approved}, across tenants {exports.across_tenants}, otherwise wrong {exports.otherwise_wrong}"
    )
    out.print(
        f"{actions.sequences} sequences of {actions.actions.total()} random actions, with {actions.plays} plays, "
        f"{actions.destroyed} calls destroyed and {actions.stopped} kept by a hold: plays across tenants "
        f"{actions.across_tenants}, deletions under hold {actions.under_hold}, "
        f"otherwise wrong {actions.otherwise_wrong}"
    )
    out.print("; ".join(f"{what}: {seconds:.0f} s" for what, seconds in proof.took_s.items()))
    if erasure is not None:
        _print_erasure(erasure)


def _print_erasure(erasure: "ErasureOnStack") -> None:
    out, proof = console(soft_wrap=True), erasure.proof
    out.print(
        f"{erasure.customers} customers with {erasure.calls} calls erased: {erasure.destroyed} calls destroyed, "
        f"{erasure.blocked} blocked; {erasure.judged_again} of {erasure.judged_before} calls judged again; "
        f"{erasure.delivered} records delivered again; {erasure.refused} of {erasure.uploads} uploads refused; "
        f"{erasure.left_out_objects} objects left out of what the backup gave back"
    )
    table = Table(
        "after", "files searched", "tables", "MB", "needles found", "s", "s to search", box=None, header_style=""
    )
    for step in proof.steps:
        found = f"{len(step.needles)} of {proof.total}"
        counts = (str(step.files), str(step.tables), f"{step.size_bytes / 1e6:.1f}", found)
        table.add_row(step.what, *counts, f"{step.took_s:.0f}", f"{step.search_s:.0f}")
    out.print(table)
    out.print("needles: " + ", ".join(f"{len(which)} × {name}" for name, which in proof.planted.items()))
    for name, count in proof.unseen.items():
        out.print(f"  not found before, so that it proves nothing: {count} × {name}")
    for step in proof.steps:
        for part in [] if step is proof.steps[0] else sorted(step.found)[:NAMED]:
            out.print(f"  {step.what}: {', '.join(sorted({name for name, _ in step.found[part]}))} in {part}")
        for part in step.unreadable[:NAMED]:
            out.print(f"  {step.what}: not searched: {part}")
        if step.what in proof.blind:
            out.print(f"  {step.what}: what has to be there was not found: the search is blind, or too much is gone")
    last = proof.steps[-1]
    for why in dict.fromkeys(each.why for each in last.exempt):
        out.print(f"may still be there, and {last.let_pass[why]} needles are: {why}")


def _erasure_as_json(erasure: "ErasureOnStack") -> dict[str, object]:
    proof = erasure.proof
    return {
        "customers": erasure.customers,
        "calls": erasure.calls,
        "destroyed": erasure.destroyed,
        "blocked": erasure.blocked,
        "judged_before": erasure.judged_before,
        "judged_again": erasure.judged_again,
        "delivered_again": erasure.delivered,
        "uploads": erasure.uploads,
        "refused": erasure.refused,
        "left_out_objects": erasure.left_out_objects,
        "needles": {name: len(which) for name, which in proof.planted.items()},
        "not_found_before": dict(proof.unseen),
        "blind": proof.blind,
        "steps": [
            {
                "after": step.what,
                "files": step.files,
                "tables": step.tables,
                "bytes": step.size_bytes,
                "found": len(step.needles),
                "where": {part: sorted({name for name, _ in needles}) for part, needles in step.found.items()},
                "let_pass": dict(step.let_pass),
                "not_searched": step.unreadable,
                "took_s": round(step.took_s, 1),
                "search_s": round(step.search_s, 1),
            }
            for step in proof.steps
        ],
    }


def _as_json(
    proof: "CustodyProof",
    exports: "ExportProof",
    actions: "ActionsProof",
    erasure: "ErasureOnStack | None",
    *,
    holds: bool,
) -> dict[str, object]:
    return {
        "holds": holds,
        "calls": proof.calls,
        "recordings": proof.recordings,
        "secrets": proof.secrets,
        "outcomes": dict(proof.outcomes),
        "day_keys_wrapped_anew": proof.rewrapped,
        "judged_again": proof.replayed,
        "searched": [
            {
                "place": one.place,
                "parts": one.parts,
                "bytes": one.size_bytes,
                "mark_seen": one.place not in proof.blind,
                "found": dict(proof.found(one)),
                "where": dict(one.where),
                "not_searched": one.unreadable,
            }
            for one in proof.searched
        ],
        "mutations": {"tried": proof.mutations.tried, "unnoticed": sorted(set(proof.mutations.unnoticed))},
        "audit_mutations": {
            "tried": proof.audit_mutations.tried,
            "unnoticed": sorted(set(proof.audit_mutations.unnoticed)),
        },
        "exports": {
            "sequences": exports.sequences,
            "actions": exports.actions.total(),
            "downloads": exports.downloads,
            "unapproved": exports.unapproved,
            "self_approved": exports.self_approved,
            "across_tenants": exports.across_tenants,
            "otherwise_wrong": exports.otherwise_wrong,
        },
        "actions": {
            "sequences": actions.sequences,
            "actions": actions.actions.total(),
            "plays": actions.plays,
            "destroyed": actions.destroyed,
            "kept_by_a_hold": actions.stopped,
            "killed": actions.killed,
            "across_tenants": actions.across_tenants,
            "under_hold": actions.under_hold,
            "otherwise_wrong": actions.otherwise_wrong,
        },
        "erasure": None if erasure is None else _erasure_as_json(erasure),
        "took_s": {what: round(seconds, 1) for what, seconds in proof.took_s.items()},
    }
