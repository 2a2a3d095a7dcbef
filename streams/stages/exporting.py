"""Exports from request to download, as everybody uses them: the HTTP interface, commands, and later the console.

Each step asks `authorize` about every call that it is about, and looks at the calls as they are now.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from hashlib import sha256
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from processors.custody.audit_entry import AuditEntry, AuditLog
from processors.custody.authorization import EVERY_TENANT, Action, Actor, Decision, Target, authorize
from processors.custody.export_archive import (
    ExportFile,
    archive,
    count_bytes,
    file_name,
    mark_of,
    marked_wav,
    text_as_csv,
    text_as_json,
)
from processors.custody.exports import (
    MOST_CALLS,
    OPEN,
    ApproveExport,
    BeginDownload,
    EndDownload,
    Export,
    ExportableCall,
    ExportContent,
    ExportedCall,
    ExportNotFoundError,
    ExportPerson,
    ExportRefusedError,
    Exports,
    ExportSet,
    ExportTerms,
    LapseExport,
    OfferDownload,
    RefuseExport,
    RequestExport,
    WithdrawExport,
)
from processors.custody.makers import KnowsMakers, Tie, can_act_as_each_other, tie_to_requester
from processors.custody.muting import MutingChangedError
from processors.custody.ports import KeyGoneError, Tombstones
from schemas.config.tenants import read_tenants
from streams.adapters.register.accounts import RegisterMakers
from streams.adapters.register.exports import RegisterExports, new_export_id
from streams.adapters.register.ports import EntryWithinOrBefore
from streams.adapters.register.register import Register
from streams.ports import Clock
from streams.queries.export_material import ClickHouseMaterial
from streams.runtime.export_key import kept_export_key
from streams.serve.ports import ExportAsked, ServedExports
from streams.settings import Settings

TOKEN_LASTS = timedelta(minutes=5)
"""From the offer of a download to its beginning."""

MOST_LISTED = 1_000
SOUND_BYTES = 1024 * 1024
"""So much of a recording is in memory at once."""


class Material(Protocol):
    """What there is of calls (`streams.queries.export_material`). Every method may raise `RetryableError` and
    `OperatorError`.
    """

    def find(
        self, tenant_id: str, call_ids: Sequence[str], contents: Sequence[ExportContent]
    ) -> Mapping[str, ExportableCall]:
        """Those that are there and have all that is asked for."""
        ...

    def ended_on(self, tenant_id: str, first: date, last: date, most: int) -> Sequence[str]:
        """Calls that ended on these days of the tenant, both included, at most so many."""
        ...

    def segments(self, tenant_id: str, call_id: str) -> Iterable[Mapping[str, Any]]:
        """The masked transcript of a call, `TEXT_COLUMNS` of each segment."""
        ...

    def tables(self, tenant_id: str, call_ids: Sequence[str], mark: str) -> Iterable[tuple[str, Iterable[bytes]]]:
        """Name and Parquet of each table, of these calls alone, with the mark as a column."""
        ...


class ExportSounds(Protocol):
    """The sound of calls as WAV, decrypted on the way: what listening gives, too."""

    def wav(self, tenant_id: str, call_id: str, *, muting: str | None) -> Iterable[bytes]:
        """Personal data is muted as `muting` (`muting_id`) says; None leaves the sound as it is.

        Raises `MutingChangedError` where that is another one now, `KeyGoneError`, `RetryableError` and `OperatorError`.
        """
        ...


class ReadableWav(Protocol):
    """A WAV of which any range can be read, such as `processors.listening.virtual_wav.VirtualWav`."""

    def read(self, start: int, length: int) -> bytes:
        """Cut like a slice: behind the end it is empty. Raises as `ExportSounds.wav`."""
        ...


@dataclass(frozen=True)
class RangedSounds:
    """`ExportSounds` over what listening opens; a stretch at a time is decrypted, decoded and muted."""

    open: Callable[[str, str, str | None], ReadableWav]
    """Of a tenant, a call, and a muting."""

    def wav(self, tenant_id: str, call_id: str, *, muting: str | None) -> Iterator[bytes]:
        """See `ExportSounds`."""
        opened = self.open(tenant_id, call_id, muting)
        start = 0
        while piece := opened.read(start, SOUND_BYTES):
            yield piece
            start += len(piece)


@dataclass(frozen=True)
class Asker:
    """Who asks. `person` is the one behind the account: the subject of an identity provider, say."""

    actor: Actor
    person: str
    client: str

    @property
    def as_person(self) -> ExportPerson:
        return ExportPerson(self.actor.actor_id, self.person)


@dataclass(frozen=True)
class HandedOut:
    """A download: the name of the file, and its bytes, which may be read once."""

    export: Export
    name: str
    chunks: Iterator[bytes]


@dataclass(frozen=True)
class Exporting:
    """Safe to share between threads. Every method may raise `RetryableError`, `OperatorError`, `ExportRefusedError`
    and `ExportNotFoundError`; whatever is refused is in the audit log by then.
    """

    exports: Exports
    material: Material
    tombstones: Tombstones
    audit: AuditLog
    clock: Clock
    terms_of: Callable[[str], ExportTerms]
    """Of a tenant."""
    new_id: Callable[[], str]
    makers: KnowsMakers
    key: Callable[[], Ed25519PrivateKey] | None = None
    """Signs manifests; None where this process hands nothing out."""
    sounds: ExportSounds | None = None
    """None where this process has no keys of recordings."""

    def request(
        self,
        asker: Asker,
        tenant_id: str,
        call_ids: Iterable[str],
        contents: Sequence[ExportContent],
        recipient: str,
        reason: str,
        ticket: str | None = None,
    ) -> Export:
        """Ask for an export of exactly these calls as they are now.

        A call that is not there, or not this person's, refuses it whole: which one is not told.
        """
        wanted = sorted(set(call_ids))
        decision = authorize(asker.actor, "export", Target(tenant_id))
        role = decision.role
        try:
            if not self._could_ever(asker.actor, "export", tenant_id):
                self._refuse(asker, tenant_id, "export_requested", decision, None)
            # Before anything is looked up: a set that could not be asked for costs nobody anything.
            ExportSet.of(tenant_id, recipient, contents, [ExportedCall(each) for each in wanted])
            found = self._found(tenant_id, wanted, contents)
            role = self._permit_all(asker, "export", found, wanted)
            if "audio_unmasked" in contents:
                self._permit_all(asker, "listen_unmasked", found, wanted)
            # Only once they are known to be this person's.
            if unheard := [f"{each} ({why})" for each in wanted if (why := found[each].not_mutable) is not None]:
                raise ExportRefusedError("not_mutable", unheard)
            contained = ExportSet.of(tenant_id, recipient, contents, [found[call_id].exported for call_id in wanted])
        except ExportRefusedError as error:
            self._enter(asker, tenant_id, "export_requested", role, error.reason, None, calls=len(wanted))
            raise
        command = RequestExport(self.new_id(), asker.as_person, contained, reason, ticket, self.terms_of(tenant_id))
        return self.exports.tell(command, client=asker.client, role=role)

    def request_days(
        self,
        asker: Asker,
        tenant_id: str,
        days: tuple[date, date],
        contents: Sequence[ExportContent],
        recipient: str,
        reason: str,
        ticket: str | None = None,
    ) -> Export:
        """As `request`, of the calls that ended from the first to the last of these days and have what is asked for:
        from then on it is exactly those, whatever comes later.
        """
        call_ids: Sequence[str] = ()
        if self._could_ever(asker.actor, "export", tenant_id):
            every = self.material.ended_on(tenant_id, *days, MOST_CALLS + 1)
            found = self._found(tenant_id, every, contents) if len(every) <= MOST_CALLS else dict.fromkeys(every)
            call_ids = [each for each in every if each in found and _can_be_asked_for(found[each])]
        return self.request(asker, tenant_id, call_ids, contents, recipient, reason, ticket)

    def list(self, asker: Asker, tenant_id: str) -> Sequence[Export]:
        """The own ones of a tenant, and those that this person may decide about; the newest first.

        Entered before they are shown, and so is that somebody asks who has no role there.
        """
        role = authorize(asker.actor, "export", Target(tenant_id)).role
        if not self._is_of(asker.actor, tenant_id):
            self._enter(asker, tenant_id, "export_viewed", role, "not_visible", None)
            return []
        every = self.exports.list(tenant_id, MOST_LISTED)
        seen = [each for each in every if self._may_see(asker, each)]
        if seen:
            self._enter(asker, tenant_id, "export_viewed", role, None, None, exports=len(seen))
        return seen

    def show(self, asker: Asker, export_id: str) -> Export:
        """Entered before it is shown. Raises `ExportNotFoundError` for one that this person may not know of, too."""
        export = self._seen(asker, export_id)
        role = authorize(asker.actor, "export", Target(export.tenant_id)).role
        self._enter(asker, export.tenant_id, "export_viewed", role, None, export)
        return export

    def _seen(self, asker: Asker, export_id: str) -> Export:
        role = authorize(asker.actor, "export", Target("*")).role
        with self._entering_none(asker, export_id, "export_viewed"):
            export = self.exports.tell(LapseExport(export_id), client=asker.client, role=role)
        if not self._may_see(asker, export):
            decision = authorize(asker.actor, "export", Target(export.tenant_id))
            self._enter(asker, export.tenant_id, "export_viewed", decision.role, "not_visible", export)
            raise ExportNotFoundError
        return export

    @contextmanager
    def _entering_none(self, asker: Asker, export_id: str, word: str) -> Iterator[None]:
        """That somebody tries an id that there is not is entered as well: they may be guessing."""
        try:
            yield
        except ExportNotFoundError:
            self._enter(asker, EVERY_TENANT, word, "", "no_export", None, object_id=export_id)
            raise

    def approve(self, asker: Asker, export_id: str, digest: str) -> Export:
        """Agree to hand out the set of this digest, which `show` has shown."""
        with self._entering_none(asker, export_id, "export_approved"):
            export = self.exports.get(export_id)
        role, current, targets = self._decides(asker, export, "export_approved")
        command = ApproveExport(export_id, asker.as_person, digest, current, self._tie(asker, export, targets))
        return self.exports.tell(command, client=asker.client, role=role)

    def _tie(self, asker: Asker, export: Export, targets: tuple[Target, ...]) -> Tie | None:
        """Why the approver is not somebody else than who asked, or than who has approved; None where they are."""
        now = self.clock.now()
        by, before = asker.actor.actor_id, [each.by.account for each in export.approvals]
        if any(can_act_as_each_other(by, each, self.makers, now) for each in before):
            return "made_by_approver"
        apart = self.terms_of(export.tenant_id).makers_apart
        return tie_to_requester(asker.actor, export.requester.account, targets, self.makers, now, makers_apart=apart)

    def refuse(self, asker: Asker, export_id: str, reason: str) -> Export:
        """Do not agree; also an export that is approved ends by it."""
        with self._entering_none(asker, export_id, "export_refused"):
            export = self.exports.get(export_id)
        role, _, _ = self._decides(asker, export, "export_refused")
        return self.exports.tell(RefuseExport(export_id, asker.as_person, reason), client=asker.client, role=role)

    def withdraw(self, asker: Asker, export_id: str) -> Export:
        """The requester does not want it any more. That needs no right: it was the own one, or it is refused."""
        export = self._seen(asker, export_id)
        role = authorize(asker.actor, "export", Target(export.tenant_id)).role
        return self.exports.tell(WithdrawExport(export_id, asker.as_person), client=asker.client, role=role)

    def offer(self, asker: Asker, export_id: str) -> tuple[Export, str]:
        """A token for one download, good for `TOKEN_LASTS`. It is shown once, and kept nowhere."""
        export = self._seen(asker, export_id)
        role, _ = self._permit_download(asker, export)
        token = secrets.token_urlsafe(32)
        command = OfferDownload(export_id, asker.as_person, _digest(token), TOKEN_LASTS)
        return self.exports.tell(command, client=asker.client, role=role), token

    def hand_out(self, asker: Asker, export_id: str, token: str) -> HandedOut:
        """Begin a download: entered and counted before this returns, then bytes come as they are asked for."""
        export, key = self._seen(asker, export_id), self.key
        has_sound = any(each.startswith("audio") for each in export.contained.contents)
        if key is None or (self.sounds is None and has_sound):
            role = authorize(asker.actor, "export", Target(export.tenant_id)).role
            self._enter(asker, export.tenant_id, "exported", role, "not_here", export)
            raise ExportRefusedError("not_here")
        begun = self._begun(asker, export, token)
        name = f"{begun.export_id}-{begun.downloads}.zip"
        return HandedOut(begun, name, self._chunks(asker, begun, key()))

    def _begun(self, asker: Asker, export: Export, token: str) -> Export:
        role, current = self._permit_download(asker, export)
        command = BeginDownload(export.export_id, asker.as_person, _digest(token), current)
        return self.exports.tell(command, client=asker.client, role=role)

    def _chunks(self, asker: Asker, export: Export, key: Ed25519PrivateKey) -> Iterator[bytes]:
        handed, whole = 0, False

        def count(more: int) -> None:
            nonlocal handed
            handed += more

        files = (replace(each, chunks=count_bytes(each.chunks, count)) for each in self._files(export))
        try:
            yield from archive(export, files, key, self.clock.now())
            whole = True
        finally:
            command = EndDownload(export.export_id, asker.as_person, export.downloads, handed, whole)
            role = authorize(asker.actor, "export", Target(export.tenant_id)).role
            self.exports.tell(command, client=asker.client, role=role)

    def _files(self, export: Export) -> Iterator[ExportFile]:
        contained, mark = export.contained, mark_of(export)
        for number, call in enumerate(contained.calls, 1):
            if call.recording is not None and self.sounds is not None:
                wav = marked_wav(self._wav(self.sounds, export, call), mark)
                yield ExportFile(f"recordings/{file_name(number, call.call_id, 'wav')}", wav, call.call_id)
            if "text" in contained.contents:
                for extension, chunks in (
                    ("json", text_as_json(call.call_id, self._segments(export, call), mark)),
                    ("csv", text_as_csv(self._segments(export, call), mark)),
                ):
                    yield ExportFile(f"transcripts/{file_name(number, call.call_id, extension)}", chunks, call.call_id)
        if "parquet" in contained.contents:
            self._require_present(export, [call.call_id for call in contained.calls])
            ids = [call.call_id for call in contained.calls]
            for name, rows in self.material.tables(contained.tenant_id, ids, mark):
                yield ExportFile(f"parquet/{name}.parquet", rows)

    def _wav(self, sounds: ExportSounds, export: Export, call: ExportedCall) -> Iterator[bytes]:
        self._require_present(export, [call.call_id])
        if call.muting is None and "audio_unmasked" not in export.contained.contents:
            raise ExportRefusedError("set_changed")  # nobody has approved to hand it out as it is
        try:
            yield from sounds.wav(export.tenant_id, call.call_id, muting=call.muting)
        except (KeyGoneError, MutingChangedError):
            raise ExportRefusedError("set_changed") from None

    def _segments(self, export: Export, call: ExportedCall) -> Iterator[Mapping[str, Any]]:
        self._require_present(export, [call.call_id])
        yield from self.material.segments(export.tenant_id, call.call_id)

    def _require_present(self, export: Export, call_ids: Sequence[str]) -> None:
        """A call that was destroyed since the download began is not handed out. Raises `ExportRefusedError`."""
        if self.tombstones.among([(export.tenant_id, call_id) for call_id in call_ids]):
            raise ExportRefusedError("set_changed")

    def _found(
        self, tenant_id: str, call_ids: Sequence[str], contents: Sequence[ExportContent]
    ) -> Mapping[str, ExportableCall]:
        """Those of the calls that are there, and were not destroyed."""
        gone = self.tombstones.among([(tenant_id, call_id) for call_id in call_ids])
        found = self.material.find(tenant_id, call_ids, contents)
        return {call_id: each for call_id, each in found.items() if (tenant_id, call_id) not in gone}

    def _now(self, export: Export) -> tuple[Mapping[str, ExportableCall], str | None]:
        """The calls of an export as they are, and the digest of its set; None where a call is gone."""
        contained = export.contained
        wanted = [call.call_id for call in contained.calls]
        found = self._found(contained.tenant_id, wanted, contained.contents)
        if any(call_id not in found for call_id in wanted):
            return found, None
        now = replace(contained, calls=tuple(found[call_id].exported for call_id in wanted))
        return found, now.digest

    def _decides(self, asker: Asker, export: Export, word: str) -> tuple[str, str | None, tuple[Target, ...]]:
        """Role, the digest of the set as it is now, and what it is about, for somebody who may approve all of that."""
        if not self._could_ever(asker.actor, "approve", export.tenant_id):
            decision = authorize(asker.actor, "approve", Target(export.tenant_id))
            self._refuse(asker, export.tenant_id, word, decision, export)
        if export.state not in OPEN:  # the calls may be gone by now: what is over is refused by its state
            return authorize(asker.actor, "approve", Target(export.tenant_id)).role, None, ()
        found, current = self._now(export)
        role, targets = "", tuple(self._targets(export, found))
        for target in targets:
            decision = authorize(asker.actor, "approve", target)
            if not decision.allowed:
                self._refuse(asker, export.tenant_id, word, decision, export)
            role = decision.role
        return role, current, targets

    def _permit_download(self, asker: Asker, export: Export) -> tuple[str, str | None]:
        """As `_decides`, for somebody who may still export every call of it: rights may have been taken away."""
        found, current = self._now(export)
        role = ""
        actions: list[Action] = ["export"]
        if "audio_unmasked" in export.contained.contents:
            actions.append("listen_unmasked")
        for target in self._targets(export, found):
            for action in actions:
                decision = authorize(asker.actor, action, target)
                if not decision.allowed:
                    self._refuse(asker, export.tenant_id, "exported", decision, export)
                role = role or decision.role
        return role, current

    @staticmethod
    def _targets(export: Export, found: Mapping[str, ExportableCall]) -> Iterator[Target]:
        """Of a call that is gone nobody knows any more whose it was: then it is about the tenant's."""
        for call in export.contained.calls:
            known = found.get(call.call_id)
            yield Target(export.tenant_id, call.call_id) if known is None else known.target

    def _permit_all(
        self, asker: Asker, action: Action, found: Mapping[str, ExportableCall], wanted: Sequence[str]
    ) -> str:
        """The role. Raises `ExportRefusedError`: one sentence for what is not there and what is not this person's."""
        role = ""
        for call_id in wanted:
            known = found.get(call_id)
            decision = None if known is None else authorize(asker.actor, action, known.target)
            if decision is None or decision.hides:
                raise ExportRefusedError("unknown_call")
            if not decision.allowed:
                raise ExportRefusedError("no_right")
            role = role or decision.role
        return role

    @staticmethod
    def _could_ever(actor: Actor, action: Action, tenant_id: str) -> bool:
        """Whether the actor may do that to anything of the tenant."""
        return any(grant.tenant_id in (tenant_id, "*") and action in grant.actions for grant in actor.grants)

    @staticmethod
    def _is_of(actor: Actor, tenant_id: str) -> bool:
        """Whether the actor has a role there."""
        return any(grant.tenant_id in (tenant_id, EVERY_TENANT) for grant in actor.grants)

    def _may_see(self, asker: Asker, export: Export) -> bool:
        if not self._is_of(asker.actor, export.tenant_id):
            return False
        own = asker.as_person.is_same(export.requester)
        return own or self._could_ever(asker.actor, "approve", export.tenant_id)

    def _refuse(self, asker: Asker, tenant_id: str, word: str, decision: Decision, export: Export | None) -> None:
        """Enter that somebody may not, then raise."""
        if export is None:
            raise ExportRefusedError("no_right")
        self._enter(asker, tenant_id, word, decision.role, decision.reason, export)
        if decision.hides:
            raise ExportNotFoundError
        raise ExportRefusedError("no_right")

    def _enter(
        self,
        asker: Asker,
        tenant_id: str,
        word: str,
        role: str,
        refusal: str | None,
        export: Export | None,
        *,
        object_id: str | None = None,
        **counts: int,
    ) -> None:
        self.audit.append(
            AuditEntry(
                at=self.clock.now(),
                actor=asker.actor.actor_id,
                role=role or "none",
                action=word,
                tenant_id=tenant_id,
                result="allowed" if refusal is None else "refused",
                client=asker.client,
                object_kind="export",
                object_id=object_id if export is None else export.export_id,
                purpose=None if export is None else export.reason,
                ticket=None if export is None else export.ticket,
                refusal=refusal,
                details=dict(counts),
            )
        )


