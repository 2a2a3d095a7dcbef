"""Words that are passwords, or parts of one: 旺财加二零一五, 老鼠爱大米拼音的首字母, 密码是小猪佩奇."""

import re
from collections.abc import Iterator, Sequence

from processors.pii.asking import AskedFor
from processors.pii.conversation import Line, NumbersSaid
from processors.pii.match import PiiMatch

_CERTAINTY = 0.6
_NEAR = 3
"""So many lines before and after one in which a password is named or expected are about it."""

_ABOUT_PASSWORDS = re.compile(
    r"[密蜜]码|口令|暗[语号]|密保|(?:安全|验证)问题|提示(?:语|问题)|(?:安全|儿童|家长|手机)锁|wi-?fi|无线网|登[录陆网]"
    r"|拼音(?:的?第一个|的?首|的?打头|开头)"
)
_WORD = r"[一-鿿]{2,7}?"
_PAUSE = r"[,、。\s]{0,2}"
_END = r"(?=[,、。!?吧嘛呀啊]|\s|$|再?加|后[头边面])"
_HEAD = r"(?:(?<![一-鿿])|[是叫用设填写改试打成个为](?:[了的成过]|上去|的是|个)?|名字|外号|小名|口号|就)"
_SPELLED = re.compile(
    rf"{_HEAD}{_PAUSE}(?P<word>{_WORD}){_PAUSE}(?:[两二三四五六七](?:个字)?|[这那]几个字)?的?(?:全是)?(?:大写|小写)?的?"
    r"(?:汉语拼音|全?拼音?|首字母|(?:拼音)?(?:的)?第一个字母?|打头的字母|英文)"
)
"""老鼠爱大米拼音的首字母."""
_TOLD = re.compile(
    r"(?:密码|口令|暗语|暗号|答案)(?:现在|以前|原来|应该|当时|那会儿|我)?(?:设|填|改|写)?[成的了为]?就?[是叫成]"
    rf"{_PAUSE}(?:[我他她你您](?:家|们家)?的?)?(?P<word>{_WORD}){_END}"
)
_SET = re.compile(rf"(?:[设改填写答](?:的(?:好像|应该|大概)?是?|成了?|了个?|为){_PAUSE}|填\s)(?P<word>{_WORD}){_END}")
_COUNTED = re.compile(rf"(?:(?<![一-鿿])|[是叫])(?P<word>[一-鿿]{{2,8}}?){_PAUSE}(?:就?这)?[两俩三四五六七八]个字")
"""虎口拔牙四个字."""
_PLUS = re.compile(
    rf"{_HEAD}{_PAUSE}(?P<word>[一-鿿]{{2,5}}?){_PAUSE}(?:再?加上?|后[头边面][跟带是加]个?){_PAUSE}"
    r"(?=[0-9零〇一二三四五六七八九幺a-z])"
)
"""旺财加二零一五."""
_PET = re.compile(
    r"(?:狗|(?<!光)猫|宠物|娃|孙[子女]|女儿|儿子|闺女|孩子|球队|偶像|明星|网名|小名|外号|口号)(?:的?名字?|外号|小名)?"
    rf"{_PAUSE}(?:就?[是叫]|名字)?{_PAUSE}(?P<word>[一-鿿]{{2,6}}?)"
    rf"(?=嘛|{_PAUSE}(?:然后|加|的?拼音|大写|小写|[两三四]个字|[a-z]))"
)
"""我家狗叫豆包嘛."""
_EITHER = re.compile(
    rf"(?:[写填设][的了]?(?:是)?){_PAUSE}(?P<word>[一-鿿]{{2,4}}?){_PAUSE}还是{_PAUSE}(?P<other>[一-鿿]{{2,4}}?)(?=来着|{_PAUSE}(?:[,。]|$))"
)
"""我应该写的墨绿还是翠绿来着."""
_TO_BE_SAID = re.compile(
    r"(?:口令|暗[语号])[^。?]{0,24}(?:说出来?|报出|对上|得说|要说|说的?是)[,\s]?(?P<word>[一-鿿]{2,8}?)(?=[,。]|$|[你您]?才)"
)
"""必须说出白菜炖豆腐,你才给."""
_FEWEST_OF_A_SENTENCE = 4
_PERSONS = str.maketrans("我你", "〇〇")
_NO_PASSWORD = re.compile(
    r"[什怎哪谁吗没忘记知道对可以问您你我他她它这那在看说想要会了过着得都还也再先后前年月日位数字码令案请客户]"
    r"|分开|两个|骗子|一样|相同|别的|空的|固定|写法|型号|多少|一下|时候|自己|随便|本人|正确|错误|初始|默认|大写|小写"
    r"|拼音|名字|生日|不是|或者|应该|好像|但是|因为|所以"
)


def find_password_words(lines: Sequence[Line], reading: NumbersSaid) -> list[list[PiiMatch]]:
    """Words in each line that a password consists of: as they are spelled or set, and wherever else they are said near
    it."""
    near = _near_a_password(lines, reading)
    words = {word for number in near for word in _words(lines[number].text)}
    found: list[list[PiiMatch]] = [[] for _ in lines]
    if words:
        said = re.compile("|".join(map(re.escape, sorted(words, key=lambda word: (-len(word), word)))))
        for number in near:
            matches = said.finditer(lines[number].text)
            found[number] = [PiiMatch("password", *match.span(), _CERTAINTY) for match in matches]
    return found


def _near_a_password(lines: Sequence[Line], reading: NumbersSaid) -> list[int]:
    wanted: AskedFor = "password"
    about = [
        number
        for number, line in enumerate(lines)
        if wanted in reading.asked[number]
        or any(mention.topic == wanted for mention in reading.named[number])
        or _ABOUT_PASSWORDS.search(line.text)
    ]
    return sorted({near for one in about for near in range(max(0, one - _NEAR), min(len(lines), one + _NEAR + 1))})


def _words(text: str) -> Iterator[str]:
    for pattern in (_SPELLED, _TOLD, _SET, _COUNTED, _PLUS, _PET, _EITHER, _TO_BE_SAID):
        for match in pattern.finditer(text):
            words = match.groupdict().values()
            yield from (word for word in words if _is_password(word, spelled=pattern is _SPELLED))


def _is_password(word: str, *, spelled: bool) -> bool:
    """Whether a word may be one: what is spelled in letters may also be a sentence with 我 or 你."""
    if spelled and len(word) >= _FEWEST_OF_A_SENTENCE:
        word = word.translate(_PERSONS)
    return _NO_PASSWORD.search(word) is None
