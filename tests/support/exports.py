"""What tests of exports share: an audit log that remembers, calls, people, and a desk over both."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from processors.custody.audit_entry import AuditEntry
from processors.custody.authorization import Action, Actor, Grant
from processors.custody.exports import EndDownload, Export, ExportCommand, Exports, ExportTerms
from processors.custody.makers import KnowsMakers
from processors.custody.muting import MutingChangedError
from streams.proof.exports import BEGAN, MadeCalls, MadePeople, MemoryExports, MovedClock
from streams.stages.exporting import Asker, Exporting

TERMS = ExportTerms(1, timedelta(days=7), timedelta(days=3), 2)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
EVERYTHING: tuple[Action, ...] = ("export", "approve", "listen_unmasked", "see_text")


@dataclass
class RememberedEntries:
    """Entries, appended alone or with a transaction."""

    entries: list[AuditEntry] = field(default_factory=list)

    def append(self, entry: AuditEntry) -> None:
        self.entries.append(entry)

    def append_within(self, transaction: object, entry: AuditEntry) -> None:  # noqa: ARG002
        self.entries.append(entry)

    def told(self) -> list[tuple[str, str, str | None]]:
        """Action, result and refusal of each."""
        return [(each.action, each.result, each.refusal) for each in self.entries]


def wav(samples: int = 8_000) -> bytes:
    """A tone of 8 kHz, 16 bits, mono."""
    import io
    import wave

    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes((np.sin(np.arange(samples) / 5) * 8_000).astype("<i2").tobytes())
    return out.getvalue()


@dataclass
class MadeSounds:
    """`ExportSounds`: the same tone for each call, cut into pieces at odd places."""

    data: bytes = field(default_factory=wav)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)

    def wav(self, tenant_id: str, call_id: str, *, muting: str | None) -> Iterable[bytes]:
        self.asked.append((tenant_id, call_id, muting))
        if call_id in self.changed:
            raise MutingChangedError
        for start in range(0, len(self.data), 1_237):
            yield self.data[start : start + 1_237]


def person(
    account: str,
    *actions: Action,
    tenant_id: str = "acme",
    teams: Sequence[str] | None = None,
    human: str | None = None,
) -> Asker:
    """Somebody with one role; without actions with every right of the exports."""
    of_teams = None if teams is None else frozenset(teams)
    grant = Grant("some_role", tenant_id, frozenset(actions or EVERYTHING), of_teams)
    return Asker(Actor(account, (grant,)), human or account, "api")


@dataclass
class RememberedExports(MemoryExports):
    """Exports in memory, and how each download ended."""

    ended: list[bool] = field(default_factory=list)

    def tell(self, command: ExportCommand, *, client: str, role: str) -> Export:
        export = super().tell(command, client=client, role=role)
        if isinstance(command, EndDownload):
            self.ended.append(command.whole)
        return export


class ExportHouse:
    """Three calls each of acme and bank, and a desk for their exports."""

    def __init__(
        self,
        exports: Exports | None = None,
        clock: Any = None,
        audit: RememberedEntries | None = None,
        makers: KnowsMakers | None = None,
    ) -> None:
        self.clock = clock or MovedClock(BEGAN)
        self.calls = MadeCalls()
        self.audit = audit or RememberedEntries()
        self.sounds = MadeSounds()
        self.key = Ed25519PrivateKey.generate()
        self.people = MadePeople()
        self.terms = TERMS
        for tenant_id in ("acme", "bank"):
            for number in range(3):
                self.calls.versions[tenant_id, f"c{number}"] = 1
                self.calls.teams[tenant_id, f"c{number}"] = "north" if number < 2 else "south"
        ids = count(1)
        self.exports = exports or RememberedExports(self.clock)
        self.desk = Exporting(
            self.exports,
            self.calls,
            self.calls,
            self.audit,
            self.clock,
            lambda _tenant: self.terms,
            lambda: f"x{next(ids)}",
            makers or self.people,
            lambda: self.key,
            self.sounds,
        )

    @property
    def ended(self) -> list[bool]:
        """Of each download that is over, whether it was whole."""
        assert isinstance(self.exports, RememberedExports)
        return self.exports.ended
