"""Names said letter by letter: 谌 建 军 is read as 谌建军, and hidden where it was said."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from processors.pii.conversation import Line
from processors.pii.match import PiiMatch

_PAUSE = r"[ ,、。…]{1,2}"
_ALONE = r"(?<![一-鿿])[一-鿿](?![一-鿿])"
_BESIDE_ONE_LETTER = re.compile(rf"(?<={_ALONE}){_PAUSE}(?=[一-鿿])|(?<=[一-鿿]){_PAUSE}(?={_ALONE})")


@dataclass(frozen=True)
class _Closed:
    """A line without the pauses beside letters that stand alone, and where each of its letters stands in the line."""

    line: Line
    places: Sequence[int]

    def with_pauses(self, found: PiiMatch) -> PiiMatch:
        """What was found, with its pauses."""
        return replace(found, start=self.places[found.start], end=self.places[found.end - 1] + 1)


def find_letter_by_letter(
    lines: Sequence[Line], find: Callable[[Sequence[Line]], Sequence[Sequence[PiiMatch]]]
) -> list[list[PiiMatch]]:
    """What `find` finds in each line once the pauses are left out, if it holds one; it is given such lines and what was
    said right before them.
    """
    closed = [_without_pauses(line) for line in lines]
    changed = {number for number, one in enumerate(closed) if len(one.places) < len(lines[number].text)}
    wanted = sorted(changed | {number - 1 for number in changed if number})
    found: list[list[PiiMatch]] = [[] for _ in lines]
    for number, matches in zip(wanted, find([closed[number].line for number in wanted]), strict=True):
        said = ((match, closed[number].with_pauses(match)) for match in matches)
        found[number] = [whole for match, whole in said if whole.end - whole.start > match.end - match.start]
    return found


def _without_pauses(line: Line) -> _Closed:
    text, done = "", 0
    places: list[int] = []
    for match in _BESIDE_ONE_LETTER.finditer(line.text):
        text += line.text[done : match.start()]
        places.extend(range(done, match.start()))
        done = match.end()
    return _Closed(replace(line, text=text + line.text[done:]), [*places, *range(done, len(line.text))])
