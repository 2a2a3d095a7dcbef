"""Sensitive words in what an agent says: every hit with the agent's stance towards it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from processors.text.negation import CONTEXT_LETTERS, Stance, continues_list, stance
from processors.text.normalized_text import NormalizedText, normalize
from processors.text.phrases import (
    SHORT,
    STRICT,
    BySound,
    CompiledPhrase,
    PhraseHit,
    Places,
    hits,
    is_in_one_piece,
    lies_in_one,
)
from schemas.config.rule_pack import RulePack, WordRule
from schemas.messages.finding import SEVERITIES, Severity

_RANK: dict[Severity, int] = {severity: rank for rank, severity in enumerate(SEVERITIES)}
_BY_SOUND: Mapping[str, BySound | None] = {"off": None, "strict": STRICT, "short": SHORT}


@dataclass(frozen=True)
class Term:
    """One word of one rule."""

    pack: RulePack
    rule: WordRule
    phrase: CompiledPhrase
    unless: tuple[str, ...]

    @property
    def rule_id(self) -> str:
        """As findings name the rule."""
        return self.pack.rule_id(self.rule)


@dataclass(frozen=True)
class WordHit:
    """A word found at letters `start` to `end` of a normalised text, and the speaker's stance towards it."""

    term: Term
    start: int
    end: int
    stance: Stance
    confidence: float


@dataclass(frozen=True)
class _Candidate:
    term: Term
    hit: PhraseHit


class Words:
    """The sensitive words of some packs."""

    def __init__(self, packs: Iterable[RulePack]) -> None:
        self._terms: dict[str, list[Term]] = {}
        self.phrases: list[CompiledPhrase] = []
        for pack in packs:
            for rule in pack.sensitive_words:
                unless = tuple(normalize(phrase).letters for phrase in rule.unless)
                by_sound = _BY_SOUND[rule.sound]
                # Exceptions are looked for by sound as well: 包本次 is no 保本, because 保本次 is none.
                self.phrases.extend(
                    one for phrase in rule.unless for one in CompiledPhrase.of(phrase, SHORT if by_sound else None)
                )
                for phrase in (one for word in rule.words for one in CompiledPhrase.of(word, by_sound)):
                    self.phrases.append(phrase)
                    self._terms.setdefault(phrase.parts[0], []).append(Term(pack, rule, phrase, unless))

    def find(self, text: NormalizedText, places: Places, course_type: str | None = None) -> tuple[WordHit, ...]:
        """Every hit in the order of the text, whatever its stance; of overlapping ones the surest, then the longest."""
        candidates = [
            _Candidate(term, hit)
            for part in places
            for term in self._terms.get(part, ())
            if (not term.rule.course_types or course_type in term.rule.course_types)
            and term.phrase.may_stand_in(places)
            for hit in hits(term.phrase, places)
            if is_in_one_piece(hit, text, negation_in_gap=not term.rule.negatable)
            and not _is_innocent(term, hit, places)
        ]
        return _with_stance(_longest(candidates), text)


def _is_innocent(term: Term, hit: PhraseHit, places: Places) -> bool:
    """Whether the word, or a part of it, is a part of a harmless longer one (保本 in 担保本人)."""
    by_sound = hit.confidence < 1
    return lies_in_one(hit, term.unless, places, by_sound=by_sound)


def _longest(candidates: Iterable[_Candidate]) -> list[_Candidate]:
    """Of overlapping candidates the one with the most letters as written (保本保溪 is 保本保息 rather than 保本), then
    the surest, the longest, the most severe."""
    taken: list[_Candidate] = []
    occupied: set[int] = set()
    for candidate in sorted(candidates, key=_precedence):
        span = range(candidate.hit.start, candidate.hit.end)
        if occupied.isdisjoint(span):
            occupied.update(span)
            taken.append(candidate)
    return sorted(taken, key=lambda candidate: candidate.hit.start)


def _precedence(candidate: _Candidate) -> tuple[int, float, int, int, int, int, str, str]:
    hit, term = candidate.hit, candidate.term
    return (
        -hit.as_written,
        -hit.confidence,
        hit.start - hit.end,
        -_RANK[term.rule.severity],
        len(hit.parts),
        hit.start,
        term.rule_id,
        term.phrase.text,
    )


def _with_stance(candidates: Sequence[_Candidate], text: NormalizedText) -> tuple[WordHit, ...]:
    found: list[WordHit] = []
    for term, hit in ((candidate.term, candidate.hit) for candidate in candidates):
        taken = _stance(term, hit, text, found[-1] if found else None)
        found.append(WordHit(term, hit.start, hit.end, taken, hit.confidence))
    return tuple(found)


def _stance(term: Term, hit: PhraseHit, text: NormalizedText, previous: WordHit | None) -> Stance:
    if not term.rule.negatable:
        return "claimed"
    if previous is not None and previous.stance != "claimed" and continues_list(text.gap(previous.end, hit.start)):
        return previous.stance
    return stance(text.before(hit.start, CONTEXT_LETTERS), text.after(hit.end, CONTEXT_LETTERS))


def keep_claimed(found: Iterable[WordHit]) -> Iterator[WordHit]:
    """The hits that the speaker claims: not negated, asked or quoted."""
    return (hit for hit in found if hit.stance == "claimed")
