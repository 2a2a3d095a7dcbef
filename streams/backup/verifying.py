"""A backup is looked at: whether it is whole, unchanged, and opens."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from processors.custody.backups import (
    BackupError,
    Call,
    KeptRows,
    Manifest,
    ObjectLine,
    ObjectOfCall,
    RowSum,
    TablePart,
    object_of,
)
from processors.custody.ports import (
    PURPOSE_OF,
    KeyGoneError,
    KeyRefusedError,
    KeyWrapper,
    ObjectRole,
    SealBrokenError,
    SealedIdentity,
)
from processors.custody.sealed import is_sound, unseal
from streams.adapters.backup.backup_keys import BackupKeys
from streams.adapters.backup.target import BackupTarget, ChunkBrokenError, ChunkPool
from streams.backup.erasing import erased_calls
from streams.ports import ObjectMissingError

MOST_PROBLEMS = 100
_ROLES: dict[str, ObjectRole] = {"recordings": "recording", "transcripts": "transcript", "received": "received"}


@dataclass
class VerifiedBackup:
    """What was looked at, and what is wrong. Problems name parts, and ids of calls at most."""

    manifest: Manifest
    chain: tuple[str, ...] = ()
    """This backup and those before it that are there, the newest first."""
    rows: int = 0
    objects: int = 0
    digests: int = 0
    """Of objects, compared."""
    opened: int = 0
    problems: list[str] = field(default_factory=list)

    def tell(self, problem: str) -> None:
        """No more than some."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)


def verify_backup(
    target: BackupTarget,
    manifest: Manifest,
    *,
    full: bool = False,
    sample: int = 200,
    open_calls: int = 0,
    wrapper: KeyWrapper | None = None,
    chance: random.Random | None = None,
) -> VerifiedBackup:
    """Look at every chunk and every object of a backup: there, as long as it should be, and sealed as it should be.

    Of `sample` objects (of all with `full`) the SHA-256 is compared; so many calls are opened, for which the wrapper
    has the wrapping keys. Raises what the target raises where it does not answer.
    """
    chance = chance or random.Random()  # noqa: S311 - which ones are looked at is no secret
    found = VerifiedBackup(manifest)
    _look_at_chain(target, found)
    for name, table in manifest.register_tables.items():
        _look_at_table(target, f"register table {name}", table, found)
    for name, table in manifest.clickhouse_tables.items():
        _look_at_table(target, f"ClickHouse table {name}", table, found)
    _look_at_rows(target.chunks, "published rules", manifest.rules, found)
    _look_at_rows(target.chunks, "configuration", manifest.configuration, found)
    if _look_at_rows(target.chunks, "list of objects", manifest.objects, found):
        _look_at_objects(target, found, sample=None if full else sample, chance=chance)
    _look_at_keys(target, found)
    _look_at_holds(target, found)
    if open_calls and wrapper is not None:
        _open_calls(target, found, open_calls, wrapper, chance)
    return found


def _look_at_chain(target: BackupTarget, found: VerifiedBackup) -> None:
    """A backup is whole by itself; the ones before it, as far as they are kept, say where it comes from."""
    ids = set(target.backup_ids())
    chain, at = [found.manifest.backup_id], found.manifest.previous
    while at is not None and at in ids:
        if at in chain or at >= chain[-1]:
            found.tell(f"backup {chain[-1]} names {at} as the one before it, which is not older")
            break
        chain.append(at)
        try:
            at = target.manifest(at).previous
        except BackupError as error:
            found.tell(str(error))
            break
    found.chain = tuple(chain)


def _look_at_table(target: BackupTarget, what: str, table: TablePart, found: VerifiedBackup) -> None:
    for partition, rows in table.partitions.items():
        _look_at_rows(target.chunks, f"{what}, partition {partition}" if partition else what, rows, found)


def _look_at_rows(pool: ChunkPool, what: str, rows: KeptRows, found: VerifiedBackup) -> bool:
    """Whether all of it is there and right."""
    total = RowSum()
    try:
        for line in pool.lines(rows.chunks):
            total.add(line)
    except ChunkBrokenError as error:
        found.tell(f"{what}: {error}")
        return False
    found.rows += total.rows
    if (total.rows, total.checksum) != (rows.rows, rows.checksum):
        found.tell(f"{what}: {total.rows} rows with another sum than the manifest says ({rows.rows})")
        return False
    return True


