"""Listening: who may hear which recording, entered before it is heard, and the sound of it (R22, R23, R33, R36, R72).

The one way by which a recording, its waveform or its transcript reaches a person, over HTTP or on the command line.
"""

import hashlib
import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Literal

import numpy as np

from processors.custody.audit_entry import AuditEntry, AuditLog, AuditResult
from processors.custody.authorization import EVERY_TENANT, Action, Actor, Decision, Masking, Target, authorize
from processors.custody.muting import (
    MUTING_VERSION,
    MutedStretch,
    Muter,
    MutingChangedError,
    NotMutableError,
    WhyNotMuted,
    muted_stretches,
    muting_of,
)
from processors.custody.play_sessions import ListeningPurpose, PlaySessions
from processors.custody.ports import KeyGoneError, SealBrokenError, Tombstones
from processors.listening.audio import UnhearableError
from processors.listening.renditions import Peaks, read_peaks
from processors.listening.stretch import SeekIndex
from processors.listening.virtual_wav import SoundFrames, VirtualWav, WavShape
from schemas.errors import OperatorError
from schemas.messages.call_ended import CallEnded
from schemas.messages.transcript import AudioFacts, Transcript
from streams.adapters.object_store.archive import ArchivedResults
from streams.adapters.object_store.playable import (
    NotPlayableError,
    PlayableRecording,
    PlayableRecordings,
    RecordingPlace,
    place_in,
    place_of_intake,
)
from streams.adapters.object_store.recordings import UnreadableRecordingError
from streams.adapters.object_store.transcripts import TranscriptStore, valid_call, valid_tenant
from streams.ports import Clock, Intakes, ObjectMissingError

log = logging.getLogger(__name__)

NO_ROLE = "none"
REMEMBERED = timedelta(seconds=60)
"""So long it is remembered where a recording lies and what of it is muted; its key, tombstones and permission are asked
for at every request."""
REMEMBERED_CALLS = 512

Why = Literal["unknown", "forbidden", "gone", "not_now", "broken"]


class NotPlayedError(Exception):
    """It is not shown, and the refusal is in the audit log.

    `why`: `unknown` is answered as if there were no such call; `forbidden`: no role allows it; `gone`: destroyed;
    `not_now`: it cannot be played as asked, `reason` says why; `broken`: what lies there was changed.
    """

    def __init__(self, why: Why, reason: str) -> None:
        self.why: Why = why
        self.reason = reason
        super().__init__(f"{why}: {reason}")


class NotExportableError(OperatorError):
    """The sound of a call cannot be handed out as it was approved; the sentence says why."""

    exit_code = 1


@dataclass(frozen=True)
class ListeningRequest:
    """Who asks for what, and what for. `address` is of a person: the audit log keeps it apart.

    Of somebody without a role, who named no tenant, `tenant_id` is `*`.
    """

    actor: Actor
    tenant_id: str
    call_id: str
    purpose: ListeningPurpose
    ticket: str | None = None
    unmasked: bool = False
    client: str = "api"
    address: str | None = None


@dataclass(frozen=True)
class Playing:
    """A recording that may be heard. `etag` is of these very bytes, of another recording or muting it differs."""

    wav: VirtualWav
    etag: str
    masking: Masking
    muted_ms: int


@dataclass(frozen=True)
class Description:
    """What is known of a recording without hearing it."""

    shape: WavShape
    masking: Masking
    muted_ms: int


@dataclass(frozen=True)
class ShownPeaks:
    """A waveform in which muted stretches are flat."""

    peaks: Peaks
    masking: Masking


@dataclass(frozen=True)
class _Known:
    """What is known of a call without its text, for a minute."""

    target: Target
    place: RecordingPlace | None
    call: CallEnded | None = None
    facts: AudioFacts | None = None
    index: SeekIndex | None = None
    muted: tuple[MutedStretch, ...] = ()
    muting: str | None = None
    not_mutable: WhyNotMuted | None = None
    not_playable: str | None = None