def _can_be_asked_for(call: ExportableCall | None) -> bool:
    """Whether it has what is asked for; of too many calls nobody looks."""
    return call is None or call.not_mutable is None


def _digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def exporting_from(
    settings: Settings,
    register: Register,
    clock: Clock,
    audit: EntryWithinOrBefore,
    tombstones: Tombstones,
    sounds: ExportSounds | None = None,
) -> Exporting:
    """The desk over register and ClickHouse. Raises `TenantsError`."""
    tenants = read_tenants(settings.tenants_file)

    def terms_of(tenant_id: str) -> ExportTerms:
        terms = tenants.exports(tenant_id)
        return ExportTerms(
            terms.approvals,
            timedelta(days=terms.request_days),
            timedelta(days=terms.grant_days),
            terms.downloads,
            terms.makers_apart,
        )

    return Exporting(
        exports=RegisterExports(register, clock, audit),
        material=ClickHouseMaterial(settings.clickhouse_url.get_secret_value()),
        tombstones=tombstones,
        audit=audit,
        clock=clock,
        terms_of=terms_of,
        new_id=new_export_id,
        makers=RegisterMakers(register),
        key=lambda: kept_export_key(settings),
        sounds=sounds,
    )


def exports_of(desk: Exporting, client: str = "api") -> ServedExports:
    """The desk as routes use it. Each account is one person."""
    return ServedExports(lambda actor: ExporterFor(desk, Asker(actor, actor.actor_id, client)))


