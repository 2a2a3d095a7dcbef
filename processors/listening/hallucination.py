"""Text that a recogniser makes up: over noise, in loops, and from the subtitles that it was trained on.

Nothing is thrown away silently: what is not trusted is returned with the reason.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from processors.listening.engine_port import RecognizedSpeech, RecognizedWord

Reason = Literal["no_speech", "repetition", "known_phantom", "low_confidence"]

# Whisper's own rule for silence (no_speech_threshold with logprob_threshold; exp(-1) is about 0.37).
_NO_SPEECH_PROBABILITY = 0.6
_DOUBTFUL_CONFIDENCE = 0.37
_HOPELESS_CONFIDENCE = 0.1

# Hurried Mandarin has 8 syllables a second, hurried English 22 letters; a text beyond that was not spoken there.
_LETTERS_FREE = 6
_CHINESE_PER_SECOND = 12
_OTHERS_PER_SECOND = 40

# A unit that is said again and again. People do say 对对对对对 and 好的好的好的; loops go on. Digits are left alone.
_LOOP = re.compile(r"(?P<letter>[^\W\d])(?P=letter){11,}|(?P<unit>.{2,30}?)(?P=unit){5,}", re.DOTALL)
_NUMERALS = re.compile(r"[\d\W零〇一二三四五六七八九十百千万亿幺两]+")
_MAX_COMPRESSION_RATIO = 2.4

_PHANTOMS = re.compile(
    r"""
      (?:中文)?字幕(?:由|by|提供|製作|制作|志[愿願]者|組|组|[:：])[\s:：]*\S{0,24}
    | (?:[請请]不吝)?[點点][贊赞讚][,，\s]*[訂订][閱阅][^。!！]{0,30}
    | 明[鏡镜][與与和]?[點点][點点][欄栏]目
    | [優优]{2}[獨独]播[劇剧][場场]\S{0,30}
    | (?:[謝谢]{1,2}|感[謝谢])(?:您的?|大家的?)?(?:[觀观][看賞赏]|收看|收[聽听])
    | [詞词曲]{1,2}\s*李宗盛
    | (?:subtitles?\s+by|amara\.org)\S{0,40}
    | thank(?:s|\s+you)\s+for\s+watching
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SOUNDLESS = re.compile(r"[\s\W_]+")


@dataclass(frozen=True)
class RejectedText:
    """A piece of text that is not trusted, with its position in the recording."""

    channel: int
    start_ms: int
    end_ms: int
    text: str
    reason: Reason


def sift(speech: RecognizedSpeech) -> tuple[RecognizedSpeech | None, tuple[RejectedText, ...]]:
    """Which part of a recognised clip is trusted (None for nothing), and which is not."""
    if not _SOUNDLESS.sub("", speech.text):
        return None, ()
    doubt = _doubt(speech)
    if doubt is not None:
        return None, (_reject(speech, speech.text, doubt),)
    return _without_parts(speech)


def _doubt(speech: RecognizedSpeech) -> Reason | None:
    """Why nothing in a clip can be trusted; None if something can."""
    doubtful = speech.confidence < _DOUBTFUL_CONFIDENCE
    if (speech.no_speech_probability > _NO_SPEECH_PROBABILITY and doubtful) or _is_faster_than_speech(speech):
        return "no_speech"
    if speech.confidence < _HOPELESS_CONFIDENCE:
        return "low_confidence"
    if doubtful and compression_ratio(speech.text) > _MAX_COMPRESSION_RATIO:
        return "repetition"
    return None


def _is_faster_than_speech(speech: RecognizedSpeech) -> bool:
    letters = _SOUNDLESS.sub("", speech.text)
    chinese = sum("\u3400" <= letter <= "\u9fff" for letter in letters)
    needed_s = chinese / _CHINESE_PER_SECOND + (len(letters) - chinese) / _OTHERS_PER_SECOND
    return len(letters) > _LETTERS_FREE and needed_s > (speech.end_ms - speech.start_ms) / 1000


def has_loop(text: str) -> bool:
    """Whether the same words come again and again, as no speaker says them."""
    return next(_loops(text), None) is not None


def _loops(text: str) -> Iterator[tuple[int, int]]:
    """Characters [start, end) of every loop, its first round left out."""
    for match in _LOOP.finditer(text):
        unit = match["letter"] or match["unit"]
        if not _NUMERALS.fullmatch(unit):
            yield match.start() + len(unit), match.end()


def compression_ratio(text: str) -> float:
    """Bytes of the text over its bytes when compressed: high for text that repeats itself (Whisper's measure)."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw))


def _without_parts(speech: RecognizedSpeech) -> tuple[RecognizedSpeech | None, tuple[RejectedText, ...]]:
    """Phantoms and loops cut out; of a loop its first round stays, because that may well have been said."""
    parts = _parts(speech.text)
    if not parts:
        return speech, ()
    rejected: list[RejectedText] = []
    believed: list[RecognizedWord] = []
    dropped: dict[int, list[RecognizedWord]] = {}
    for word, start, end in _places(speech):
        hit = next((i for i, (first, last, _) in enumerate(parts) if start < last and end > first), None)
        if hit is None:
            believed.append(word)
        else:
            dropped.setdefault(hit, []).append(word)
    for i, (first, last, reason) in enumerate(parts):
        words = dropped.get(i)
        if words:
            piece = replace(speech, start_ms=words[0].start_ms, end_ms=words[-1].end_ms)
            rejected.append(_reject(piece, "".join(word.text for word in words), reason))
        elif not speech.words:
            rejected.append(_reject(speech, speech.text[first:last], reason))
    text = "".join(word.text for word in believed) if speech.words else _cut(speech.text, parts)
    if not _SOUNDLESS.sub("", text):
        return None, tuple(rejected)
    return replace(speech, text=text, words=tuple(believed)), tuple(rejected)


def _parts(text: str) -> list[tuple[int, int, Reason]]:
    """Characters [start, end) that are not believed, in order, with the reason."""
    parts: list[tuple[int, int, Reason]] = [(*match.span(), "known_phantom") for match in _PHANTOMS.finditer(text)]
    parts.extend((start, end, "repetition") for start, end in _loops(text))
    return sorted(parts)


def _places(speech: RecognizedSpeech) -> Iterator[tuple[RecognizedWord, int, int]]:
    """Every word with the characters [start, end) of the text that it is."""
    position = 0
    for word in speech.words:
        yield word, position, position + len(word.text)
        position += len(word.text)


def _cut(text: str, parts: list[tuple[int, int, Reason]]) -> str:
    kept, position = "", 0
    for start, end, _ in parts:
        kept += text[position : max(position, start)]
        position = max(position, end)
    return kept + text[position:]


def _reject(speech: RecognizedSpeech, text: str, reason: Reason) -> RejectedText:
    return RejectedText(speech.channel, speech.start_ms, speech.end_ms, text.strip(), reason)
