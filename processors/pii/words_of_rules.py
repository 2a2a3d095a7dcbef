"""What agents must not say, as recognisers write it: 薄本保溪 is no name of a person, but 保本保息.

Letters that a model takes for a name are looked up among the words of the shipped rules, by their sound, as far as the
rules themselves do: words of four letters or more, half of them as written (`processors.text.phrases.STRICT`).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache

from processors.text.normalized_text import normalize
from processors.text.phrases import STRICT
from processors.text.syllables import syllables
from schemas.config.condition import GAP
from schemas.config.rule_pack import RULE_PACK_FOLDER, load_rule_packs

_LONGEST = 8


@cache
def _words() -> Mapping[int, Sequence[str]]:
    """Number of letters → the words of the shipped packs that are found by sound."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for pack in load_rule_packs((RULE_PACK_FOLDER,)):
        for rule in pack.sensitive_words:
            for word in rule.words if rule.sound != "off" else ():
                letters = normalize(word).letters
                if GAP not in word and STRICT.min_letters <= len(letters) <= _LONGEST:
                    found[len(letters)].add(letters)
    return {length: sorted(words) for length, words in found.items()}


def is_in_word_of_rules(text: str, start: int, end: int) -> bool:
    """Whether characters `start` to `end` of a folded text are a part of, or are, such a word as it may be heard."""
    for length, words in _words().items():
        for begin in range(max(0, end - length), min(start, len(text) - length) + 1):
            window = text[begin : begin + length]
            if any(_sounds_like(window, word) for word in words if _is_half_written(window, word)):
                return True
    return False


def _is_half_written(window: str, word: str) -> bool:
    return sum(map(str.__eq__, window, word)) >= STRICT.min_share_as_written * len(word)


def _sounds_like(window: str, word: str) -> bool:
    known = syllables()
    return all(
        heard == meant or not set(known.get(heard, ())).isdisjoint(known.get(meant, ()))
        for heard, meant in zip(window, word, strict=True)
    )
