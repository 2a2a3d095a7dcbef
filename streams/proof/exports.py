"""The proof of exports: people at random do what they like with exports, and beside it stands a book of its own, which
says of each download whether it was right (`callstream custody prove`).

The people use `streams.stages.exporting`, as the HTTP interface and commands do. The book knows nothing of it: it
counts approvals, humans, times and calls for itself.
"""

import io
import random
import re
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from processors.custody.accounts import Account
from processors.custody.audit_entry import AuditEntry
from processors.custody.authorization import Action, Actor, Grant, Target
from processors.custody.export_archive import verify_archive
from processors.custody.exports import (
    ActionRefused,
    Export,
    ExportableCall,
    ExportCommand,
    ExportContent,
    ExportedCall,
    ExportNotFoundError,
    ExportRefusedError,
    Exports,
    ExportTerms,
    after,
    decide,
)
from streams.stages.exporting import Asker, Exporting

TENANTS = ("acme", "bank")
TEAMS = ("north", "south")
CALLS_OF_A_TENANT = 3
HUMANS = 5
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
TERMS = ExportTerms(1, timedelta(days=7), timedelta(days=3), 2)
_GRANTABLE: tuple[Action, ...] = ("export", "approve", "listen_unmasked", "see_text")
_CHOICES: tuple[tuple[ExportContent, ...], ...] = (
    ("text",),
    ("audio_masked",),
    ("audio_unmasked", "text"),
    ("parquet",),
)


@dataclass
class MovedClock:
    """Stands still until it is moved."""

    moment: datetime = BEGAN

    def now(self) -> datetime:
        return self.moment


@dataclass
class MemoryExports:
    """`Exports` in memory, by the same decisions; nothing of it outlives the process."""

    clock: MovedClock
    kept: dict[str, Export] = field(default_factory=dict)

    def tell(self, command: ExportCommand, *, client: str, role: str) -> Export:  # noqa: ARG002 - for the audit log
        state = self.kept.get(command.export_id)
        refused: str | None = None
        for event in decide(command, state, self.clock.now()):
            state = after(event, state)
            self.kept[command.export_id] = state
            refused = event.reason if isinstance(event, ActionRefused) else None
        if refused is not None:
            raise ExportRefusedError(refused)
        if state is None:
            raise ExportNotFoundError
        return state

    def get(self, export_id: str) -> Export:
        try:
            return self.kept[export_id]
        except KeyError:
            raise ExportNotFoundError from None

    def list(self, tenant_id: str, most: int) -> Sequence[Export]:
        return [each for each in reversed(self.kept.values()) if each.tenant_id == tenant_id][:most]

    def swap(self, export_id: str, chance: random.Random) -> None:
        """As somebody would who can write the register: another recipient, or a call more, behind the approval."""
        export = self.kept[export_id]
        contained = export.contained
        if chance.random() < 0.5:
            swapped = replace(contained, recipient="somebody else")
        else:
            swapped = replace(contained, calls=(*contained.calls, ExportedCall("zz", "0", "0", "0")))
        self.kept[export_id] = replace(export, contained=swapped)


