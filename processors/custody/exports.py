"""The life of an export: asked for, approved by somebody else, handed out for a while, over (R21, R38, R91). Pure.

    requested ─ approved ─ downloaded ─ closed
        └──────────┴───────────┴─ refused · withdrawn · expired · void

An approval is of one exact set: of these calls, in these versions, in this form, for this recipient. What is handed
out is compared with it each time; where anything differs, the export is void and must be asked for again.
"""

import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import Literal, Protocol, get_args

from processors.custody.authorization import Target
from processors.custody.makers import Tie
from processors.custody.muting import WhyNotMuted
from schemas.errors import OperatorError

ExportContent = Literal["audio_masked", "audio_unmasked", "text", "parquet"]
"""What is handed out of each call: its sound with personal data muted, or as it is; its masked transcript; its rows,
masked text among them, as Parquet."""

CONTENTS: tuple[ExportContent, ...] = get_args(ExportContent)

ExportState = Literal["requested", "approved", "downloaded", "refused", "withdrawn", "expired", "void", "closed"]

OPEN: frozenset[ExportState] = frozenset({"requested", "approved", "downloaded"})
"""In these something may still happen."""

GRANTED: frozenset[ExportState] = frozenset({"approved", "downloaded"})
"""In these alone anything may be handed out."""

MOST_CALLS = 10_000
"""Of one export: what somebody can be asked to answer for."""

MOST_NAMED = 20
"""Calls, in one sentence."""

FORMAT = "callstream-export-1"


@dataclass(frozen=True)
class ExportedCall:
    """A call of an export, and what of it would be handed out: digests and versions, None for what is no part of it.

    `recording` is the SHA-256 of the recording as it came, `text` that of the masked transcript; `analysis` says which
    judgement of the call the rows are of, and `muting` which stretches of the sound are muted (`muting_id`).
    """

    call_id: str
    recording: str | None = None
    text: str | None = None
    analysis: str | None = None
    muting: str | None = None


@dataclass(frozen=True)
class ExportableCall:
    """A call as it is now: what of it would be handed out, and whose it is.

    `not_mutable` is why its sound cannot be muted, where that was asked for and cannot be; `muting` is None then.
    """

    exported: ExportedCall
    target: Target
    not_mutable: WhyNotMuted | None = None


