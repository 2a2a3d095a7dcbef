"""Audit logs, changed in every way that somebody with the register could change them: each must be found.

Some of the changes are made by somebody who holds the signing key, too, and signs what he made. Those are found by the
anchor alone: a checkpoint that was kept where he cannot write.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from processors.custody.audit_entry import AuditEntry
from processors.custody.audit_log import (
    PRUNED,
    SALT_BYTES,
    Checkpoint,
    LogLine,
    NamedNote,
    PersonalValue,
    VerifierKey,
    canonical,
    read_entry,
    signed_note,
    verify_log,
    written,
)
from processors.custody.merkle import leaf_hash, peaks_of
from streams.proof.mutations import MutationReport

ORIGIN = "callstream/proof"
ENTRIES = 32
_CHECKPOINTS = (7, 19, ENTRIES)
_BEGAN = datetime(2026, 5, 1, 8, tzinfo=UTC)
_ACTIONS = ("searched", "viewed_call", "listened", "export_requested", "hold_opened", "purged")


@dataclass(frozen=True)
class SampleLog:
    """A log as it lies in the register, with the key that signed it and the anchor that was kept elsewhere."""

    lines: tuple[LogLine, ...]
    notes: tuple[NamedNote, ...]
    anchor: NamedNote
    key: Ed25519PrivateKey

    @property
    def verifier(self) -> VerifierKey:
        """Who may have signed it."""
        return VerifierKey.of(ORIGIN, self.key)


def sample_log(chance: random.Random, entries: int = ENTRIES) -> SampleLog:
    """A log of entries of every kind, some with personal values, some of these erased."""
    key = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
    lines = tuple(_line(number, _entry(number, chance), chance) for number in range(entries))
    notes = tuple(_note(lines, size, key) for size in (*_CHECKPOINTS[:-1], entries))
    return SampleLog(lines, notes, replace(notes[-1], name="anchor"), key)


def try_audit_mutations(count: int, chance: random.Random) -> MutationReport:
    """So many changed logs. The log itself must verify, or `ValueError` says that it does not."""
    report = MutationReport()
    kinds = tuple(MUTATIONS)
    while report.tried < count:
        log = sample_log(chance)
        if not verify_log(log.lines, (*log.notes, log.anchor), (log.verifier,)).holds:
            raise ValueError("a log that nobody changed does not verify")
        for _ in range(min(100, count - report.tried)):
            kind = kinds[report.tried % len(kinds)]
            lines, notes = MUTATIONS[kind](log, chance)
            report.tried += 1
            if verify_log(lines, (*notes, log.anchor), (log.verifier,)).holds:
                report.unnoticed.append(kind)
    return report


Changed = tuple[Sequence[LogLine], Sequence[NamedNote]]
Mutation = Callable[[SampleLog, random.Random], Changed]


def _entry(number: int, chance: random.Random) -> AuditEntry:
    refused = chance.random() < 0.2
    personal = {"customer": f"{chance.getrandbits(64):016x}"} if chance.random() < 0.5 else {}
    return AuditEntry(
        at=_BEGAN + timedelta(seconds=number),
        actor=chance.choice(("li_na", "chen_jing", "uid-1000")),
        role=chance.choice(("inspector", "auditor", "admin")),
        action=chance.choice(_ACTIONS),
        tenant_id=chance.choice(("acme", "globex")),
        result="refused" if refused else "allowed",
        client="cli",
        call_id=f"c{chance.randrange(50)}" if chance.random() < 0.7 else None,
        purpose="complaint",
        refusal="other_team" if refused else None,
        details={"calls": chance.randrange(100), "filters": "phone,since"},
        personal=personal,
    )


def _line(index: int, entry: AuditEntry, chance: random.Random) -> LogLine:
    entry_id = f"{chance.getrandbits(128):032x}"
    new = written(entry, entry_id, lambda: chance.randbytes(SALT_BYTES))
    return LogLine(index, new.leaf, new.content, {} if chance.random() < 0.2 else new.personal)


def _note(lines: Sequence[LogLine], size: int, key: Ed25519PrivateKey) -> NamedNote:
    root = peaks_of([line.leaf for line in lines[:size]]).root
    at = _BEGAN + timedelta(seconds=size)
    return NamedNote(f"checkpoint {size}", signed_note(Checkpoint(ORIGIN, size, root, at).text, ORIGIN, key))


def _numbered(lines: Sequence[LogLine]) -> list[LogLine]:
    return [replace(line, index=index) for index, line in enumerate(lines)]


def _edited(line: LogLine, chance: random.Random, *, rehash: bool) -> LogLine:
    """With another value in one field; with `rehash` the leaf is made anew."""
    entry = read_entry(line.content or b"")
    told: dict[str, Any] = {
        "v": 1,
        "entry_id": entry.entry_id,
        "at": entry.entry.at.isoformat(timespec="microseconds"),
        **{name: getattr(entry.entry, name) for name in _FIELDS if getattr(entry.entry, name) is not None},
        "details": dict(entry.entry.details),
        "personal": dict(entry.digests),
    }
    name = chance.choice([*_FIELDS, "at", "entry_id", "details", "personal"])
    if name == "at":
        told["at"] = (entry.entry.at + timedelta(microseconds=chance.choice((-1, 1)))).isoformat(
            timespec="microseconds"
        )
    elif name in ("details", "personal"):
        told[name] = told[name] | {"more": "1"}
    elif name in told and name not in ("actor", "action", "tenant_id") and chance.random() < 0.5:
        del told[name]
    else:
        told[name] = f"{told.get(name, '')}x"
    content = canonical(told)
    return replace(line, content=content, leaf=leaf_hash(content) if rehash else line.leaf)


_FIELDS = (
    *("actor", "role", "action", "tenant_id", "result", "client"),
    *("call_id", "object_kind", "object_id", "purpose", "ticket", "refusal"),
)


def _edit(log: SampleLog, chance: random.Random) -> Changed:
    lines = list(log.lines)
    at = chance.randrange(len(lines))
    lines[at] = _edited(lines[at], chance, rehash=False)
    return lines, log.notes


def _edit_and_rehash(log: SampleLog, chance: random.Random) -> Changed:
    lines = list(log.lines)
    at = chance.randrange(len(lines))
    lines[at] = _edited(lines[at], chance, rehash=True)
    return lines, log.notes


def _edit_and_sign(log: SampleLog, chance: random.Random) -> Changed:
    lines, _ = _edit_and_rehash(log, chance)
    return lines, _signed_anew(lines, log)


def _signed_anew(lines: Sequence[LogLine], log: SampleLog) -> Sequence[NamedNote]:
    sizes = {min(size, len(lines)) for size in (*_CHECKPOINTS, len(lines))}
    return [_note(lines, size, log.key) for size in sorted(sizes)]


def _delete(log: SampleLog, chance: random.Random) -> Changed:
    lines = list(log.lines)
    del lines[chance.randrange(len(lines))]
    return lines, log.notes


def _delete_and_renumber(log: SampleLog, chance: random.Random) -> Changed:
    lines, notes = _delete(log, chance)
    return _numbered(lines), notes


def _delete_and_sign(log: SampleLog, chance: random.Random) -> Changed:
    lines, _ = _delete_and_renumber(log, chance)
    return lines, _signed_anew(lines, log)


def _delete_content(log: SampleLog, chance: random.Random) -> Changed:
    lines = list(log.lines)
    at = chance.randrange(len(lines))
    lines[at] = replace(lines[at], content=None, personal={})
    return lines, log.notes


def _delete_beginning(log: SampleLog, chance: random.Random) -> Changed:
    """As if it had been pruned."""
    end = chance.randrange(1, len(log.lines))
    gone = [replace(line, content=None, personal={}) for line in log.lines[:end]]
    return [*gone, *log.lines[end:]], log.notes


def _prune_by_forging(log: SampleLog, chance: random.Random) -> Changed:
    """With an entry that says that it was time, which is then signed as every other is."""
    end = chance.randrange(1, len(log.lines))
    at = _BEGAN + timedelta(seconds=len(log.lines)) + chance.choice((timedelta(0), timedelta(days=4_000)))
    before = at - timedelta(days=chance.randrange(365, 800))
    told = AuditEntry(
        at=at,
        actor="callstream",
        role="pipeline_writer",
        action=PRUNED,
        tenant_id="*",
        result="done",
        client="audit",
        details={"entries": end, "before": before.isoformat(timespec="microseconds")},
    )
    gone = [replace(line, content=None, personal={}) for line in log.lines[:end]]
    lines = [*gone, *log.lines[end:], _line(len(log.lines), told, chance)]
    return lines, (*log.notes, _note(lines, len(lines), log.key))


def _reorder(log: SampleLog, chance: random.Random) -> Changed:
    lines = list(log.lines)
    one, other = chance.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]
    return (lines if chance.random() < 0.5 else _numbered(lines)), log.notes


def _reorder_and_sign(log: SampleLog, chance: random.Random) -> Changed:
    lines = list(log.lines)
    one, other = chance.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]
    lines = _numbered(lines)
    return lines, _signed_anew(lines, log)


def _exchange_contents(log: SampleLog, chance: random.Random) -> Changed:
    lines = list(log.lines)
    one, other = chance.sample(range(len(lines)), 2)
    kept = lines[one]
    lines[one] = replace(kept, content=lines[other].content, personal=lines[other].personal)
    lines[other] = replace(lines[other], content=kept.content, personal=kept.personal)
    return lines, log.notes


def _insert(log: SampleLog, chance: random.Random) -> Changed:
    at = chance.randrange(len(log.lines))
    new = _line(at, _entry(at, chance), chance)
    return _numbered([*log.lines[:at], new, *log.lines[at:]]), log.notes


def _insert_and_sign(log: SampleLog, chance: random.Random) -> Changed:
    lines, _ = _insert(log, chance)
    return lines, _signed_anew(lines, log)


def _cut(log: SampleLog, chance: random.Random) -> Changed:
    """With the checkpoints of what is gone, as somebody does who wants it to look whole."""
    size = chance.randrange(len(log.lines))
    lines = log.lines[:size]
    return lines, [note for note, of in zip(log.notes, _CHECKPOINTS, strict=True) if of <= size]


def _cut_and_sign(log: SampleLog, chance: random.Random) -> Changed:
    lines, _ = _cut(log, chance)
    return lines, _signed_anew(lines, log)


def _fork(log: SampleLog, chance: random.Random) -> Changed:
    """From some place on, another log, as long or longer, well signed."""
    at = chance.randrange(len(log.lines))
    length = len(log.lines) + chance.randrange(20)
    lines = [*log.lines[:at], *(_line(index, _entry(index, chance), chance) for index in range(at, length))]
    return lines, _signed_anew(lines, log)


def _other_key(log: SampleLog, chance: random.Random) -> Changed:
    """A checkpoint that somebody else has signed."""
    notes = list(log.notes)
    at = chance.randrange(len(notes))
    stranger = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
    notes[at] = replace(notes[at], note=_note(log.lines, _CHECKPOINTS[at], stranger).note)
    return log.lines, notes


def _other_root(log: SampleLog, chance: random.Random) -> Changed:
    """A checkpoint over something else, well signed."""
    notes = list(log.notes)
    at = chance.randrange(len(notes))
    checkpoint = Checkpoint(ORIGIN, _CHECKPOINTS[at], chance.randbytes(32))
    notes[at] = replace(notes[at], note=signed_note(checkpoint.text, ORIGIN, log.key))
    return log.lines, notes


def _flipped_note(log: SampleLog, chance: random.Random) -> Changed:
    """One character of a checkpoint is another."""
    notes = list(log.notes)
    at = chance.randrange(len(notes))
    note = notes[at].note
    # The last character of the base64 of a signature says less than six bits: exchanged, it may mean the same.
    place = chance.randrange(len(note) - 4)
    other = chance.choice([each for each in "ABab01+/\n " if each != note[place]])
    notes[at] = replace(notes[at], note=note[:place] + other + note[place + 1 :])
    return log.lines, notes


def _personal(log: SampleLog, chance: random.Random) -> Changed:
    """A personal value, its salt, or one more of it."""
    lines = list(log.lines)
    at = chance.randrange(len(lines))
    kept = dict(lines[at].personal)
    if kept:
        value = kept["customer"]
        kept["customer"] = chance.choice(
            (PersonalValue(value.salt, value.value + "0"), PersonalValue(chance.randbytes(SALT_BYTES), value.value))
        )
    else:
        kept["address"] = PersonalValue(chance.randbytes(SALT_BYTES), "192.0.2.1")
    lines[at] = replace(lines[at], personal=kept)
    return lines, log.notes


MUTATIONS: Mapping[str, Mutation] = {
    "edited": _edit,
    "edited, its leaf made anew": _edit_and_rehash,
    "edited, and signed anew": _edit_and_sign,
    "deleted": _delete,
    "deleted, the others renumbered": _delete_and_renumber,
    "deleted, and signed anew": _delete_and_sign,
    "deleted, its leaf left": _delete_content,
    "beginning deleted as if pruned": _delete_beginning,
    "beginning deleted after a forged entry, which was signed": _prune_by_forging,
    "reordered": _reorder,
    "reordered, and signed anew": _reorder_and_sign,
    "contents exchanged": _exchange_contents,
    "inserted": _insert,
    "inserted, and signed anew": _insert_and_sign,
    "cut": _cut,
    "cut, and signed anew": _cut_and_sign,
    "forked, and signed": _fork,
    "checkpoint of another key": _other_key,
    "checkpoint of another root": _other_root,
    "checkpoint with another character": _flipped_note,
    "personal value changed": _personal,
}
"""What was done → how."""
