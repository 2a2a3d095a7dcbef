"""Recall and precision of masking on calls whose secrets are known."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from processors.pii.masking import MaskSettings, mask
from schemas.messages.pii import PiiKind, PiiSpan
from schemas.messages.transcript import Segment, Word
from tests.processors.pii.spoken_variants import Turn, Variant
from tests.processors.transcripts import segment

LETTER_MS = 200
_PAUSE_MS = 700
_LETTERS_TOO_MANY = 3
"""A span that covers more letters and digits than this beside the secret counts as a false one."""


@dataclass(frozen=True)
class Miss:
    """A variant that is not as it should be: what was left in clear, or masked without need."""

    variant: Variant
    masked: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Score:
    """Counts for one kind. A secret is found if none of its letters and digits is left and the kind is right."""

    secrets: int
    found: int
    hidden: int
    spans: int
    right: int

    @property
    def recall(self) -> float:
        """Share of secrets that are masked to the last letter, under the right kind."""
        return self.found / self.secrets if self.secrets else 1.0

    @property
    def hidden_share(self) -> float:
        """Share of secrets that are masked to the last letter, under any kind."""
        return self.hidden / self.secrets if self.secrets else 1.0

    @property
    def precision(self) -> float:
        """Share of spans of this kind that cover a secret of this kind and little else."""
        return self.right / self.spans if self.spans else 1.0


def segments_of(variant: Variant) -> tuple[Segment, ...]:
    """The turns of a variant as segments, as `segments_of_turns` makes them."""
    return segments_of_turns(variant.turns)


def segments_of_turns(turns: Sequence[Turn]) -> tuple[Segment, ...]:
    """The turns as segments with one word for each character, so that times of spans are places in the text."""
    segments: list[Segment] = []
    at_ms = 0
    for number, (role, text) in enumerate(turns):
        words = tuple(
            Word(start_ms=at_ms + i * LETTER_MS, end_ms=at_ms + (i + 1) * LETTER_MS, text=letter, confidence=0.9)
            for i, letter in enumerate(text)
        )
        segments.append(segment(number, role, at_ms, at_ms + len(text) * LETTER_MS, text, words))
        at_ms += len(text) * LETTER_MS + _PAUSE_MS
    return tuple(segments)


def score(variants: Iterable[Variant]) -> tuple[dict[PiiKind, Score], tuple[Miss, ...]]:
    """Scores by kind over all variants, the ones without secrets included, and everything that went wrong."""
    counts: Counter[tuple[PiiKind, str]] = Counter()
    misses: list[Miss] = []
    for variant in variants:
        segments = segments_of(variant)
        result = mask(segments, MaskSettings())
        texts = tuple(one.text for one in result.segments)
        placed = [(span, *_place(span, segments)) for span in result.spans]
        for secret in variant.secrets:
            letters = _letters(variant.turns[secret.turn][1], secret.start, secret.end)
            covering = [
                (span, start, end)
                for span, start, end in placed
                if span.segment_id == secret.turn and start < secret.end and end > secret.start
            ]
            hidden = all(any(start <= letter < end for _, start, end in covering) for letter in letters)
            right_kind = hidden and all(span.kind == secret.kind for span, _, _ in covering)
            counts.update(
                {(secret.kind, "secrets"): 1, (secret.kind, "hidden"): hidden, (secret.kind, "found"): right_kind}
            )
            if not right_kind:
                misses.append(Miss(variant, texts, "left in clear" if not hidden else "wrong kind"))
        for span, start, end in placed:
            right = _is_right(variant, span, start, end)
            counts.update({(span.kind, "spans"): 1, (span.kind, "right"): right})
            if not right:
                misses.append(Miss(variant, texts, f"masked as {span.kind} without need"))
    kinds = sorted({kind for kind, _ in counts})
    return {kind: _score(counts, kind) for kind in kinds}, tuple(misses)


def _score(counts: Counter[tuple[PiiKind, str]], kind: PiiKind) -> Score:
    return Score(*(counts[kind, name] for name in ("secrets", "found", "hidden", "spans", "right")))


def _place(span: PiiSpan, segments: Sequence[Segment]) -> tuple[int, int]:
    begin_ms = segments[span.segment_id].start_ms
    return (span.start_ms - begin_ms) // LETTER_MS, (span.end_ms - begin_ms) // LETTER_MS


def _letters(text: str, start: int, end: int) -> list[int]:
    return [place for place in range(start, end) if text[place].isalnum() and text[place] not in "呃嗯那个然后是"]


def _is_right(variant: Variant, span: PiiSpan, start: int, end: int) -> bool:
    secret = {
        letter
        for one in variant.secrets
        if one.turn == span.segment_id and one.kind == span.kind
        for letter in range(one.start, one.end)
    }
    covered = _letters(variant.turns[span.segment_id][1], start, end)
    too_many = sum(letter not in secret for letter in covered)
    return too_many < len(covered) and too_many <= _LETTERS_TOO_MANY
