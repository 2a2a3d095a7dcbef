"""A call as text: its turns in the order in which they were said, each ready to be searched."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from processors.numbers import NormalizedText as TextInDigits
from processors.numbers import normalize as in_digits
from processors.phrases import PhraseIndex, Places
from processors.utterances import Utterance, utterances
from schemas.call_ended import Role
from schemas.transcript import Segment

ROLES: Sequence[Role] = ("agent", "customer", "unknown")


@dataclass(frozen=True)
class Turn:
    """What one speaker says in one go. `number` counts the turns of the call from 0."""

    number: int
    utterance: Utterance

    @property
    def role(self) -> Role:
        """Who speaks."""
        return self.utterance.role

    @property
    def start_ms(self) -> int:
        """When the first segment begins."""
        return self.utterance.segments[0].start_ms

    @cached_property
    def in_digits(self) -> TextInDigits:
        """The text with its numbers in digits, and the way back."""
        return in_digits(self.utterance.text)

    def time_ms(self, start: int, end: int) -> tuple[int, int]:
        """When letters `start` to `end` of the normalised text were said."""
        return self.utterance.time_ms(*self.utterance.normalized.source_span(start, end))


@dataclass(frozen=True)
class Conversation:
    """The turns of a call, in order of their beginning."""

    turns: tuple[Turn, ...]
    duration_ms: int
    _places: dict[int, tuple[PhraseIndex, tuple[Places, ...]]] = field(default_factory=dict, compare=False, repr=False)

    @staticmethod
    def of(segments: Sequence[Segment], duration_ms: int | None) -> "Conversation":
        """Segments of one speaker that follow each other closely are one turn; of an unknown one each is its own."""
        spoken = [one for role in ROLES for one in utterances(segments, role)]
        spoken.sort(key=lambda one: (one.segments[0].start_ms, one.segments[0].segment_id))
        turns = tuple(Turn(number, utterance) for number, utterance in enumerate(spoken))
        last_ms = max((segment.end_ms for segment in segments), default=0)
        return Conversation(turns, last_ms if duration_ms is None else max(duration_ms, last_ms))

    @cached_property
    def is_silent(self) -> bool:
        """Whether nobody says anything."""
        return not any(turn.utterance.text.strip() for turn in self.turns)

    @cached_property
    def roles(self) -> frozenset[Role]:
        """Who says something."""
        return frozenset(turn.role for turn in self.turns if turn.utterance.text.strip())

    def places(self, index: PhraseIndex) -> Sequence[Places]:
        """For each turn, where the phrases of an index stand; the text is passed over once for all who ask."""
        known = self._places.get(id(index))
        if known is None:
            places = tuple(index.places(turn.utterance.normalized.letters) for turn in self.turns)
            known = self._places[id(index)] = (index, places)
        return known[1]
