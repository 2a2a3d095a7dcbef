"""Lexicons made ready for matching: one Aho-Corasick automaton over all words that apply to an industry."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise

import ahocorasick  # type: ignore[import-not-found]  # a C module without stubs

from processors.homophones import Homophones
from processors.negation import CONTEXT_LETTERS, Stance, continues_list, holds_negation, stance
from processors.normalized_text import CLAUSE_END, QUESTION_END, SENTENCE_END, NormalizedText, normalize
from schemas.finding import Severity
from schemas.lexicon import GAP, GENERAL_INDUSTRY, MAX_GAP_LETTERS, Lexicon, Rule

MIN_LETTERS_OVER_A_COMMA = 4
"""Shorter words do not reach over a comma: 需要担保，本次… is not 保本."""

_RANK: dict[Severity, int] = {"info": 0, "low": 1, "medium": 2, "high": 3, "critical": 4}

Span = tuple[int, int]


@dataclass(frozen=True)
class Term:
    """One word of one rule, and its parts as they stand in normalised text."""

    lexicon: Lexicon
    rule: Rule
    word: str
    parts: tuple[str, ...]

    @property
    def rule_id(self) -> str:
        """As findings name the rule."""
        return self.lexicon.rule_id(self.rule)


@dataclass(frozen=True)
class Hit:
    """A word found at letters `start` to `end` of a normalised text, and how the speaker stands to it.

    `confidence` is the share of letters that stand as in the lexicon; the others only sound like it.
    """

    term: Term
    start: int
    end: int
    stance: Stance
    confidence: float


@dataclass(frozen=True)
class _Candidate:
    term: Term
    spans: tuple[Span, ...]
    confidence: float = 1.0

    @property
    def start(self) -> int:
        return self.spans[0][0]

    @property
    def end(self) -> int:
        return self.spans[-1][1]


class Matcher:
    """The words of some lexicons of one language. Built once; finding changes nothing in it."""

    def __init__(self, lexicons: Iterable[Lexicon]) -> None:
        self.lexicons = tuple(sorted(lexicons, key=lambda lexicon: lexicon.lexicon))
        self._terms: dict[str, list[Term]] = {}
        self._gapped: dict[str, list[Term]] = {}
        self._innocent: dict[str, tuple[str, ...]] = {}
        self._homophones: Homophones[Term] = Homophones()
        for lexicon in self.lexicons:
            for rule in lexicon.rules:
                self._add(lexicon, rule)
        self._automaton = _automaton(
            {
                *self._terms,
                *(part for terms in self._gapped.values() for term in terms for part in term.parts),
                *(phrase for phrases in self._innocent.values() for phrase in phrases),
            }
        )

    def _add(self, lexicon: Lexicon, rule: Rule) -> None:
        for word in rule.words:
            term = Term(lexicon, rule, word, tuple(normalize(part).letters for part in word.split(GAP)))
            if len(term.parts) > 1:
                self._gapped.setdefault(term.parts[0], []).append(term)
            else:
                self._terms.setdefault(term.parts[0], []).append(term)
                self._homophones.add(term.parts[0], term)
        self._innocent[lexicon.rule_id(rule)] = tuple(normalize(phrase).letters for phrase in rule.unless)

    def find(self, text: NormalizedText) -> tuple[Hit, ...]:
        """Every hit in the order of the text, whatever its stance; of overlapping ones the longest."""
        places: dict[str, list[Span]] = {}
        for last, found in self._automaton.iter(text.letters):
            places.setdefault(found, []).append((last + 1 - len(found), last + 1))
        candidates = [*self._whole(places), *self._gapped_in(places), *self._alike(text.letters)]
        standing = [c for c in candidates if _is_in_one_piece(c, text) and not self._is_innocent(c, places)]
        return _with_stance(_longest(standing), text)

    def _whole(self, places: Mapping[str, Sequence[Span]]) -> Iterator[_Candidate]:
        for found, spans in places.items():
            for term in self._terms.get(found, ()):
                for span in spans:
                    yield _Candidate(term, (span,))

    def _gapped_in(self, places: Mapping[str, Sequence[Span]]) -> Iterator[_Candidate]:
        for found, spans in places.items():
            for term in self._gapped.get(found, ()):
                if all(part in places for part in term.parts):
                    for span in spans:
                        chain = _chain(span, [places[part] for part in term.parts[1:]])
                        if chain is not None:
                            yield _Candidate(term, chain)

    def _alike(self, letters: str) -> Iterator[_Candidate]:
        for alike in self._homophones.find(letters):
            yield _Candidate(alike.value, ((alike.start, alike.end),), alike.share_as_written)

    def _is_innocent(self, candidate: _Candidate, places: Mapping[str, Sequence[Span]]) -> bool:
        """Whether the word, or a part of it, is a part of a harmless longer one (保本 in 担保本人)."""
        return any(
            _lies_in(part, phrase, places.get(phrase, ()))
            for phrase in self._innocent[candidate.term.rule_id]
            for part in candidate.spans
        )


class Lexicons:
    """All lexicons, with a matcher for each language and industry."""

    def __init__(self, lexicons: Iterable[Lexicon]) -> None:
        self._lexicons = tuple(lexicons)
        self._matchers = {
            (language, industry): self._matcher(language, industry)
            for language in sorted({lexicon.language for lexicon in self._lexicons})
            for industry in sorted({GENERAL_INDUSTRY, *(lexicon.industry for lexicon in self._lexicons)})
        }

    def _matcher(self, language: str, industry: str) -> Matcher:
        return Matcher(
            lexicon
            for lexicon in self._lexicons
            if lexicon.language == language and lexicon.industry in (industry, GENERAL_INDUSTRY)
        )

    def matcher(self, language: str | None, industry: str) -> Matcher | None:
        """The words for a call; those of every industry where none are for its own. None: no word of the language."""
        if language is None:
            return None
        found = self._matchers.get((language, industry)) or self._matchers.get((language, GENERAL_INDUSTRY))
        return found if found is not None and found.lexicons else None

    def version(self, language: str | None, industry: str) -> str:
        """Lexicons with versions and a digest of their content: `finance@1,general@1#4f1c2a90b7d3`; `none`."""
        matcher = self.matcher(language, industry)
        if matcher is None:
            return "none"
        names = ",".join(f"{lexicon.lexicon}@{lexicon.version}" for lexicon in matcher.lexicons)
        digest = sha256("".join(lexicon.digest() for lexicon in matcher.lexicons).encode()).hexdigest()
        return f"{names}#{digest[:12]}"


def check_examples(lexicons: Sequence[Lexicon]) -> tuple[str, ...]:
    """Sentences about every example that does not hold, in the company of all words of its industry; none is good."""
    compiled = Lexicons(lexicons)
    return tuple(
        problem
        for lexicon in lexicons
        for rule in lexicon.rules
        for problem in _wrong_examples(compiled, lexicon, rule)
    )


def _wrong_examples(compiled: Lexicons, lexicon: Lexicon, rule: Rule) -> Iterator[str]:
    matcher = compiled.matcher(lexicon.language, lexicon.industry)
    assert matcher is not None, "a lexicon applies to its own industry"  # noqa: S101
    for field, examples, expected in (("match", rule.match, True), ("no_match", rule.no_match, False)):
        for example in examples:
            claimed = {hit.term.rule_id for hit in matcher.find(normalize(example)) if hit.stance == "claimed"}
            if (lexicon.rule_id(rule) in claimed) != expected:
                yield f"{lexicon.lexicon}: rule {rule.id}, field {field}: {example!r} is {'not ' * expected}found"


def _automaton(words: Iterable[str]) -> ahocorasick.Automaton:
    automaton = ahocorasick.Automaton()
    for word in sorted(words):
        automaton.add_word(word, word)
    automaton.make_automaton()
    return automaton


def _chain(first: Span, following: Sequence[Sequence[Span]]) -> tuple[Span, ...] | None:
    """The nearest place of each further part within the allowed gap."""
    chain = [first]
    for spans in following:
        end = chain[-1][1]
        nearest = bisect_left(spans, (end, 0))
        if nearest == len(spans) or spans[nearest][0] > end + MAX_GAP_LETTERS:
            return None
        chain.append(spans[nearest])
    return tuple(chain)


def _lies_in(part: Span, phrase: str, occurrences: Sequence[Span]) -> bool:
    """Whether one of the occurrences of the phrase, which are in order, holds the part."""
    first = bisect_left(occurrences, (part[1] - len(phrase), 0))
    return first < len(occurrences) and occurrences[first][0] <= part[0]


def _is_in_one_piece(candidate: _Candidate, text: NormalizedText) -> bool:
    """Not torn by the end of a sentence, by a comma only when long, by a negation never; no half of a Latin word."""
    marked = text.between(candidate.start, candidate.end)
    if SENTENCE_END in marked or QUESTION_END in marked:
        return False
    if any(_is_one_latin_word(text.letters[edge - 1 : edge + 1]) for edge in (candidate.start, candidate.end) if edge):
        return False
    if len(candidate.spans) == 1:
        return CLAUSE_END not in marked or candidate.end - candidate.start >= MIN_LETTERS_OVER_A_COMMA
    gaps = [text.letters[left[1] : right[0]] for left, right in pairwise(candidate.spans)]
    return CLAUSE_END not in marked and not (candidate.term.rule.negatable and any(map(holds_negation, gaps)))


def _is_one_latin_word(pair: str) -> bool:
    return len(pair) == 2 and pair.isascii() and (pair.isalpha() or pair.isdigit())


def _longest(candidates: Iterable[_Candidate]) -> list[_Candidate]:
    """Of overlapping candidates the one as written, the longest, the most severe."""
    taken: list[_Candidate] = []
    occupied: set[int] = set()
    for candidate in sorted(candidates, key=_precedence):
        span = range(candidate.start, candidate.end)
        if occupied.isdisjoint(span):
            occupied.update(span)
            taken.append(candidate)
    return sorted(taken, key=lambda candidate: candidate.start)


def _precedence(candidate: _Candidate) -> tuple[float, int, int, int, int, str, str]:
    return (
        -candidate.confidence,
        candidate.start - candidate.end,
        -_RANK[candidate.term.rule.severity],
        len(candidate.spans),
        candidate.start,
        candidate.term.rule_id,
        candidate.term.word,
    )


def _with_stance(candidates: Sequence[_Candidate], text: NormalizedText) -> tuple[Hit, ...]:
    hits: list[Hit] = []
    for candidate in candidates:
        hits.append(
            Hit(
                candidate.term,
                candidate.start,
                candidate.end,
                _stance(candidate, text, hits[-1] if hits else None),
                candidate.confidence,
            )
        )
    return tuple(hits)


def _stance(candidate: _Candidate, text: NormalizedText, previous: Hit | None) -> Stance:
    if not candidate.term.rule.negatable:
        return "claimed"
    if (
        previous is not None
        and previous.stance != "claimed"
        and continues_list(text.gap(previous.end, candidate.start))
    ):
        return previous.stance
    return stance(text.before(candidate.start, CONTEXT_LETTERS), text.after(candidate.end, CONTEXT_LETTERS))