@dataclass
class Listening:
    """Every method asks `authorize`, enters what it allows and what it refuses, and only then shows anything.

    They raise `NotPlayedError`, and `RetryableError` and `OperatorError` where register, store or audit log do not
    answer: then nothing is shown either. Used by several threads at once.
    """

    recordings: PlayableRecordings
    transcripts: TranscriptStore
    intakes: Intakes
    tombstones: Tombstones
    audit_log: AuditLog
    clock: Clock
    results: ArchivedResults | None = None
    """None where this process shows no archived results."""
    sessions: PlaySessions = field(default_factory=PlaySessions)
    _remembered: "OrderedDict[tuple[str, str], tuple[datetime, _Known]]" = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def play(self, request: ListeningRequest) -> Playing:
        """The recording as a virtual WAV; personal data is muted unless `unmasked` was asked for and is allowed."""
        return self._open(request, "listened")

    def describe(self, request: ListeningRequest) -> Description:
        """How long it is and how much of it is muted, without its sound."""
        playing = self._open(request, "viewed_recording")
        return Description(playing.wav.shape, playing.masking, playing.muted_ms)

    def _open(self, request: ListeningRequest, action: str) -> Playing:
        decision, known = self._permitted(request, action, "listen_unmasked" if request.unmasked else "listen")
        muted = self._muted(request, action, decision, known)
        with _Refusing(self, request, action, decision):
            if known.place is None:
                raise NotPlayableError(known.not_playable or "no_recording")
            opened = self.recordings.open(known.place, known.facts, known.index)
        self._enter_session(request, action, decision, known)
        version = known.place.identity.version
        return Playing(
            _muted_wav(opened, muted),
            _etag(version, opened.sha256, muted, opened.shape.header()),
            "unmasked" if request.unmasked else "masked",
            sum(each.end_ms - each.start_ms for each in muted),
        )

    def approved(self, tenant_id: str, call_id: str, *, muting: str | None) -> VirtualWav:
        """The sound of a call whose export was approved: whoever hands it out has asked who may, and entered it.

        `muting` is the one that was approved (`muting_id`); None leaves the sound as it is. Raises `MutingChangedError`
        where it is another one now, `KeyGoneError` where the call or its key was destroyed, and `NotExportableError`.
        """
        if (tenant_id, call_id) in self.tombstones.among([(tenant_id, call_id)]):
            raise KeyGoneError
        known, why = self._known(tenant_id, call_id), "no_recording"
        try:
            if known is not None and known.place is not None:
                if muting is not None and muting != known.muting:
                    raise MutingChangedError
                stretches = () if muting is None else known.muted
                return _muted_wav(self.recordings.open(known.place, known.facts, known.index), stretches)
        except (KeyGoneError, MutingChangedError):
            raise
        except Exception as error:
            found = why_not(error)
            if found is None:
                raise
            why = found[1]
        raise NotExportableError(
            f"a recording of the export cannot be handed out ({why}): export its text alone, or leave it out"
        )

    def peaks(self, request: ListeningRequest) -> ShownPeaks:
        """The waveform of the recording, flat where it is muted."""
        action = "viewed_waveform"
        decision, known = self._permitted(request, action, "listen_unmasked" if request.unmasked else "listen")
        muted = self._muted(request, action, decision, known)
        with _Refusing(self, request, action, decision):
            if known.call is None:
                raise NotPlayableError("not_heard_yet")
            peaks = read_peaks(self.recordings.renditions.peaks(known.call))
        self._enter_session(request, action, decision, known)
        return ShownPeaks(_flattened(peaks, muted), "unmasked" if request.unmasked else "masked")

    def transcript(self, request: ListeningRequest) -> Transcript:
        """What was said, masked, with its times."""
        action = "viewed_text"
        decision, _ = self._permitted(request, action, "see_text")
        with _Refusing(self, request, action, decision):
            transcript = self.transcripts.load(request.tenant_id, request.call_id)
            if transcript is None:
                raise NotPlayableError("not_heard_yet")
        self._enter_session(request, action, decision, None)
        return transcript

    def result(self, request: ListeningRequest) -> bytes:
        """What was said, masked, and found of an archived call, as Parquet. Entered each time."""
        action = "viewed_text"
        decision, _ = self._permitted(request, action, "see_text")
        with _Refusing(self, request, action, decision):
            transcript = self.transcripts.load(request.tenant_id, request.call_id)
            if transcript is None or self.results is None:
                raise NotPlayableError("not_archived")
            day = transcript.call.ended_at.astimezone(UTC).date()
            try:
                data = self.results.read(request.tenant_id, request.call_id, day)
            except ObjectMissingError:
                raise NotPlayableError("not_archived") from None
        self.audit_log.append(self._entry(request, action, decision, "allowed", None, {"archived_bytes": len(data)}))
        return data

    def _permitted(self, request: ListeningRequest, action: str, asked: Action) -> tuple[Decision, _Known]:
        tenant_id, call_id = request.tenant_id, request.call_id
        is_nobodys = tenant_id == EVERY_TENANT and not request.actor.grants
        try:
            is_nobodys or valid_tenant(tenant_id), valid_call(call_id)
        except ValueError:
            raise NotPlayedError(
                why="unknown", reason="no_call"
            ) from None  # no id that anything could be entered under
        if is_nobodys:
            nothing = Decision(allowed=False, reason="no_role")
            self._refuse(request, action, nothing, nothing.reason)
            raise NotPlayedError("forbidden", nothing.reason)
        of_tenant = authorize(request.actor, asked, Target(tenant_id))
        known = None if of_tenant.reason == "other_tenant" else self._known(tenant_id, call_id)
        destroyed = (tenant_id, call_id) in self.tombstones.among([(tenant_id, call_id)])
        decision = authorize(request.actor, asked, known.target if known else Target(tenant_id, call_id))
        if decision.allowed and asked == "listen_unmasked":
            decision = authorize(request.actor, "listen", known.target if known else Target(tenant_id, call_id))
        if not decision.allowed:
            self._refuse(request, action, decision, decision.reason)
            raise NotPlayedError("unknown" if decision.hides else "forbidden", decision.reason)
        if destroyed:
            self._refuse(request, action, decision, "destroyed")
            raise NotPlayedError(why="gone", reason="destroyed")
        if known is None:
            self._refuse(request, action, decision, "no_call")
            raise NotPlayedError(why="unknown", reason="no_call")
        return decision, known

    def _muted(
        self, request: ListeningRequest, action: str, decision: Decision, known: _Known
    ) -> tuple[MutedStretch, ...]:
        if request.unmasked:
            return ()
        if known.not_mutable is not None:
            self._refuse(request, action, decision, known.not_mutable)
            raise NotPlayedError("not_now", known.not_mutable)
        return known.muted

    def _known(self, tenant_id: str, call_id: str) -> _Known | None:
        now, key = self.clock.now(), (tenant_id, call_id)
        with self._lock:
            kept = self._remembered.get(key)
        if kept is not None and timedelta() <= now - kept[0] < REMEMBERED:
            return kept[1]
        known = self._find(tenant_id, call_id)
        if known is not None and known.facts is not None:  # of what was not heard yet, more is known soon
            with self._lock:
                self._remembered[key] = (now, known)
                self._remembered.move_to_end(key)
                while len(self._remembered) > REMEMBERED_CALLS:
                    self._remembered.popitem(last=False)
        return known

    def _find(self, tenant_id: str, call_id: str) -> _Known | None:
        """By its transcript, else by its intake; whose agent it was is not known then."""
        transcript = self.transcripts.load(tenant_id, call_id)
        if transcript is None:
            place = place_of_intake(tenant_id, call_id, self.intakes.intake(tenant_id, call_id))
            return None if place is None else _Known(Target(tenant_id, call_id), place, not_mutable="not_heard_yet")
        agent = transcript.call.agent
        target = Target(tenant_id, call_id, agent.id, agent.team)
        place, not_playable = None, None
        try:
            place = place_in(self.recordings.store, transcript.call)
        except NotPlayableError as error:
            not_playable = error.reason
        muted, not_mutable, muting = (), None, None  # type: tuple[MutedStretch, ...], WhyNotMuted | None, str | None
        try:
            muted, muting = muted_stretches(transcript), muting_of(transcript)
        except NotMutableError as error:
            not_mutable = error.reason
        index = self.recordings.seek_index(transcript)
        return _Known(
            target, place, transcript.call, transcript.audio, index, muted, muting, not_mutable, not_playable
        )  # fmt: skip

    def _enter_session(self, request: ListeningRequest, action: str, decision: Decision, known: _Known | None) -> None:
        masking = "unmasked" if request.unmasked else "masked"
        key = (action, request.actor.actor_id, request.tenant_id, request.call_id, request.purpose, request.ticket)
        muted = 0 if known is None or request.unmasked else len(known.muted)
        details: dict[str, str | int] = {"masking": masking, "muted_stretches": muted}
        self.sessions.begin(
            (*key, masking, request.client, request.address),
            self.clock.now(),
            lambda: self.audit_log.append(self._entry(request, action, decision, "allowed", None, details)),
        )

    def _refuse(self, request: ListeningRequest, action: str, decision: Decision, reason: str) -> None:
        self.audit_log.append(self._entry(request, action, decision, "refused", reason, {}))

    def _entry(
        self,
        request: ListeningRequest,
        action: str,
        decision: Decision,
        result: AuditResult,
        refusal: str | None,
        details: dict[str, str | int],
    ) -> AuditEntry:
        return AuditEntry(
            at=self.clock.now(),
            actor=request.actor.actor_id,
            role=decision.role or NO_ROLE,
            action=action,
            tenant_id=request.tenant_id,
            result=result,
            client=request.client,
            call_id=request.call_id,
            purpose=request.purpose,
            ticket=request.ticket,
            refusal=refusal,
            details=details,
            personal={} if request.address is None else {"address": request.address},
        )

    def refused(self, request: ListeningRequest, action: str, decision: Decision, why: Why, reason: str) -> None:
        """Enter it and raise `NotPlayedError`."""
        self._refuse(request, action, decision, reason)
        raise NotPlayedError(why, reason)


