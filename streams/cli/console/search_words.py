"""What `callstream search` is told of words: who says which, and what comes before or after."""

import re
from collections.abc import Callable
from typing import Any

import typer

from processors.rules.acts import Act

_WHO = {"agent": "agent", "customer": "customer", "anybody": None}
_FORM = "write agent:抱歉, customer:退款|退货, anybody:12315, @apologizes or rule:ID"
_WITHIN = re.compile(r"(?P<count>[1-9]\d{0,4})(?P<unit>s|m)?")


def parse_words(text: str, option: str, act: Callable[[str], Act]) -> dict[str, Any]:
    """`WHO:WORDS`, with `|` between alternatives, or `@ACT`: the fields of a `SearchPhrase`.

    `act` finds an act by its name. Raises `typer.BadParameter`, and as `act` does.
    """
    if text.startswith("@"):
        found = act(text.removeprefix("@"))
        said_by = found.by if found.by in ("agent", "customer") else None
        return {"text": found.words[0], "alternatives": found.words[1:], "role": said_by}
    who, colon, words = text.partition(":")
    texts = [each for each in words.split("|") if each.strip()]
    if not colon or who not in _WHO or not texts:
        raise typer.BadParameter(f"who says what? {_FORM}", param_hint=option)
    return {"text": texts[0], "alternatives": tuple(texts[1:]), "role": _WHO[who]}


def parse_step(text: str, option: str, act: Callable[[str], Act]) -> dict[str, Any]:
    """The same, or `rule:ID`: what a `SearchStep` is about. Raises as `parse_words` does."""
    if text.startswith("rule:"):
        return {"rule": text.removeprefix("rule:")}
    return {"said": parse_words(text, option, act)}


def parse_within(text: str) -> int:
    """`30s` or `2m` in milliseconds; a number alone are seconds. Raises `typer.BadParameter`."""
    match = _WITHIN.fullmatch(text)
    if not match:
        raise typer.BadParameter(f"{text} is not a time within a call: write 30s or 2m", param_hint="--within")
    return int(match["count"]) * (60_000 if match["unit"] == "m" else 1_000)
