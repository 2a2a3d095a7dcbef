"""What of an entry is hashed, what is signed of a log, and whether a log is what was signed (R92). Pure.

The leaf of an entry is its canonical JSON (RFC 8785), in which each personal value is a digest, salted by itself: HMAC
of SHA-256 under 32 random bytes. Value and salt lie elsewhere. Once both are gone, nothing leads from the digest back
to the value, and the leaf is what it was.

What is signed is a checkpoint: how many leaves, and the root of their tree (C2SP tlog-checkpoint, a signed note of
Ed25519). Whoever holds a checkpoint from outside finds every change of the entries before it, and that the log was cut
below it. Entries behind the last such anchor, nothing but the register vouches for.
"""

import base64
import hmac
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from processors.custody.audit_entry import AuditEntry
from processors.custody.merkle import EMPTY_ROOT, HASH_BYTES, TreePeaks, leaf_hash, peaks_of
from schemas.errors import InvalidMessageError

SALT_BYTES = 32
LEAST_KEPT = timedelta(days=365)
"""So long an entry stays at least (R92)."""

PRUNED = "log_pruned"
"""The action of the entry that says up to which entry the log was pruned."""

RESTORED = "backup_restored"
"""The action of the entry that says that a backup was given back."""

MOST_CHARACTERS = 512
"""Of one value."""
MOST_DETAILS = 64
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MOST_WHOLE = 2**53 - 1
"""Beyond it, readers of JSON disagree about a number."""

_OPTIONAL = ("call_id", "object_kind", "object_id", "purpose", "ticket", "refusal")


@dataclass(frozen=True)
class PersonalValue:
    """What is of a person, and the salt of its digest. Both are erased together."""

    salt: bytes
    value: str


@dataclass(frozen=True)
class WrittenEntry:
    """An entry as it is kept: what is hashed, and apart from it what may be erased."""

    entry_id: str
    content: bytes
    personal: Mapping[str, PersonalValue]

    @property
    def leaf(self) -> bytes:
        """The hash of its leaf."""
        return leaf_hash(self.content)


@dataclass(frozen=True)
class ReadEntry:
    """An entry as it is read. `entry.personal` is empty; `digests` has names and digests of what was of a person."""

    entry_id: str
    entry: AuditEntry
    digests: Mapping[str, str]


def canonical(content: Mapping[str, Any]) -> bytes:
    """JSON after RFC 8785, for strings, whole numbers and objects with names of ASCII. Raises `InvalidMessageError`."""
    try:
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (UnicodeEncodeError, ValueError, TypeError):
        raise InvalidMessageError(["an entry of the audit log holds what is no text"]) from None


def written(entry: AuditEntry, entry_id: str, new_salt: Callable[[], bytes]) -> WrittenEntry:
    """The entry as it is kept, each personal value under a salt of its own.

    Raises `InvalidMessageError` for values that no entry may have; it names the field and not the value.
    """
    if entry.at.tzinfo is None:
        raise InvalidMessageError(["at: a time without zone is no point in time"])
    personal = {name: PersonalValue(new_salt(), value) for name, value in entry.personal.items()}
    content: dict[str, Any] = {
        "v": 1,
        "entry_id": entry_id,
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": entry.actor,
        "role": entry.role,
        "action": entry.action,
        "tenant_id": entry.tenant_id,
        "result": entry.result,
        "client": entry.client,
        "details": dict(entry.details),
        "personal": {name: digest_of(name, each) for name, each in personal.items()},
    }
    content |= {name: value for name in _OPTIONAL if (value := getattr(entry, name)) is not None}
    problems = [*_problems_of(content), *_problems_of_personal(entry.personal)]
    if problems:
        raise InvalidMessageError(problems)
    return WrittenEntry(entry_id, canonical(content), personal)


def _problems_of(content: Mapping[str, Any]) -> Iterator[str]:
    for name, value in content.items():
        if isinstance(value, str) and len(value) > MOST_CHARACTERS:
            yield f"{name}: more than {MOST_CHARACTERS} characters"
    details = content["details"]
    if len(details) > MOST_DETAILS:
        yield f"details: more than {MOST_DETAILS}"
    for name, value in details.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            yield "details: a name is made of a to z, 0 to 9 and _"
        elif isinstance(value, bool) or not isinstance(value, str | int):
            yield f"details.{name}: neither text nor a whole number"
        elif isinstance(value, str) and len(value) > MOST_CHARACTERS:
            yield f"details.{name}: more than {MOST_CHARACTERS} characters"
        elif isinstance(value, int) and abs(value) > _MOST_WHOLE:
            yield f"details.{name}: more than 2^53"