def _look_at_objects(target: BackupTarget, found: VerifiedBackup, *, sample: int | None, chance: random.Random) -> None:
    erased = erased_calls(target)
    count = found.manifest.objects.rows
    chosen = None if sample is None or sample >= count else set(chance.sample(range(count), sample))
    for at, line in enumerate(_objects(target, found.manifest)):
        of = object_of(line.key)
        if of is not None and (of.tenant_id, of.call_id) in erased:
            continue
        found.objects += 1
        try:
            size = target.copy_size(line.copy_id)
            if size != line.size_bytes:
                found.tell(f"object {line.key}: {size} bytes, and not {line.size_bytes}")
                continue
            if of is not None and of.sealed and not _is_sound(target, line):
                found.tell(f"object {line.key}: it is not sealed as it should be")
                continue
            if chosen is None or at in chosen:
                found.digests += 1
                if target.digest_of(line.copy_id, line.size_bytes) != line.sha256:
                    found.tell(f"object {line.key}: it was changed")
        except ObjectMissingError:
            found.tell(f"object {line.key}: it is absent")


def _is_sound(target: BackupTarget, line: ObjectLine) -> bool:
    return is_sound(lambda start, length: target.read_copy(line.copy_id, start, length), line.size_bytes)


def _objects(target: BackupTarget, manifest: Manifest) -> Iterator[ObjectLine]:
    return map(ObjectLine.of, target.chunks.lines(manifest.objects.chunks))


def _look_at_keys(target: BackupTarget, found: VerifiedBackup) -> None:
    try:
        part = target.keys_part()
    except BackupError as error:
        found.tell(str(error))
        return
    if part is None:
        found.tell("the keys part is absent: nothing that is sealed can be opened")
        return
    for name, table in part.tables.items():
        for partition, rows in table.partitions.items():
            _look_at_rows(target.key_chunks, f"keys {name}, partition {partition}", rows, found)


def _look_at_holds(target: BackupTarget, found: VerifiedBackup) -> None:
    try:
        holds = target.holds()
    except BackupError as error:
        found.tell(str(error))
        return
    for name, table in ({} if holds is None else holds.tables).items():
        _look_at_table(target, f"holds since, table {name}", table, found)


def _open_calls(
    target: BackupTarget, found: VerifiedBackup, count: int, wrapper: KeyWrapper, chance: random.Random
) -> None:
    erased = erased_calls(target)
    opened = open_some(target, found.manifest, wrapper, count, chance, erased)
    for problem in opened.problems:
        found.tell(problem)
    found.opened = len(opened.calls)


@dataclass
class OpenedCalls:
    """The calls of which something was opened, and what did not open."""

    calls: set[Call] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


def open_some(
    target: BackupTarget,
    manifest: Manifest,
    wrapper: KeyWrapper,
    count: int,
    chance: random.Random,
    erased: frozenset[Call] = frozenset(),
) -> OpenedCalls:
    """Open recordings and transcripts of so many calls, whichever chance gives, wholly. Sorted by day, because keys are
    read so."""
    opened = OpenedCalls()
    part = target.keys_part()
    if part is None:
        opened.problems.append("the keys part is absent")
        return opened
    keys = BackupKeys(target, part, wrapper)
    for line, of in sorted(_chosen(target, manifest, count, chance, erased), key=lambda each: each[1].day):
        role = _ROLES[of.kind]
        identity = SealedIdentity(of.tenant_id, of.call_id, role, of.version)
        try:
            key = keys.get(of.tenant_id, of.call_id, date.fromisoformat(of.day), PURPOSE_OF[role])
            unseal(key, identity, b"".join(target.pieces_of_copy(line.copy_id, line.size_bytes)))
        except (KeyGoneError, KeyRefusedError) as error:
            opened.problems.append(f"object {line.key}: {error}")
        except SealBrokenError:
            opened.problems.append(f"object {line.key}: it does not open")
        except ObjectMissingError:
            opened.problems.append(f"object {line.key}: it is absent")
        else:
            opened.calls.add((of.tenant_id, of.call_id))
    return opened


def _chosen(
    target: BackupTarget, manifest: Manifest, count: int, chance: random.Random, erased: frozenset[Call]
) -> list[tuple[ObjectLine, ObjectOfCall]]:
    """Objects of so many calls that can be opened: chosen with equal chances, in one pass."""
    held: dict[Call, list[tuple[ObjectLine, ObjectOfCall]]] = {}
    ranks: dict[Call, float] = {}
    for line in _objects(target, manifest):
        of = object_of(line.key)
        if of is None or not of.sealed or of.kind not in _ROLES or (of.tenant_id, of.call_id) in erased:
            continue
        call = (of.tenant_id, of.call_id)
        if call not in ranks:
            ranks[call] = chance.random()
            if len(held) >= count:
                worst = max(held, key=lambda each: ranks[each])
                if ranks[worst] <= ranks[call]:
                    continue
                del held[worst]
            held[call] = []
        if call in held:
            held[call].append((line, of))
    return [each for some in held.values() for each in some]
