"""Exports in the register: what `processors.custody.exports` decides, with its entries in the audit log and an event of
each change, in one transaction.
"""

import base64
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import insert, select, update

from processors.custody.audit_entry import AuditEntry, AuditResult
from processors.custody.exports import (
    ActionRefused,
    Approval,
    DownloadBegun,
    DownloadEnded,
    DownloadOffered,
    DownloadToken,
    Export,
    ExportApproved,
    ExportClosed,
    ExportCommand,
    ExportContent,
    ExportedCall,
    ExportEvent,
    ExportExpired,
    ExportNotFoundError,
    ExportPerson,
    ExportRefused,
    ExportRefusedError,
    ExportRequested,
    ExportSet,
    ExportState,
    ExportTerms,
    ExportVoided,
    ExportWithdrawn,
    LapseExport,
    after,
    decide,
)
from schemas.messages.custody_changed import CustodyChanged, CustodyKind
from streams.adapters.register.ports import EntryWithin
from streams.adapters.register.register import Register, Transaction
from streams.adapters.register.tables import export_approvals, export_calls, exports
from streams.ports import Clock

SYSTEM = "exports"
"""Who does what time does."""

LAPSED_AT_ONCE = 500


class RegisterExports:
    """`processors.custody.exports.Exports`. Safe to share between threads and processes: of two changes of one export
    at the same time the second sees the first. Every method may raise what `Register.transaction` does.
    """

    def __init__(self, register: Register, clock: Clock, audit: EntryWithin) -> None:
        self._register = register
        self._clock = clock
        self._audit = audit

    def tell(self, command: ExportCommand, *, client: str, role: str) -> Export:
        """See `Exports`. A refusal and the end of what has lasted too long are durable before this raises."""
        refused: str | None = None
        with self._register.transaction("change an export") as tx:
            now = self._clock.now()  # once it is this one's turn: who waited does not act in the past
            state = _find(tx, command.export_id, lock=True)
            for event in decide(command, state, now):
                state = after(event, state)
                self._audit.append_within(tx, _entry(event, state, now, client, role))
                if isinstance(event, ActionRefused):
                    refused = event.reason
                    continue
                _write(tx, event, state)
                if (told := _told(event, state, now)) is not None:
                    tx.outbox(told)
        if refused is not None:
            raise ExportRefusedError(refused)
        if state is None:
            raise ExportNotFoundError
        return state

    def get(self, export_id: str) -> Export:
        """Raises `ExportNotFoundError`."""
        with self._register.reading("read an export") as tx:
            found = _find(tx, export_id)
        if found is None:
            raise ExportNotFoundError
        return found

    def list(self, tenant_id: str, most: int) -> Sequence[Export]:
        """Those of a tenant, the newest first, once what is over has ended."""
        self.lapse()
        e = exports.c
        asked = (
            select(e.export_id).where(e.tenant_id == tenant_id).order_by(e.requested_at.desc(), e.export_id).limit(most)
        )
        with self._register.reading("list exports") as tx:
            found = [_find(tx, each) for each in tx.execute(asked).scalars().all()]
        return [each for each in found if each is not None]

    def lapse(self) -> int:
        """End those whose time is over; how many were looked at. A part at a time."""
        e, now = exports.c, self._clock.now()
        over = ((e.state == "requested") & (e.request_until <= now)) | (
            e.state.in_(("approved", "downloaded")) & (e.grant_until <= now)
        )
        with self._register.reading("look for exports that are over") as tx:
            due = tx.execute(select(e.export_id).where(over).limit(LAPSED_AT_ONCE)).scalars().all()
        for export_id in due:
            self.tell(LapseExport(export_id), client=SYSTEM, role=SYSTEM)
        return len(due)


def new_export_id() -> str:
    """60 random bits: it cannot be guessed, but it is no secret."""
    return "x" + base64.b32encode(secrets.token_bytes(8)).decode().lower()[:12]


def _find(tx: Transaction, export_id: str, *, lock: bool = False) -> Export | None:
    asked = select(exports).where(exports.c.export_id == export_id)
    row = tx.execute(asked.with_for_update() if lock else asked).mappings().first()
    if row is None:
        return None
    c, a = export_calls.c, export_approvals.c
    calls = tx.execute(
        select(c.call_id, c.recording, c.text, c.analysis, c.muting).where(c.export_id == export_id)
    ).all()
    approved = tx.execute(
        select(a.account, a.person, a.digest, a.approved_at)
        .where(a.export_id == export_id)
        .order_by(a.approved_at, a.person)
    ).all()
    approvals = tuple(Approval(ExportPerson(each[0], each[1]), each[2], each[3]) for each in approved)
    return _as_export(row, [ExportedCall(*each) for each in calls], approvals)


def _as_export(row: Mapping[Any, Any], calls: Sequence[ExportedCall], approvals: tuple[Approval, ...]) -> Export:
    contents = tuple(cast(ExportContent, each) for each in row["contents"].split())
    # As it is kept, however it came to be so: a set that could not be asked for is no reason not to look at it.
    contained = ExportSet(
        row["tenant_id"], row["recipient"], contents, tuple(sorted(calls, key=lambda call: call.call_id))
    )
    token = None if row["token_digest"] is None else DownloadToken(row["token_digest"], row["token_until"])
    return Export(
        export_id=row["export_id"],
        contained=contained,
        requester=ExportPerson(row["requester_account"], row["requester_person"]),
        reason=row["reason"],
        ticket=row["ticket"],
        terms=ExportTerms(
            row["approvals_needed"],
            row["request_until"] - row["requested_at"],
            timedelta(seconds=row["grant_lasts_s"]),
            row["downloads_allowed"],
        ),
        requested_at=row["requested_at"],
        request_until=row["request_until"],
        requested_digest=row["digest"],
        state=cast(ExportState, row["state"]),
        approvals=approvals,
        grant_until=row["grant_until"],
        downloads=row["downloads"],
        download_token=token,
        ended_at=row["ended_at"],
        end_reason=row["end_reason"],
    )


