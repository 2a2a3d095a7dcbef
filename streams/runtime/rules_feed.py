"""Rules that change while workers run: packs come over `rules.published.v1` and are taken over between two messages."""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from processors.judging.pipeline import Judge, JudgeSettings, check_measures
from processors.rules.examples import check_examples
from processors.rules.rulebook import Rulebooks
from processors.text.phonetic import Sounds
from schemas.config.rule_pack import RULE_PACK_FOLDER, RulePack, RulePackError, load_rule_packs
from schemas.config.tenants import TenantDays
from schemas.errors import InvalidMessageError
from schemas.messages.records import ConsumerRecord
from schemas.messages.rules_published import RulesPublished
from schemas.messages.topics import RULES_PUBLISHED
from streams.runtime.logs import describe
from streams.runtime.loop import Loop, in_own_thread
from streams.runtime.rule_signatures import PublicKeys, problem_with_record, problem_with_signature
from streams.settings import Settings

log = logging.getLogger(__name__)

MAX_PROBLEMS_LOGGED = 5

MAX_VERSION_STEP = 1_000
"""A version of a pack may be this far above the highest one that is known."""


class RulesSource(Protocol):
    """Where published packs come from: everything from the beginning, then what follows."""

    @property
    def is_at_end(self) -> bool: ...

    def read(self, most: int, wait_s: float) -> list[ConsumerRecord]: ...

    def close(self) -> None: ...


class VersionConflictError(RulePackError):
    """That version of a pack is there already with other content, or too far above those that are."""


PackKey = tuple[str | None, str]
"""Tenant and name of a pack."""


def _key(pack: RulePack) -> PackKey:
    return (pack.tenant, pack.pack)


class PackRegistry:
    """Every version of every pack that is known. In force is the highest of each that can be used."""

    def __init__(self, packs: Iterable[RulePack] = ()) -> None:
        """Of packs at hand, which may have any version."""
        self._packs: dict[PackKey, dict[int, RulePack]] = {}
        self._refused: dict[PackKey, set[int]] = {}
        for pack in packs:
            self._add(pack)

    def put(self, pack: RulePack) -> bool:
        """Whether the pack is new.

        Raises `VersionConflictError` when its version stands there with other content, or is so far above all that are
        known that nobody could publish a higher one after it.
        """
        versions = self._packs.get(_key(pack), {})
        if versions and pack.version > max(versions) + MAX_VERSION_STEP:
            raise VersionConflictError(
                [f"{pack.label} is more than {MAX_VERSION_STEP:,} above version {max(versions)}: give it a lower one"]
            )
        return self._add(pack)

    def _add(self, pack: RulePack) -> bool:
        versions = self._packs.setdefault(_key(pack), {})
        known = versions.get(pack.version)
        if known is not None and known.digest() != pack.digest():
            raise VersionConflictError(
                [f"{pack.label} is known with other content: give it a higher version than {max(versions)}"]
            )
        versions.setdefault(pack.version, pack)
        return known is None

    def refuse(self, pack: RulePack) -> None:
        """This version cannot be used. It stays known, so that nothing else can be published under its number."""
        self._refused.setdefault(_key(pack), set()).add(pack.version)

    def admit(self, pack: RulePack) -> None:
        """This version may be used again."""
        self._refused.get(_key(pack), set()).discard(pack.version)

    def is_refused(self, pack: RulePack) -> bool:
        """Whether this version cannot be used."""
        return pack.version in self._refused.get(_key(pack), ())

    def in_force(self, chosen: Iterable[RulePack] = ()) -> tuple[RulePack, ...]:
        """The highest version of each pack that can be used, or the chosen one in its place."""
        packs = {key: pack for key in self._packs if (pack := self.latest(*key)) is not None}
        packs |= {_key(pack): pack for pack in chosen}
        return tuple(packs[key] for key in sorted(packs, key=lambda key: (key[0] or "", key[1])))

    def latest(self, tenant: str | None, name: str) -> RulePack | None:
        """The pack in force."""
        versions = self._packs.get((tenant, name), {})
        usable = versions.keys() - self._refused.get((tenant, name), set())
        return versions[max(usable)] if usable else None

    def version(self, tenant: str | None, name: str, version: int) -> RulePack | None:
        """One version of a pack."""
        return self._packs.get((tenant, name), {}).get(version)

    def versions(self, tenant: str | None, name: str) -> tuple[int, ...]:
        """The versions of a pack, lowest first."""
        return tuple(sorted(self._packs.get((tenant, name), {})))


