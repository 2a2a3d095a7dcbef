"""How much was said, and how fast."""

import re
from collections.abc import Sequence

_CHINESE = re.compile(r"[\u3400-\u9fff\d]+")
_OTHER_WORD = re.compile(r"[^\W\d_\u3400-\u9fff]+")


def characters_per_minute(texts: Sequence[str], speech_ms: int) -> float | None:
    """How fast somebody spoke: Chinese characters, digits and words of other scripts; None without speech."""
    characters, words = _count("\n".join(texts))
    count = characters + words
    return round(count * 60_000 / speech_ms, 1) if speech_ms and count else None


def length_in_characters(text: str) -> int:
    """How much was said, in Chinese characters: a digit counts as one, a word of another script as two (R43)."""
    characters, words = _count(text)
    return characters + 2 * words


def _count(text: str) -> tuple[int, int]:
    """Chinese characters and digits, and words of other scripts."""
    return sum(map(len, _CHINESE.findall(text))), len(_OTHER_WORD.findall(text))
