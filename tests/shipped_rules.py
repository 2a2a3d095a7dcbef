"""The rules that are shipped, read and compiled once for all tests of a process."""

from functools import cache

from processors.judging.pipeline import Judge, JudgeSettings, shipped_rulebooks
from processors.rules.rulebook import Rulebooks


@cache
def shipped_rules() -> Rulebooks:
    """The rulebooks of the packs that are shipped; they are never changed."""
    return shipped_rulebooks(JudgeSettings())


@cache
def shipped_judge() -> Judge:
    """The judge of the default settings; judging is pure, so that all tests can have the same one."""
    return Judge(JudgeSettings(), rulebooks=shipped_rules())