@dataclass(frozen=True)
class _Refusing:
    """What stands in the way of a recording, as an entry and a refusal."""

    listening: Listening
    request: ListeningRequest
    action: str
    decision: Decision

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        found = None if error is None else why_not(error)
        if found is not None:
            self.listening.refused(self.request, self.action, self.decision, *found)


def why_not(error: BaseException) -> tuple[Why, str] | None:
    """What an error says to who wants to listen; None for one that says nothing of the recording."""
    match error:
        case NotPlayableError(reason=reason):
            return "not_now", reason
        case KeyGoneError():
            return "gone", "key_destroyed"
        case ObjectMissingError():
            return "gone", "object_missing"
        case SealBrokenError():
            return "broken", "seal_broken"
        case UnhearableError(reason=reason) | UnreadableRecordingError(reason=reason):
            return "not_now", reason
        case ValueError():  # of `read_peaks`
            return "broken", "seal_broken"
    return None


def _muted_wav(opened: PlayableRecording, muted: tuple[MutedStretch, ...]) -> VirtualWav:
    muter = Muter(muted, opened.shape.rate_hz)

    def sound(first: int, count: int) -> SoundFrames:
        return muter.mute(opened.sound(first, count), first)

    return VirtualWav(opened.shape, sound)


def _etag(version: str, sha256: str, muted: tuple[MutedStretch, ...], header: bytes) -> str:
    digest = hashlib.sha256(f"{MUTING_VERSION}:{version}:{sha256}:".encode())
    digest.update(header)
    for each in muted:
        digest.update(f"{each.start_ms}-{each.end_ms};".encode())
    return f'"{digest.hexdigest()[:32]}"'


def _flattened(peaks: Peaks, muted: tuple[MutedStretch, ...]) -> Peaks:
    pairs = peaks.pairs.copy()
    for each in muted:
        first = each.start_ms * peaks.rate_hz // 1000 // peaks.samples_per_peak
        behind = -(-each.end_ms * peaks.rate_hz // (1000 * peaks.samples_per_peak))
        pairs[first:behind] = 0
    return Peaks(peaks.rate_hz, peaks.samples_per_peak, np.ascontiguousarray(pairs))
