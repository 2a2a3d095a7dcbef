"""A call as detectors see it: what was said in it, and what is known from outside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from processors.judging.earlier_contacts import EarlierContact
from processors.listening.role_inference import contradicts
from processors.text.conversation import Conversation, conversation, why_no_times, why_not_told_apart
from processors.text.passages import SpokenText
from processors.text.remembered import remembered
from schemas.messages.call_analysis import MeasureValue
from schemas.messages.call_ended import Role
from schemas.messages.transcript import Transcript


@dataclass(frozen=True)
class DurationBaseline:
    """How long calls of the same tenant, queue and inquiry type last: of ln(duration in ms) over a sliding window.

    `mad` is the median absolute deviation from `median`, not scaled; `calls` is how many calls stand behind both.
    """

    median: float
    mad: float
    calls: int


@dataclass(frozen=True)
class Background:
    """What is known of a call from other calls, as of when it is judged.

    `baseline` is null until there is one; `contacts` is null where earlier calls could not be looked up, and empty
    where there were none. Neither is an error: detectors say what they could not measure.
    """

    baseline: DurationBaseline | None = None
    contacts: tuple[EarlierContact, ...] | None = None
    baseline_known: bool = True
    """False where baselines could not be asked for: then there may be one."""


NO_BACKGROUND = Background()


@dataclass(frozen=True)
class CallContext:
    """What a detector is shown. `measures` are those of the detectors that went before, for those that
    read them; the judge fills them in."""

    transcript: Transcript
    background: Background = NO_BACKGROUND
    measures: Mapping[str, MeasureValue] = field(default_factory=dict)
    hearings: dict[int, Any] = field(default_factory=dict, compare=False, repr=False)
    """What rulebooks have heard in the call so far; theirs alone (`processors.rules.rulebook`)."""
    readings: dict[int, Any] = field(default_factory=dict, compare=False, repr=False)
    """What heads have read in the call so far; for detectors that read alone (`processors.detectors.reading`)."""

    @remembered
    def spoken(self) -> SpokenText:
        """What was said, prepared for searching."""
        audio = self.transcript.audio
        return SpokenText.of(self.transcript.segments, audio.duration_ms if audio else None)

    @remembered
    def conversation(self) -> Conversation:
        """The turns of both sides, read once for all detectors."""
        return conversation(self.transcript)

    @remembered
    def roles_doubtful(self) -> bool:
        """Whether agent and customer may be exchanged, by what `listen` says or by their words: transcripts from before
        it said so, and those of others, are read as well."""
        return self.transcript.roles_doubtful or contradicts(self._letters_of("agent"), self._letters_of("customer"))

    def _letters_of(self, role: Role) -> str:
        return "".join(each.utterance.normalized.letters for each in self.spoken.passages if each.role == role)

    @remembered
    def why_not_told_apart(self) -> str | None:
        """Why agent and customer cannot be told apart (`processors.text.conversation`); None if they can."""
        return why_not_told_apart(self.transcript)

    @remembered
    def why_not_timed(self) -> str | None:
        """Why agent and customer cannot be told apart, or when they speak is not known; None if neither is so."""
        return self.why_not_told_apart or why_no_times(self.transcript)
