"""`callstream backup restore`."""

from contextlib import ExitStack, closing
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import OperatorError, RetryableError
from streams.cli.backup.options import BackupOption, BackupsFromOption, megabytes
from streams.cli.command_settings import command_settings
from streams.cli.console.access import require_permission
from streams.cli.console.output import end_with_problems
from streams.settings import Settings

if TYPE_CHECKING:
    from processors.custody.backups import Call, Manifest
    from streams.adapters.backup.target import BackupTarget
    from streams.adapters.register.register import Register
    from streams.backup.holding import KnownHolds
    from streams.ports import PublisherPort


def restore(
    source: BackupsFromOption = None,
    backup: BackupOption = None,
    into: Annotated[
        Path | None,
        typer.Option(
            help="A folder for register and objects, as a data folder has them; the register of the settings is then "
            "asked what was erased and held since. Without it, the register and the bucket of the settings are filled."
        ),
    ] = None,
    tombstones: Annotated[
        Path | None, typer.Option(help="A file of what was erased and held since (`callstream backup tombstones`).")
    ] = None,
    publish_rules: Annotated[
        bool, typer.Option("--publish-rules", help="Publish the rules again, where Kafka has none.")
    ] = False,
) -> None:
    """Give a backup back into an empty register, an empty database of ClickHouse and an empty bucket.

    Every row is compared with what the backup held, and a recording and a transcript of each tenant are opened. Calls
    that were erased since the backup stay erased, and holds stand as they do now. Nothing else may use these systems
    meanwhile; what was broken off is begun again in empty ones.
    """
    from streams.adapters.kafka.by_hand import publisher_by_hand
    from streams.adapters.key_wrappers.from_settings import key_wrapper_from
    from streams.adapters.register.audit_log import RegisterAuditLog
    from streams.adapters.register.keys import RegisterKeys
    from streams.backup.from_settings import clickhouse_target_from, systems_from, systems_in, target_from
    from streams.backup.restoring import restore_backup
    from streams.backup.systems import ByWhom
    from streams.ports import SystemClock

    settings = command_settings()
    who = require_permission(settings, "administer", None, entered_as="backup_restored")
    target = target_from(settings, source)
    manifest = target.backup_or_newest(backup)
    erased, cases = _since(settings, target, tombstones, asks_register=into is not None)
    clock, release = SystemClock(), version("callstream")
    systems = systems_from(settings, clock, release) if into is None else systems_in(into, settings, clock, release)
    with ExitStack() as stack:
        stack.callback(systems.register.close)
        publisher = None
        if publish_rules:  # asked before anything is given back, which cannot be done twice
            publisher = publisher_by_hand(settings, again="publish them with callstream rules publish")
            stack.callback(publisher.close)
        beside = None if into is None else _living_register(settings, stack)
        log = RegisterAuditLog(systems.register, clock)
        restored = restore_backup(
            target,
            manifest,
            systems,
            clickhouse_target_from(settings),
            RegisterKeys(systems.register, key_wrapper_from(settings), clock),
            more_erased=erased,
            more_holds=cases,
            audit=log,
            audit_beside=None if beside is None else RegisterAuditLog(beside, clock),
            by=ByWhom(who.actor.actor_id, who.role),
            tell=lambda sentence: typer.echo(sentence, err=True),
        )
        while log.sequence():  # at once, so that `audit verify` names it before the worker `audit` runs
            pass
        folder = (into or settings.data_dir) / "restored-configuration"
        files = _write_configuration(target, manifest, folder)
        if publisher is not None:
            try:
                _publish_rules(settings, target, manifest, publisher)
            except (OperatorError, RetryableError) as error:
                restored.problems.append(f"the rules are not published (callstream rules publish does it): {error}")
    typer.echo(
        f"{manifest.backup_id} is given back, and every row is as it was: {restored.register_rows} rows of the "
        f"register, {restored.keys} of keys, {restored.clickhouse_rows} of ClickHouse, {restored.objects} objects "
        f"({megabytes(restored.object_bytes)})"
    )
    if restored.left_out_objects:
        typer.echo(f"{restored.left_out_objects} objects of erased calls were left out")
    if restored.cases:
        typer.echo(f"{restored.cases} cases of holds that have changed since stand as they do now")
    for tenant, count in sorted(restored.played.items()):
        typer.echo(f"{tenant}: {count} objects opened")
    if files:
        typer.echo(f"{files} files of configuration are in {folder}: compare them, and put them where settings say")
    typer.echo(f"now: callstream backup reset-groups --backup {manifest.backup_id}, then start the workers")
    if restored.problems:
        end_with_problems(restored.problems)


def _since(
    settings: Settings, target: "BackupTarget", file: Path | None, *, asks_register: bool
) -> "tuple[frozenset[Call], KnownHolds]":
    """Calls that were erased since, and how cases of holds stand, as far as anybody but the target knows."""
    from processors.custody.backups import ErasedFile
    from streams.adapters.register.register import Register
    from streams.backup.erasing import destroyed_calls
    from streams.backup.holding import KnownHolds, holds_of_file, holds_of_register

    found: set[Call] = set()
    cases = KnownHolds()
    if file is not None:
        kept = target.opened(file.read_bytes(), ErasedFile, str(file))
        found |= set(kept.calls)
        cases.add(holds_of_file(kept.holds))
    if asks_register:
        register = Register.of(settings)
        if register.file is None or register.file.exists():
            try:
                with closing(register):
                    found |= destroyed_calls(register)
                    cases.add(holds_of_register(register))
            except (OperatorError, RetryableError) as error:
                typer.echo(f"not asked what was erased and held since: {error}", err=True)
    return frozenset(found), cases


def _living_register(settings: Settings, stack: ExitStack) -> "Register | None":
    """That of the installation which the settings name, where there is one."""
    from streams.adapters.register.register import Register

    register = Register.of(settings)
    stack.callback(register.close)
    if register.file is not None and not register.file.exists():
        return None
    try:
        register.check()
    except (OperatorError, RetryableError) as error:
        typer.echo(f"not entered in the audit log of this installation: {error}", err=True)
        return None
    return register


def _write_configuration(target: "BackupTarget", manifest: "Manifest", folder: Path) -> int:
    from streams.backup.restoring import configuration_of

    count = 0
    for file in configuration_of(target, manifest):
        place = (folder / file.setting / file.path).resolve()
        if not place.is_relative_to(folder.resolve()):
            continue
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.write_bytes(file.content)
        count += 1
    return count


def _publish_rules(
    settings: Settings, target: "BackupTarget", manifest: "Manifest", publisher: "PublisherPort"
) -> None:
    from schemas.messages.records import ProducerRecord
    from schemas.messages.topics import RULES_PUBLISHED
    from streams.adapters.kafka.client import TopicReader
    from streams.backup.restoring import rules_of

    reader = TopicReader(settings, RULES_PUBLISHED.name)
    try:
        if not reader.is_at_end:
            typer.echo("Kafka has published rules: none were published again")
            return
    finally:
        reader.close()
    records = [
        ProducerRecord(RULES_PUBLISHED.name, each.key or b"", each.value)
        for each in rules_of(target, manifest)
        if each.value is not None
    ]
    publisher.publish(records)
    typer.echo(f"{len(records)} packs of rules published again")
