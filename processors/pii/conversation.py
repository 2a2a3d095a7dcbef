"""Numbers in a conversation: who was asked for what, over turns, pauses and corrections."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from processors.pii.asking import OTHER_NUMBER, AskedFor, Mention, mentions, moves_on, only_listens
from processors.pii.digit_kinds import (
    COMPLETE_DIGITS,
    DIGIT_KINDS,
    SECRET_KINDS,
    NumberKind,
    is_public_service_number,
    is_service_number,
    is_shared_service_number,
    kind_asked,
    kind_unasked,
)
from processors.pii.digit_runs import GAP, DigitRun, digit_runs, expected_digit_runs, with_dates_as_digits
from processors.pii.match import FoundKind
from schemas.messages.call_ended import Role

PATIENCE_MS = 120_000
"""So long after it was asked for, or after its last digit, a number is still expected."""

PATIENCE_TURNS = 4
"""So many turns may be about something else before an answer is no longer expected."""

PATIENCE_FOR_SECRETS = 8
"""The same for passwords and codes, which people hesitate to tell."""

UNFINISHED_TURNS = 3
"""The same for a number of which only a part was said; after a whole one, the first such turn ends it."""

LINKED_PAUSE_MS = 8_000
"""Digits of one speaker with at most this much, and nothing but back-channels, between them are one number."""

_NUMBER_KINDS = DIGIT_KINDS | SECRET_KINDS
_NUMBERS: frozenset[AskedFor] = frozenset((*_NUMBER_KINDS, OTHER_NUMBER, "passport"))
_OF_PIECES: frozenset[AskedFor] = frozenset({"resident_id", "bank_card", "mobile", "fixed_phone", "account"})
_ALSO_SHORT: frozenset[AskedFor] = frozenset({"resident_id", *SECRET_KINDS})
"""Of these a piece may look like a number of service: 110105."""

_TOLD_IN_WORDS: frozenset[AskedFor] = frozenset({"name", "address"})
_FEWEST_DIGITS = 3
_FEWEST_REPEATED = 4
_FEWEST_AT_THE_END = 2
_MOST_AT_AN_END = 6
_FEWEST_BEFORE_EXTENSION = 7

_LAST_X = re.compile(rf"{GAP}(?:大写的?)?(?:x|叉|[艾爱埃哎]克斯|[差插](?=$|[^一-鿿]))(?![a-z])")
_ONLY_X = re.compile(r"[\s,.。]*(?:(?:最后|后面|尾号)[是一位个]*)?(?:大写的?)?(?:x|叉|[艾爱埃哎]克斯)[\s,.。啊]*")
_EXTENSION = re.compile(r"[\s,、.-]*(?:总机\s*)?(?:转接?|分机号?|转分机号?)[是:\s,]*[0-9零〇一二三四五六七八九幺]{1,6}")
_SERVICE_BEFORE = re.compile(r"(?:打|拨|热线|客服|致电|短信|发送|发|投诉|咨询|联系|找|说给|叫|喊)[^,。]{0,6}$")
AMOUNT_BEFORE = re.compile(
    r"(?:刷了?|花了?|转了?|扣了?|付了?|存了?|取了?|余额|价格|金额|限额|额度|积分|共|收了?|充了?|消费了?|退了?|才|差|欠|满|减|价|费|卖|买了?)[是:为]?\s*$"
)
_STAFF_AFTER = re.compile(r"\s*号?\s*(?:很?高兴|竭诚|随时)?(?:为您服务|客服|坐席|话务员|专员|柜员|接待员)")
_TAIL_BEFORE = re.compile(
    r"(?:[后末尾][面头]?(?:的|还有)?[两二三四五六2-6]个?[位数]|尾号|尾数|尾巴|末尾|结尾)(?:您|上|应该|那?就?是|的|:|,|\s)*$"
)
_END_AFTER = re.compile(r"\s?(?:的|那个?)?(?:开头|打头|结尾|[头尾](?=[,。\s的吗吧呢]|$))")
_COUNTED_BEFORE = re.compile(r"[前后末][面头]?(?P<count>[两三四五六2-6])个?[位数][^,。?]{0,8}$")
_COUNTS = {"两": 2, "三": 3, "四": 4, "五": 5, "六": 6}
_END_OF_ANOTHER = re.compile(r"[单件票券批]|工号|型|编号|车牌|热线|客服|专线|退订")
_HEAD_OF_A_FIRM = re.compile(r"0|9[56]|[48]00|1[02]")
_HEAD_OF_A_MOBILE = re.compile(r"1[3-9]\d{1,2}")
_MORE = re.compile(
    r"(?:[后末尾前剩差少]|还有|还剩|最后)[面头上边下]?(?:的|还有|那|了)?[一两二三四五六七八几1-8]个?[位数]|后[面头边](?:呢|是|还有|那)|接着[说报念]|(?:然后|还有|剩下的)呢"
)
_OTHER_BEFORE = re.compile(r"(?:型|款|版本|代号|第)\s*$")
_NUMBER_ONLY = re.compile(rf"(?:{GAP}|[嗯啊哦呃对是好的喂尾号后四位前面最后]|还有一?个|再[加来]一?个|还差|漏了|\d|\W)*")
_MAX_AMOUNT_DIGITS = 7
_MAX_STAFF_DIGITS = 6


@dataclass(frozen=True)
class Line:
    """One segment as it is read here: its folded text, who says it and when."""

    text: str
    role: Role
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class Piece:
    """Characters `start` to `end` of line `line` that hold digits of a number."""

    line: int
    start: int
    end: int
    digits: str
    topics: frozenset[AskedFor]
    named_here: bool


@dataclass(frozen=True)
class Number:
    """One number with the pieces that it was said in."""

    kind: FoundKind
    confidence: float
    pieces: tuple[Piece, ...]

    @cached_property
    def digits(self) -> str:
        """All its digits, as heard."""
        return "".join(piece.digits for piece in self.pieces)


@dataclass(frozen=True)
class NumbersSaid:
    """What was asked for while each line was said, what each names, and the personal numbers of the conversation."""

    asked: tuple[frozenset[AskedFor], ...]
    named: tuple[tuple[Mention, ...], ...]
    numbers: tuple[Number, ...]


@dataclass
class _Expected:
    """An answer that is waited for."""

    asked_by: Role
    touched_ms: int
    digits: int = 0
    turns: int = 0


@dataclass
class _Listener:
    """Walks through the lines and knows what is expected."""

    expected: dict[AskedFor, _Expected] = field(default_factory=dict)
    last_number: frozenset[AskedFor] = frozenset()
    last_touched_ms: int = 0

    def open_for(self, line: Line) -> frozenset[AskedFor]:
        for topic in [topic for topic, one in self.expected.items() if line.start_ms - one.touched_ms > PATIENCE_MS]:
            del self.expected[topic]
        return frozenset(self.expected)

    def hear(self, line: Line, named: Sequence[Mention], pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            self._answer(line, piece)
            unasked = None if piece.topics else kind_unasked(piece.digits, other_number_asked=False)
            if unasked is not None:
                self.last_number, self.last_touched_ms = frozenset({unasked.kind}), line.end_ms
        if named:
            self._expect_named(line, named, pieces)
            return
        if not pieces:
            self._go_on(line)
        if _MORE.search(line.text) and line.start_ms - self.last_touched_ms <= PATIENCE_MS:
            for topic in self.last_number - set(self.expected):
                self.expected[topic] = _Expected(line.role, line.end_ms)

    def _expect_named(self, line: Line, named: Sequence[Mention], pieces: Sequence[Piece]) -> None:
        """What was named last replaces what was expected; several things asked for in one turn are all expected."""
        after_digits = [mention for mention in named if all(mention.start >= piece.end for piece in pieces)]
        current = {mention.topic for mention in after_digits or named[-1:]}
        digits = sum(len(piece.digits) for piece in pieces if piece.start >= named[-1].end)
        if len(current) > 1 or not pieces or named[-1].topic not in self.expected:
            kept = {
                t: one for t, one in self.expected.items() if t in current or t not in (*_NUMBER_KINDS, OTHER_NUMBER)
            }
            self.expected = kept
        for topic in current:
            one = self.expected.get(topic)
            if one is None or not digits:
                self.expected[topic] = _Expected(line.role, line.end_ms, digits)
        numbers = frozenset(topic for topic in current if topic in _NUMBERS)
        if numbers:
            self.last_number, self.last_touched_ms = numbers, line.end_ms

    def _answer(self, line: Line, piece: Piece) -> None:
        if piece.topics & self.last_number:
            self.last_touched_ms = line.end_ms
        for topic in piece.topics:
            one = self.expected.get(topic)
            if one is not None:
                one.digits += len(piece.digits)
                one.touched_ms = line.end_ms
                one.turns = 0

    def _go_on(self, line: Line) -> None:
        if not moves_on(line.text):
            return
        for topic, one in list(self.expected.items()):
            one.turns += 1
            if topic in _TOLD_IN_WORDS and line.role != one.asked_by:
                one.digits += 1
            if one.turns >= _patience(topic, one.digits):
                del self.expected[topic]


def _patience(topic: AskedFor, digits: int) -> int:
    if not digits:
        return PATIENCE_FOR_SECRETS if topic in SECRET_KINDS else PATIENCE_TURNS
    if topic in _TOLD_IN_WORDS:
        return UNFINISHED_TURNS
    return 1 if topic == OTHER_NUMBER or digits >= COMPLETE_DIGITS.get(topic, 1) else UNFINISHED_TURNS


def read_numbers(lines: Sequence[Line]) -> NumbersSaid:
    """Everything that was asked for and every personal number in the lines, which are in order of time."""
    listener = _Listener()
    asked: list[frozenset[AskedFor]] = []
    all_named: list[tuple[Mention, ...]] = []
    pieces: list[Piece] = []
    for number, line in enumerate(lines):
        opened = listener.open_for(line)
        named = tuple(mentions(line.text))
        found = list(_pieces(number, line.text, opened, named))
        found.extend(_lone_x(number, line.text, listener.expected.get("resident_id"), found))
        listener.hear(line, named, found)
        asked.append(opened)
        all_named.append(named)
        pieces.extend(found)
    numbers = [whole for group in _link(lines, pieces) if (whole := _number(lines, group)) is not None]
    return NumbersSaid(tuple(asked), tuple(all_named), (*numbers, *_find_repeats(lines, pieces, numbers)))


def _pieces(number: int, text: str, opened: frozenset[AskedFor], named: Sequence[Mention]) -> Iterator[Piece]:
    """Digits of one line with what they may be: governed by the topic named before them, else by what is expected."""
    expected = list(expected_digit_runs(text)) if opened or named else []
    plain = list(digit_runs(text))
    dated: list[DigitRun] | None = None
    places = [mention.start for mention in named] + [len(text) + 1]
    for region, (begin, end) in enumerate(zip([0, *places], places, strict=False)):
        topics = frozenset({named[region - 1].topic}) if region else opened or _named_after(text, plain, named)
        runs = expected if topics else plain
        if "resident_id" in topics:
            dated = list(expected_digit_runs(with_dates_as_digits(text))) if dated is None else dated
            runs = dated
        for run in runs:
            if begin <= run.start < end and not _is_other(text, run, topics):
                yield _piece(number, text, run, topics, named_here=region > 0)


def _named_after(text: str, runs: Sequence[DigitRun], named: Sequence[Mention]) -> frozenset[AskedFor]:
    """What the first digits are, if that is said after them: 五零三幺, 这是开门的密码."""
    if runs and named and _SAYS_WHAT_IT_IS.fullmatch(text, runs[0].end, named[0].start):
        return frozenset({named[0].topic})
    return frozenset()


_SAYS_WHAT_IT_IS = re.compile(r"[\s,。]*(?:[这那]个?|就)是[^,。?]{0,14}")


def _piece(number: int, text: str, run: DigitRun, topics: frozenset[AskedFor], *, named_here: bool) -> Piece:
    """The run with the X of a resident ID or the extension of a telephone."""
    end, spelled = run.end, run.digits
    last = _LAST_X.match(text, end) if "resident_id" in topics or len(spelled) == 17 else None
    extension = _EXTENSION.match(text, end) if _may_have_extension(spelled, topics) else None
    if last and not spelled.endswith("X"):
        end, spelled = last.end(), spelled + "X"
    elif extension:
        end = extension.end()
    return Piece(number, run.start, end, spelled, topics, named_here)


def _may_have_extension(digits: str, topics: frozenset[AskedFor]) -> bool:
    """Of firms, and of the numbers that carriers and shops give out in place of one's own: 95013… 转 442."""
    return "fixed_phone" in topics or digits.startswith("0") or len(digits) >= _FEWEST_BEFORE_EXTENSION


