"""The words by which a group of calls differs from all others."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

SHORTEST, LONGEST = 2, 6
"""Letters of a word: there are no spaces to tell."""

_MOST_LETTERS = 600
"""Of a call, so that one long complaint costs no more than ten short ones."""

_PRIOR = 0.5
_WHOLE = 0.8
"""A shorter word is part of a longer one where this share of the calls with it has the longer one."""

WordCounts = Counter[str]
"""Word → calls in which it was said."""


def words_of(texts: Iterable[str]) -> set[str]:
    """The stretches of letters of what was said in one call; none reaches from one text into the next."""
    found: set[str] = set()
    left = _MOST_LETTERS
    for text in texts:
        kept = text[:left]
        left -= len(kept)
        for length in range(SHORTEST, LONGEST + 1):
            found.update(kept[start : start + length] for start in range(len(kept) - length + 1))
        if left <= 0:
            break
    return found


def count_words(calls: Iterable[Sequence[str]]) -> WordCounts:
    """In how many of the calls each word was said."""
    counts: WordCounts = Counter()
    for texts in calls:
        counts.update(words_of(texts))
    return counts


def typical_words(inside: WordCounts, calls: int, outside: WordCounts, others: int, most: int) -> list[str]:
    """The words that tell the group from the others, the most telling first.

    By the z-score of the log-odds that a call has the word, in the group against outside it, with a prior of half a
    call on each side (Monroe, Colaresi and Quinn 2008, *Fightin' Words*, section 3.5; there of words, here of calls,
    so that one call that repeats a word does not make it typical). Of words of which one is part of the other, the
    longer stands for both where nearly every call with the shorter has it.
    """
    scored: list[tuple[float, str]] = []
    for word, count in inside.items():
        if count < 2:
            continue
        elsewhere = outside.get(word, 0)
        odds = math.log((count + _PRIOR) / (calls - count + _PRIOR))
        odds -= math.log((elsewhere + _PRIOR) / (max(others - elsewhere, 0) + _PRIOR))
        z = odds / math.sqrt(1 / (count + _PRIOR) + 1 / (elsewhere + _PRIOR))
        if z > 0:
            scored.append((z, word))
    # Of the same score the longer word says more.
    scored.sort(key=lambda one: (-round(one[0], 6), -len(one[1]), one[1]))
    chosen: list[str] = []
    for _, word in scored[: 40 * most]:
        overlapping = [other for other in chosen if word in other or other in word]
        if not overlapping:
            # What reaches out of a word that is there already is a piece of the sentence, and no word: 字藏品转.
            if not any(_overlap(word, other) for other in chosen):
                chosen.append(word)
            continue
        for other in overlapping:
            if other in word and inside[word] >= _WHOLE * inside[other]:
                chosen[chosen.index(other)] = word
                break
    return list(dict.fromkeys(chosen))[:most]


def _overlap(one: str, other: str) -> bool:
    """Whether one begins with the letters with which the other ends; one letter is enough for a word of two."""
    least = min(2, len(one) - 1, len(other) - 1)
    lengths = range(least, min(len(one), len(other)))
    return any(one.endswith(other[:length]) or other.endswith(one[:length]) for length in lengths)