@dataclass
class MadeCalls:
    """Calls of two tenants that change and go. `Material` and `Tombstones`."""

    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    teams: dict[tuple[str, str], str] = field(default_factory=dict)
    gone: set[tuple[str, str]] = field(default_factory=set)
    not_mutable: set[tuple[str, str]] = field(default_factory=set)

    def find(
        self, tenant_id: str, call_ids: Sequence[str], contents: Sequence[ExportContent]
    ) -> Mapping[str, ExportableCall]:
        found = {}
        for call_id in call_ids:
            version = self.versions.get((tenant_id, call_id))
            if version is not None:
                target = Target(tenant_id, call_id, "A1", self.teams[tenant_id, call_id])
                found[call_id] = ExportableCall(self._exported(call_id, version, contents), target)
                if "audio_masked" in contents and (tenant_id, call_id) in self.not_mutable:
                    unheard = replace(found[call_id].exported, muting=None)
                    found[call_id] = ExportableCall(unheard, target, "not_heard_yet")
        return found

    @staticmethod
    def _exported(call_id: str, version: int, contents: Sequence[ExportContent]) -> ExportedCall:
        sound = any(each.startswith("audio") for each in contents)
        text = str(version) if {"text", "parquet"} & set(contents) else None
        analysis = str(version) if "parquet" in contents else None
        muting = f"1:{version}" if "audio_masked" in contents else None
        return ExportedCall(call_id, "0" if sound else None, text, analysis, muting)

    def ended_on(self, tenant_id: str, first: date, last: date, most: int) -> Sequence[str]:  # noqa: ARG002
        return sorted(call_id for owner, call_id in self.versions if owner == tenant_id)[:most]

    def segments(self, tenant_id: str, call_id: str) -> Iterable[Mapping[str, Any]]:
        yield {
            "call_id": call_id,
            "segment": 0,
            "channel": 0,
            "role": "agent",
            "start_ms": 0,
            "end_ms": 1,
            "text": tenant_id,
        }

    def tables(self, tenant_id: str, call_ids: Sequence[str], mark: str) -> Iterable[tuple[str, Iterable[bytes]]]:
        yield "calls", [f"{tenant_id} {call_ids} {mark}".encode()]

    def wav(self, tenant_id: str, call_id: str, *, muting: str | None) -> Iterable[bytes]:  # noqa: ARG002
        """A WAV whose few samples are the name of its tenant."""
        data = tenant_id.encode()
        head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8_000, 16_000, 2, 16)
        yield struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE") + head + struct.pack("<4sI", b"data", len(data))
        yield data

    def among(self, calls: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        return frozenset(calls) & self.gone


@dataclass
class MadePeople:
    """Who made which account, by their names; of those that it does not name, nobody did. `KnowsMakers`."""

    made_by: dict[str, str] = field(default_factory=dict)

    def find(self, account_id: str) -> Account | None:
        if account_id == "oidc":
            return None
        return Account(account_id, "acme", BEGAN, self.made_by.get(account_id, "oidc"))

    def find_by_os_user(self, os_user: str) -> Account | None:  # noqa: ARG002 - nobody runs commands
        return None


@dataclass
class CountedEntries:
    """`AuditLog` that counts what was refused."""

    refused: int = 0

    def append(self, entry: AuditEntry) -> None:
        self.refused += entry.result == "refused"

    def append_within(self, transaction: object, entry: AuditEntry) -> None:  # noqa: ARG002 - as the register's
        self.append(entry)


@dataclass
class _Page:
    """What the book has of one export."""

    tenant_id: str
    human: int
    account: str
    contents: tuple[ExportContent, ...]
    calls: Mapping[str, int]
    requested_at: datetime
    agreed: set[int] = field(default_factory=set)
    granted_at: datetime | None = None
    ended: bool = False
    swapped: bool = False
    downloads: int = 0


@dataclass
class ExportProof:
    """What happened. `holds` says whether every download was right, and whether there were any."""

    sequences: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    unapproved: int = 0
    self_approved: int = 0
    across_tenants: int = 0
    not_theirs: int = 0
    changed: int = 0
    too_late: int = 0
    too_often: int = 0

    @property
    def downloads(self) -> int:
        return self.done["download"]

    @property
    def wrong(self) -> int:
        """Downloads and approvals that must not have been."""
        return (
            self.unapproved + self.self_approved + self.across_tenants + self.changed + self.too_late + self.too_often
        )

    @property
    def otherwise_wrong(self) -> int:
        """Those that were too late, too often, of something else than was approved, or not theirs who asked."""
        return self.wrong - self.unapproved - self.self_approved - self.across_tenants

    @property
    def holds(self) -> bool:
        return self.wrong == 0 and self.downloads > 0 and self.done["approve"] > 0


_KEY = Ed25519PrivateKey.generate()


def _handed_out(data: bytes) -> tuple[set[str], set[str]]:
    """Whose files are in the ZIP: the calls, and the tenants by what the files hold."""
    calls, tenants = set(), set()
    manifest = verify_archive(io.BytesIO(data), _KEY.public_key())
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        for each in manifest["files"]:
            content = packed.read(each["name"])
            of_tables = re.findall(rb"'(\w+)'", content) if each["call_id"] is None else []
            calls |= {each["call_id"]} if each["call_id"] else {call.decode() for call in of_tables}
            tenants |= {tenant_id for tenant_id in TENANTS if tenant_id.encode() in content}
    return calls, tenants


Swap = Callable[[str, random.Random], None]


class ExportWorld:
    """One sequence: who there is, what they may, which calls there are, and the book.

    Other kinds of action (plays, holds, purges) are further methods that `ACTIONS` names; `do` runs one at random.
    """

    ACTIONS = (
        *("request", "request", "request", "approve", "approve", "approve", "approve", "refuse", "withdraw"),
        *("download", "download", "download", "download", "download"),
        *("wait", "change_call", "destroy_call", "change_rights", "swap"),
    )

    def __init__(
        self, chance: random.Random, proof: ExportProof, exports: Exports, swap: Swap, clock: MovedClock, prefix: str
    ) -> None:
        self._chance = chance
        self._proof = proof
        self._swap = swap
        self._clock = clock
        self._calls = MadeCalls()
        self._entries = CountedEntries()
        self._book: dict[str, _Page] = {}
        self._made = 0
        for tenant_id in TENANTS:
            for number in range(CALLS_OF_A_TENANT):
                # The same ids in both tenants: an id alone must lead nowhere.
                self._calls.versions[tenant_id, f"c{number}"] = 1
                self._calls.teams[tenant_id, f"c{number}"] = chance.choice(TEAMS)
        self._accounts = [(human, f"h{human}{letter}") for human in range(HUMANS) for letter in "ab"]
        self._grants = {account: self._new_grants() for _, account in self._accounts}
        # Of the second accounts some were made by somebody else, who can sign in as them.
        self._made_by = {
            f"h{human}b": f"h{chance.randrange(HUMANS)}a" for human in range(HUMANS) if chance.random() < 0.3
        }
        # The register of all sequences is one: so ids are, too.
        self._prefix = prefix
        self._desk = Exporting(
            exports,
            self._calls,
            self._calls,
            self._entries,
            clock,
            lambda _tenant: TERMS,
            self._new_id,
            MadePeople(self._made_by),
            lambda: _KEY,
            self._calls,
        )

    def do(self, name: str | None = None) -> None:
        """One action, of somebody, at random."""
        name = name or self._chance.choice(self.ACTIONS)
        self._proof.actions[name] += 1
        try:
            getattr(self, name)()
        except (ExportRefusedError, ExportNotFoundError):
            return
        self._proof.done[name] += 1

    def request(self) -> None:
        human, asker = self._somebody()
        tenant_id = self._chance.choice(TENANTS)
        known = CALLS_OF_A_TENANT + (self._chance.random() < 0.1)  # now and then one that there is not
        calls = [f"c{number}" for number in range(known) if self._chance.random() < 0.5]
        contents = self._chance.choice(_CHOICES)
        export = self._desk.request(asker, tenant_id, calls, contents, "a court", "complaint")
        self._may("export", asker, tenant_id, export)
        versions = {call_id: self._calls.versions[tenant_id, call_id] for call_id in calls}
        self._book[export.export_id] = _Page(
            tenant_id, human, asker.actor.actor_id, contents, versions, self._clock.now()
        )

    def approve(self) -> None:
        human, asker = self._somebody()
        export_id, page = self._some_export()
        shown = self._desk.exports.get(export_id).contained.digest
        digest = shown if self._chance.random() < 0.9 else "0" * 64
        export = self._desk.approve(asker, export_id, digest)
        approver = asker.actor.actor_id
        able = [{account, self._made_by.get(account, account)} for account in (approver, page.account)]
        made = bool(able[0] & able[1])  # one of them, or a third, could have done both
        self._proof.self_approved += human == page.human or made
        self._may("approve", asker, page.tenant_id, export)
        self._proof.changed += digest != shown or page.swapped or self._is_changed(page)
        self._proof.too_late += self._clock.now() >= page.requested_at + TERMS.request_lasts
        page.agreed.add(human)
        if page.granted_at is None and len(page.agreed) >= TERMS.approvals:
            page.granted_at = self._clock.now()

    def refuse(self) -> None:
        _, asker = self._somebody()
        export_id, page = self._some_export()
        export = self._desk.refuse(asker, export_id, "not_needed")
        self._may("approve", asker, page.tenant_id, export)
        page.ended = True

    def withdraw(self) -> None:
        human, asker = self._somebody()
        export_id, page = self._some_export()
        self._desk.withdraw(asker, export_id)
        self._proof.not_theirs += human != page.human
        page.ended = True

    def download(self) -> None:
        """With a token of the own, a stolen, a used or a made-up one; and time or changes between offer and use."""
        export_id, page = self._some_export()
        human, asker = self._somebody(page.human)
        token = "made-up"  # noqa: S105 - one that nobody was given
        if self._chance.random() < 0.9:
            offerer = asker if self._chance.random() < 0.9 else self._somebody()[1]
            _, token = self._desk.offer(offerer, export_id)
        if self._chance.random() < 0.15:
            self._chance.choice((self.wait, self.change_call, self.destroy_call, self.change_rights, self.swap))()
        handed = self._desk.hand_out(asker, export_id, token)
        page.downloads += 1
        self._judge(human, asker, handed.export, page, b"".join(handed.chunks))
        if self._chance.random() < 0.2:
            self._desk.hand_out(asker, export_id, token)  # the token again
            self._proof.too_often += 1

    def _judge(self, human: int, asker: Asker, export: Export, page: _Page, data: bytes) -> None:
        now = self._clock.now()
        others = page.agreed - {page.human}
        self._proof.unapproved += len(others) < TERMS.approvals or page.ended
        self._proof.not_theirs += human != page.human
        self._may("export", asker, page.tenant_id, export)
        if "audio_unmasked" in page.contents:
            self._may("listen_unmasked", asker, page.tenant_id, export)
        delivered, tenants = _handed_out(data)
        self._proof.across_tenants += tenants != {page.tenant_id}
        self._proof.changed += page.swapped or delivered != set(page.calls) or self._is_changed(page)
        self._proof.too_late += page.granted_at is None or now >= page.granted_at + TERMS.grant_lasts
        self._proof.too_often += page.downloads > TERMS.downloads

    def _is_changed(self, page: _Page) -> bool:
        """Whether a call is another one now, or gone. What has no text in it does not change with the text."""
        fixed = set(page.contents) <= {"audio_unmasked"}
        for call_id, version in page.calls.items():
            key = (page.tenant_id, call_id)
            if key in self._calls.gone or not (fixed or self._calls.versions[key] == version):
                return True
        return False

    def _may(self, action: Action, asker: Asker, tenant_id: str, export: Export) -> None:
        """Counts what somebody did to a call for which no grant of theirs allows it."""
        for call in export.contained.calls:
            team = self._calls.teams.get((tenant_id, call.call_id))
            allowed = any(
                grant.tenant_id == tenant_id
                and action in grant.actions
                and (grant.teams is None or team in grant.teams)
                for grant in asker.actor.grants
            )
            self._proof.across_tenants += not allowed

    def wait(self) -> None:
        self._clock.moment += self._chance.choice(
            (timedelta(minutes=1), timedelta(minutes=6), timedelta(hours=20), timedelta(days=4))
        )

    def change_call(self) -> None:
        self._calls.versions[self._chance.choice(list(self._calls.versions))] += 1

    def destroy_call(self) -> None:
        if self._chance.random() < 0.3:
            self._calls.gone.add(self._chance.choice(list(self._calls.versions)))

    def change_rights(self) -> None:
        self._grants[self._chance.choice(self._accounts)[1]] = self._new_grants()

    def swap(self) -> None:
        if self._chance.random() < 0.3:
            export_id, page = self._some_export()
            self._swap(export_id, self._chance)
            page.swapped = True

    def _new_id(self) -> str:
        self._made += 1
        return f"{self._prefix}-{self._made}"

    def _some_export(self) -> tuple[str, _Page]:
        if not self._book:
            raise ExportNotFoundError
        export_id = self._chance.choice(list(self._book))
        return export_id, self._book[export_id]

    def _somebody(self, rather: int | None = None) -> tuple[int, Asker]:
        """Anybody, or mostly that one."""
        human, account = self._chance.choice(self._accounts)
        if rather is not None and self._chance.random() < 0.7:
            human, account = self._chance.choice([each for each in self._accounts if each[0] == rather])
        return human, Asker(Actor(account, self._grants[account]), f"human {human}", "proof")

    def _new_grants(self) -> tuple[Grant, ...]:
        """Mostly of one tenant, sometimes of both or of none, now and then for one team alone."""
        grants = []
        for tenant_id in TENANTS:
            if self._chance.random() < 0.75:
                actions = frozenset(action for action in _GRANTABLE if self._chance.random() < 0.85)
                teams = frozenset({self._chance.choice(TEAMS)}) if self._chance.random() < 0.25 else None
                grants.append(Grant("some_role", tenant_id, actions, teams))
        return tuple(grants)


def prove_exports(
    sequences: int,
    seed: int,
    steps: int = 14,
    kept: Callable[[MovedClock], tuple[Exports, Swap]] | None = None,
) -> ExportProof:
    """So many sequences of so many actions each; the same for the same seed. `kept` gives where exports are kept, and
    how somebody would swap what is; in memory where it is not given.
    """
    proof = ExportProof()
    clock = MovedClock()
    store = None if kept is None else kept(clock)
    for number in range(sequences):
        chance = random.Random(seed * 1_000_003 + number)  # noqa: S311 - a proof that can be repeated
        if store is None:
            memory = MemoryExports(clock)
            world = ExportWorld(chance, proof, memory, memory.swap, clock, f"x{number}")
        else:
            world = ExportWorld(chance, proof, *store, clock, f"x{number}")
        for _ in range(steps):
            world.do()
        proof.sequences += 1
    return proof