def _lone_x(number: int, text: str, expected: _Expected | None, found: Sequence[Piece]) -> Iterator[Piece]:
    """The X that follows the seventeen digits in a turn of its own."""
    if expected is not None and expected.digits and not found and _ONLY_X.fullmatch(text):
        yield Piece(number, 0, len(text), "X", frozenset({"resident_id"}), named_here=False)


def _is_other(text: str, run: DigitRun, topics: frozenset[AskedFor]) -> bool:
    """Whether the digits are a service number, an amount, or part of a name of something."""
    if is_shared_service_number(run.digits) and not topics & {"bank_card", "resident_id"}:
        return True
    before = text[max(0, run.start - 10) : run.start]
    if is_public_service_number(run.digits) and topics and not topics & _OF_PIECES:
        return True
    if is_service_number(run.digits) and (
        _SERVICE_BEFORE.search(before) or not (topics & _ALSO_SHORT or _is_alone(text, run))
    ):
        return True
    if len(run.digits) <= _MAX_STAFF_DIGITS and _STAFF_AFTER.match(text, run.end):
        return True
    if len(run.digits) <= _MAX_AMOUNT_DIGITS and AMOUNT_BEFORE.search(before):
        return True
    return len(run.digits) <= _FEWEST_DIGITS and _OTHER_BEFORE.search(before) is not None


