"""Rules that change while workers run: packs come over `rules.published.v1` and are taken over between two messages."""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from processors.judging import Judge, JudgeSettings
from processors.rule_examples import check_examples
from processors.rulebook import Rulebooks
from processors.sounds import Sounds
from schemas.errors import InvalidMessageError, RetryableError
from schemas.rule_pack import RULE_PACK_FOLDER, RulePack, RulePackError, load_rule_packs
from schemas.topics import RULES_PUBLISHED
from streams.raw import RawMessage
from streams.work import BackOff, StoppedError

log = logging.getLogger(__name__)

MAX_PROBLEMS_LOGGED = 5


class RulesSource(Protocol):
    """Where published packs come from: everything from the beginning, then what follows."""

    @property
    def is_at_end(self) -> bool: ...

    def read(self, most: int, wait_s: float) -> list[RawMessage]: ...


class VersionConflictError(RulePackError):
    """That version of a pack is there already, with other content."""


class Shelf:
    """Every version of every pack that is known. In force is the highest of each."""

    def __init__(self, packs: Iterable[RulePack] = ()) -> None:
        self._packs: dict[tuple[str | None, str], dict[int, RulePack]] = {}
        for pack in packs:
            self.put(pack)

    def put(self, pack: RulePack) -> bool:
        """Whether the pack is new. Raises `VersionConflictError` when its version stands there with other content."""
        versions = self._packs.setdefault((pack.tenant, pack.pack), {})
        known = versions.get(pack.version)
        if known is not None and known.digest() != pack.digest():
            raise VersionConflictError(
                [f"{pack.label} is known with other content: give it a higher version than {max(versions)}"]
            )
        versions.setdefault(pack.version, pack)
        return known is None

    def take_back(self, pack: RulePack) -> None:
        """Forget a version that turned out to be of no use."""
        versions = self._packs[pack.tenant, pack.pack]
        del versions[pack.version]
        if not versions:
            del self._packs[pack.tenant, pack.pack]

    def in_force(self, chosen: Iterable[RulePack] = ()) -> tuple[RulePack, ...]:
        """The highest version of each pack, or the chosen one in its place."""
        packs = {key: versions[max(versions)] for key, versions in self._packs.items()}
        packs |= {(pack.tenant, pack.pack): pack for pack in chosen}
        return tuple(packs[key] for key in sorted(packs, key=lambda key: (key[0] or "", key[1])))

    def latest(self, tenant: str | None, name: str) -> RulePack | None:
        """The pack in force."""
        versions = self._packs.get((tenant, name), {})
        return versions[max(versions)] if versions else None

    def version(self, tenant: str | None, name: str, version: int) -> RulePack | None:
        """One version of a pack."""
        return self._packs.get((tenant, name), {}).get(version)

    def versions(self, tenant: str | None, name: str) -> tuple[int, ...]:
        """The versions of a pack, lowest first."""
        return tuple(sorted(self._packs.get((tenant, name), {})))


def packs_at_hand(folder: Path | None) -> tuple[RulePack, ...]:
    """The packs that are shipped, and those of a folder of one's own (R54). Raises `RulePackError`."""
    return load_rule_packs((RULE_PACK_FOLDER, *([folder] if folder else [])))


def published(records: Iterable[RawMessage]) -> tuple[RulePack, ...]:
    """The packs of records of the topic; one that cannot be read is passed over, as workers do."""
    packs: list[RulePack] = []
    for record in records:
        try:
            packs.append(RULES_PUBLISHED.decode(record.value).pack)
        except InvalidMessageError as error:
            _refused(record.place, error.problems)
    return tuple(packs)


def checked_rulebooks(packs: Iterable[RulePack], sounds: Sounds, check: Iterable[RulePack]) -> Rulebooks:
    """Packs made ready, with the examples of some of them run. Raises `RulePackError`."""
    rulebooks = Rulebooks(packs, sounds)
    if problems := check_examples(rulebooks, check):
        raise RulePackError(problems)
    return rulebooks


class LiveJudge:
    """The judge with the rules in force. `current` is asked once for each message, so that no message sees two."""

    def __init__(self, settings: JudgeSettings, shelf: Shelf) -> None:
        """Raises `RulePackError` when the packs at hand do not fit together."""
        self._settings = settings
        self._shelf = shelf
        self._sounds = Sounds(settings.merged_sounds)
        self.current = self._judge(shelf.in_force())

    def _judge(self, check: Iterable[RulePack]) -> Judge:
        in_force = self._shelf.in_force()
        rulebooks = checked_rulebooks(in_force, self._sounds, [pack for pack in check if pack in in_force])
        return Judge(self._settings, rulebooks=rulebooks)

    def take(self, records: Iterable[RawMessage]) -> None:
        """Take over what was published. What cannot be used is refused with a warning, and the old stays in force."""
        new = [pack for pack in map(self._new_pack, records) if pack is not None]
        if not new:
            return
        try:
            self.current = self._judge(new)
        except RulePackError:
            # One of them is bad: each on its own, so that it does not keep out the others.
            for pack in new:
                self._shelf.take_back(pack)
            for pack in sorted(new, key=lambda pack: pack.version):
                self._take_one(pack)
            return
        for pack in self._shelf.in_force():
            if pack in new:
                log.info("judge: rules %s are in force", pack.label)

    def _take_one(self, pack: RulePack) -> None:
        self._shelf.put(pack)
        try:
            self.current = self._judge([pack])
        except RulePackError as error:
            self._shelf.take_back(pack)
            _refused(pack.label, error.problems)
        else:
            log.info("judge: rules %s are in force", pack.label)

    def _new_pack(self, record: RawMessage) -> RulePack | None:
        try:
            pack = RULES_PUBLISHED.decode(record.value).pack
        except InvalidMessageError as error:
            _refused(record.place, error.problems)
            return None
        try:
            return pack if self._shelf.put(pack) else None
        except VersionConflictError as error:
            _refused(pack.label, error.problems)
            return None


def _refused(what: str, problems: Sequence[str]) -> None:
    more = f" and {len(problems) - MAX_PROBLEMS_LOGGED} more" if len(problems) > MAX_PROBLEMS_LOGGED else ""
    told = "; ".join(problems[:MAX_PROBLEMS_LOGGED])
    log.error("judge: rules %s are refused, those before stay in force: %s%s", what, told, more)


def follow(
    judge: LiveJudge, open_source: Callable[[], RulesSource], stop: threading.Event, max_wait_s: float
) -> threading.Thread:
    """Take over everything that is published so far, then go on in a thread until asked to stop.

    Raises `RetryableError` when Kafka does not answer: a judge must not begin with yesterday's rules.
    """
    source = open_source()
    while not source.is_at_end:
        judge.take(source.read(1_000, 0.2))
    thread = threading.Thread(target=_follow, args=(judge, source, open_source, stop, max_wait_s), daemon=True)
    thread.start()
    return thread


def _follow(
    judge: LiveJudge,
    source: RulesSource,
    open_source: Callable[[], RulesSource],
    stop: threading.Event,
    max_wait_s: float,
) -> None:
    back_off = BackOff(max_wait_s, stop)
    while not stop.is_set():
        try:
            judge.take(source.read(100, 0.5))
            back_off.reset()
        except RetryableError as error:
            log.warning("judge: rules cannot be followed, %s", str(error))
            try:
                back_off.wait()
                source = open_source()
            except StoppedError:
                return
            except RetryableError:
                continue
