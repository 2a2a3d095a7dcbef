"""Passwords, codes and accounts in letters, digits and signs."""

import pytest

from processors.pii.match import FoundKind
from processors.pii.spelled import KnownSpelled, find_spelled


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        pytest.param("password", "miao大写m,六六幺九,感叹号", ["miao大写m,六六幺九,感叹号"], id="letters_digits_signs"),
        pytest.param("password", "六个零", ["六个零"], id="counted"),
        pytest.param("password", "六六零三幺九", [], id="digits_alone_are_left_to_the_conversation"),
        pytest.param("password", "app打不开", [], id="a_word_of_everybody"),
        pytest.param("password", "三次了", [], id="a_count"),
        pytest.param("account", "laowang下划线七九", ["laowang下划线七九"], id="an_account"),
        pytest.param("account", "dudu妈咪八八零六", ["dudu妈咪八八零六"], id="with_a_word_inside"),
        pytest.param("account", "laowang", ["laowang"], id="letters_alone"),
        pytest.param("code", "professional", [], id="letters_alone_are_no_code"),
        pytest.param("code", "明早八点四十", [], id="a_time"),
    ],
)
def test_what_is_spelled_is_found(kind: FoundKind, text: str, found: list[str]) -> None:
    assert [text[one.start : one.end] for one in find_spelled(text, kind)] == found


def test_a_word_before_the_digits_belongs_to_a_password_that_is_named() -> None:
    text = "我密码是秀珍一九四九,对不对"
    (one,) = find_spelled(text, "password", text.index("是"))
    assert text[one.start : one.end] == "秀珍一九四九"


def test_what_was_spelled_is_found_again_without_its_pauses() -> None:
    known = KnownSpelled([("miao,六六幺九", "password")])
    (one,) = known.find("好,miao六六幺九,对吧")
    assert (one.kind, one.start, one.end) == ("password", 2, 10)


def test_where_nothing_was_spelled_nothing_is_found_again() -> None:
    assert list(KnownSpelled([]).find("abc一二三")) == []
