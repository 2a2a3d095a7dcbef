"""Personal numbers in fields that other systems tell (`FactReceived`): one short value each, and no conversation.

What is said is masked with a doubt in favour of the person (`processors/pii/masking.py`); the same of an amount, an
order number or a time would leave nothing to count by. So here only what is beyond doubt is masked.
"""

import re
from collections.abc import Iterator

from processors.pii.digit_kinds import kind_unasked
from processors.pii.email import find_emails
from processors.pii.masking import PLACEHOLDER_OF
from processors.pii.match import fold

_CERTAIN = 0.9
_NUMBER = re.compile(r"(?<![a-z0-9_.:-])\+?\d(?:[ -]?\d){9,21}x?(?![a-z0-9_:@]|[.,-]\d)")
"""At least ten digits, in groups or not, that are no part of a longer word, of an amount or of a time."""


def mask_field(value: str) -> str:
    """The value with placeholders for phone numbers, identity and bank card numbers, and e-mail addresses.

    Names and addresses in words stay: in a single value nothing tells them from other words.
    """
    places = sorted(_places(value), reverse=True)
    for start, end, placeholder in places:
        value = value[:start] + placeholder + value[end:]
    return value


def _places(value: str) -> Iterator[tuple[int, int, str]]:
    folded = fold(value)
    if "@" in folded:
        for found in find_emails(folded, asked=False):
            yield found.start, found.end, f"[{PLACEHOLDER_OF['email']}]"
    for match in _NUMBER.finditer(folded):
        digits = re.sub(r"\D", "", match[0]) + ("X" if match[0].endswith("x") else "")
        kind = kind_unasked(digits, other_number_asked=False)
        if kind is not None and kind.confidence >= _CERTAIN:
            yield match.start(), match.end(), f"[{PLACEHOLDER_OF[kind.kind]}]"
