"""Addresses of mail that are spelled over words: h u 胡, 然后下划线, 七三, 圈a, 扣扣点com.

People say which letter they mean (李子的李, l i), name signs and put fillers between, so what is said for an address is
a row of letters, digits and signs with a few Chinese letters between them. The whole row is masked: 李 tells li.
"""

import re
from collections.abc import Iterator, Sequence

from processors.pii.match import PiiMatch
from processors.pii.spelled import COMMON_WORDS

_DIGIT = "[0-9零〇一二三四五六七八九幺洞]"
_REPEATED = rf"[一两俩二三四五六2-6]个{_DIGIT}"
_AT = (
    r"(?:@|[艾爱哎埃矮][特的]儿?|圈(?:儿|圈)?\s?[aei诶](?![a-z])|圈儿?(?=[\s,]{0,2}[a-z0-9])"
    r"|(?<![a-z])at(?![a-z])|小?老鼠|花a(?![a-z]))"
)
_DOT = r"(?:\.(?=\s?[a-z])|[点典]儿?|句号|(?<![a-z])dot(?![a-z]))"
_ENDING = r"(?:com|cn|net|org|edu|gov|[康控抗卡肯空坑扛]\s?[姆母么木目]|扣[姆母])(?![a-z])"
_SIGN = r"(?:(?<![a-z])(?:underscore|dash|hyphen)(?![a-z])|下划线|下横线|底线|[横中]?杠|中划线|横线|减号?|加号?|[_+-])"
_PROVIDER = r"(?:扣扣|企鹅|新浪|网易|谷歌|搜狐|雅虎|腾讯|阿里云)"
_WORD = r"[a-z]{1,24}"
_DIGITS = rf"(?!一[下样直定起些点])(?:{_REPEATED}|{_DIGIT})+(?![个次天位封])"
_TOKEN = rf"(?:{_AT}|{_DOT}|{_SIGN}|{_WORD}|{_DIGITS}|{_PROVIDER})"
_PAUSE = r"[\s,、.。:]"
_OTHER = r"邮箱|信箱|邮件|手机|电话|密码|[卡单工账]号|地址|姓名|名字|微信|不用|没有|可以|收到"
_NOTE = rf"(?:(?!{_OTHER}|{_TOKEN})[一-鿿]){{1,6}}+"
_GAP = rf"{_PAUSE}*+(?:{_NOTE}(?:{_PAUSE}++{_NOTE})?{_PAUSE}*+)?"
_ROW = re.compile(rf"(?<![a-z])(?:{_AT}|{_DOT}|{_WORD}|{_DIGIT}{{2,}})(?:{_GAP}{_TOKEN})*+")
_MAY_HOLD_ONE = re.compile("[a-z@艾爱哎埃矮圈鼠]")
_PARTS = re.compile(
    rf"(?P<at>{_AT})|(?P<end>{_DOT}\s*{_ENDING})|(?P<dot>{_DOT})|(?P<sign>{_SIGN})|(?P<provider>{_PROVIDER})"
    rf"|(?P<word>{_WORD})|(?P<digits>{_DIGIT}+)"
)
_COMMON_HOSTS = "qq gmail outlook hotmail icloud yahoo foxmail sina aliyun yeah sohu mail tom com net org edu gov"
_PROVIDERS = frozenset(_COMMON_HOSTS.split())
_OF_HOSTS = frozenset({"word", "digits", "provider"})
_FEWEST_LETTERS, _MOST_LETTERS = 4, 64
"""Of a local part, which RFC 5321 gives 64; what is longer is no address."""


def find_email_rows(text: str, *, asked: bool) -> Iterator[PiiMatch]:
    """Rows of a folded text with a local part, an at sign and a host; where an address was asked for, also parts.

    Who says one whole address in a line says its other letters for it, too.
    """
    if _MAY_HOLD_ONE.search(text) is None:
        return
    rows = [(match, [(part.lastgroup, part[0]) for part in _PARTS.finditer(match[0])]) for match in _ROW.finditer(text)]
    if asked or any(_is_address(parts) for _, parts in rows):
        yield from (PiiMatch("email", *match.span(), 0.7) for match, parts in rows if _is_part(parts))


def _is_address(parts: Sequence[tuple[str | None, str]]) -> bool:
    kinds = [kind for kind, _ in parts]
    return any(
        kind == "at" and {"word", "digits"} & set(kinds[:place]) and _OF_HOSTS & set(kinds[place:])
        for place, kind in enumerate(kinds)
    )


def _is_part(parts: Sequence[tuple[str | None, str]]) -> bool:
    """Letters that are no word of daily talk, or digits and an ending with the sign before them."""
    kinds = {kind for kind, _ in parts}
    words = [said for kind, said in parts if kind == "word"]
    if "end" in kinds or ("at" in kinds and kinds & _OF_HOSTS):
        return True
    return any(word not in COMMON_WORDS for word in words) and (len(parts) > 1 or len(words[0]) > 1)


class KnownEmails:
    """Local parts and hosts of their own that were spelled in a call, to find them where they are said in one piece."""

    def __init__(self, addresses: Sequence[str]) -> None:
        parts = {part for address in addresses for part in _letters_of(address)}
        self._pattern = (
            re.compile(
                "|".join(
                    rf"(?<![a-z]){_BETWEEN_LETTERS.join(map(re.escape, part))}(?![a-z])"
                    for part in sorted(parts, key=len, reverse=True)
                )
            )
            if parts
            else None
        )

    def find(self, text: str) -> Iterator[PiiMatch]:
        """Every place in a folded text where one of them stands, with or without pauses and signs."""
        if self._pattern is not None:
            for match in self._pattern.finditer(text):
                yield PiiMatch("email", *match.span(), 0.6)


_BETWEEN_LETTERS = rf"(?:{_PAUSE}{{0,2}}(?:{_SIGN}|{_DOT}))?{_PAUSE}{{0,2}}"


def _letters_of(address: str) -> Iterator[str]:
    """What stands before and after the at sign without signs and notes, if it is no word that many addresses have."""
    spelled = [""]
    for part in _PARTS.finditer(address):
        if part.lastgroup == "at":
            spelled.append("")
        elif part.lastgroup in ("word", "digits") and part[0] not in _PROVIDERS:
            spelled[-1] += part[0]
    yield from (one for one in spelled if _FEWEST_LETTERS <= len(one) <= _MOST_LETTERS and one[0] not in _DIGITS_ALONE)


_DIGITS_ALONE = frozenset("0123456789零〇一二三四五六七八九幺洞")
