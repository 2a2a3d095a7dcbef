"""Calls of the dialogues of which it is labelled to the end who asks who is calling, and who discloses.

The acts `askid` and `disclose` of the dialogues are marks of their authors, who marked some and left out others: what
bears no mark may be one all the same. Of the calls in `identity.txt` every utterance is known.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from training.dialogues import Dialogue, DialogueError

IDENTITY = Path(__file__).parent / "identity.txt"

_LINE = re.compile(
    r"^(?P<id>\S+) (?P<verified>yes|no|none)(?: ask (?P<ask>[\d,]+))?(?: disclose (?P<disclose>[\d,]+))?$"
)
_VERIFIED = {"yes": True, "no": False, "none": None}


@dataclass(frozen=True)
class Identity:
    """Of one call the utterances that ask who is calling and those that disclose, counted from 0; `verified` is
    whether the one came before the other, null where nothing personal is told or changed."""

    verified: bool | None
    asks: frozenset[int] = frozenset()
    discloses: frozenset[int] = frozenset()


def load_identity(dialogues: Iterable[Dialogue], file: Path = IDENTITY) -> Mapping[str, Identity]:
    """Id of a call → its labels. Raises `DialogueError` with every line that is wrong."""
    known = {one.id: one for one in dialogues}
    found: dict[str, Identity] = {}
    problems: list[str] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None or match["id"] not in known or match["id"] in found:
            problems.append(
                f"{file.name}:{number}: no such line, no such call, or the call is there twice: {line[:30]}"
            )
            continue
        one = Identity(_VERIFIED[match["verified"]], _places(match["ask"]), _places(match["disclose"]))
        turns = known[match["id"]].turns
        if any(place >= len(turns) or turns[place].role != "agent" for place in one.asks | one.discloses):
            problems.append(f"{file.name}:{number}: {match['id']} has no utterance of the agent at one of the places")
        found[match["id"]] = one
    if problems:
        raise DialogueError(problems)
    return found


def _places(text: str | None) -> frozenset[int]:
    return frozenset(int(place) for place in text.split(",")) if text else frozenset()
