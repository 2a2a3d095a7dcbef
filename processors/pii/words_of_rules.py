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
def _words() -> Mapping[int, Mapping[tuple[int, str], Sequence[str]]]:
    """Number of letters → place and letter → the words of the shipped packs, found by sound, that have it there."""
    found: dict[int, defaultdict[tuple[int, str], list[str]]] = {}
    for word in sorted(_found_by_sound()):
        places = found.setdefault(len(word), defaultdict(list))
        for place in enumerate(word):
            places[place].append(word)
    return found


def _found_by_sound() -> set[str]:
    rules = [rule for pack in load_rule_packs((RULE_PACK_FOLDER,)) for rule in pack.sensitive_words]
    words = [word for rule in rules if rule.sound != "off" for word in rule.words if GAP not in word]
    return {
        letters
        for letters in (normalize(word).letters for word in words)
        if STRICT.min_letters <= len(letters) <= _LONGEST
    }


def is_in_word_of_rules(text: str, start: int, end: int) -> bool:
    """Whether characters `start` to `end` of a folded text are a part of, or are, such a word as it may be heard."""
    for length, places in _words().items():
        for begin in range(max(0, end - length), min(start, len(text) - length) + 1):
            window = text[begin : begin + length]
            alike = {word for place in enumerate(window) for word in places.get(place, ())}
            if any(_is_half_written(window, word) and _sounds_like(window, word) for word in alike):
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
