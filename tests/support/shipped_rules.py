"""The rules that are shipped, read and compiled once for all tests of a process."""

from collections.abc import Iterable
from functools import cache

from processors.judging.pipeline import Judge, JudgeSettings, shipped_rulebooks
from processors.rules.rulebook import Rulebooks
from processors.text.phonetic import Sounds
from schemas.config.rule_pack import RulePack
from schemas.config.tenants import USUAL_DAYS, TenantDays
from streams.runtime.rules_feed import check_rulebooks


@cache
def shipped_rules() -> Rulebooks:
    """The rulebooks of the packs that are shipped; they are never changed."""
    return shipped_rulebooks(JudgeSettings())


@cache
def shipped_judge() -> Judge:
    """The judge of the default settings; judging is pure, so that all tests can have the same one."""
    return Judge(JudgeSettings(), rulebooks=shipped_rules())


@cache
def shipped_digests() -> frozenset[str]:
    """Of the packs that are shipped."""
    return frozenset(pack.digest() for pack in shipped_rules().packs)


def rulebooks_of(settings: JudgeSettings) -> Rulebooks:
    """As `shipped_rulebooks`, which reads and compiles for more than a second; here once a process."""
    usual = JudgeSettings()
    if (settings.rule_folders, settings.merged_sounds, settings.days) == (
        usual.rule_folders,
        usual.merged_sounds,
        usual.days,
    ):
        return shipped_rules()
    return shipped_rulebooks(settings)


def checked_rulebooks(
    packs: Iterable[RulePack], sounds: Sounds, check: Iterable[RulePack], days: TenantDays | None = None
) -> Rulebooks:
    """As `check_rulebooks`, which a process does at its start for the shipped packs; here once a process."""
    every, checked = tuple(packs), tuple(check)
    if (
        every == checked
        and days in (None, USUAL_DAYS)
        and sounds.mergers == JudgeSettings().merged_sounds
        and {pack.digest() for pack in every} == shipped_digests()
    ):
        return shipped_rules()
    return check_rulebooks(every, sounds, checked, days)
