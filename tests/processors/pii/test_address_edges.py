"""What belongs to an address beside its marks: names of estates, sides, corrections, rooms that are said again."""

import pytest

from processors.pii.masking import MaskSettings, mask
from schemas.messages.call_ended import Role
from tests.processors.transcripts import said
from tests.support.growth import takes_time_in_proportion

Line = tuple[Role, str]


def masked(*lines: Line) -> list[str]:
    return [one.text for one in mask(said(*lines).segments, MaskSettings()).segments]


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("喂，我是翡翠华庭三期，十二幢，幺幺零二的", "喂，我是[地址]的"),
        ("派人来吧，和平路三十号远洋国际十八幢二零零四", "派人来吧，[地址]"),
        ("我住凤凰岭村五组，二十三号", "我住[地址]"),
        ("送到我们这儿，纺织局家属院四排九号", "送到我们这儿，[地址]"),
        ("我这个是北苑路五号院甲三号楼地下一层零零二", "我这个是[地址]"),
        ("水管爆了，雁南路两千四百号，一号楼八零二", "水管爆了，[地址]"),
        ("快递送到石狮子巷三十八号之二", "快递送到[地址]"),
        ("住在锦华苑十二之三零二", "住在[地址]"),
        ("我家住绿景东方7-2-1801", "我家住[地址]"),
        ("我在翠湖湾，六座，二十三楼，C", "我在[地址]"),
        ("十七栋，不是，十一栋，二单元八零三", "[地址]，不是，[地址]"),
        ("给您送到丽水佳园二十三栋一千二百零三对吧", "给您送到[地址]对吧"),
        ("楼上住的六零二天天吵", "楼上住的[地址]天天吵"),
        ("五零幺那户又在敲", "[地址]那户又在敲"),
        ("我们是三组幺零二号的", "我们是[地址]的"),
    ],
)
def test_what_belongs_to_an_address_goes_with_it(text: str, hidden: str) -> None:
    assert masked(("customer", text)) == [hidden]


@pytest.mark.parametrize(
    "text",
    [
        "二号楼二层挂号，三号楼四层抽血",
        "您的座位是五排七座",
        "检查在门诊楼三楼三零二室",
        "请到二号楼三层三零五诊室",
        "我在三楼等了四十分钟",
        "楼上装修花了三百块",
        "我们家是二零二三年搬来的",
        "坐地铁二号线到二十三号口",
    ],
)
def test_floors_seats_and_wards_stay(text: str) -> None:
    assert masked(("agent", text)) == [text]


@pytest.mark.parametrize(
    ("question", "answer", "hidden"),
    [
        ("您的地址是？", "阳光海岸那边，九号楼，三单元，六零幺", "[地址]"),
        ("您家在哪个楼座", "二区，二十栋，一门，五零二", "[地址]"),
        ("具体在什么位置呢", "供销社对面，第二家", "[地址]"),
    ],
)
def test_answers_to_where_are_hidden_whole(question: str, answer: str, hidden: str) -> None:
    assert hidden in masked(("agent", question), ("customer", answer))[-1]
    assert not set("九六五二") & set(masked(("agent", question), ("customer", answer))[-1])


def test_parts_of_an_address_are_hidden_where_they_are_said_again() -> None:
    lines: list[Line] = [
        ("customer", "寄到长宁路三百一十二号水岸名邸四十幢一千二百零三"),
        ("agent", "三百一十二号几室"),
        ("customer", "四十幢那边，一千二百零三"),
        ("agent", "好的，补上八零八室"),
        ("agent", "今天十八号，您五楼有电梯吗"),
    ]
    assert masked(*lines) == [
        "寄到[地址]",
        "[地址]几室",
        "[地址]那边，[地址]",
        "好的，补上[地址]室",
        "今天十八号，您五楼有电梯吗",
    ]


@pytest.mark.parametrize(
    "piece", ["一", "十栋", "路", "好的那个", "a一", "东区,", "三排四", "对面,", "二号楼,", "小区门口"]
)
def test_long_texts_of_parts_take_time_in_proportion(piece: str) -> None:
    assert takes_time_in_proportion(
        lambda count: masked(("agent", "您的地址在哪"), ("customer", "我家住在" + piece * count))
    )
