"""A call of an industry that no rule pack is for: allowed, and often a slip of the pen."""

from typing import TYPE_CHECKING

import typer

from schemas.config.rule_pack import GENERAL

if TYPE_CHECKING:
    from processors.rules.rulebook import Rulebooks
    from schemas.messages.call_ended import CallFacts


def note_industry_without_rules(rulebooks: "Rulebooks", call: "CallFacts") -> None:
    """A line on standard error, where only general rules apply because no pack at hand is for the industry."""
    known = rulebooks.industries(call.tenant_id)
    if call.industry not in (GENERAL, *known):
        there_are = f"there are packs for {', '.join(known)}" if known else "there are none for any industry"
        typer.echo(
            f"no rule pack at hand is for the industry {call.industry} ({there_are}): only general rules apply",
            err=True,
        )
