"""The question: which calls are read, and what the reader is given of one."""

import json
from dataclasses import dataclass
from hashlib import sha256

from processors.judging.call_context import CallContext
from processors.text.passages import Passage
from schemas.config.prompt_pack import PromptPack
from schemas.messages.call_analysis import CallAnalysis

LANGUAGE_NOT_SUPPORTED = "language_not_supported"
TOO_LONG = "too_long"


class NotReadError(Exception):
    """This call cannot be read; `reason` is a slug that stands in its analysis, never a word of it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True)
class Question:
    """One call with the instructions of its tenant. `turns` is JSON, one passage on each line: whatever a caller says
    stays within its quotation marks.
    """

    context: CallContext
    pack: PromptPack
    turns: str

    @property
    def passages(self) -> tuple[Passage, ...]:
        """What was said; the number of a passage is its `turn`."""
        return self.context.spoken.passages

    @property
    def digest(self) -> str:
        """Of what was said and by whom: equal transcripts are asked about once."""
        return sha256(self.turns.encode()).hexdigest()

    @property
    def instructions(self) -> str:
        """What the reader is told, with the kinds that it may name."""
        kinds = "\n".join(f"- {kind.id} ({kind.role}): {kind.means}" for kind in self.pack.kinds)
        return f"{self.pack.instructions.strip()}\n\nkind:\n{kinds}"

    @property
    def characters(self) -> int:
        """Of everything that is sent."""
        return len(self.instructions) + len(self.turns)


def wants_reading(analysis: CallAnalysis) -> bool:
    """Whether the call is one of those that a person should hear: a trigger has selected it, or its risk is not low."""
    risky = analysis.risk is not None and analysis.risk.level != "low"
    return risky or (analysis.selection is not None and analysis.selection.selected)


def question_about(context: CallContext, pack: PromptPack, most_characters: int) -> Question:
    """What to ask. Raises `NotReadError`."""
    if context.transcript.language not in pack.languages:
        raise NotReadError(LANGUAGE_NOT_SUPPORTED)
    if (reason := context.why_not_told_apart) is not None:
        raise NotReadError(reason)
    lines = (
        json.dumps(
            {"turn": passage.number, "speaker": passage.role, "text": passage.utterance.text}, ensure_ascii=False
        )
        for passage in context.spoken.passages
        if passage.utterance.text.strip()
    )
    turns = "\n".join(lines)
    if len(turns) > most_characters:
        raise NotReadError(TOO_LONG)
    return Question(context, pack, turns)
