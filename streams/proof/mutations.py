"""Sealed objects, changed in every way that somebody with access to the store could change them: not one may open."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from processors.custody.ports import ObjectRole, SealBrokenError, SealedIdentity
from processors.custody.sealed import seal, unseal

_FLIPS = 40
_CUTS = 10


@dataclass(frozen=True)
class SealedSample:
    """A sealed object as it lies in the store, with what opens it."""

    key: bytes
    identity: SealedIdentity
    sealed: bytes


@dataclass
class MutationReport:
    """How many changed objects were tried, and the kinds of change that were not noticed."""

    tried: int = 0
    unnoticed: list[str] = field(default_factory=list)


def try_mutations(samples: Sequence[SealedSample], chance: random.Random) -> MutationReport:
    """Every kind of change on every object; each object must open unchanged, or `ValueError` says that it does not."""
    report = MutationReport()
    for number, sample in enumerate(samples):
        try:
            plaintext = unseal(sample.key, sample.identity, sample.sealed)
        except SealBrokenError:
            raise ValueError("an object that nobody changed does not open") from None
        other = samples[(number + 1) % len(samples)]
        for kind, key, identity, sealed in _mutations(sample, plaintext, other, chance):
            report.tried += 1
            if _opens(lambda key=key, identity=identity, sealed=sealed: unseal(key, identity, sealed)):  # type: ignore[misc]
                report.unnoticed.append(kind)
    return report


def _opens(attempt: Callable[[], bytes]) -> bool:
    try:
        attempt()
    except SealBrokenError:
        return False
    return True


def _mutations(
    sample: SealedSample, plaintext: bytes, other: SealedSample, chance: random.Random
) -> Iterator[tuple[str, bytes, SealedIdentity, bytes]]:
    """Kind of change, and what would have to open: key, identity, bytes."""
    key, identity, sealed = sample.key, sample.identity, sample.sealed
    for _ in range(_FLIPS):
        at, bit = chance.randrange(len(sealed)), 1 << chance.randrange(8)
        changed = sealed[:at] + bytes([sealed[at] ^ bit]) + sealed[at + 1 :]
        yield "a flipped bit", key, identity, changed
    for _ in range(_CUTS):
        yield "a cut end", key, identity, sealed[: chance.randrange(len(sealed))]
        at = chance.randrange(1, len(sealed))
        yield "a cut beginning", key, identity, sealed[at:]
        length = chance.randrange(1, 100)
        yield "a missing piece", key, identity, sealed[: at - 1] + sealed[at - 1 + length :]
    yield "bytes behind the end", key, identity, sealed + b"\x00"
    yield "the object twice", key, identity, sealed + sealed
    if other is not sample:
        yield "another object in its place", key, identity, other.sealed
        yield "the end of another object", key, identity, sealed[:-68] + other.sealed[-68:]
        yield "the key of another object", other.key, identity, sealed
    yield "another call", key, replace(identity, call_id=identity.call_id + "x"), sealed
    yield "another tenant", key, replace(identity, tenant_id="x" + identity.tenant_id), sealed
    yield "another version", key, replace(identity, version="0" * 16), sealed
    role: ObjectRole = "transcript" if identity.role != "transcript" else "recording"
    yield "another role", key, replace(identity, role=role), sealed
    longer = replace(identity, tenant_id=identity.tenant_id + identity.call_id[:1], call_id=identity.call_id[1:])
    yield "a letter of the call id in the tenant id", key, longer, sealed
    again = seal(key, identity, plaintext)
    yield "the beginning of another sealing of the same", key, identity, again[:74] + sealed[74:]
    yield "the end of another sealing of the same", key, identity, sealed[:-68] + again[-68:]