@dataclass(frozen=True)
class ExporterFor:
    """`streams.serve.ports.Exporter`: the desk, for one person."""

    desk: Exporting
    asker: Asker

    def request(self, asked: ExportAsked) -> Export:
        """Of calls, or of days."""
        rest = (asked.contents, asked.recipient, asked.reason, asked.ticket)
        if asked.first_day is not None and asked.last_day is not None:
            return self.desk.request_days(self.asker, asked.tenant_id, (asked.first_day, asked.last_day), *rest)
        return self.desk.request(self.asker, asked.tenant_id, asked.call_ids, *rest)

    def list(self, tenant_id: str) -> Sequence[Export]:
        return self.desk.list(self.asker, tenant_id)

    def show(self, export_id: str) -> Export:
        return self.desk.show(self.asker, export_id)

    def approve(self, export_id: str, digest: str) -> Export:
        return self.desk.approve(self.asker, export_id, digest)

    def refuse(self, export_id: str, reason: str) -> Export:
        return self.desk.refuse(self.asker, export_id, reason)

    def withdraw(self, export_id: str) -> Export:
        return self.desk.withdraw(self.asker, export_id)

    def offer(self, export_id: str) -> str:
        return self.desk.offer(self.asker, export_id)[1]

    def hand_out(self, export_id: str, token: str) -> tuple[str, Iterator[bytes]]:
        handed = self.desk.hand_out(self.asker, export_id, token)
        return handed.name, handed.chunks