def packs_at_hand(folder: Path | None) -> tuple[RulePack, ...]:
    """The packs that are shipped, and those of a folder of one's own (R54). Raises `RulePackError`."""
    return load_rule_packs((RULE_PACK_FOLDER, *([folder] if folder else [])))


def decode_published(records: Iterable[ConsumerRecord], keys: PublicKeys | None) -> tuple[RulesPublished, ...]:
    """What was published; a record that cannot be read, or that none of the keys has signed, is passed over with a
    line in the log. Without keys nothing needs to be signed.
    """
    return tuple(message for record in records if (message := _message_of(record, keys)) is not None)


def _message_of(record: ConsumerRecord, keys: PublicKeys | None) -> RulesPublished | None:
    if keys is not None and (problem := problem_with_record(record.value, keys)):
        _refused(record.position, [problem])
        return None
    try:
        message = RULES_PUBLISHED.decode(record.value)
    except InvalidMessageError as error:
        _refused(record.position, error.problems)
        return None
    if keys is not None and (problem := problem_with_signature(message, keys)):
        _refused(f"{message.pack.label} at {record.position}", [problem])
        return None
    return message


def check_rulebooks(
    packs: Iterable[RulePack], sounds: Sounds, check: Iterable[RulePack], days: TenantDays | None = None
) -> Rulebooks:
    """Packs made ready, with the examples of some of them run. Raises `RulePackError`."""
    rulebooks = Rulebooks(packs, sounds, days)
    if problems := (*check_measures(rulebooks), *check_examples(rulebooks, check)):
        raise RulePackError(problems)
    return rulebooks


class RulesInForce:
    """Of each pack the highest version that can be used.

    Who has read the same packs comes to the same ones, whether they came one by one while it ran or all at once at its
    start: what was refused is looked at again with every pack that comes later, because it may have wanted that one.
    """

    def __init__(self, at_hand: Iterable[RulePack], sounds: Sounds, days: TenantDays | None = None) -> None:
        """Raises `RulePackError` when the packs at hand do not fit together."""
        self.registry = PackRegistry(at_hand)
        self._sounds = sounds
        self._days = days
        self._waiting: list[RulePack] = []
        self.rulebooks = check_rulebooks(self.registry.in_force(), sounds, self.registry.in_force(), days)

    def take(self, packs: Iterable[RulePack]) -> list[RulePack]:
        """Put into force what can be used, and refuse the rest with a line in the log. What came into force."""
        new = [pack for pack in packs if self._is_new(pack)]
        if not new:
            return []
        candidates = [*self._waiting, *new]
        problems = self._add_what_can_be(candidates)
        for pack in new:
            if pack.label in problems:
                _refused(pack.label, problems[pack.label])
        self._waiting = [pack for pack in candidates if self.registry.is_refused(pack)]
        return self._those_in_force(candidates)

    def add(self, packs: Sequence[RulePack]) -> None:
        """Put packs that lie in the registry into force. Raises `RulePackError`; then all of them are refused."""
        for pack in packs:
            self.registry.admit(pack)
        try:
            if check := self._those_in_force(packs):
                self.rulebooks = check_rulebooks(self.registry.in_force(), self._sounds, check, self._days)
        except Exception as error:
            for pack in packs:
                self.registry.refuse(pack)
            if isinstance(error, RulePackError):
                raise
            # Whatever it is: a rule must not be able to stop the stream.
            raise RulePackError([f"this is a bug: {describe(error)}"]) from None

    def _add_what_can_be(self, packs: Sequence[RulePack]) -> dict[str, tuple[str, ...]]:
        """Labels of packs that cannot be used, with what is wrong. Goes on until none comes into force any more."""
        while True:
            problems: dict[str, tuple[str, ...]] = {}
            self._add_by_halves(packs, problems)
            if len(problems) in (0, len(packs)):
                return problems
            packs = [pack for pack in packs if pack.label in problems]

    def _add_by_halves(self, packs: Sequence[RulePack], problems: dict[str, tuple[str, ...]]) -> None:
        """In the order in which they came; one bad pack among many is found in few steps."""
        try:
            self.add(packs)
        except RulePackError as error:
            if len(packs) == 1:
                problems[packs[0].label] = error.problems
                return
            middle = len(packs) // 2
            self._add_by_halves(packs[:middle], problems)
            self._add_by_halves(packs[middle:], problems)

    def _those_in_force(self, packs: Iterable[RulePack]) -> list[RulePack]:
        return [pack for pack in packs if self.registry.latest(pack.tenant, pack.pack) is pack]

    def _is_new(self, pack: RulePack) -> bool:
        try:
            return self.registry.put(pack)
        except VersionConflictError as error:
            _refused(pack.label, error.problems)
            return False


