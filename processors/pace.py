"""How much was said, and how fast."""

import re
from collections.abc import Sequence

_COUNTED = re.compile(r"[\u3400-\u9fff\d]|[^\W\d_\u3400-\u9fff]+")
_CHINESE = re.compile(r"[\u3400-\u9fff\d]")


def characters_per_minute(texts: Sequence[str], speech_ms: int) -> float | None:
    """How fast was spoken: Chinese characters, digits and words of other scripts; None without speech."""
    count = sum(len(_COUNTED.findall(text)) for text in texts)
    return round(count * 60_000 / speech_ms, 1) if speech_ms and count else None


def length_in_characters(text: str) -> int:
    """How much was said, in Chinese characters: a digit counts as one, a word of another script as two (R43)."""
    counted = _COUNTED.findall(text)
    return 2 * len(counted) - len(_CHINESE.findall(text))