@dataclass(frozen=True)
class ExportSet:
    """Exactly what is handed out, in which form, and to whom. `calls` are sorted by their ids, `contents` by name."""

    tenant_id: str
    recipient: str
    contents: tuple[ExportContent, ...]
    calls: tuple[ExportedCall, ...]

    @classmethod
    def of(
        cls, tenant_id: str, recipient: str, contents: Sequence[ExportContent], calls: Sequence[ExportedCall]
    ) -> "ExportSet":
        """Sorted; raises `ExportRefusedError` for a set that cannot be asked for."""
        chosen = frozenset(contents)
        if not chosen or not chosen <= frozenset(CONTENTS):
            raise ExportRefusedError("no_contents")
        if {"audio_masked", "audio_unmasked"} <= chosen:
            raise ExportRefusedError("two_maskings")
        if not calls:
            raise ExportRefusedError("no_calls")
        if len(calls) > MOST_CALLS:
            raise ExportRefusedError("too_many_calls")
        if len({call.call_id for call in calls}) < len(calls):
            raise ExportRefusedError("call_twice")
        if not recipient.strip() or len(recipient) > 128 or not recipient.isprintable():
            raise ExportRefusedError("no_recipient")
        ordered = tuple(sorted(calls, key=lambda call: call.call_id))
        return cls(tenant_id, recipient.strip(), tuple(sorted(chosen)), ordered)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over its canonical JSON, in hex: what an approval names."""
        told = {
            "format": FORMAT,
            "tenant_id": self.tenant_id,
            "recipient": self.recipient,
            "contents": list(self.contents),
            "masking": "unmasked" if "audio_unmasked" in self.contents else "masked",
            "calls": [[each.call_id, each.recording, each.text, each.analysis, each.muting] for each in self.calls],
        }
        written = json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return sha256(written.encode()).hexdigest()


@dataclass(frozen=True)
class ExportPerson:
    """Who acts: an account, and the person behind it. Two accounts of one person cannot approve each other."""

    account: str
    person: str

    def is_same(self, other: "ExportPerson") -> bool:
        """Whether one human being may be behind both."""
        return self.account == other.account or self.person == other.person


@dataclass(frozen=True)
class ExportTerms:
    """What holds for an export from its request on. `approvals` is how many other people must agree.

    `makers_apart`, whether no account may be able to act as requester and approver both, is as it is at the approval.
    """

    approvals: int = 1
    request_lasts: timedelta = timedelta(days=7)
    grant_lasts: timedelta = timedelta(days=3)
    downloads: int = 3
    makers_apart: bool = True

    def __post_init__(self) -> None:
        if self.approvals < 1 or self.downloads < 1 or min(self.request_lasts, self.grant_lasts) <= timedelta(0):
            raise ValueError("an export needs an approval, a download, and time for both")


@dataclass(frozen=True)
class Approval:
    """Somebody agreed to hand out the set of this digest."""

    by: ExportPerson
    digest: str
    at: datetime


@dataclass(frozen=True)
class DownloadToken:
    """What a download is begun with, once. Of its secret the SHA-256 alone is kept."""

    digest: str
    until: datetime


@dataclass(frozen=True)
class Export:
    """What is known of an export."""

    export_id: str
    contained: ExportSet
    requester: ExportPerson
    reason: str
    ticket: str | None
    terms: ExportTerms
    requested_at: datetime
    request_until: datetime
    requested_digest: str
    """Of the set when it was asked for; `contained` is as it is kept now."""
    state: ExportState = "requested"
    approvals: tuple[Approval, ...] = ()
    grant_until: datetime | None = None
    downloads: int = 0
    download_token: DownloadToken | None = None
    ended_at: datetime | None = None
    end_reason: str | None = None

    @property
    def tenant_id(self) -> str:
        return self.contained.tenant_id

    @property
    def is_as_requested(self) -> bool:
        """Whether nobody has changed what is kept of it."""
        return hmac.compare_digest(self.requested_digest.encode(), self.contained.digest.encode())

    @property
    def is_approved_as_it_is(self) -> bool:
        """Whether enough different people, none of them the requester, have agreed to exactly this set."""
        counted: list[ExportPerson] = []
        for approval in self.approvals:
            agrees = hmac.compare_digest(approval.digest.encode(), self.contained.digest.encode())
            if agrees and not any(approval.by.is_same(other) for other in (self.requester, *counted)):
                counted.append(approval.by)
        return self.is_as_requested and len(counted) >= self.terms.approvals


@dataclass(frozen=True)
class RequestExport:
    """Ask for an export. Who may was decided before, call by call."""

    export_id: str
    by: ExportPerson
    contained: ExportSet
    reason: str
    ticket: str | None
    terms: ExportTerms


@dataclass(frozen=True)
class ApproveExport:
    """Agree to hand out the set of `digest`, which is what the approver was shown. `current` is that of the set now.

    `tie` is why the approver is not somebody else (`processors.custody.makers`); None where they are.
    """

    export_id: str
    by: ExportPerson
    digest: str
    current: str | None
    tie: Tie | None = None


@dataclass(frozen=True)
class RefuseExport:
    """Do not agree, or no longer; `reason` is a word."""

    export_id: str
    by: ExportPerson
    reason: str


@dataclass(frozen=True)
class WithdrawExport:
    """The requester does not want it any more."""

    export_id: str
    by: ExportPerson


@dataclass(frozen=True)
class OfferDownload:
    """Make a token for one download."""

    export_id: str
    by: ExportPerson
    digest: str = field(repr=False)
    lasts: timedelta


@dataclass(frozen=True)
class BeginDownload:
    """Use the token. `current` is the digest of the set as it would be handed out now; None where a call is gone."""

    export_id: str
    by: ExportPerson
    digest: str = field(repr=False)
    current: str | None


@dataclass(frozen=True)
class EndDownload:
    """A download is over; `whole` where everything was handed over, with so many bytes of files."""

    export_id: str
    by: ExportPerson
    number: int
    handed_bytes: int
    whole: bool


@dataclass(frozen=True)
class LapseExport:
    """Look at the time: what has lasted long enough ends."""

    export_id: str


ExportCommand = (
    RequestExport
    | ApproveExport
    | RefuseExport
    | WithdrawExport
    | OfferDownload
    | BeginDownload
    | EndDownload
    | LapseExport
)


@dataclass(frozen=True)
class ExportRequested:
    """There is a new export."""

    export: Export


@dataclass(frozen=True)
class ExportApproved:
    """Somebody agreed; `grant_until` where that was the last approval needed."""

    approval: Approval
    grant_until: datetime | None


@dataclass(frozen=True)
class ExportRefused:
    """It will not be handed out, or not again."""

    by: ExportPerson
    reason: str
    at: datetime


@dataclass(frozen=True)
class ExportWithdrawn:
    """The requester took it back."""

    by: ExportPerson
    at: datetime


@dataclass(frozen=True)
class ExportExpired:
    """Nobody approved it in time, or nobody downloaded it in time."""

    at: datetime


@dataclass(frozen=True)
class ExportVoided:
    """What would be handed out is not what was asked for and approved."""

    by: ExportPerson
    reason: str
    at: datetime


@dataclass(frozen=True)
class DownloadOffered:
    """There is a token; it takes the place of one from before."""

    by: ExportPerson
    token: DownloadToken
    at: datetime


@dataclass(frozen=True)
class DownloadBegun:
    """The token is used up, and the download counts from now on, whatever becomes of it."""

    by: ExportPerson
    number: int
    at: datetime


@dataclass(frozen=True)
class DownloadEnded:
    """A download is over."""

    by: ExportPerson
    number: int
    handed_bytes: int
    whole: bool
    at: datetime


@dataclass(frozen=True)
class ExportClosed:
    """Every download was used, or the time for them is over."""

    reason: str
    at: datetime


@dataclass(frozen=True)
class ActionRefused:
    """Nothing has changed: what was asked may not be done, and that is entered in the audit log."""

    action: str
    by: ExportPerson
    reason: str
    at: datetime


ExportEvent = (
    ExportRequested
    | ExportApproved
    | ExportRefused
    | ExportWithdrawn
    | ExportExpired
    | ExportVoided
    | DownloadOffered
    | DownloadBegun
    | DownloadEnded
    | ExportClosed
    | ActionRefused
)

_SENTENCES = {
    "no_contents": "an export has at least one of: " + ", ".join(CONTENTS),
    "two_maskings": "an export has the sound with personal data muted or as it is, not both",
    "no_calls": "an export without calls is none: name at least one",
    "too_many_calls": f"an export has at most {MOST_CALLS} calls: ask for several",
    "call_twice": "a call is named twice",
    "no_recipient": "name who gets it: one line, at most 128 letters",
    "exists": "there is an export of this id",
    "own_request": "who asked for an export cannot decide about it, from whatever account: somebody else must",
    "made_by_requester": "who asked for the export made your account, or gave it its password, or may have a token of "
    "it, themselves or through an account of theirs: somebody must approve whose account, password and tokens come "
    "from another administrator or the OpenID provider",
    "made_requester": "you made the account that asked for the export, or gave it its password, or may have a token of "
    "it: somebody else must approve it",
    "granted_by_requester": "who asked for the export gave you the role by which you would approve it: another "
    "administrator must give it to you, or somebody else approve",
    "made_by_approver": "somebody who has approved it made your account, or you theirs, or gave it its password: "
    "another person must approve",
    "one_maker": "one account made yours and that of the requester, or can sign in as both, and could do it all alone: "
    "somebody must approve whose account comes from another administrator, the operator or the OpenID provider",
    "approved_before": "this person has approved it before: another one must",
    "another_set": "what you approve is not what is asked for: look at it again with `callstream export show`",
    "set_changed": "the calls are not as they were when the export was asked for, so it is void: ask again",
    "swapped": "what is kept of the export is not what was asked for and approved, so it is void: ask again",
    "not_requester": "that is for who asked for the export alone",
    "not_requested": "it waits for no approval: `callstream export show` says where it stands",
    "not_granted": "it is not approved, or not any more: `callstream export show` says where it stands",
    "over": "it is over: `callstream export show` says why",
    "no_downloads_left": "every download of it was used: ask again",
    "no_token": "the token of the download is wrong, was used, or is too old: get another one",
    "unknown_call": "a call is not there, not yours, was destroyed, or has nothing of what is asked for",
    "not_mutable": "personal data cannot be muted in recordings of which nobody knows when what was said: leave them "
    "out, or ask again once they are transcribed here",
    "no_right": "no role that you have allows this with every call of it",
    "not_here": "this process hands nothing out: download from `callstream serve`",
}
"""What is told of each reason."""


class ExportRefusedError(OperatorError):
    """What is asked of an export may not be done; `reason` is the word that the audit log has. `calls` are those that
    stand in the way, where they may be named to who asks.
    """

    exit_code = 1

    def __init__(self, reason: str, calls: Sequence[str] = ()) -> None:
        self.reason = reason
        more = f" and {len(calls) - MOST_NAMED} more" if len(calls) > MOST_NAMED else ""
        named = f": {', '.join(calls[:MOST_NAMED])}{more}" if calls else ""
        super().__init__(_SENTENCES.get(reason, reason) + named)


class ExportNotFoundError(OperatorError):
    """There is no such export, or none that this person may know of."""

    exit_code = 1

    def __init__(self) -> None:
        super().__init__("there is no such export: `callstream export list` shows all that you may see")


class Exports(Protocol):
    """Where exports are kept. Every method may raise `RetryableError` and `OperatorError`."""

    def tell(self, command: ExportCommand, *, client: str, role: str) -> Export:
        """What `decide` says becomes true, at once and whole, with its entries in the audit log; the export after it.

        Raises `ExportRefusedError` where that was a refusal, `ExportNotFoundError` for an id that there is not.
        """
        ...

    def get(self, export_id: str) -> Export:
        """Raises `ExportNotFoundError`."""
        ...

    def list(self, tenant_id: str, most: int) -> Sequence[Export]:
        """Those of a tenant, the newest first."""
        ...


def decide(command: ExportCommand, state: Export | None, now: datetime) -> Sequence[ExportEvent]:
    """What happens to the export that the command names, of which `state` is known.

    What may not be done is an event, too: `ActionRefused`, always the last one. Raises `ExportNotFoundError`.
    """
    if isinstance(command, RequestExport):
        if state is not None:
            return (ActionRefused("request", command.by, "exists", now),)
        return (ExportRequested(_requested(command, now)),)
    if state is None:
        raise ExportNotFoundError
    lapsed = _lapse(state, now)
    for event in lapsed:
        state = after(event, state)
    match command:
        case LapseExport():
            return lapsed
        case ApproveExport():
            return (*lapsed, *_approve(command, state, now))
        case RefuseExport():
            return (*lapsed, *_refuse(command, state, now))
        case WithdrawExport():
            return (*lapsed, *_withdraw(command, state, now))
        case OfferDownload():
            return (*lapsed, *_offer(command, state, now))
        case BeginDownload():
            return (*lapsed, *_begin(command, state, now))
        case EndDownload():
            return (*lapsed, *_end(command, state, now))


def _requested(command: RequestExport, now: datetime) -> Export:
    return Export(
        export_id=command.export_id,
        contained=command.contained,
        requester=command.by,
        reason=command.reason,
        ticket=command.ticket,
        terms=command.terms,
        requested_at=now,
        request_until=now + command.terms.request_lasts,
        requested_digest=command.contained.digest,
    )


def _lapse(state: Export, now: datetime) -> Sequence[ExportEvent]:
    if state.state == "requested" and now >= state.request_until:
        return (ExportExpired(now),)
    if state.state in GRANTED and state.grant_until is not None and now >= state.grant_until:
        return (ExportExpired(now),) if state.state == "approved" else (ExportClosed("time_over", now),)
    return ()


def _approve(command: ApproveExport, state: Export, now: datetime) -> Sequence[ExportEvent]:
    def refused(reason: str) -> Sequence[ExportEvent]:
        return (ActionRefused("approve", command.by, reason, now),)

    if state.state != "requested":
        return refused("not_requested" if state.state in OPEN else "over")
    if command.by.is_same(state.requester):
        return refused("own_request")
    if any(command.by.is_same(approval.by) for approval in state.approvals):
        return refused("approved_before")
    if command.tie is not None:
        return refused(command.tie)
    if not hmac.compare_digest(command.digest.encode(), state.contained.digest.encode()):
        return refused("another_set")
    if not state.is_as_requested:
        return (ExportVoided(command.by, "swapped", now), *refused("swapped"))
    if command.current != state.contained.digest:
        return (ExportVoided(command.by, "set_changed", now), *refused("set_changed"))
    approval = Approval(command.by, command.digest, now)
    enough = replace(state, approvals=(*state.approvals, approval)).is_approved_as_it_is
    return (ExportApproved(approval, now + state.terms.grant_lasts if enough else None),)


def _refuse(command: RefuseExport, state: Export, now: datetime) -> Sequence[ExportEvent]:
    if state.state not in OPEN:
        return (ActionRefused("refuse", command.by, "over", now),)
    if command.by.is_same(state.requester):
        return (ActionRefused("refuse", command.by, "own_request", now),)
    return (ExportRefused(command.by, command.reason, now),)


def _withdraw(command: WithdrawExport, state: Export, now: datetime) -> Sequence[ExportEvent]:
    if not command.by.is_same(state.requester):
        return (ActionRefused("withdraw", command.by, "not_requester", now),)
    if state.state not in OPEN:
        return (ActionRefused("withdraw", command.by, "over", now),)
    return (ExportWithdrawn(command.by, now),)


def _may_download(by: ExportPerson, state: Export) -> str | None:
    """Why this person may not download now; None where it may be."""
    if not by.is_same(state.requester):
        return "not_requester"
    if state.state not in GRANTED:
        return "not_granted"
    if state.downloads >= state.terms.downloads:
        return "no_downloads_left"
    return None


def _offer(command: OfferDownload, state: Export, now: datetime) -> Sequence[ExportEvent]:
    if (reason := _may_download(command.by, state)) is not None:
        return (ActionRefused("download", command.by, reason, now),)
    ends = now + command.lasts if state.grant_until is None else min(now + command.lasts, state.grant_until)
    return (DownloadOffered(command.by, DownloadToken(command.digest, ends), now),)


def _begin(command: BeginDownload, state: Export, now: datetime) -> Sequence[ExportEvent]:
    def refused(reason: str) -> Sequence[ExportEvent]:
        return (ActionRefused("download", command.by, reason, now),)

    if (reason := _may_download(command.by, state)) is not None:
        return refused(reason)
    token = state.download_token
    if token is None or now >= token.until or not hmac.compare_digest(token.digest.encode(), command.digest.encode()):
        return refused("no_token")
    if not state.is_approved_as_it_is:
        return (ExportVoided(command.by, "swapped", now), *refused("swapped"))
    if command.current != state.contained.digest:
        return (ExportVoided(command.by, "set_changed", now), *refused("set_changed"))
    return (DownloadBegun(command.by, state.downloads + 1, now),)


def _end(command: EndDownload, state: Export, now: datetime) -> Sequence[ExportEvent]:
    """Entered whatever has become of the export meanwhile: it was handed out."""
    ended = DownloadEnded(command.by, command.number, command.handed_bytes, command.whole, now)
    if state.state == "downloaded" and command.number >= state.terms.downloads:
        return (ended, ExportClosed("downloads_used", now))
    return (ended,)


def after(event: ExportEvent, state: Export | None) -> Export:
    """What is known of the export that the event is about. Raises `ValueError` where there is none."""
    if isinstance(event, ExportRequested):
        return event.export
    if state is None:
        raise ValueError("the event is about no export")
    match event:
        case ExportApproved(approval, grant_until):
            granted: ExportState = state.state if grant_until is None else "approved"
            return replace(state, approvals=(*state.approvals, approval), grant_until=grant_until, state=granted)
        case ExportRefused(_, reason, at):
            return _over(state, "refused", at, reason)
        case ExportWithdrawn(_, at):
            return _over(state, "withdrawn", at, None)
        case ExportExpired(at):
            return _over(state, "expired", at, None)
        case ExportVoided(_, reason, at):
            return _over(state, "void", at, reason)
        case ExportClosed(reason, at):
            return _over(state, "closed", at, reason)
        case DownloadOffered(_, token):
            return replace(state, download_token=token)
        case DownloadBegun(_, number):
            return replace(state, state="downloaded", downloads=number, download_token=None)
        case DownloadEnded() | ActionRefused():
            return state


def _over(state: Export, end: ExportState, at: datetime, reason: str | None) -> Export:
    return replace(state, state=end, ended_at=at, end_reason=reason, download_token=None)
