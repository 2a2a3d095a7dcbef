"""One script for every transcript: recognisers mix simplified and traditional characters from clip to clip."""

from collections.abc import Sequence
from functools import cache
from typing import Literal

import opencc

from processors.text.languages import CHINESE_LANGUAGES

ChineseScript = Literal["simplified", "traditional", "as_heard"]

_CONFIGURATIONS = {"simplified": "t2s", "traditional": "s2t"}


@cache
def _converter(configuration: str) -> opencc.OpenCC:
    return opencc.OpenCC(configuration)


def to_script(words: Sequence[str], script: ChineseScript, language: str) -> tuple[str, ...]:
    """The words in the script wanted, as many as before; converted together, because some characters depend on others.

    `as_heard` changes nothing, nor does any script where the language is not Chinese: Japanese has characters that
    look traditional and must stay.
    """
    if script == "as_heard" or language not in CHINESE_LANGUAGES:
        return tuple(words)
    converter = _converter(_CONFIGURATIONS[script])
    together = "".join(words)
    converted = converter.convert(together)
    if len(converted) != len(together):
        return tuple(converter.convert(word) for word in words)
    result: list[str] = []
    position = 0
    for word in words:
        result.append(converted[position : position + len(word)])
        position += len(word)
    return tuple(result)