def _problems_of_personal(personal: Mapping[str, str]) -> Iterator[str]:
    for name, value in personal.items():
        if not _NAME.fullmatch(name):
            yield "personal: a name is made of a to z, 0 to 9 and _"
        elif not isinstance(value, str) or len(value) > MOST_CHARACTERS:
            yield f"personal.{name}: no text of at most {MOST_CHARACTERS} characters"
        elif not _is_unicode(value):
            yield f"personal.{name}: it holds what is no text"


def _is_unicode(value: str) -> bool:
    """Halves of characters are not: no register takes them."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def digest_of(name: str, personal: PersonalValue) -> str:
    """What stands in the leaf in place of a personal value, as hexadecimal digits."""
    content = f"{name}\n{personal.value}".encode(errors="surrogatepass")
    return hmac.new(personal.salt, content, sha256).hexdigest()


def read_entry(content: bytes) -> ReadEntry:
    """The entry of a leaf. Raises `InvalidMessageError` for bytes that are none."""
    try:
        told = json.loads(content, object_pairs_hook=_each_once)
        if told["v"] != 1 or canonical(told) != content:
            raise InvalidMessageError(["it is not written as entries of the audit log are"])
        entry = AuditEntry(
            at=datetime.fromisoformat(told["at"]),
            actor=str(told["actor"]),
            role=str(told["role"]),
            action=str(told["action"]),
            tenant_id=str(told["tenant_id"]),
            result=told["result"],
            client=str(told["client"]),
            details=dict(told["details"]),
            **{name: told.get(name) for name in _OPTIONAL},
        )
        return ReadEntry(str(told["entry_id"]), entry, dict(told["personal"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InvalidMessageError(["it is no entry of the audit log"]) from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


# Checkpoints ---------------------------------------------------------------------------------------------------------

_ED25519 = b"\x01"
_KEY_NAME = re.compile(r"[^\s+]{1,128}")
_DASH = "— "
_TIME = "time "
"""Begins the line of a checkpoint that says when it was signed."""


@dataclass(frozen=True)
class Checkpoint:
    """How many leaves a log has, the root of their tree, and when that was so."""

    origin: str
    size: int
    root: bytes
    at: datetime | None = None

    @property
    def text(self) -> str:
        """What is signed. The time is an extension line, which other tools pass over."""
        time = "" if self.at is None else f"{_TIME}{self.at.astimezone(UTC).isoformat(timespec='microseconds')}\n"
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n{time}"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Raises `InvalidMessageError`."""
        lines = text.split("\n")
        if len(lines) < 4 or not lines[0] or not re.fullmatch(r"0|[1-9][0-9]{0,17}", lines[1]):
            raise InvalidMessageError(["it is no checkpoint: origin, size and root, a line each"])
        try:
            root = base64.b64decode(lines[2], validate=True)
        except ValueError:
            root = b""
        if len(root) != HASH_BYTES:
            raise InvalidMessageError(["its root is no hash of 32 bytes in base64"])
        times = [line.removeprefix(_TIME) for line in lines[3:] if line.startswith(_TIME)]
        try:
            at = datetime.fromisoformat(times[0]) if times else None
        except ValueError:
            raise InvalidMessageError(["its time is none"]) from None
        if len(times) > 1 or (at is not None and at.tzinfo is None):
            raise InvalidMessageError(["its time is none"])
        return cls(lines[0], int(lines[1]), root, at)


