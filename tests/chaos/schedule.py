"""What is published and what is broken when, from a seed alone: the same seed is the same schedule."""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

Broker = Literal["kafka", "tansu"]

KINDS = ("harmless", "violating", "too_short", "broken", "unsupported", "repaired")
"""What is wrong with a call, if anything: see `recordings.py`."""

WORKERS = ("listen", "judge", "store", "notify", "keep", "relay", "sweep")
"""All that a recorded call passes on its way, and what finishes what taking in began."""

LANES = ("live", "backfill")
"""How a call is announced first; that it is repaired, the lane `redo` says."""

POISONED = (
    "calls.ended.v1",
    "calls.backfilled.v1",
    "calls.transcribed.v1",
    "calls.analyzed.v1",
    "alerts.raised.v1",
    "alerts.delivered.v1",
)

NEEDS_DISK = frozenset({"disk_full"})
NEEDS_POSTGRESQL = frozenset({"kill_register", "slow_register", "cut_register"})
NEEDS_SQLITE = frozenset({"lock_register"})
NEEDS_DURABLE_BROKER = frozenset({"kill_broker"})
"""tansu keeps everything in memory: killed, it has lost what it had acknowledged, whatever anybody does."""

LOAD_S = 5.0
"""So long calls are published, and so long faults begin."""


@dataclass(frozen=True)
class Fault:
    """Something that is broken at one moment and mended at another, in seconds from the beginning."""

    kind: str
    target: str
    at_s: float
    lasts_s: float

    @property
    def name(self) -> str:
        """As people read it."""
        return f"{self.kind} {self.target}".strip()


@dataclass(frozen=True)
class PlannedCall:
    """A call that is published at one moment."""

    call_id: str
    kind: str
    at_s: float
    lane: str = "live"


@dataclass(frozen=True)
class Schedule:
    """One seed's calls and faults, each in the order of time."""

    seed: int
    tenant_id: str
    calls: tuple[PlannedCall, ...]
    faults: tuple[Fault, ...]


_TARGETS: dict[str, tuple[str, ...]] = {
    "kill": WORKERS,
    "stop": WORKERS,
    "kill_broker": ("",),
    "stop_broker": ("",),
    "kill_clickhouse": ("",),
    "stop_clickhouse": ("",),
    "kill_register": ("",),
    "lock_register": ("",),
    "store_gone": ("",),
    "disk_full": ("",),
    "slow": ("kafka", "clickhouse"),
    "cut": ("kafka", "clickhouse"),
    "slow_register": ("",),
    "cut_register": ("",),
    "clock": ("forward", "back"),
    "add": ("listen", "judge", "store"),
    "drain": WORKERS,
    "subscriber": ("refuses", "hangs", "drops"),
    "duplicates": ("",),
    "old_records": ("calls.transcribed.v1", "calls.analyzed.v1", "alerts.raised.v1"),
    "poison": POISONED,
}
"""Kind of fault → what it can happen to. `drain` is SIGTERM and a new start, `add` a second worker for a while."""

FAULT_KINDS = tuple(_TARGETS)

_LONGEST_S = {"stop": 14.0, "add": 10.0, "clock": 6.0}
"""Of kinds that may last longer: who is stopped for longer than its session loses its partitions to others."""

_MOMENTARY = frozenset({"kill", "drain", "duplicates", "old_records", "poison"})


def schedule_of(seed: int, lacking: Collection[str] = (), *, faults: Sequence[Fault] | None = None) -> Schedule:
    """The schedule of a seed; `lacking` are kinds of faults that this stack cannot have."""
    rng = random.Random(seed)
    tenant_id = f"chaos-{seed}"
    # One of every kind that may go wrong in a way of its own, and a few more of those that go the whole way.
    kinds = [*KINDS, *rng.choices(("harmless", "violating"), k=rng.randint(2, 4))]
    rng.shuffle(kinds)
    calls = [
        PlannedCall(
            f"c{seed}-{number}-{kind.replace('_', '-')}", kind, round(rng.uniform(0, LOAD_S), 2), rng.choice(LANES)
        )
        for number, kind in enumerate(kinds)
    ]
    if faults is None:
        possible = [kind for kind in FAULT_KINDS if kind not in lacking]
        faults = [_fault(rng, rng.choice(possible)) for _ in range(rng.randint(2, 5))]
    return Schedule(
        seed,
        tenant_id,
        tuple(sorted(calls, key=lambda call: call.at_s)),
        tuple(sorted(faults, key=lambda fault: fault.at_s)),
    )


def undisturbed(attempt: int = 0) -> Schedule:
    """One call of each kind, and nothing that is wrong; each attempt under a tenant of its own."""
    calls = [
        PlannedCall(f"c0-{number}-{kind.replace('_', '-')}", kind, 0.1 * number) for number, kind in enumerate(KINDS)
    ]
    return Schedule(0, f"chaos-0-{attempt}", tuple(calls), ())


def _fault(rng: random.Random, kind: str) -> Fault:
    target = rng.choice(_TARGETS[kind])
    at_s = round(rng.uniform(0.3, LOAD_S), 2)
    lasts_s = 0.0 if kind in _MOMENTARY else round(rng.uniform(0.5, _LONGEST_S.get(kind, 4.0)), 2)
    return Fault(kind, target, at_s, lasts_s)
