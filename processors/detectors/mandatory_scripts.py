"""What must be said: the recording notice, risk warnings, how to unsubscribe (R15, R40, R70).

Where no rule finds the recording notice, it may have been given in other words: then reading finds it.
"""

import re
from functools import cache

from processors.detectors.base.contract import DetectorContext
from processors.detectors.base.rule_detector import ReadInstead, RuleDetector, SecondLook, conversation_rules
from processors.detectors.reading import Reading, reading_of
from processors.detectors.threats import doubt_of
from processors.judging.call_context import CallContext
from processors.rules.conditions import RuleHit
from processors.text.negation import CONTEXT_LETTERS, stance
from processors.text.normalized_text import NormalizedText
from processors.text.syllables import syllables

NOTICE_WITHIN_MS = 60_000
"""A notice that begins later is none (R15)."""

_NO_NOTICE = re.compile("录音[机笔带棚]|[您你](?:可以|要|想|自己).{0,2}录")
"""A thing that records, or a customer who does: 您可以录音的."""
_NOTICE = "notice"
_RECORD = "录"
_SOUNDS_LIKE_RECORD = ("lu", "lv")


@cache
def _letters_for_record() -> frozenset[str]:
    """What a recogniser may write for it."""
    return frozenset(letter for letter, readings in syllables().items() if set(readings) & set(_SOUNDS_LIKE_RECORD))


def _names_recording(text: NormalizedText) -> bool:
    """Whether the agent speaks of recording, and does not only deny it, ask for it or quote it: heads know letters and
    not what is meant by them."""
    others = [range(*match.span()) for match in _NO_NOTICE.finditer(text.letters)]
    places = [
        place
        for place, letter in enumerate(text.letters)
        if letter in _letters_for_record() and not any(place in other for other in others)
    ]
    return any(
        text.letters[place] != _RECORD
        or stance(text.before(place, CONTEXT_LETTERS), text.after(place + 1, CONTEXT_LETTERS)) == "claimed"
        for place in places
    )


def _read_notice(reading: Reading, context: CallContext) -> ReadInstead | None:
    """The utterance in which the notice is read with the highest probability, if that is believed."""
    read = reading.of(context)
    if read is None:
        return None
    threshold = read.reader.agent.threshold(_NOTICE)
    found = [
        (one.probabilities[_NOTICE], passage)
        for passage, one in read.of_agent()
        if passage.start_ms <= NOTICE_WITHIN_MS
        and one.probabilities[_NOTICE] >= threshold
        and _names_recording(passage.utterance.normalized)
    ]
    if not found:
        return None
    probability, passage = max(found, key=lambda one: one[0])
    letters = passage.utterance.normalized.letters
    start, end = read.reader.weightiest(letters, _NOTICE, passage.utterance.clause_starts)
    hit = RuleHit(passage, start, end, letters[start:end], round(probability, 4))
    return ReadInstead(read.reader.version, hit)


def detector(context: DetectorContext) -> RuleDetector:
    """The detector, with the rules in force. Raises `ReadingWeightsError`."""
    reading = reading_of(context)
    second_look = SecondLook("recording_notice", lambda call: _read_notice(reading, call))
    return conversation_rules("mandatory_scripts", context.rulebooks, second_look, doubt_of(context))