@dataclass(frozen=True)
class VerifierKey:
    """Who may have signed: the name of a key and its public part, of Ed25519."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes by which a signature names its key."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """As a line: `name+id+base64`, as tools of transparency logs take it."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Raises `InvalidMessageError`."""
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except ValueError:
            raw = b""
        key = cls(name, raw[1:])
        if not _KEY_NAME.fullmatch(name) or raw[:1] != _ED25519 or len(raw) != 33 or key.key_id.hex() != key_id:
            raise InvalidMessageError(["it is no public key of Ed25519 as `callstream audit key` prints it"])
        return key

    @classmethod
    def of(cls, name: str, key: Ed25519PrivateKey) -> "VerifierKey":
        """The public part of a key. Raises `InvalidMessageError` for a name that no key can have."""
        if not _KEY_NAME.fullmatch(name):
            raise InvalidMessageError(["the name of a key has neither spaces nor +"])
        return cls(name, key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


def signed_note(text: str, name: str, key: Ed25519PrivateKey) -> str:
    """The text with a signature (C2SP signed-note)."""
    verifier = VerifierKey.of(name, key)
    signature = base64.b64encode(verifier.key_id + key.sign(text.encode())).decode()
    return f"{text}\n{_DASH}{name} {signature}\n"


def opened_note(note: str, keys: Iterable[VerifierKey]) -> str | None:
    """The text of a signed note; None where none of the keys has signed it, or one of their signatures is wrong."""
    text, blank, signatures = note.rpartition("\n\n")
    text += "\n"
    if not blank or not signatures.endswith("\n"):
        return None
    known = {(key.name, key.key_id): key for key in keys}
    good = False
    for line in signatures[:-1].split("\n"):
        name, space, encoded = line.removeprefix(_DASH).partition(" ")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except ValueError:
            return None
        if not line.startswith(_DASH) or not space:
            return None
        if (key := known.get((name, raw[:4]))) is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(raw[4:], text.encode())
        except InvalidSignature:
            return None
        good = True
    return text if good else None


# Verifying -----------------------------------------------------------------------------------------------------------

LogProblemKind = Literal[
    "edited", "deleted", "cut", "changed", "forked", "signature", "personal", "unlisted", "unread", "pruned"
]
"""What is wrong with a log.

`edited`: an entry is not what its leaf says. `deleted`: an entry, or its place, is missing. `cut`: there are fewer
entries than were signed. `changed`: what stands there is not what was signed: edited, reordered, inserted, exchanged.
`forked`: two checkpoints that cannot both be of one log. `signature`: a checkpoint that none of the keys has signed.
`personal`: a personal value that was changed. `unlisted`: an entry that stands in the register and not in the tree.
`unread`: a line that is none of a log. `pruned`: an entry says that others were old enough to go, and what was signed
does not show that they were.
"""


@dataclass(frozen=True)
class LogProblem:
    """One thing that is wrong; `says` is a sentence without any value of an entry."""

    kind: LogProblemKind
    says: str


@dataclass(frozen=True)
class LogLine:
    """One place of a log. `content` is None where the entry was pruned; then its leaf alone is there."""

    index: int
    leaf: bytes
    content: bytes | None
    personal: Mapping[str, PersonalValue] = field(default_factory=dict)


@dataclass(frozen=True)
class NamedNote:
    """A signed checkpoint, and where it comes from."""

    name: str
    note: str


@dataclass
class Verified:
    """What verifying a log has found."""

    size: int = 0
    root: bytes = EMPTY_ROOT
    pruned: int = 0
    """Entries at the beginning that were old enough to go: their leaves alone are there."""
    erased: int = 0
    """Personal values that were erased."""
    covered: int = 0
    """So many entries, from the first on, a checkpoint vouches for."""
    checkpoints: int = 0
    """That are signed and fit."""
    restored: list[int] = field(default_factory=list)
    """Places of the entries that say that a backup was given back, in order: what was before them came from it."""
    problems: list[LogProblem] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify_log(
    lines: Iterable[LogLine],
    notes: Iterable[NamedNote],
    keys: Sequence[VerifierKey],
    now: datetime | None = None,
) -> Verified:
    """Whether a log is what its checkpoints were signed over. Needs nothing but its arguments.

    `now` is the time of whoever verifies: nothing can have been pruned later. Without it, the pruning of a moment ago,
    over which no checkpoint was signed yet, is not believed.

    `notes` are the checkpoints that the log brings with it, and those that were kept elsewhere, the anchors: without
    one of these, whoever can write everywhere in the register, and sign, can write another log.
    """
    found = Verified()
    wanted = _wanted(notes, keys, found)
    roots = {0: EMPTY_ROOT}
    tree = _Walk(found)
    for line in lines:
        tree.step(line)
        if tree.peaks.size in wanted:
            roots[tree.peaks.size] = tree.peaks.root
    found.size, found.root = tree.peaks.size, tree.peaks.root
    for size, checkpoints in sorted(wanted.items()):
        _compare(size, checkpoints, roots.get(size), found)
    times = [
        (size, each.at)
        for size, checkpoints in wanted.items()
        for _, each in checkpoints
        if each.at is not None and each.root == roots.get(size)
    ]
    _check_pruned(tree.prunings, times, found, now)
    return found


@dataclass(frozen=True)
class _Pruning:
    """What the entry of a place says: that so many, from the first on, were older than `before` at that time."""

    index: int
    up_to: int
    at: datetime
    before: datetime

    def is_shown(self, times: Sequence[tuple[int, datetime]], now: datetime | None) -> bool:
        """Whether checkpoints show that the entries were a year old. `times` are sizes of the log, and when it had
        them.

        The entry was written before the first checkpoint over it, whatever time it names. A year before that one must
        have been signed over all that went, and none over fewer of them afterwards.
        """
        signed_over = [at for size, at in times if size > self.index]
        if not signed_over and now is None:
            return False
        limit = min([self.at, *signed_over, *([] if now is None else [now])]) - LEAST_KEPT
        was_there = any(size >= self.up_to and at <= limit for size, at in times)
        return self.before <= limit and was_there and not any(size < self.up_to and at > limit for size, at in times)


def _check_pruned(
    prunings: Iterable[_Pruning], times: Sequence[tuple[int, datetime]], found: Verified, now: datetime | None
) -> None:
    may_be_gone = 0
    for each in prunings:
        if each.is_shown(times, now):
            may_be_gone = max(may_be_gone, each.up_to)
            continue
        says = (
            f"entry {each.index} says that {each.up_to} entries were old enough to go, and no checkpoint shows that "
            "they were there a year before"
        )
        found.problems.append(LogProblem("pruned", says))
    if found.pruned > may_be_gone:
        says = (
            f"the first {found.pruned} entries are gone, and no entry that may be believed says that they were pruned"
        )
        found.problems.append(LogProblem("deleted", says))


_Wanted = dict[int, list[tuple[str, Checkpoint]]]


def _wanted(notes: Iterable[NamedNote], keys: Sequence[VerifierKey], found: Verified) -> _Wanted:
    """Size → the checkpoints of it that are signed."""
    wanted: _Wanted = defaultdict(list)
    origins = {key.name for key in keys}
    for each in notes:
        text = opened_note(each.note, keys)
        if text is None:
            found.problems.append(LogProblem("signature", f"{each.name}: none of the public keys has signed it"))
            continue
        try:
            checkpoint = Checkpoint.parse(text)
        except InvalidMessageError as error:
            found.problems.append(LogProblem("signature", f"{each.name}: {error}"))
            continue
        if checkpoint.origin not in origins:
            found.problems.append(LogProblem("signature", f"{each.name}: it is of another log"))
            continue
        wanted[checkpoint.size].append((each.name, checkpoint))
    return wanted


def _why(size: int, found: Verified) -> str:
    """What of the log itself may explain that a checkpoint does not fit. It excuses nothing: such an entry can be
    written by whoever cuts."""
    places = [index for index in found.restored if index < size]
    if not places:
        return ""
    named = ", ".join(map(str, places))
    return (
        f"; entry {named} says that a backup was given back: what had been entered since that backup was lost with the "
        "register that it replaced"
    )


def _compare(size: int, checkpoints: Sequence[tuple[str, Checkpoint]], root: bytes | None, found: Verified) -> None:
    first_name, first = checkpoints[0]
    why = _why(size, found)
    for name, other in checkpoints[1:]:
        if other.root != first.root:
            says = f"{first_name} and {name} are of one size and not of one log{why}"
            found.problems.append(LogProblem("forked", says))
    for name, checkpoint in checkpoints:
        if root is None:
            says = f"{name}: it was signed over {size} entries, and there are {found.size}: the log was cut{why}"
            found.problems.append(LogProblem("cut", says))
        elif checkpoint.root != root:
            says = (
                f"{name}: the first {size} entries are not those that it was signed over: something was edited, "
                f"reordered, inserted or exchanged there{why}"
            )
            found.problems.append(LogProblem("changed", says))
        else:
            found.checkpoints += 1
            found.covered = max(found.covered, size)


class _Walk:
    """One pass over the lines, from the first to the last."""

    def __init__(self, found: Verified) -> None:
        self.peaks = TreePeaks()
        self._found = found
        self._next = 0
        self._whole_from: int | None = None
        self.prunings: list[_Pruning] = []

    def step(self, line: LogLine) -> None:
        """The next line."""
        if line.index != self._next:
            self._say("deleted", f"entry {self._next}: {line.index} stands in its place")
        leaf = line.leaf
        if line.content is None:
            if self._whole_from is not None:
                self._say("deleted", f"entry {line.index}: its leaf is there, and the entry is gone")
            self._found.pruned += self._whole_from is None
        else:
            if self._whole_from is None:
                self._whole_from = line.index
            leaf = leaf_hash(line.content)
            if leaf != line.leaf:
                self._say("edited", f"entry {line.index}: it is not what its leaf was made of")
            self._read(line, line.content)
        self.peaks = peaks_of((leaf,), self.peaks)
        self._next = line.index + 1

    def _read(self, line: LogLine, content: bytes) -> None:
        try:
            read = read_entry(content)
        except InvalidMessageError as error:
            self._say("edited", f"entry {line.index}: {error}")
            return
        for name, digest in read.digests.items():
            if (personal := line.personal.get(name)) is None:
                self._found.erased += 1
            elif digest_of(name, personal) != digest:
                self._say(
                    "personal", f"entry {line.index}: its personal value {name} is not the one it was written with"
                )
        for name in line.personal:
            if name not in read.digests:
                self._say("personal", f"entry {line.index}: it was written without a personal value {name}")
        if read.entry.action == RESTORED and read.entry.result == "allowed":
            self._found.restored.append(line.index)
        if read.entry.action == PRUNED:
            self._read_pruning(line.index, read.entry)

    def _read_pruning(self, index: int, entry: AuditEntry) -> None:
        up_to, told = entry.details.get("entries"), entry.details.get("before")
        try:
            before = datetime.fromisoformat(str(told))
            if not isinstance(up_to, int) or before.tzinfo is None:
                raise ValueError("no number, or no point in time")
        except ValueError:
            self._say("pruned", f"entry {index} says that entries were pruned, and not how many, or how old they were")
            return
        self.prunings.append(_Pruning(index, up_to, entry.at, before))

    def _say(self, kind: LogProblemKind, says: str) -> None:
        self._found.problems.append(LogProblem(kind, says))


# The log as a file ----------------------------------------------------------------------------------------------------


def line_of(line: LogLine) -> str:
    """A line of an exported log: JSON, without the end of the line."""
    told: dict[str, Any] = {"index": line.index, "leaf": line.leaf.hex()}
    if line.content is not None:
        told["entry"] = json.loads(line.content)
    if line.personal:
        told["personal"] = {
            name: {"salt": each.salt.hex(), "value": each.value} for name, each in sorted(line.personal.items())
        }
    return json.dumps(told, ensure_ascii=False)


def checkpoint_line_of(note: str) -> str:
    """A line of an exported log that holds a checkpoint."""
    return json.dumps({"checkpoint": note}, ensure_ascii=False)


def read_line(text: str) -> LogLine | str:
    """What a line of an exported log holds: a place, or the note of a checkpoint. Raises `InvalidMessageError`."""
    try:
        told = json.loads(text, object_pairs_hook=_each_once)
        if "checkpoint" in told:
            return str(told["checkpoint"])
        personal = {
            str(name): PersonalValue(bytes.fromhex(each["salt"]), str(each["value"]))
            for name, each in told.get("personal", {}).items()
        }
        content = canonical(told["entry"]) if "entry" in told else None
        leaf = bytes.fromhex(told["leaf"])
        if not isinstance(told["index"], int) or len(leaf) != HASH_BYTES:
            raise ValueError("no place of a log")
        return LogLine(told["index"], leaf, content, personal)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InvalidMessageError(["it is no line of an exported audit log"]) from None
