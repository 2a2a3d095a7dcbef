"""Rule packs and calls for tests of rules, given by what matters in the test."""

from typing import Any

from processors.judging.call_context import CallContext
from processors.rules.conditions import ConditionResult
from processors.rules.examples import imagine_transcript
from processors.rules.rulebook import Rulebook, Rulebooks
from schemas.config.rule_pack import RulePack
from schemas.messages.call_analysis import MeasureValue
from schemas.messages.call_ended import Role
from schemas.messages.transcript import Transcript

Line = tuple[Role, str]


def pack_of(**fields: Any) -> RulePack:
    """A pack of the industry `general`, or as the fields say."""
    head = {"pack": "own", "industry": "general", "version": 1, "owner": "tests"}
    return RulePack.model_validate(head | fields)


def rule(find: Any, **fields: Any) -> dict[str, Any]:
    """A rule of the section `rules`, without examples that hold."""
    common = {"id": "one", "name": "规则", "category": "tested", "match": ["甲"], "no_match": ["乙"]}
    return common | {"find": find} | fields


def book_of(*packs: RulePack, industry: str = "general", tenant: str = "example") -> Rulebook:
    """The rulebook of these packs."""
    book = Rulebooks(packs).book(tenant, "zh", industry)
    assert book is not None
    return book


def called(*lines: Line, industry: str = "general", **facts: Any) -> Transcript:
    """A call in which these lines are said, each 200 ms a letter with 1.5 s between them; `facts` go into the event."""
    return imagine_transcript(lines, industry, **facts)


def looked_for(
    find: Any,
    *lines: Line,
    measures: dict[str, MeasureValue] | None = None,
    conditions: dict[str, Any] | None = None,
    **facts: Any,
) -> ConditionResult:
    """What comes of a condition in a call."""
    book = book_of(pack_of(rules=[rule(find)], conditions=conditions or {}))
    (compiled,) = book.rules
    context = CallContext(called(*lines, **facts), measures=measures or {})
    return book.hearing(context).look(compiled.nodes["find"])
