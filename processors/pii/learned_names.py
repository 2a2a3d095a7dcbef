"""Names where nobody asks for them, by a linear model that has learned from labelled dialogues what stands around them.

A candidate is a surname with one or two letters behind it. What speaks for it: the letters themselves, what stands
before and after it, what the other side has just said, how its letters are explained (章是立早章), whether it comes
again, and how rare the pairs of letters are in ordinary
speech: 龚建斌 is made of pairs that nobody says, 高兴啊 is not.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from math import exp, log2
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from processors.pii.match import PiiMatch
from processors.weight_files import read_arrays
from schemas.errors import OperatorError
from schemas.messages.call_ended import Role

WEIGHTS = Path(__file__).parent / "weights" / "names.npz"
FORMAT = 2
FEATURE_BUCKETS = 1 << 15
PIECE_BUCKETS = 1 << 17
MOST_OFTEN = 6
"""Logarithm to base 2 of the count from which on a pair of letters is simply common."""

_DOUBLE = (
    "欧阳 司马 上官 诸葛 东方 皇甫 尉迟 公孙 令狐 慕容 司徒 夏侯 端木 南宫 长孙 宇文 独孤 申屠 亓官 澹台 闾丘 呼延"
    " 赫连 濮阳 轩辕 公冶 太叔 漆雕 钟离 宗政 公羊 仲孙 鲜于 淳于 单于 万俟 司空 拓跋 夹谷 谷梁 羊舌 梁丘 左丘 巫马"
    " 公西 乐正 段干 纳兰 完颜 叶赫 达奚 范姜 张简 司寇 子车 颛孙"
)
DOUBLE_SURNAMES = frozenset(_DOUBLE.split())
SINGLE_SURNAMES = frozenset(
    "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨朱秦尤许何吕施张孔曹严华金魏陶姜戚谢邹喻柏水窦章云苏潘葛奚范彭郎鲁韦昌马苗凤花方俞任袁柳酆鲍史唐"
    "费廉岑薛雷贺倪汤滕殷罗毕郝邬安常乐于时傅皮卞齐康伍余元卜顾孟平黄和穆萧尹姚邵湛汪祁毛禹狄米贝明臧计伏成戴谈宋茅庞熊纪舒屈项祝董"
    "梁杜阮蓝闵席季麻强贾路娄危江童颜郭梅盛林刁钟徐邱骆高夏蔡田樊胡凌霍虞万支柯昝管卢莫经房裘缪干解应宗丁宣贲邓郁单杭洪包诸左石崔吉"
    "钮龚程嵇邢滑裴陆荣翁荀羊於惠甄曲家封芮羿储靳汲邴糜松井段富巫乌焦巴弓牧隗山谷车侯宓蓬全郗班仰秋仲伊宫宁仇栾暴甘钭厉戎祖武符刘景"
    "詹束龙叶幸司韶郜黎蓟薄印宿白怀蒲邰从鄂索咸籍赖卓蔺屠蒙池乔阴胥能苍双闻莘党翟谭贡劳逄姬申扶堵冉宰郦雍郤璩桑桂濮牛寿通边扈燕冀"
    "佘谌牟蹇撒拓庹雒敬缑况楚依檀丛栗冒招谯亓漆禤揭粟佀鲜尧笪佴矫卿庾亢鹿阳南母铁隋芦闫农芶仝訾麴恽应揣占操但帅续苍佟练晋"
    "郏浦尚农温别庄晏柴瞿阎充慕连茹习宦艾鱼容向古易慎戈廖庾终暨居衡步都耿满弘匡国文寇广禄阙东欧殳沃利蔚越夔隆师巩厍聂晁勾敖融冷訾辛"
    "阚那简饶空曾毋沙乜养鞠须丰巢关蒯相查后荆红游竺权逯盖益桓公涂肖付闫代苟佟官岳仝楼信覃邝麦丘初邸鄢冼兰腾辜候衣由火迟门苑原肇修"
)
OF_GIVEN_NAMES = frozenset(
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红建国志文斌辉鹏飞宇浩博轩涵梓萱怡欣悦佳琪雪莹颖婷雅慧晓晨阳光亮宁波江海林森峰山岩松柏"
    "梅菊荷莲莉萍苹蓉薇琴瑶瑞珍珠宝金银凤龙虎彪彬宏鸿洪浩瀚凯旋胜利荣昌盛兴旺福禄寿喜祥吉庆贵富财德仁义礼智信忠孝诚良善美惠淑贤贞洁纯素清廉正"
    "天宇宙星辰月云霄露霖雨霜冰雷电春夏秋冬东南西北京沪川湘粤晋鲁豫皖浩然泽润沛淼溪河湖泉源长永恒久远达通畅安康健壮毅坚刚武威雄豪俊帅才学书"
    "翰墨诗画琳琅璐璇玲珑瑾瑜琬珂珊瑚翠碧紫嫣妍娇娥婉媛姗妮姣婵娴嫦姝妙媚嫒若如依思念忆梦想心怀恩爱慈悦乐欢笑欣然子奕逸铭钧锋钢铁铮锐鑫鑫镇"
    "昊旭旺昆昕晖晶景晴暖曦朗朝木楠桐梓椿榕槐柳桃杏荣莎菲萌芸芝苗茜茹莺菁蕾蕊薛岚峻崇嵩巍川舟帆航飞翔羽鹤鸿雁鹰燕莺凰麒麟骏驰骥亚卫世代家"
    "邦民生国庆援朝跃进学军爱民建设解放红卫东方向阳树根柱栓锁铁牛满仓有才来福长顺玉成守业继承耀祖光宗延绍贻尔斯琦可一二三之予以亦知行言语诺许"
    "沐屿辰舒牧皓煜烨炜焕灿炎熙然燃煊希晞兮夕夜羲哲睿聪颖悟敬谦逊谨慎勤俭宽容彤丹朱绯青蓝白玄素锦绣绮纹绫罗纱织丝缨络维纲纪纶经纬启开创新"
    "小大芬芹苓娣妹弟喆韬骁骞弈祎祺淇鸣珂茵茗棠笙筱潇澜嵘晗旻旸晟昱炫烁焱垚堃坤乾震铎锡钊钰铠镕霏霓岑穗禾稷棋澄澈涟漪淳沁汐淮渝湛"
    "立业功勋勇敢振奋扬帆远征程嘉佑佐佩倩倪俪偲伊伶俏仪任伦伯仲叔季孟元亨利贞甲乙丙丁戊己庚辛壬癸寅卯辰巳午未申酉戌亥全友朋宾客君王侯卿相臣"
)
"""Letters of which given names are often made."""
_ALSO_WORDS = frozenset("别都能莫管占要但应还从全平明和家那时后成单高班门路越经南东方哈")
LEAST_OF_WORDS = 0.3
"""A surname that is an ordinary word needs more."""
_ASKING = ("名字", "姓名", "叫什么", "怎么称呼", "贵姓", "姓什么", "哪位", "收件人", "联系人", "户主", "投保人", "本人")
_TELLING = (
    *("名字", "姓名", "叫", "收件人", "联系人", "姓", "户名", "本人", "是", "找", "投保人"),
    *("孩子", "老公", "儿子", "女儿", "我妈", "我爸"),
)
_AROUND = 4
_BEFORE_TELLS, _AFTER_EXPLAINS, _HEARD_LETTERS = 8, 25, 14


class NameWeightsError(OperatorError):
    """The file of weights cannot be used; the text says what to do."""


@dataclass(frozen=True)
class Candidate:
    """Letters `start` to `end` of a folded text, the first `surname` of which may be a surname."""

    start: int
    end: int
    surname: int


def candidates(text: str) -> Iterator[Candidate]:
    """Surnames with one or two letters behind them."""
    for start, letter in enumerate(text):
        surname = 2 if text[start : start + 2] in DOUBLE_SURNAMES else 1 if letter in SINGLE_SURNAMES else 0
        for given in (1, 2) if surname else ():
            end = start + surname + given
            if end <= len(text) and all(map(_is_han, text[start:end])):
                yield Candidate(start, end, surname)


def features(text: str, one: Candidate, heard: str, call: str, often: Callable[[str], int]) -> Iterator[str]:
    """What is seen of a candidate. `heard` is what the other side said last, `call` all that is said in the call;
    `often` tells how common two or three letters are, 0 to `MOST_OFTEN`.
    """
    name, given = text[one.start : one.end], text[one.start + one.surname : one.end]
    before, after = text[max(0, one.start - _AROUND) : one.start], text[one.end : one.end + _AROUND]
    yield from (f"surname={name[: one.surname]}", f"length={len(name)}", f"given={given}")
    yield from (f"letter={letter}" for letter in given)
    yield from (f"first={given[0]}", f"last={given[-1]}")
    for length in range(1, _AROUND + 1):
        if len(before) >= length:
            yield f"before{length}={before[-length:]}"
        if len(after) >= length:
            yield f"after{length}={after[:length]}"
    edges = (_edge(before[-1:], "^"), _edge(after[:1], "$"))
    yield from (f"left={edges[0]}", f"right={edges[1]}", f"edges={'H' if edges[0] == 'H' else 'B'}{edges[1]}")
    yield from (f"heard{length}={heard[-length:]}" for length in range(2, 6) if len(heard) >= length)
    yield from (f"asked={word}" for word in _ASKING if word in heard)
    told = text[max(0, one.start - _BEFORE_TELLS) : one.start]
    yield from (f"told={word}" for word in _TELLING if word in told)
    explanation = text[one.end : one.end + _AFTER_EXPLAINS]
    if any(f"的{letter}" in explanation for letter in name):
        yield "explained"
    if any(letter in explanation for letter in given):
        yield "again"
    yield f"times={min(call.count(name), 3)}"
    typical = sum(letter in OF_GIVEN_NAMES for letter in given)
    yield f"typical={typical}of{len(given)}"
    pairs = [often(name[place : place + 2]) for place in range(len(name) - 1)]
    yield from (f"pair={pairs[0]}", f"commonest={max(pairs)}", f"last_pair={pairs[-1]}", f"whole={often(name)}")
    if before:
        yield f"into={often(before[-1] + name[0])}"
    if after:
        yield f"out={often(name[-1] + after[0])}"


def heard_before(said: Sequence[tuple[Role, str]]) -> Iterator[str]:
    """For each text the end of what another side said last before it."""
    last: dict[Role, tuple[int, str]] = {}
    for number, (role, text) in enumerate(said):
        others = [of_other for other, of_other in last.items() if other != role]
        yield max(others)[1][-_HEARD_LETTERS:] if others else ""
        last[role] = (number, text)


def _edge(letter: str, none: str) -> str:
    return none if not letter else "H" if _is_han(letter) else "B"


def _is_han(letter: str) -> bool:
    return "一" <= letter <= "鿿"


@lru_cache(maxsize=1 << 16)
def bucket_of(feature: str) -> int:
    """Where the weight of a feature stands."""
    return zlib.crc32(feature.encode()) % FEATURE_BUCKETS


@lru_cache(maxsize=1 << 16)
def piece_bucket(piece: str) -> int:
    """Where it stands how common two or three letters are."""
    return zlib.crc32(piece.encode()) % PIECE_BUCKETS


def commonness(count: int) -> int:
    """How common what was seen so often is, 0 to `MOST_OFTEN`."""
    return min(MOST_OFTEN, int(log2(1 + count)))


@dataclass(frozen=True)
class NameReader:
    """Weights by bucket, and how common pieces of ordinary speech are."""

    weights: NDArray[np.int8]
    scale: float
    bias: float
    pieces: NDArray[np.uint8]
    threshold: float

    def find(self, said: Sequence[tuple[Role, str]]) -> list[list[PiiMatch]]:
        """Names in the folded texts of a call, by text; none overlaps another of its text."""
        call = " ".join(text for _, text in said)
        found: list[list[PiiMatch]] = []
        for (_, text), heard in zip(said, heard_before(said), strict=True):
            asked = any(word in heard for word in _ASKING)
            rated = [
                (self._probability(text, one, heard, call), one)
                for one in candidates(text)
                if asked or not _is_all(text, one)
            ]
            believed = [
                (probability, one)
                for probability, one in rated
                if probability >= LEAST_OF_WORDS or text[one.start] not in _ALSO_WORDS
            ]
            found.append(_best_apart(believed, self.threshold))
        return found

    def _probability(self, text: str, one: Candidate, heard: str, call: str) -> float:
        weights = self._weights
        log_odds = self.bias + sum(weights[bucket_of(each)] for each in features(text, one, heard, call, self.often))
        return 1 / (1 + exp(-log_odds)) if log_odds > -500 else 0.0

    def often(self, piece: str) -> int:
        """How common two or three letters are, 0 to `MOST_OFTEN`."""
        return self._pieces[piece_bucket(piece)]

    def commonest_pair(self, letters: str) -> int:
        """How common the commonest two letters in a row are: of what nobody says but as a name, rare."""
        return max((self.often(letters[place : place + 2]) for place in range(len(letters) - 1)), default=MOST_OFTEN)

    @cached_property
    def _weights(self) -> list[float]:
        weights: list[float] = (self.weights.astype(np.float64) * self.scale).tolist()
        return weights

    @cached_property
    def _pieces(self) -> bytes:
        return self.pieces.tobytes()

    def save(self, file: Path) -> None:
        """Write the weights."""
        about = {"format": FORMAT, "scale": self.scale, "bias": self.bias, "threshold": self.threshold}
        np.savez_compressed(file, about=np.array(json.dumps(about)), weights=self.weights, pieces=self.pieces)


def _is_all(text: str, one: Candidate) -> bool:
    """Whether nothing else is said: then only a question tells 江苏省 from 江素盛."""
    return text.strip(" ,.。，、") == text[one.start : one.end]


def _best_apart(rated: Sequence[tuple[float, Candidate]], threshold: float) -> list[PiiMatch]:
    """The most probable candidates that do not overlap."""
    kept: list[PiiMatch] = []
    for probability, one in sorted(rated, key=lambda each: (-each[0], each[1].start, -each[1].end)):
        if probability < threshold:
            break
        if all(one.end <= other.start or other.end <= one.start for other in kept):
            kept.append(PiiMatch("name", one.start, one.end, round(min(probability, 1.0), 4)))
    return sorted(kept, key=lambda each: each.start)


@cache
def load_names(file: Path = WEIGHTS) -> NameReader:
    """The reader of a file, read once. Raises `NameWeightsError`."""
    try:
        arrays = read_arrays(file) or {}
        about = json.loads(str(arrays["about"]))
        if about["format"] != FORMAT:
            raise NameWeightsError(f"{file} was made for another version of callstream: run `make heads`")
        return NameReader(arrays["weights"], about["scale"], about["bias"], arrays["pieces"], about["threshold"])
    except (ValueError, KeyError, TypeError):
        raise NameWeightsError(f"{file} cannot be read as weights for names: run `make heads`") from None