def _write(tx: Transaction, event: ExportEvent, export: Export) -> None:
    token = export.download_token
    values: dict[str, object] = {
        "state": export.state,
        "grant_until": export.grant_until,
        "downloads": export.downloads,
        "token_digest": None if token is None else token.digest,
        "token_until": None if token is None else token.until,
        "ended_at": export.ended_at,
        "end_reason": export.end_reason,
    }
    if isinstance(event, ExportApproved):
        approval = event.approval
        tx.execute(
            insert(export_approvals).values(
                export_id=export.export_id,
                person=approval.by.person,
                account=approval.by.account,
                digest=approval.digest,
                approved_at=approval.at,
            )
        )
    if not isinstance(event, ExportRequested):
        tx.execute(update(exports).where(exports.c.export_id == export.export_id).values(values))
        return
    values |= {
        "export_id": export.export_id,
        "tenant_id": export.tenant_id,
        "recipient": export.contained.recipient,
        "contents": " ".join(export.contained.contents),
        "digest": export.requested_digest,
        "requester_account": export.requester.account,
        "requester_person": export.requester.person,
        "reason": export.reason,
        "ticket": export.ticket,
        "approvals_needed": export.terms.approvals,
        "grant_lasts_s": round(export.terms.grant_lasts.total_seconds()),
        "downloads_allowed": export.terms.downloads,
        "requested_at": export.requested_at,
        "request_until": export.request_until,
    }
    tx.execute(insert(exports).values(values))
    tx.execute(
        insert(export_calls),
        [
            {
                "export_id": export.export_id,
                "call_id": call.call_id,
                "recording": call.recording,
                "text": call.text,
                "analysis": call.analysis,
                "muting": call.muting,
            }
            for call in export.contained.calls
        ],
    )


_KINDS: Mapping[type[ExportEvent], CustodyKind] = {
    ExportRequested: "export_requested",
    ExportApproved: "export_approved",
    ExportRefused: "export_refused",
    ExportWithdrawn: "export_withdrawn",
    ExportExpired: "export_expired",
    ExportVoided: "export_voided",
    DownloadBegun: "export_download_begun",
    DownloadEnded: "export_download_ended",
    ExportClosed: "export_closed",
}


def _actor(event: ExportEvent) -> str:
    match event:
        case ExportRequested(export):
            return export.requester.account
        case ExportApproved(approval):
            return approval.by.account
        case ExportExpired() | ExportClosed():
            return SYSTEM
        case _:
            return event.by.account


def _told(event: ExportEvent, export: Export, at: datetime) -> CustodyChanged | None:
    """None for a token, which changes nothing that anybody else must know."""
    kind = _KINDS.get(type(event))
    if kind is None:
        return None
    reason: str | None = None
    handed_bytes: int | None = None
    match event:
        case ExportRequested():
            reason = export.reason
        case ExportRefused() | ExportVoided() | ExportClosed():
            reason = event.reason
        case DownloadEnded():
            reason = "whole" if event.whole else "not_whole"
            handed_bytes = event.handed_bytes
        case _:
            pass
    return CustodyChanged.of(
        kind,
        tenant_id=export.tenant_id,
        actor=_actor(event),
        at=at,
        export_id=export.export_id,
        reason=reason,
        content_bytes=handed_bytes,
        count=len(export.contained.calls),
    )


_REFUSED_ACTIONS = {
    "request": "export_requested",
    "approve": "export_approved",
    "refuse": "export_refused",
    "withdraw": "export_withdrawn",
    "download": "exported",
}


def _entry(event: ExportEvent, export: Export, at: datetime, client: str, role: str) -> AuditEntry:
    """What the audit log says of it. `exported` is entered before the first byte is handed out."""
    details: dict[str, str | int] = {
        "set": export.contained.digest,
        "calls": len(export.contained.calls),
        "contents": " ".join(export.contained.contents),
    }
    action = ""
    result: AuditResult = "done"
    refusal: str | None = None
    match event:
        case ActionRefused():
            action, result, refusal = _REFUSED_ACTIONS[event.action], "refused", event.reason
        case DownloadOffered():
            action = "export_download_offered"
        case DownloadBegun(_, number):
            action, result = "exported", "allowed"
            details["download"] = number
        case DownloadEnded():
            action, result = "export_download_ended", "done" if event.whole else "failed"
            details |= {"download": event.number, "bytes": event.handed_bytes}
        case ExportRequested():
            action = "export_requested"
        case ExportRefused() | ExportVoided() | ExportClosed():
            action = _KINDS[type(event)]
            details["reason"] = event.reason
        case ExportApproved() | ExportWithdrawn() | ExportExpired():
            action = _KINDS[type(event)]
    actor = _actor(event)
    return AuditEntry(
        at=at,
        actor=actor,
        role=SYSTEM if actor == SYSTEM else role or "none",
        action=action,
        tenant_id=export.tenant_id,
        result=result,
        client=SYSTEM if actor == SYSTEM else client,
        object_kind="export",
        object_id=export.export_id,
        purpose=export.reason,
        ticket=export.ticket,
        refusal=refusal,
        details=details,
        personal={"recipient": export.contained.recipient},
    )
