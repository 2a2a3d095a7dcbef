"""What is told in words and letters: mail, plates, passports, addresses, names."""

from collections.abc import Callable, Iterator

import pytest

from processors.pii.address import find_addresses
from processors.pii.email import find_emails
from processors.pii.match import PiiMatch, fold
from processors.pii.name import KnownNames, find_names
from processors.pii.passport import find_passports
from processors.pii.plate import find_plates

Find = Callable[..., Iterator[PiiMatch]]


@pytest.mark.parametrize(
    ("find", "text", "asked", "found"),
    [
        pytest.param(find_emails, "发到 zhang.wei@163.com 吧", False, ["zhang.wei@163.com"], id="mail_written"),
        pytest.param(find_emails, "zhangwei艾特163点com", False, ["zhangwei艾特163点com"], id="mail_spoken"),
        pytest.param(find_emails, "zhangwei艾特幺六三", False, ["zhangwei艾特幺六三"], id="mail_without_end"),
        pytest.param(find_emails, "zhangwei88", True, ["zhangwei88"], id="half_a_mail_after_the_question"),
        pytest.param(find_emails, "zhangwei88", False, [], id="a_word_of_letters"),
        pytest.param(find_emails, "ok", True, [], id="too_little_for_mail"),
        pytest.param(find_plates, "我的车京a12345", False, ["京a12345"], id="plate"),
        pytest.param(find_plates, "粤bd一二三四五", False, ["粤bd一二三四五"], id="plate_of_an_electric_car"),
        pytest.param(find_plates, "金a12345", False, [], id="no_province"),
        pytest.param(find_plates, "金a12345", True, ["金a12345"], id="province_misheard_after_the_question"),
        pytest.param(find_passports, "e12345678", True, ["e12345678"], id="passport"),
        pytest.param(find_passports, "e12345678", False, [], id="a_product_code"),
        pytest.param(
            find_addresses, "我住在文三路一百号,快点", False, ["文三路一百号"], id="an_address_is_told_of_oneself"
        ),
        pytest.param(find_addresses, "三号楼二单元501", True, ["三号楼二单元501"], id="a_door"),
        pytest.param(find_addresses, "502", True, ["502"], id="a_door_number_only"),
        pytest.param(find_addresses, "502", False, [], id="a_number_only"),
        pytest.param(find_addresses, "3月2号到", True, [], id="a_date_is_no_house"),
        pytest.param(find_addresses, "包裹到达转运中心", False, [], id="a_depot"),
        pytest.param(find_names, "我叫张伟", False, ["张伟"], id="told"),
        pytest.param(find_names, "我叫张伟我想问一下", False, ["张伟"], id="told_without_a_pause"),
        pytest.param(find_names, "免贵姓王", False, [], id="surname"),
        pytest.param(find_names, "我姓龚,龚建斌", False, ["龚建斌"], id="surname_and_name"),
        pytest.param(find_names, "阿卜杜热合曼·依明", False, ["阿卜杜热合曼·依明"], id="with_a_dot"),
        pytest.param(find_names, "我是客户经理小郑", False, [], id="how_somebody_is_called"),
        pytest.param(find_addresses, "你是八栋四零幺的吧", False, ["八栋四零幺"], id="a_flat"),
        pytest.param(find_addresses, "三号楼二层内科", False, [], id="a_ward"),
        pytest.param(find_names, "张伟先生您好", False, ["张伟"], id="with_a_title"),
        pytest.param(find_names, "张先生您好", False, [], id="a_surname_with_a_title"),
        pytest.param(find_names, "我叫你们经理来", False, [], id="calling_somebody"),
        pytest.param(find_names, "我叫了个外卖", False, [], id="ordering"),
        pytest.param(find_names, "张伟", True, ["张伟"], id="bare_after_the_question"),
        pytest.param(find_names, "张伟,弓长张,伟大的伟", True, ["张伟", "弓长张", "伟大的伟"], id="spelled_out"),
        pytest.param(find_names, "张伟", False, [], id="bare"),
        pytest.param(find_names, "我想问一下", True, [], id="no_answer"),
        pytest.param(find_names, "谢谢", True, [], id="thanks_is_no_surname"),
    ],
)
def test_each_kind_finds_what_it_is_for(find: Find, text: str, asked: bool, found: list[str]) -> None:
    assert [text[one.start : one.end] for one in find(text, asked=asked)] == found


def test_a_known_name_is_found_again_also_when_misheard() -> None:
    known = KnownNames(["张伟"])
    assert [(one.start, one.end) for one in known.find("好的张维,张先生再见")] == [(2, 4)]


def test_without_names_nothing_is_found_again() -> None:
    assert list(KnownNames(()).find("张伟")) == []


def test_folding_keeps_every_offset() -> None:
    assert fold("１３Ａ號②㎏") == "13a号2㎏"