def _is_alone(text: str, run: DigitRun) -> bool:
    return _NUMBER_ONLY.fullmatch(text[: run.start] + text[run.end :]) is not None


def _link(lines: Sequence[Line], pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Pieces that one speaker says one after the other, as groups."""
    group: list[Piece] = []
    for piece in pieces:
        if group and not _continues(lines, group[-1], piece):
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def _continues(lines: Sequence[Line], last: Piece, piece: Piece) -> bool:
    if last.topics != piece.topics or last.line == piece.line or piece.named_here:
        return False
    before, after = lines[last.line], lines[piece.line]
    if before.role != after.role or after.start_ms - before.end_ms > LINKED_PAUSE_MS:
        return False
    between = [
        before.text[last.end :],
        after.text[: piece.start],
        *(ln.text for ln in lines[last.line + 1 : piece.line]),
    ]
    return all(_is_pause(text) for text in between)


_PAUSE = re.compile(GAP)


def _is_pause(text: str) -> bool:
    return only_listens(text) or _PAUSE.fullmatch(text) is not None


def _number(lines: Sequence[Line], group: Sequence[Piece]) -> Number | None:
    """The personal number that the pieces are, if they are one."""
    spelled = "".join(piece.digits for piece in group)
    kind = _kind(lines, group, spelled)
    return None if kind is None else Number(kind.kind, kind.confidence, tuple(group))


def _kind(lines: Sequence[Line], group: Sequence[Piece], spelled: str) -> NumberKind | None:
    first = group[0]
    kinds: set[FoundKind] = {
        topic for topic in first.topics if topic != OTHER_NUMBER and topic not in ("name", "address")
    }
    if OTHER_NUMBER in first.topics:
        shape = None if first.named_here and not kinds else kind_unasked(spelled, other_number_asked=not kinds)
        return shape if shape is not None and (not kinds or shape.kind in kinds) else None
    is_end = len(group) == 1 and _is_end(lines[first.line].text, first)
    if not kinds:
        unasked = kind_unasked(spelled, other_number_asked=False)
        return NumberKind("mobile", 0.5) if unasked is None and is_end and len(set(spelled)) > 1 else unasked
    digit_kinds = kinds & _NUMBER_KINDS or kinds
    only_digits = all(_is_only_digits(lines[piece.line].text, piece) for piece in group)
    # Letters belong to plates, passports and addresses of mail; only where there are none is it a part of one.
    enough = len(spelled) >= _FEWEST_DIGITS and (bool(kinds & _NUMBER_KINDS) or first.named_here)
    return kind_asked(spelled, digit_kinds) if enough or only_digits or is_end else None


def _is_end(text: str, piece: Piece) -> bool:
    """Whether these are the first or last digits of a number of a person: 139开头, 尾巴是四七."""
    if not _FEWEST_AT_THE_END <= len(piece.digits) <= _MOST_AT_AN_END:
        return False
    before = text[max(0, piece.start - 16) : piece.start]
    if _END_OF_ANOTHER.search(before):
        return False
    counted = _COUNTED_BEFORE.search(before)
    if _TAIL_BEFORE.search(before) or (counted and _count(counted["count"]) == len(piece.digits)):
        return True
    after = _END_AFTER.match(text, piece.end)
    if after is None:
        return False
    if "尾" in after[0]:
        return True
    if _HEAD_OF_A_MOBILE.fullmatch(piece.digits):
        return True
    asked = bool(piece.topics) and len(piece.digits) >= _FEWEST_DIGITS
    return asked and _HEAD_OF_A_FIRM.match(piece.digits) is None


def _count(said: str) -> int:
    return _COUNTS[said] if said in _COUNTS else int(said)


def _is_only_digits(text: str, piece: Piece) -> bool:
    return _NUMBER_ONLY.fullmatch(text[: piece.start] + text[piece.end :]) is not None


def _is_corrected(piece: Piece, number: Number) -> bool:
    """Whether a piece begins like a number that is said right before or after it: 1391234, 不对, 13912435678."""
    near = any(abs(other.line - piece.line) <= 1 for other in number.pieces)
    return near and number.digits.startswith(piece.digits[:_FEWEST_REPEATED])


def _find_repeats(lines: Sequence[Line], pieces: Sequence[Piece], numbers: Sequence[Number]) -> Iterator[Number]:
    """Digits that repeat a part of a number: 尾号七八九零的那张卡, 后两位是九零."""
    known = {piece for number in numbers for piece in number.pieces}
    for piece in pieces:
        if piece in known or len(piece.digits) < _FEWEST_AT_THE_END or OTHER_NUMBER in piece.topics:
            continue
        if len(piece.digits) >= _FEWEST_REPEATED:
            whole = next((n for n in numbers if piece.digits in n.digits or _is_corrected(piece, n)), None)
        elif _TAIL_BEFORE.search(lines[piece.line].text, max(0, piece.start - 16), piece.start):
            whole = next((number for number in numbers if number.digits.endswith(piece.digits)), None)
        else:
            continue
        if whole is not None:
            yield Number(whole.kind, 0.6, (piece,))
