"""Masking: a transcript in, the same transcript with placeholders out, and where they stand."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from processors.pii.address import KnownAddresses, find_addresses
from processors.pii.asking import OTHER_NUMBER, AskedFor, Mention
from processors.pii.conversation import Line, Number, NumbersSaid, read_numbers
from processors.pii.digit_kinds import COMPLETE_DIGITS, DIGIT_KINDS, SECRET_KINDS
from processors.pii.digit_runs import expected_digit_runs
from processors.pii.email import find_emails
from processors.pii.email_pieces import KnownEmails, find_email_rows
from processors.pii.learned_digits import load_digits
from processors.pii.learned_names import load_names
from processors.pii.letter_by_letter import find_letter_by_letter
from processors.pii.match import UNNAMED, FoundKind, PiiMatch, fold
from processors.pii.name import KnownNames, find_explained, find_names, may_be_name
from processors.pii.passport import find_passports
from processors.pii.password_words import find_password_words
from processors.pii.plate import find_plates
from processors.pii.replies import find_replies
from processors.pii.secret_answers import find_secret_answers
from processors.pii.secret_pieces import find_secret_pieces
from processors.pii.spelled import KnownSpelled, find_spelled, find_spelled_out
from processors.pii.told_names import find_told_names
from processors.pii.words_of_rules import is_in_word_of_rules
from schemas.messages.call_ended import Role
from schemas.messages.pii import PiiKind, PiiSpan
from schemas.messages.transcript import Rejected, Segment, Word

PLACEHOLDER_OF: dict[FoundKind, str] = {
    "bank_card": "银行卡",
    "resident_id": "身份证",
    "mobile": "手机号",
    "fixed_phone": "固定电话",
    "email": "邮箱",
    "plate": "车牌",
    "passport": "护照",
    "address": "地址",
    "name": "姓名",
    "account": "账号",
    "password": "密码",
    "code": "验证码",
}
UNTYPED_PLACEHOLDER = "[号码]"
"""For digits of which nobody has said what they are."""

_SPELLED: frozenset[FoundKind] = SECRET_KINDS | {"email"}
MAX_KEPT_DIGITS = 4
_SECRETS: tuple[Literal["account"], Literal["password"], Literal["code"]] = ("account", "password", "code")
_DOUBTFUL = 0.6
"""A name that is no surer than this is not looked for in other lines."""
_FEWEST_UNTYPED_DIGITS = 3


@dataclass(frozen=True)
class MaskSettings:
    """How much of a number may stay: `keep_last` last digits by kind, none where a kind is not named.

    Raises `ValueError` for a kind that is no number, and for more than four digits.
    """

    keep_last: Mapping[PiiKind, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind, kept in self.keep_last.items():
            if kind not in DIGIT_KINDS:
                raise ValueError(f"keep_last: {kind} has no digits to keep")
            if not 0 <= kept <= MAX_KEPT_DIGITS:
                raise ValueError(f"keep_last: {kind} may keep 0 to {MAX_KEPT_DIGITS} digits")


@dataclass(frozen=True)
class Masked:
    """The segments with placeholders, what they stand for in order of time, and the texts that were not believed."""

    segments: tuple[Segment, ...]
    spans: tuple[PiiSpan, ...]
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True)
class _Place:
    """Something found in the text of one segment, with what will replace it."""

    kind: FoundKind
    start: int
    end: int
    confidence: float
    placeholder: str


def mask(segments: Sequence[Segment], settings: MaskSettings, rejected: Sequence[Rejected] = ()) -> Masked:
    """All segments of one call, in the order of their ids, with everything personal masked in text and words.

    Ids, times, roles and confidences stay; the words still put together give the text. What stands in the text or in
    `heard_text`, which is as long, is masked in both: a name may look like one in either only. Rejected texts are
    masked more broadly: every row of digits that is no amount or date, and the names of the call. Never raises.
    """
    places, known = _find_in(segments, [segment.text for segment in segments], settings)
    if any(segment.heard_text is not None for segment in segments):
        also, known = _find_in(segments, [segment.heard_text or segment.text for segment in segments], settings)
        places = tuple(_without_overlaps([*some, *others]) for some, others in zip(places, also, strict=True))
    masked: list[Segment] = []
    spans: list[PiiSpan] = []
    for segment, found in zip(segments, places, strict=True):
        one, its_spans = _masked_segment(segment, found)
        masked.append(one)
        spans.extend(its_spans)
    return Masked(
        tuple(masked),
        tuple(spans),
        tuple(piece.model_copy(update={"text": _mask_loosely(piece.text, settings, known)}) for piece in rejected),
    )


def _find_in(
    segments: Sequence[Segment], texts: Sequence[str], settings: MaskSettings
) -> tuple[tuple[tuple[_Place, ...], ...], KnownNames]:
    """The matches in each text of a call, without overlaps, and the names known in the call."""
    lines = [
        Line(fold(text), segment.role, segment.start_ms, segment.end_ms)
        for segment, text in zip(segments, texts, strict=True)
    ]
    return _find(lines, read_numbers(lines), settings)


def mask_text(text: str, settings: MaskSettings) -> str:
    """One text without its conversation, masked broadly: also every row of three or more digits of unknown kind."""
    return _mask_loosely(text, settings, KnownNames(()))


def _mask_loosely(text: str, settings: MaskSettings, known: KnownNames) -> str:
    folded = fold(text)
    line = Line(folded, "unknown", 0, 0)
    (places,), _ = _find([line], read_numbers([line]), settings)
    taken = [*places, *(_with_placeholder(found) for found in known.find(folded))]
    taken.extend(
        _Place("bank_card", run.start, run.end, 0, UNTYPED_PLACEHOLDER)
        for run in expected_digit_runs(folded)
        if len(run.digits) >= _FEWEST_UNTYPED_DIGITS
    )
    return _replaced(text, _without_overlaps(taken))


def _find(
    lines: Sequence[Line], reading: NumbersSaid, settings: MaskSettings
) -> tuple[tuple[tuple[_Place, ...], ...], KnownNames]:
    """The matches in each line, without overlaps, and the names known in the call."""
    by_rules, known = _find_by_rules(lines, reading, settings)
    left = load_digits().find(lines, reading, [[_match(place) for place in places] for places in by_rules])
    found = zip(by_rules, left, strict=True)
    return tuple(_without_overlaps([*places, *map(_with_placeholder, its)]) for places, its in found), known


def found_by_rules(lines: Sequence[Line], reading: NumbersSaid) -> list[list[PiiMatch]]:
    """What is found in each line before the digits and letters that are left are looked at; sorted, no overlaps."""
    found, _ = _find_by_rules(lines, reading, MaskSettings())
    return [[_match(place) for place in places] for places in found]


def _find_by_rules(
    lines: Sequence[Line], reading: NumbersSaid, settings: MaskSettings
) -> tuple[tuple[tuple[_Place, ...], ...], KnownNames]:
    found: list[list[_Place]] = [[] for _ in lines]
    for said in reading.numbers:
        for line_number, place in _places_of(said, settings):
            found[line_number].append(place)
    heard = _Heard()
    asked_by: dict[AskedFor, Role] = {}
    for number, (line, places) in enumerate(zip(lines, found, strict=True)):
        for one in _in_text(line, reading, number, asked_by):
            places.append(_with_placeholder(one))
            heard.take(line.text, one)
        asked_by.update((mention.topic, line.role) for mention in reading.named[number])
    for places, replies in zip(found, find_replies(lines, reading), strict=True):
        places.extend(map(_with_placeholder, replies))
    for places, answers in zip(found, find_secret_answers(lines), strict=True):
        places.extend(map(_with_placeholder, answers))
    for places, words in zip(found, find_password_words(lines, reading), strict=True):
        places.extend(map(_with_placeholder, words))
    for places, pieces in zip(found, find_secret_pieces(lines, reading), strict=True):
        places.extend(map(_with_placeholder, pieces))
    for places, names in zip(found, find_told_names(lines), strict=True):
        places.extend(map(_with_placeholder, names))
    by_letters = find_letter_by_letter(lines, _learned_names)
    for line, places, names, letters in zip(lines, found, _learned_names(lines), by_letters, strict=True):
        kept = [*names, *letters]
        places.extend(_with_placeholder(one) for one in kept)
        heard.learned.extend(line.text[one.start : one.end] for one in kept)
    known = KnownNames(heard.names, heard.learned)
    finds = (
        known.find,
        KnownSpelled(heard.spelled).find,
        KnownAddresses(heard.addresses).find,
        KnownEmails(heard.emails).find,
    )
    for line, places in zip(lines, found, strict=True):
        for find in finds:
            places.extend(_with_placeholder(one) for one in find(line.text))
        places.extend(_with_placeholder(one) for one in _explained(line.text, places))
        places.extend(_with_placeholder(one) for one in known.find_explained(line.text))
    return tuple(_without_overlaps(places) for places in found), known


def _learned_names(lines: Sequence[Line]) -> list[list[PiiMatch]]:
    """Names in each line that nobody asked for and no rule knows."""
    return [
        [
            one
            for one in names
            if may_be_name(line.text, one.start, one.end) and not is_in_word_of_rules(line.text, one.start, one.end)
        ]
        for line, names in zip(lines, load_names().find([(one.role, one.text) for one in lines]), strict=True)
    ]


@dataclass
class _Heard:
    """What was found in the lines of a call, to look for it again in all of them."""

    names: list[str] = field(default_factory=list)
    learned: list[str] = field(default_factory=list)
    spelled: list[tuple[str, FoundKind]] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    emails: list[str] = field(default_factory=list)

    def take(self, text: str, one: PiiMatch) -> None:
        said = text[one.start : one.end]
        if one.kind == "name" and one.confidence > _DOUBTFUL:
            self.names.append(said)
        elif one.kind == "address":
            self.addresses.append(said)
        elif one.kind == "email":
            self.emails.append(said)
        elif one.kind in SECRET_KINDS:
            self.spelled.append((said, one.kind))


def _explained(text: str, places: Sequence[_Place]) -> Iterator[PiiMatch]:
    """How the letters of the names of this line are told from others."""
    names = [place for place in places if place.kind == "name"]
    if names:
        yield from find_explained(
            text, min(place.end for place in names), "".join(text[place.start : place.end] for place in names)
        )


def _in_text(line: Line, reading: NumbersSaid, number: int, asked_by: Mapping[AskedFor, Role]) -> Iterator[PiiMatch]:
    """What stands in one line by itself, given what was asked for before it and what it names."""
    asked, named = reading.asked[number], reading.named[number]
    expects = {
        topic: topic in asked and (line.role == "unknown" or asked_by.get(topic) != line.role)
        for topic in ("name", "address")
    }
    expects.update({topic: topic in asked for topic in ("email", "plate", "passport")})
    expects["email"] &= all(mention.topic != OTHER_NUMBER for mention in named)
    just_now = any(
        mention.topic == "name" for others in reading.named[max(0, number - 2) : number] for mention in others
    )
    others = [mention for mention in named if mention.topic == OTHER_NUMBER]
    named_at = {mention.topic: mention.end for mention in named}
    for topic, find in (
        ("email", find_emails),
        ("email", find_email_rows),
        ("plate", find_plates),
        ("passport", find_passports),
        ("address", find_addresses),
    ):
        begin = 0 if expects[topic] else named_at.get(topic)  # type: ignore[call-overload]  # topics are literals
        if begin is None:
            yield from find(line.text, asked=False)
            continue
        yield from (one for one in find(line.text, asked=False) if one.start < begin)
        moved = (_move(one, begin) for one in find(line.text[begin:], asked=True))
        yield from (one for one in moved if topic != "passport" or not _is_told_as_other(line.text, one, others))
    yield from find_names(line.text, asked=expects["name"], just_now=just_now)
    yield from _spelled(line.text, asked, named)
    yield from find_spelled_out(line.text)


def _is_told_as_other(text: str, one: PiiMatch, others: Sequence[Mention]) -> bool:
    """Whether another number is named right before it: 申请号是T0012."""
    return any(_NAMED_BEFORE.fullmatch(text, mention.end, one.start) for mention in others if mention.end <= one.start)


_NAMED_BEFORE = re.compile(r"[是为:,\s]{0,3}")


def _spelled(text: str, asked: frozenset[AskedFor], named: Sequence[Mention]) -> Iterator[PiiMatch]:
    """Passwords, codes and accounts in letters: up to the next thing that is named."""
    told = [mention for mention in named if mention.topic not in ("name", "address")]
    ends = [*(mention.start for mention in told[1:]), len(text)]
    for kind in sorted(_SPELLED & asked):
        yield from find_spelled(text, kind, 0, told[0].start if told else None)
    for mention, end in zip(told, ends, strict=False):
        if mention.topic != OTHER_NUMBER and mention.topic in _SPELLED:
            yield from find_spelled(text, mention.topic, mention.end, end)


def _move(found: PiiMatch, offset: int) -> PiiMatch:
    return PiiMatch(found.kind, found.start + offset, found.end + offset, found.confidence)


def _match(place: _Place) -> PiiMatch:
    return PiiMatch(place.kind, place.start, place.end, place.confidence)


def _with_placeholder(found: PiiMatch) -> _Place:
    placeholder = f"[{PLACEHOLDER_OF[found.kind]}]" if found.confidence > UNNAMED else UNTYPED_PLACEHOLDER
    return _Place(found.kind, found.start, found.end, found.confidence, placeholder)


def _places_of(number: Number, settings: MaskSettings) -> Iterator[tuple[int, _Place]]:
    """The pieces of a number; the last one of a whole number shows as many last digits as policy allows."""
    name = PLACEHOLDER_OF[number.kind]
    kept = 0 if number.kind in _SECRETS else settings.keep_last.get(number.kind, 0)
    is_whole = len(number.digits) >= COMPLETE_DIGITS.get(number.kind, 0)
    for piece in number.pieces:
        shows = kept and is_whole and piece is number.pieces[-1]
        placeholder = f"[{name}:{number.digits[-kept:]}]" if shows else f"[{name}]"
        yield piece.line, _Place(number.kind, piece.start, piece.end, number.confidence, placeholder)


def _without_overlaps(places: Sequence[_Place]) -> tuple[_Place, ...]:
    """In order; where two overlap, the longer one covers both, so that nothing of either is left."""
    merged: list[_Place] = []
    for place in sorted(places, key=lambda place: (place.start, -place.end)):
        last = merged[-1] if merged else None
        if last is None or place.start >= last.end:
            merged.append(place)
            continue
        longer = max(last, place, key=lambda one: (one.end - one.start, one.confidence))
        merged[-1] = _Place(longer.kind, last.start, max(last.end, place.end), longer.confidence, longer.placeholder)
    return tuple(merged)


def _masked_segment(segment: Segment, places: Sequence[_Place]) -> tuple[Segment, tuple[PiiSpan, ...]]:
    if not places:
        return segment, ()
    word_places = _word_places(segment)
    spans: list[PiiSpan] = []
    masked, position = "", 0
    for place in places:
        masked += segment.text[position : place.start]
        start_ms, end_ms = _times(segment, word_places, place)
        spans.append(
            PiiSpan(
                kind="bank_card" if place.kind in _SECRETS else place.kind,
                secret=place.kind if place.kind in _SECRETS else None,
                segment_id=segment.segment_id,
                role=segment.role,
                start_ms=start_ms,
                end_ms=end_ms,
                start_char=len(masked),
                end_char=len(masked) + len(place.placeholder),
                confidence=place.confidence,
                placeholder=place.placeholder,
            )
        )
        masked += place.placeholder
        position = place.end
    masked += segment.text[position:]
    heard = None if segment.heard_text is None else _replaced(segment.heard_text, places)
    update = {
        "text": masked,
        "heard_text": None if heard == masked else heard,
        "words": tuple(_masked_words(word_places, places)),
    }
    return segment.model_copy(update=update), tuple(spans)


def _replaced(text: str, places: Sequence[_Place]) -> str:
    """The text with placeholders in these places."""
    replaced, position = "", 0
    for place in places:
        replaced += text[position : place.start] + place.placeholder
        position = place.end
    return replaced + text[position:]


_WordPlace = tuple[Word, int, int]


def _word_places(segment: Segment) -> tuple[_WordPlace, ...]:
    """Every word with its characters [start, end) in the text; none if the words do not put together to the text."""
    together = "".join(word.text for word in segment.words)
    lead = len(together) - len(together.lstrip())
    if together.strip() != segment.text.strip():
        return ()
    position = -lead + len(segment.text) - len(segment.text.lstrip())
    placed: list[_WordPlace] = []
    for word in segment.words:
        placed.append((word, position, position + len(word.text)))
        position += len(word.text)
    return tuple(placed)


def _times(segment: Segment, words: Sequence[_WordPlace], place: _Place) -> tuple[int, int]:
    """When it was said: the whole of every word that holds a part of it, else by its share of the text."""
    holding = [word for word, start, end in words if start < place.end and end > place.start]
    if holding:
        return min(word.start_ms for word in holding), max(word.end_ms for word in holding)
    length_ms, letters = segment.end_ms - segment.start_ms, max(1, len(segment.text))
    # A letter more on either side: digits take longer than their share.
    start_ms = segment.start_ms + length_ms * max(0, place.start - 1) // letters
    return start_ms, segment.start_ms + length_ms * min(letters, place.end + 1) // letters


def _masked_words(words: Sequence[_WordPlace], places: Sequence[_Place]) -> Iterator[Word]:
    """The words, where those that hold a part of a place are one with its placeholder.

    Letters of such a word that are not part of the place stay with the placeholder, so that the words still give the
    text. Words that do not put together to the text are left out: what stands in them is not known.
    """
    index = 0
    while index < len(words):
        word, start, end = words[index]
        held = [place for place in places if place.start < end and place.end > start]
        if not held:
            yield word
            index += 1
            continue
        first = index
        while index < len(words) and words[index][1] < held[-1].end:
            index += 1
            end = words[index - 1][2]
            held = [place for place in places if place.start < end and place.end > start]
        yield _merged_word([word for word, _, _ in words[first:index]], held, start)


def _merged_word(words: Sequence[Word], places: Sequence[_Place], start: int) -> Word:
    together = "".join(word.text for word in words)
    masked, position = "", start
    for place in places:
        masked += together[position - start : place.start - start] + place.placeholder
        position = place.end
    return Word(
        start_ms=min(word.start_ms for word in words),
        end_ms=max(word.end_ms for word in words),
        text=masked + together[position - start :],
        confidence=sum(word.confidence for word in words) / len(words),
    )
