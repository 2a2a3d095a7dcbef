"""Which kind of number a row of digits is, by its shape and by what was asked for.

Checksums raise the confidence and are never required: recognisers drop and double digits.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from processors.pii.match import FoundKind
from schemas.messages.pii import PiiKind

DIGIT_KINDS: frozenset[PiiKind] = frozenset({"bank_card", "resident_id", "mobile", "fixed_phone"})

SECRET_KINDS: frozenset[FoundKind] = frozenset({"account", "password", "code"})

COMPLETE_DIGITS: dict[FoundKind, int] = {"bank_card": 15, "resident_id": 17, "mobile": 11, "fixed_phone": 10}
"""From this many digits on, a number may have been said to its end."""

_USUAL_DIGITS: dict[FoundKind, int] = {**COMPLETE_DIGITS, "code": 6, "password": 6, "account": 9}
_LONGEST_CODE = 8

_CERTAIN = 0.99
_SHAPE = 0.9
_LIKELY = 0.7
_POSSIBLE = 0.5

_MOBILE = re.compile(r"(?:0?0?86)?(1[3-9]\d{9})|09\d{8}|00[1-9]\d{8,13}")
"""Of the mainland, of Taiwan, or with the prefix of a country."""

_FIXED = re.compile(r"(?:0?0?86)?0(?:10|2\d|[3-9]\d\d)[2-9]\d{6,7}")
_RESIDENT_ID = re.compile(r"[1-9]\d{5}(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}")
_OLD_RESIDENT_ID = re.compile(r"[1-9]\d{5}\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}")
_DATED = re.compile(r"20[0-4]\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_SERVICE = re.compile(r"110|119|120|122|114|12\d{3}|95\d{3}|96\d{3,4}|100\d\d|[48]00\d{7}|116\d{2,3}|118\d{2,3}")
_PUBLIC_SERVICE = re.compile(r"12[13]\d\d|100[0-2]\d|95\d{3}")
_SHARED_SERVICE = re.compile(r"[48]00\d{7}")
_NEAR_MOBILE = re.compile(r"1[3-9]\d{8,10}")


@dataclass(frozen=True)
class NumberKind:
    """What a row of digits is taken for, and how sure that is."""

    kind: FoundKind
    confidence: float


def passes_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812-1 (Luhn)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def passes_resident_checksum(number: str) -> bool:
    """Whether the 18th character is the check character of GB 11643 (ISO 7064, MOD 11-2)."""
    if not re.fullmatch(r"\d{17}[\dX]", number):
        return False
    weighted = sum(int(digit) * 2 ** (17 - place) for place, digit in enumerate(number[:17]))
    return "10X98765432"[weighted % 11] == number[17]


def is_service_number(digits: str) -> bool:
    """Whether these are the digits of a number that belongs to nobody: 12315, 95588, 10086, 400…"""
    return _SERVICE.fullmatch(digits) is not None


def is_public_service_number(digits: str) -> bool:
    """Whether these are five digits that everybody knows, which nobody has for a code: 12306, 10086, 95588."""
    return _PUBLIC_SERVICE.fullmatch(digits) is not None


def is_shared_service_number(digits: str) -> bool:
    """Whether this is a 400 or 800 number, which no person has."""
    return _SHARED_SERVICE.fullmatch(digits) is not None


def kind_unasked(digits: str, *, other_number_asked: bool) -> NumberKind | None:
    """What digits are that nobody asked for; with `other_number_asked` (an order number, say) only if beyond doubt."""
    body = digits.removesuffix("X")
    if _MOBILE.fullmatch(digits):
        return NumberKind("mobile", _SHAPE)
    if _RESIDENT_ID.fullmatch(body[:17]) and len(digits) == 18:
        if passes_resident_checksum(digits):
            return NumberKind("resident_id", _CERTAIN)
        return None if other_number_asked else NumberKind("resident_id", _SHAPE)
    if other_number_asked:
        return None
    if _FIXED.fullmatch(digits):
        return NumberKind("fixed_phone", _SHAPE)
    if 16 <= len(digits) <= 19 and not digits.endswith("X"):
        return _card_unasked(digits)
    if _NEAR_MOBILE.fullmatch(digits):
        return NumberKind("mobile", _POSSIBLE)
    return None


def _card_unasked(digits: str) -> NumberKind | None:
    if _DATED.match(digits):
        return None
    if passes_luhn(digits):
        return NumberKind("bank_card", _SHAPE)
    return NumberKind("bank_card", _LIKELY if digits.startswith("62") else _POSSIBLE) if digits[0] in "3456" else None


def kind_asked(digits: str, asked: Collection[FoundKind]) -> NumberKind | None:
    """What digits are when one of `asked` was asked for, however many digits were dropped."""
    shape = kind_unasked(digits, other_number_asked=False)
    if SECRET_KINDS.issuperset(asked):
        return _secret(digits, asked, shape)
    if shape is not None and shape.kind in asked and shape.confidence >= _LIKELY:
        return NumberKind(shape.kind, _CERTAIN if _is_certain(digits, shape.kind) else _SHAPE)
    if shape is not None and shape.confidence >= _SHAPE and shape.kind in ("mobile", "resident_id"):
        return shape
    if "mobile" in asked and "fixed_phone" not in asked and shape is not None and shape.kind == "fixed_phone":
        return shape
    if "mobile" in asked and len(digits) in (7, 8) and digits[0] not in "01" and len(asked) == 1:
        return NumberKind("fixed_phone", _LIKELY)
    if "resident_id" in asked and (digits.endswith("X") or _OLD_RESIDENT_ID.fullmatch(digits)):
        return NumberKind("resident_id", _LIKELY)
    expected = [kind for kind in _USUAL_DIGITS if kind in asked] or sorted(asked)
    nearest = min(expected, key=lambda kind: abs(_USUAL_DIGITS.get(kind, 8) - len(digits)))
    return NumberKind(nearest, _LIKELY)


def _secret(digits: str, asked: Collection[FoundKind], shape: NumberKind | None) -> NumberKind | None:
    """A password, a code or an account, unless the digits look like something else."""
    if shape is not None and shape.confidence >= _LIKELY:
        return shape
    if len(digits) <= _LONGEST_CODE or "account" in asked or "password" in asked:
        return NumberKind(min(asked, key=lambda kind: abs(_USUAL_DIGITS[kind] - len(digits))), _LIKELY)
    return shape


def _is_certain(digits: str, kind: FoundKind) -> bool:
    if kind == "bank_card":
        return passes_luhn(digits)
    return kind == "mobile" or (kind == "resident_id" and passes_resident_checksum(digits))
