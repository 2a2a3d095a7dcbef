"""A call as text: passages in the order in which they were said, each prepared for searching.

Rules say `turn` for a passage: what one speaker says in one go. The turns of `processors.text.conversation` are those
of the measures, which set back-channels apart and end where the other side takes over.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from processors.text.numbers import TextInDigits as TextInDigits
from processors.text.numbers import in_digits as in_digits
from processors.text.phrases import PhraseIndex, Places
from processors.text.remembered import remembered
from processors.text.utterances import Utterance, utterances
from schemas.messages.call_ended import Role
from schemas.messages.transcript import Segment

ROLES: Sequence[Role] = ("agent", "customer", "unknown")


@dataclass(frozen=True)
class Passage:
    """What one speaker says in one go. `number` counts the passages of the call from 0."""

    number: int
    utterance: Utterance

    @property
    def role(self) -> Role:
        """The role of the speaker."""
        return self.utterance.role

    @property
    def start_ms(self) -> int:
        """When the first segment begins."""
        return self.utterance.segments[0].start_ms

    @remembered
    def in_digits(self) -> TextInDigits:
        """The text with its numbers in digits, and the way back."""
        return in_digits(self.utterance.text)

    def time_ms(self, start: int, end: int) -> tuple[int, int]:
        """When letters `start` to `end` of the normalised text were said."""
        return self.utterance.time_ms(*self.utterance.normalized.source_span(start, end))


@dataclass(frozen=True)
class SpokenText:
    """The passages of a call, in order of their beginning."""

    passages: tuple[Passage, ...]
    duration_ms: int
    _places: dict[int, tuple[PhraseIndex, Sequence[Places]]] = field(default_factory=dict, compare=False, repr=False)

    @staticmethod
    def of(segments: Sequence[Segment], duration_ms: int | None) -> "SpokenText":
        """Segments of one speaker that follow each other closely are one passage; of an unknown one each is its own."""
        spoken = [one for role in ROLES for one in utterances(segments, role)]
        spoken.sort(key=lambda one: (one.segments[0].start_ms, one.segments[0].segment_id))
        passages = tuple(Passage(number, utterance) for number, utterance in enumerate(spoken))
        last_ms = max((segment.end_ms for segment in segments), default=0)
        return SpokenText(passages, last_ms if duration_ms is None else max(duration_ms, last_ms))

    @remembered
    def is_silent(self) -> bool:
        """Whether no words were heard in the call."""
        return not any(passage.utterance.text.strip() for passage in self.passages)

    @remembered
    def in_digits(self) -> str:
        """All passages with their numbers in digits, one on each line."""
        return "\n".join(passage.in_digits.text for passage in self.passages)

    @remembered
    def _starts_in_digits(self) -> list[int]:
        return list(accumulate((len(passage.in_digits.text) + 1 for passage in self.passages), initial=0))

    def passage_in_digits(self, offset: int) -> tuple[Passage, int]:
        """The passage that holds an offset of `in_digits`, and where in it the passage begins."""
        number = bisect_right(self._starts_in_digits, offset) - 1
        return self.passages[number], self._starts_in_digits[number]

    def places(self, index: PhraseIndex) -> Sequence[Places]:
        """For each passage, where the phrases of an index stand; the text is passed over once for all who ask."""
        known = self._places.get(id(index))
        if known is None:
            places = index.places_of_all([passage.utterance.normalized.letters for passage in self.passages])
            known = self._places[id(index)] = (index, places)
        return known[1]
