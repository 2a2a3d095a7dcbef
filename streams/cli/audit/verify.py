"""`callstream audit verify`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from processors.custody.audit_log import LogLine, LogProblem, NamedNote, Verified, VerifierKey, read_line, verify_log
from schemas.errors import InvalidMessageError
from streams.cli.audit.export import AuditFileError
from streams.cli.command_settings import command_settings
from streams.cli.console.audit import audit_log
from streams.cli.console.exit_codes import EXIT_PROBLEM
from streams.cli.console.options import JsonOption
from streams.cli.console.output import print_json

MOST_SHOWN = 50


def verify(
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="A signed checkpoint that was kept elsewhere, or a folder of such; can be repeated."),
    ] = None,
    log: Annotated[
        Path | None, typer.Option(help="A log that `audit export` wrote, instead of the register: needs nothing else.")
    ] = None,
    public_key: Annotated[
        list[str] | None,
        typer.Option(help="Line that `audit key` printed; can be repeated. By default the key of the settings."),
    ] = None,
    from_store: Annotated[
        bool, typer.Option("--store", help="Take the checkpoints in the object store of the settings, too.")
    ] = False,
    from_kafka: Annotated[
        bool, typer.Option("--kafka", help="Take the checkpoints in audit.checkpoints.v1 of the settings, too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Verify the audit log: that no entry was edited, removed, reordered or put in, and that nothing was cut off.

    Without --checkpoint only the checkpoints in the log itself are compared; then somebody who can write the register,
    and has the key that signs, could have cut or written anew all of it. With one that was kept elsewhere (bucket,
    Kafka, subscriber), every change of the entries before it is found. Ends with 1 where anything is found.
    """
    from streams.ports import SystemClock

    keys = _keys(public_key)
    anchors = [NamedNote(str(file), _text_of(file)) for file in _files(checkpoint or [])]
    if from_store:
        anchors += _in_store()
    if from_kafka:
        anchors += _in_kafka()
    if log is not None:
        exported = _Exported(log)
        found = verify_log(exported.lines(), [*exported.notes(), *anchors], keys, SystemClock().now())
        found.problems += exported.problems
    else:
        with audit_log(command_settings()) as entries:
            differing: list[int] = []
            notes = [NamedNote(f"checkpoint {each.size} of the register", each.note) for each in entries.checkpoints()]
            # Checkpoints first: what is signed meanwhile is over more than will be read.
            found = verify_log(
                entries.lines(columns_differ=differing.append), [*notes, *anchors], keys, SystemClock().now()
            )
            found.problems += [
                LogProblem("edited", f"entry {index}: its columns say something else than the entry")
                for index in differing
            ]
            if unlisted := entries.unlisted():
                found.problems.append(
                    LogProblem("unlisted", f"{unlisted} entries are in the register and not in the tree")
                )
            waiting = entries.waiting()
            if waiting:
                typer.echo(
                    f"{waiting} entries wait for their place in the tree: nothing vouches for them yet", err=True
                )
    _tell(found, len(anchors), as_json=as_json)
    raise typer.Exit(0 if found.holds else EXIT_PROBLEM)


def _in_store() -> list[NamedNote]:
    from streams.adapters.audit_anchors import PREFIX
    from streams.adapters.object_store.from_settings import object_store_from

    store = object_store_from(command_settings())
    return [NamedNote(entry.key, store.read(entry.key).decode(errors="replace")) for entry in store.entries(PREFIX)]


def _in_kafka() -> list[NamedNote]:
    from schemas.messages.topics import AUDIT_CHECKPOINTS
    from streams.adapters.kafka.client import TopicReader

    reader = TopicReader(command_settings(), AUDIT_CHECKPOINTS.name)
    found = []
    try:
        while not reader.is_at_end:
            for record in reader.read(1_000, 1):
                name = f"message {record.offset} of {AUDIT_CHECKPOINTS.name}"
                try:
                    found.append(NamedNote(name, AUDIT_CHECKPOINTS.read(record).note))
                except InvalidMessageError:
                    found.append(NamedNote(name, ""))  # which nobody has signed
    finally:
        reader.close()
    return found


def _tell(found: Verified, anchors: int, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "holds": found.holds,
                "entries": found.size,
                "root": found.root.hex(),
                "covered": found.covered,
                "checkpoints": found.checkpoints,
                "anchors": anchors,
                "pruned": found.pruned,
                "backups_restored": found.restored,
                "personal_values_erased": found.erased,
                "problems": [{"kind": each.kind, "says": each.says} for each in found.problems],
            }
        )
        return
    for problem in found.problems[:MOST_SHOWN]:
        typer.echo(f"{problem.kind}: {problem.says}")
    if len(found.problems) > MOST_SHOWN:
        typer.echo(f"… and {len(found.problems) - MOST_SHOWN} more")
    typer.echo(
        f"{found.size} entries, the first {found.covered} of them under {found.checkpoints} checkpoints; "
        f"{found.pruned} pruned, {found.erased} personal values erased"
    )
    if not anchors:
        typer.echo("no checkpoint from elsewhere was given: a log that was cut or written anew would not be noticed")
    typer.echo("the log holds" if found.holds else "the log does NOT hold")


def _keys(given: list[str] | None) -> list[VerifierKey]:
    """Raises `AuditFileError`, and `AuditKeyError` where none is given and there is none here."""
    from streams.runtime.audit_key import read_audit_key

    if not given:
        return [read_audit_key(command_settings()).verifier]
    try:
        return [VerifierKey.parse(text) for text in given]
    except InvalidMessageError as error:
        raise AuditFileError(f"--public-key: {error}") from None


def _files(given: list[Path]) -> list[Path]:
    """The files, and those in the folders."""
    found: list[Path] = []
    for path in given:
        found += sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    return found


def _text_of(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise AuditFileError(f"{file} cannot be read: {type(error).__name__}") from None


class _Exported:
    """A log that was exported, read line by line, as often as it is needed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.problems: list[LogProblem] = []

    def lines(self) -> Iterator[LogLine]:
        """The places of the log. What is no line of one is a problem."""
        for number, line in self._all():
            if isinstance(line, InvalidMessageError):
                self.problems.append(LogProblem("unread", f"line {number}: {line}"))
            elif not isinstance(line, str):
                yield line

    def notes(self) -> list[NamedNote]:
        """The checkpoints that it brings with it."""
        return [
            NamedNote(f"checkpoint in line {number}", line) for number, line in self._all() if isinstance(line, str)
        ]

    def _all(self) -> Iterator[tuple[int, LogLine | str | InvalidMessageError]]:
        try:
            with self._file.open(encoding="utf-8") as stream:
                for number, text in enumerate(stream, 1):
                    try:
                        yield number, read_line(text)
                    except InvalidMessageError as error:
                        yield number, error
        except (OSError, UnicodeDecodeError) as error:
            raise AuditFileError(f"{self._file} cannot be read: {type(error).__name__}") from None
