"""Acts as words: a named condition of the rule packs that is a list of words, for whoever looks for these words.

`apologizes` of the pack `general` is one. A search finds its words as they are written: what rules know besides
(negation, sounds, other spellings) it does not know.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.config.condition import GAP, Condition, RuleSpeaker
from schemas.config.rule_pack import RulePack
from schemas.errors import OperatorError


class ActError(OperatorError):
    """There is no such act, or it is more than words; the text says which there are."""

    exit_code = 2


@dataclass(frozen=True)
class Act:
    """Who says it, and the words; any of them will do. None contains another."""

    by: RuleSpeaker
    words: tuple[str, ...]


def acts_of(packs: Iterable[RulePack], tenant: str | None) -> dict[str, Act]:
    """Name → act, of the packs that this tenant is judged by; one of `general` also without the name of its pack.

    Of another pack it is `PACK.NAME`, as `ecommerce.offers_solution`.
    """
    chosen: dict[str, RulePack] = {}
    for pack in packs:
        if pack.tenant is None:
            chosen.setdefault(pack.pack, pack)
        elif pack.tenant == tenant:
            chosen[pack.pack] = pack
    acts = {}
    for pack in chosen.values():
        for name, condition in pack.conditions.items():
            if _is_words_alone(condition):
                acts[f"{pack.pack}.{name}"] = Act(condition.by or "anyone", _shortest(condition.say))
    general = "general."
    return {name.removeprefix(general): act for name, act in acts.items() if name.startswith(general)} | acts


def act_named(name: str, packs: Iterable[RulePack], tenant: str | None) -> Act:
    """Raises `ActError`."""
    acts = acts_of(packs, tenant)
    if name not in acts:
        known = ", ".join(sorted(each for each in acts if not each.startswith("general.")))
        raise ActError(
            f"@{name} is no act that consists of words alone; there are {known}. "
            "What a rule finds is searched for by --rule"
        )
    return acts[name]


def _is_words_alone(condition: Condition) -> bool:
    """Whether it holds wherever one of its words stands."""
    narrowed = (condition.first_s, condition.last_s, condition.first_percent, condition.last_percent)
    return (
        bool(condition.say)
        and not any(GAP in phrase for phrase in condition.say)
        and not condition.unless
        and not condition.anchors()
        and all(each is None for each in narrowed)
        and condition.at_least == 1
    )


def _shortest(words: Iterable[str]) -> tuple[str, ...]:
    """Without those in which another stands: who says 非常抱歉 says 抱歉."""
    kept: list[str] = []
    for word in sorted(dict.fromkeys(words), key=len):
        if not any(other in word for other in kept):
            kept.append(word)
    return tuple(kept)
