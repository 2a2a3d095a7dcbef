"""Calls in which people say personal things in many ways, and calls in which they say what only looks like it.

Deterministic, in three parts with forms, carriers and values of their own. The detectors were written by looking at
`development` only. `held_out` was looked at once its first figures were written down (docs/accuracy.md), and the
defects that it showed were mended. `unseen` came after that; no detector was changed for it.
`⟦…⟧` encloses what must be masked.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Literal

from processors.pii.digit_kinds import passes_luhn
from schemas.messages.call_ended import Role
from schemas.messages.pii import PiiKind

Split = Literal["development", "held_out", "unseen"]
Turn = tuple[Role, str]

_NUMERALS = dict(zip("0123456789X", "零一二三四五六七八九叉", strict=True))
_VALUES_PER_CASE = 2
_LEADS = frozenset({"嗯", "后面是"})
"""What may stand before the digits of a later turn."""


@dataclass(frozen=True)
class Secret:
    """Characters `start` to `end` of turn `turn` that must not be readable afterwards."""

    kind: PiiKind
    turn: int
    start: int
    end: int


@dataclass(frozen=True)
class Variant:
    """One short call. `kind` is what it is about; null for a call without anything personal."""

    name: str
    split: Split
    kind: PiiKind | None
    turns: tuple[Turn, ...]
    secrets: tuple[Secret, ...]


def _card(random: Random) -> str:
    body = random.choice(["622202", "621700", "622848", "436742", "621226"]) + _random_digits(
        random, random.choice([9, 12])
    )
    return next(body + str(check) for check in range(10) if passes_luhn(body + str(check)))


def _resident_id(random: Random) -> str:
    birth = f"{random.randint(1955, 2004)}{random.randint(1, 12):02}{random.randint(1, 28):02}"
    body = random.choice(["110105", "330106", "440305", "510107"]) + birth + _random_digits(random, 3)
    return body + "10X98765432"[sum(int(d) * 2 ** (17 - i) for i, d in enumerate(body)) % 11]


def _mobile(random: Random) -> str:
    return "1" + random.choice("3456789") + _random_digits(random, 9)


def _fixed(random: Random) -> str:
    return random.choice(["010", "021", "0571", "0755"]) + random.choice("25678") + _random_digits(random, 7)


def _random_digits(random: Random, length: int) -> str:
    return "".join(random.choice("0123456789") for _ in range(length))


_NUMBERS: dict[PiiKind, Callable[[Random], str]] = {
    "bank_card": _card,
    "resident_id": _resident_id,
    "mobile": _mobile,
    "fixed_phone": _fixed,
}


def _numerals(number: str, one: str = "幺") -> str:
    return "".join(one if digit == "1" else _NUMERALS[digit] for digit in number)


def _groups(number: str, size: int) -> list[str]:
    return [number[place : place + size] for place in range(0, len(number), size)]


def _with_filler(number: str, filler: str) -> str:
    groups = _groups(number, 4)
    return groups[0] + filler + "".join(groups[1:])


def _mixed(number: str) -> str:
    return "".join(_NUMERALS[digit] if place % 3 == 1 else digit for place, digit in enumerate(number))


def _dropped(number: str) -> str:
    return number[:5] + number[6:9] + number[10:]


def _zeros_counted(number: str) -> str:
    return _numerals(number[:-4]) + "三个" + _NUMERALS[number[-2]] + _numerals(number[-1])


def _by_ear(number: str) -> str:
    return _numerals(number[:3]) + "要" + _numerals(number[3:])


def _full_width(number: str) -> str:
    return "".join(chr(ord(sign) + 0xFEE0) for sign in number)


Form = Callable[[str], list[str]]
"""How a number is said: one text for each turn of the speaker. `|` ends a secret and `^` begins it again."""

_FORMS: dict[Split, dict[str, Form]] = {
    "development": {
        "digits": lambda n: [n],
        "numerals": lambda n: [_numerals(n)],
        "numerals_without_yao": lambda n: [_numerals(n, "一")],
        "mixed": lambda n: [_mixed(n)],
        "groups_of_four": lambda n: [" ".join(_groups(n, 4))],
        "groups_with_commas": lambda n: ["，".join(_groups(_numerals(n), 3))],
        "filler_er": lambda n: [_with_filler(n, "呃")],
        "correction": lambda n: [n[:6] + "|不对是^" + n],
        "dropped_digits": lambda n: [_dropped(n)],
        "over_turns": lambda n: _groups(_numerals(n), 4),
        "over_turns_in_digits": lambda n: [n[:6] + "，", n[6:] + "。"],
    },
    "held_out": {
        "dashes": lambda n: ["-".join(_groups(n, 4))],
        "pairs_of_numerals": lambda n: ["、".join(_groups(_numerals(n), 2))],
        "mixed_halves": lambda n: [n[:7] + _numerals(n[7:])],
        "filler_nage": lambda n: [_with_filler(_numerals(n), "，那个，")],
        "filler_ranhou": lambda n: [_with_filler(_numerals(n), "，然后是")],
        "self_correction": lambda n: [_numerals(n[:5]) + "|，哦说错了，应该是^" + _numerals(n)],
        "two_dropped_numerals": lambda n: [_numerals(_dropped(n))],
        "counted": lambda n: [_zeros_counted(n)],
        "heard_yao": lambda n: [_by_ear(n)],
        "full_width": lambda n: [_full_width(n)],
        "over_three_turns": lambda n: [_numerals(n[:3]), "嗯|^" + _numerals(n[3:7]), n[7:]],
        "full_stops": lambda n: ["。".join(_groups(n, 4)) + "。"],
    },
    "unseen": {
        "first_written_then_spoken_groups": lambda n: [n[:3] + "，" + _numerals(n[3:7]) + "，" + n[7:]],
        "spaced_numerals": lambda n: [" ".join(_numerals(n))],
        "filler_inside_a_group": lambda n: [n[:5] + "嗯" + n[5:]],
        "long_filler": lambda n: [_numerals(n[:6]) + "|，等一下啊，^" + _numerals(n[6:])],
        "correction_of_a_group": lambda n: [n[:7] + "|，不是不是，^" + n[3:]],
        "three_dropped": lambda n: [_dropped(n)[:-1]],
        "doubled_digit": lambda n: [n[:4] + n[3:]],
        "groups_over_five_turns": lambda n: _groups(n, -(-len(n) // 5)),
        "two_turns_with_a_word": lambda n: [_numerals(n[:7]), "后面是|^" + _numerals(n[7:])],
        "heard_zero_as_ling": lambda n: [_numerals(n).replace("零", "玲", 1) if n[:1] != "0" else _numerals(n)],
    },
}

Carrier = tuple[str, str]
"""What the agent asks and how the customer answers, where `{}` is the value."""

_CARRIERS: dict[Split, dict[PiiKind, tuple[Carrier, ...]]] = {
    "development": {
        "bank_card": (
            ("好的，请您提供一下银行卡号。", "{}"),
            ("请报一下您的卡号", "我的卡号是{}"),
            ("请问您要挂失哪张卡", "银行卡号{}"),
        ),
        "resident_id": (
            ("麻烦您报一下身份证号码", "{}"),
            ("需要核实一下您的身份证号", "好的，{}"),
            ("请问还有什么可以帮您", "我的身份证号码是{}"),
        ),
        "mobile": (
            ("请问您的手机号码是？", "{}"),
            ("您留一个联系电话吧", "嗯{}"),
            ("请问有什么可以帮您", "我的手机号是{}，你帮我查一下"),
        ),
        "fixed_phone": (
            ("请问座机号码是多少", "{}"),
            ("您方便留个电话吗", "固定电话{}"),
            ("家里电话是多少", "区号加号码是{}"),
        ),
    },
    "held_out": {
        "bank_card": (
            ("麻烦您念一下卡片正面的那串号码，就是银行卡号", "您记一下啊，{}"),
            ("您绑定的卡后面的账号是多少呢", "账号是{}，工商银行的"),
            ("请输入或者告诉我您的储蓄卡号码", "行，{}"),
        ),
        "resident_id": (
            ("为了您的账户安全，请您说一下身份证件号码", "是{}"),
            ("您的证件号码是多少", "身份证，{}"),
            ("跟您核对一下身份证", "身份证号{}对吧"),
        ),
        "mobile": (
            ("您预留的手机是多少", "预留的是{}"),
            ("怎么联系到您呢，留个号码吧", "打这个{}就行"),
            ("请问您是用哪个号码注册的", "你记一下手机号，{}，随时打都可以"),
        ),
        "fixed_phone": (
            ("您单位电话多少", "单位的是{}"),
            ("还有别的联系方式吗", "有个座机{}"),
            ("麻烦提供一下办公室电话", "好，{}"),
        ),
    },
    "unseen": {
        "bank_card": (
            ("那您把卡号给我说一遍", "你听好了，{}"),
            ("是哪张信用卡呢，卡号发我核对一下", "信用卡，卡号{}"),
        ),
        "resident_id": (
            ("我这边要登记您的身份证号，您说", "{}"),
            ("请问您的身份证号码是多少呢女士", "身份证号码{}，没错的"),
        ),
        "mobile": (
            ("方便留下您的手机号吗，稍后专员联系您", "{}"),
            ("请问您本人的电话号码", "电话是{}，微信同号"),
        ),
        "fixed_phone": (
            ("您的固定电话报一下", "好的你记，{}"),
            ("座机有吗", "有，座机号{}"),
        ),
    },
}

_TEXT_VALUES: dict[Split, dict[PiiKind, tuple[str, ...]]] = {
    "development": {
        "email": (
            "zhangwei88@163.com",
            "zhangwei88艾特163点com",
            "z h a n g 八八 艾特 幺六三 点 com",
            "liming_2020@qq.com",
        ),
        "plate": ("京A12345", "粤B七八九零一", "沪AD12345", "浙A 8K 6 1 2"),
        "passport": ("E12345678", "G八七六五四三二一", "EA1234567"),
        "address": (
            "浙江省杭州市西湖区文三路一百号",
            "北京市朝阳区建国路88号院3号楼2单元501",
            "幸福小区三号楼二单元五零二室",
            "深圳市南山区科技园南路12号",
        ),
        "name": ("张伟", "王小明", "欧阳娜娜", "李雷", "陈静怡"),
    },
    "held_out": {
        "email": (
            "wang.fang@gmail.com",
            "lihua 2008 @ outlook.com",
            "三六五九八艾特qq点com",
            "chenjie下划线99爱特126点com",
        ),
        "plate": ("苏E·5K372", "川A幺二三四五", "鲁B F 9 8 7 6 5", "渝a66b21"),
        "passport": ("e九八七六五四三二", "PE 123 4567", "E 2345 6789"),
        "address": (
            "上海市浦东新区世纪大道1500弄8号602室",
            "广州天河区体育西路一百零三号维多利亚广场A座",
            "阳光花园十二栋三单元",
            "成都市武侯区，人民南路四段，二十七号",
        ),
        "name": ("刘洋", "赵德柱", "诸葛明", "孙丽", "周杰"),
    },
    "unseen": {
        "email": ("sunli.1990@sina.com", "huang艾特一二六点com", "zhou_88 @ 163 . com", "l i u 九五二七 at qq点com"),
        "plate": ("湘A6M521", "闽D幺幺八八零", "粤AF3 2 1 0 6", "皖 C 4 4 5 5 8"),
        "passport": ("E88776655", "G一二三四五六七八", "EJ 765 4321"),
        "address": (
            "武汉市洪山区珞喻路1037号",
            "南京市鼓楼区中山北路二百零二号5幢401室",
            "金色家园六号楼一单元302",
            "河北省石家庄市桥西区裕华西路66号",
        ),
        "name": ("吴敏", "郑海涛", "上官云", "马超", "林志远"),
    },
}

_TEXT_CARRIERS: dict[Split, dict[PiiKind, tuple[Carrier, ...]]] = {
    "development": {
        "email": (("请提供一下您的邮箱", "{}"), ("请问有什么可以帮您", "发到我邮箱{}吧")),
        "plate": (("请问您的车牌号是多少", "{}"), ("请问有什么可以帮您", "我的车牌号是{}，要办保险")),
        "passport": (("请提供护照号码", "{}"), ("请问有什么可以帮您", "我的护照号是{}")),
        "address": (("请问您的收货地址是哪里", "{}"), ("请问您住在哪里", "我住在{}，你们快点送")),
        "name": (("请问您贵姓，叫什么名字", "{}"), ("请问怎么称呼您", "我叫{}"), ("请问您的姓名是", "我的名字是{}。")),
    },
    "held_out": {
        "email": (("电子邮件地址方便说一下吗", "可以的，{}"), ("还有什么需要补充的吗", "发票麻烦发到{}，谢谢")),
        "plate": (("哪辆车出的险，车牌报一下", "车牌{}"), ("您好请讲", "{}这辆车昨天被拖走了")),
        "passport": (("您用什么证件登记的", "护照，{}"), ("护照号麻烦念一下", "嗯，是{}")),
        "address": (("东西给您寄到哪儿呢", "寄到{}"), ("门牌号麻烦您说详细一点", "好，{}，放门口")),
        "name": (("请问持卡人姓名", "{}"), ("您好怎么称呼", "嗯，我姓名是{}"), ("请问开户人叫什么", "开户人是{}")),
    },
    "unseen": {
        "email": (("电子发票发到哪个邮箱呢", "{}"), ("请讲", "我的邮箱地址是{}，你发过来")),
        "plate": (("您的车牌号码是什么", "是{}"), ("请问有什么可以帮您", "我要查违章，车牌是{}")),
        "passport": (("请您说一下护照号", "{}"), ("证件类型是什么", "我用的护照{}")),
        "address": (("麻烦说下您家的地址", "嗯，{}"), ("请问您要改到哪里", "地址改成{}")),
        "name": (("怎么称呼您呢先生", "{}"), ("请问收件人姓名是什么", "收件人是{}"), ("麻烦报下您的全名", "好的，{}")),
    },
}

_NEGATIVES: dict[Split, tuple[tuple[Turn, ...], ...]] = {
    "development": tuple(
        (("agent", ask), ("customer", answer))
        for ask, answer in (
            ("好的，请您提供一下订单号", "订单号是20260302123456789"),
            ("请您提供一下订单号的后四位", "后四位是二七八一"),
            ("请报一下运单号", "七五三一二四六八九零幺二"),
            ("请问有什么可以帮您", "我要打一二三一五投诉你们"),
            ("您可以拨打95588咨询", "九五五八八我打过了"),
            ("请问您买了多少", "一共花了一千二百三十四块五"),
            ("请问您什么时候下的单", "二零二六年三月二号下午三点半"),
            ("请问是哪个产品", "产品编号是八零零三五六七"),
            ("工号三零一五为您服务", "你的工号是多少"),
            ("请问您要几件", "三百五十件，每件九十九块九"),
            ("请提供一下您的手机号码", "等一下，我先问下，那个398元的套餐还有吗"),
            ("年化收益百分之六", "那十万块一年是6000元吗"),
            ("我们在晚上十二点之前都可以", "那10:30可以吗"),
            ("客服热线是400-820-8820", "四零零八二零八八二零是吧"),
            ("一到三个工作日到账", "上次说7天，结果等了15天"),
            ("请问有什么可以帮您", "我的银行卡丢了，想挂失"),
            ("先生您好，按照规定拆封的商品不支持退货", "我叫你们经理来"),
            ("您的订单已经到达转运中心", "我住在宿舍不方便"),
            ("全场商品满三百减五十", "优惠券怎么领"),
            ("请您稍等一下", "一二三四五六七八，数到一百都没人理我"),
        )
    ),
    "held_out": tuple(
        (("agent", ask), ("customer", answer))
        for ask, answer in (
            ("麻烦说一下快递单号", "SF1234567890123"),
            ("订单编号方便报一下吗", "嗯，三五八二零零一七四六二九"),
            ("工单号给您记一下，20260415001", "好的，我记一下"),
            ("您拨打的是10086吗", "对，一零零八六打不通"),
            ("冻结了多少金额", "余额是三万五千六百七十八"),
            ("贷款多久", "从二零二三年十二月十五号开始，三十六期"),
            ("您买的型号是什么", "型号是X2100，2024款"),
            ("本次服务由5006号客服为您提供", "好的"),
            ("请问还有什么问题", "我打了12378，银保监都不管"),
            ("需要几台", "一千二百台，两万三的预算"),
            ("您的保单号是多少", "保单号P20230001122334"),
            ("利率三点八五", "那比四点二低"),
            ("请问您几点方便", "八点四十五到九点二十之间"),
            ("可以拨打8008203333", "好的我试试"),
            ("您的姓名需要登记吗", "不用了，谢谢"),
            ("请不要把银行卡密码告诉任何人", "知道了，上次那个398的活动还有吗"),
            ("您好，这里是会员中心", "我是老客户了，高级会员"),
            ("这附近有我们的门店", "那条路上的超市里吗"),
            ("您的排队号是多少", "八六四二九零"),
            ("第二十三条第四款写得很清楚", "你说的1/3是什么意思"),
        )
    ),
    "unseen": tuple(
        (("agent", ask), ("customer", answer))
        for ask, answer in (
            ("麻烦提供您的订单编号", "二零二六零四一五八八三二一七"),
            ("您看下物流单号是多少", "YT7654321098765"),
            ("请问充了多少钱", "充了五百，还送了五十"),
            ("您打的是哪个电话", "打的一二三零六"),
            ("退款金额是多少", "两千三百九十九块"),
            ("航班号是多少", "CA1832，明天早上七点二十的"),
            ("您的合同编号报一下", "HT2024001278"),
            ("请问您多大年纪", "我今年六十五岁"),
            ("好的，稍后给您回电话", "那我等你们到五点"),
            ("工号六零二八很高兴为您服务", "你好"),
            ("您买的是哪一期", "二零二五年第十二期"),
            ("这款产品起购金额一万元", "那三十六个月能拿多少"),
            ("请您保持电话畅通", "十五号之前必须解决"),
            ("我们地址在官网可以查询", "知道了，那我去网点"),
            ("请问有什么可以帮您", "我叫了个外卖两个小时没到"),
            ("您是想咨询车险吗", "对，去年花了4800，今年要5200"),
        )
    ),
}


def spoken_variants() -> tuple[Variant, ...]:
    """All variants, the same on every run."""
    numbers = count(1)
    return tuple(variant for split in _FORMS for variant in _of_split(split, numbers))


def _of_split(split: Split, numbers: Iterator[int]) -> Iterator[Variant]:
    random = Random(f"spoken {split}")  # no secret depends on it
    for kind, carriers in _CARRIERS[split].items():
        for form_name, form in _FORMS[split].items():
            for carrier in carriers:
                for _ in range(_VALUES_PER_CASE):
                    said = form(_NUMBERS[kind](random))
                    yield _variant(split, kind, f"{form_name}-{next(numbers)}", carrier, said)
    for kind, values in _TEXT_VALUES[split].items():
        for value in values:
            for carrier in _TEXT_CARRIERS[split][kind]:
                yield _variant(split, kind, f"{kind}-{next(numbers)}", carrier, [value])
    for turns in _NEGATIVES[split]:
        yield Variant(f"nothing-{next(numbers)}", split, None, turns, ())


def _variant(split: Split, kind: PiiKind, name: str, carrier: Carrier, said: list[str]) -> Variant:
    ask, answer = carrier
    texts = [f"⟦{part}⟧".replace("|", "⟧").replace("^", "⟦") for part in said]
    texts[0] = answer.replace("{}", texts[0]) if len(texts) == 1 else answer.split("{}")[0] + texts[0]
    marked: list[Turn] = [("agent", ask)]
    for place, text in enumerate(texts):
        if place:
            marked.append(("agent", ("嗯。", "好的", "嗯，您继续")[place % 3]))
        marked.append(("customer", text))
    marked.append(("agent", "好的，已经为您办理，请您耐心等待。"))
    turns: list[Turn] = []
    secrets: list[Secret] = []
    for place, (role, text) in enumerate(marked):
        plain, found = _unmarked(text)
        turns.append((role, plain))
        secrets.extend(Secret(kind, place, start, end) for start, end in found)
    return Variant(name, split, kind, tuple(turns), tuple(secrets))


def _unmarked(text: str) -> tuple[str, list[tuple[int, int]]]:
    plain, found, start = "", [], 0
    for letter in text:
        if letter == "⟦":
            start = len(plain)
        elif letter == "⟧":
            if any(sign.isalnum() for sign in plain[start:]) and plain[start:] not in _LEADS:
                found.append((start, len(plain)))
        else:
            plain += letter
    return plain, found