def rules_in_force(settings: Settings, messages: Iterable[RulesPublished]) -> RulesInForce:
    """What a worker with these settings uses once it has read these messages. Raises `RulePackError`."""
    rules = RulesInForce(packs_at_hand(settings.rules_folder), Sounds(settings.merged_sounds), settings.days)
    rules.take(message.pack for message in messages)
    return rules


class LiveJudge:
    """The judge with the rules in force. `current` is asked once for each message, so that no message sees two."""

    def __init__(self, settings: JudgeSettings, at_hand: Iterable[RulePack], keys: PublicKeys | None = None) -> None:
        """Raises `RulePackError` when the packs at hand do not fit together. With keys, what is published must be
        signed with one of them.
        """
        self._keys = keys
        self.rules = RulesInForce(at_hand, Sounds(settings.merged_sounds), settings.days)
        self.current = Judge(settings, rulebooks=self.rules.rulebooks)

    def take(self, records: Iterable[ConsumerRecord]) -> None:
        """Take over what was published. What cannot be used is refused, and the old stays in force."""
        new = self.rules.take(message.pack for message in decode_published(records, self._keys))
        if not new:
            return
        self.current = self.current.under(self.rules.rulebooks)
        for pack in new:
            log.info("judge: rules %s are in force", pack.label)


def _refused(what: str, problems: Sequence[str]) -> None:
    more = f" and {len(problems) - MAX_PROBLEMS_LOGGED} more" if len(problems) > MAX_PROBLEMS_LOGGED else ""
    told = "; ".join(problems[:MAX_PROBLEMS_LOGGED])
    log.error("rules %s are refused, those before stay in force: %s%s", what, told, more)


def follow(
    judge: LiveJudge, open_source: Callable[[], RulesSource], stop: threading.Event, max_wait_s: float
) -> threading.Thread:
    """Take over everything that is published so far, then go on in a thread until asked to stop.

    Raises `RetryableError` when Kafka does not answer: a judge must not begin with yesterday's rules.
    """
    source = open_source()
    records: list[ConsumerRecord] = []
    while not source.is_at_end:
        records += source.read(1_000, 0.2)
    judge.take(records)
    return in_own_thread(_Follower(judge, source, open_source).loop(stop, max_wait_s))


class _Follower:
    """Takes over what is published from now on. Without Kafka, and after a bug, the rules stay as they are."""

    def __init__(self, judge: LiveJudge, source: RulesSource, open_source: Callable[[], RulesSource]) -> None:
        self._judge = judge
        self._source: RulesSource | None = source
        self._open_source = open_source

    def loop(self, stop: threading.Event, max_wait_s: float) -> Loop:
        return Loop(
            "rules of judge", self._step, stop, max_wait_s, recover=self._close, close=self._close, survives_bugs=True
        )

    def _step(self) -> None:
        if self._source is None:
            self._source = self._open_source()
        self._judge.take(self._source.read(100, 0.5))

    def _close(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.close()
