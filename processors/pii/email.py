"""E-mail addresses, written (a@b.com) and spoken (a 艾特 b 点 com)."""

import re
from collections.abc import Iterator

from processors.pii.match import PiiMatch

_NUMERAL = "零〇一二三四五六七八九幺"
_LETTERS = rf"[a-z0-9{_NUMERAL}]"
_AT = (
    r"(?:@|艾特儿?|爱特|哎特|埃特|圈a|圈诶|\bat\b"
    r"|at(?=\s*(?:qq|\d|gmail|hot\s?mail|out\s?look|i\s?cloud|yeah|foxmail|aliyun|163|126|sina))"
    r"|小老鼠|后缀是?|艾的|矮特|a圈儿?|圈i|圈(?=\s?[a-z]))"
)
_DOT = r"(?:\.|[典店电]?点儿?|\bdot\b|[典店电])"
_TOP_LEVEL = (
    r"(?:com|cn|net|org|edu|gov|io|me|vip|hk|tw|co|看|抗|康(?!姆)|[母康]?姆|康母|耐特|西恩|"
    r"[康控抗卡肯吭科空坑扛]姆|[康抗控空坑扛][母么木目]|c\s?o\s?m|c\s?n)"
)
_SIGNS = r"(?:[._+-]|下划线|下横线|横杠|杠|减号|点儿?|中划线|加号)"
_LOCAL = rf"(?<!{_LETTERS}){_LETTERS}(?:[\s,]{{0,2}}(?:{_LETTERS}|{_SIGNS})){{0,63}}"
_HOST = (
    rf"(?:[a-z0-9{_NUMERAL}][a-z0-9{_NUMERAL}\s-]{{0,63}}"
    r"|新浪|网易|谷歌|搜狐|企鹅|雅虎|腾讯|微软|阿里云?|扣扣|谷歌\s?mail)"
)

# A local part has at most 64 characters (RFC 5321), which also bounds the search.
_ADDRESS = re.compile(
    rf"(?:{_LOCAL}|(?<=是)[一-鿿]{{1,8}}?)[\s,]*{_AT}[\s,]*{_HOST}(?:\s*{_DOT}\s*(?:{_TOP_LEVEL}(?![a-z])|[a-z]{{2,10}}))+"
)
_WITHOUT_END = re.compile(rf"{_LOCAL}[\s,]*{_AT}[\s,]*{_HOST}")
_ASKED_PART = re.compile(
    rf"(?:{_LOCAL}[\s,]*)?{_AT}?[\s,]*{_HOST}\s*{_DOT}\s*{_TOP_LEVEL}(?![a-z])|{_AT}[\s,]*{_HOST}|{_LOCAL}"
)
_PART = re.compile(
    rf"{_LETTERS}.*{_LETTERS}.*{_LETTERS}.*(?:{_LETTERS}.*{_LETTERS}|{_AT})|(?=.*{_LETTERS}.*{_LETTERS})(?:{_AT}|{_DOT})"
)
_AMOUNT_AFTER = re.compile(r"[块元分月年日]")
_LATIN_OR_AT = re.compile(r"[a-z@]|艾特")
_NO_PART = frozenset({"email", "e-mail", "qq", "app", "ok", "vip", "wifi"})


def find_emails(text: str, *, asked: bool) -> Iterator[PiiMatch]:
    """Addresses in a folded text; where one was asked for, also its parts and what the recogniser left of it."""
    taken = bytearray(len(text))
    for pattern, confidence in ((_ADDRESS, 0.95), (_WITHOUT_END, 0.8)):
        for match in pattern.finditer(text):
            if not any(taken[match.start() : match.end()]):
                taken[match.start() : match.end()] = b"\1" * len(match[0])
                yield PiiMatch("email", *match.span(), confidence)
    if not asked:
        return
    for match in _ASKED_PART.finditer(text):
        free = not any(taken[match.start() : match.end()])
        is_amount = _AMOUNT_AFTER.match(text, match.end()) is not None and not _LATIN_OR_AT.search(match[0])
        if free and not is_amount and _PART.search(match[0]) and match[0].strip() not in _NO_PART:
            yield PiiMatch("email", match.start(), match.start() + len(match[0].rstrip(" ,")), 0.6)
