"""What the regular expressions of a pack cost: how many there are, and how long they take."""

import random
import time
from collections.abc import Callable, Iterator

from pydantic import BaseModel

from schemas.config.condition import Condition, compile_regex
from schemas.config.rule_pack import MAX_EXPRESSIONS, RulePack

MAX_SCAN_S = 2.0
"""Of all expressions of a pack together, over `sample_text`."""

_LINES = 500
_LETTERS_OF_LINE = 40


def expressions_of(pack: RulePack) -> tuple[str, ...]:
    """The regular expressions of all rules and named conditions of a pack, each once."""
    return tuple(dict.fromkeys(one.regex for one in conditions_of(pack) if one.regex is not None))


def examples_of(pack: RulePack) -> tuple[str, ...]:
    """The sentences that conditions of a pack compare with (`like:`), each once."""
    return tuple(dict.fromkeys(example for one in conditions_of(pack) for example in one.like))


def conditions_of(pack: RulePack) -> Iterator[Condition]:
    """Every condition of all rules and every named one, those inside others after them."""
    return _in(pack)


def _in(value: object) -> Iterator[Condition]:
    if isinstance(value, Condition):
        yield value
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _in(getattr(value, name))
    elif isinstance(value, dict):
        for each in value.values():
            yield from _in(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _in(each)


def sample_text() -> str:
    """About an hour of speech, 20,000 letters in lines; always the same."""
    letters = random.Random(1)  # noqa: S311 - a sample, no secret
    lines = ("".join(chr(letters.randrange(0x4E00, 0x4E40)) for _ in range(_LETTERS_OF_LINE)) for _ in range(_LINES))
    return "\n".join(lines)


def problems_with_expressions(pack: RulePack, clock_s: Callable[[], float] = time.process_time) -> tuple[str, ...]:
    """Sentences that say why the pack would take too long in every call; none where it would not."""
    expressions = expressions_of(pack)
    if len(expressions) > MAX_EXPRESSIONS:
        return (f"{pack.label} has {len(expressions)} regular expressions: {MAX_EXPRESSIONS} at most",)
    text = sample_text()
    start_s = clock_s()
    for expression in expressions:
        before_s = clock_s()
        for _ in compile_regex(expression).finditer(text):  # type: ignore[no-untyped-call]
            if clock_s() - start_s > MAX_SCAN_S:
                break
        if clock_s() - start_s > MAX_SCAN_S:
            return (
                f"{pack.label}: its regular expressions take more than {MAX_SCAN_S:.0f} s for an hour of speech "
                f"({clock_s() - before_s:.1f} s for {expression[:60]}): use words, or narrower expressions",
            )
    return ()
