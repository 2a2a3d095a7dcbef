"""Text as it was heard: which phrases sound like which stretches of a text."""

import pytest

from processors.text.heard import HeardPhrase, pairs_heard
from processors.text.phonetic import MERGERS, USUAL_MERGERS, Merger


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        pytest.param("保本保息", "这款产品保本保溪", ["保本保溪"], id="one character of the same sound"),
        pytest.param("保本保息", "这款产品薄本保锡", ["薄本保锡"], id="a character that is read in two ways"),
        pytest.param("薄本", "这款保本", ["保本"], id="the same in the phrase"),
        pytest.param("行长", "航常。杭张", ["航常", "杭张"], id="two such characters side by side, read differently"),
        pytest.param("保本保息", "保本，保 溪", ["保本，保 溪"], id="over a comma and a space"),
        pytest.param("保本保息", "保本。保溪", [], id="not over the end of a sentence"),
        pytest.param("保本保息", "保本\n保溪", [], id="nor over the end of a line"),
        pytest.param("保本。保息", "保本保溪", ["保本保溪"], id="marks of the phrase do not count"),
        pytest.param("保本", "報本", ["報本"], id="traditional characters"),
        pytest.param("支付", "资付", ["资付"], id="zh and z, which are merged as a rule"),
        pytest.param("零风险", "您会面林风险", ["林风险"], id="ing and in"),
        pytest.param("牛奶", "流来", [], id="l and n are not merged as a rule"),
        pytest.param("退款", "推宽，退宽", ["推宽", "退宽"], id="every place, whatever the tone"),
        pytest.param("12315", "打一二三一五，幺二三 幺五或12315", ["一二三一五", "幺二三 幺五", "12315"], id="digits"),
        pytest.param("幺二三一五", "打１２３１５", ["１２３１５"], id="the other way round"),
        pytest.param("一〇〇八六", "10086", ["10086"], id="a round zero"),
        pytest.param("WiFi坏了", "WIFI 怀了", ["WIFI 怀了"], id="a Latin word in another case"),
        pytest.param("wifi", "连WiFi OK", ["WiFi"], id="a Latin word beside another"),
        pytest.param("爱好", "AI好", [], id="Latin letters are no syllable"),
        pytest.param("啊好", "a好", [], id="nor is a single one"),
        pytest.param("电话", "[电话]不通", [], id="what was masked has no sound"),
        pytest.param("手机尾号", "手机[手机号尾号1234]尾号", [], id="and nothing reaches over it"),
    ],
)
def test_a_phrase_is_heard(phrase: str, text: str, found: list[str]) -> None:
    heard = HeardPhrase(phrase, USUAL_MERGERS)
    assert [text[start:end] for start, end in heard.places(text)] == found
    stored = set(pairs_heard(text))
    is_promised = all(not stored.isdisjoint(ways) for ways in heard.pairs())
    assert is_promised or not found, "the index would hide what is there"


@pytest.mark.parametrize(
    ("phrase", "text", "merger"),
    [
        ("支付", "资付", "z_zh"),
        ("吃饭", "词饭", "c_ch"),
        ("上班", "桑班", "s_sh"),
        ("牛奶", "流奶", "n_l"),
        ("费用", "黑用", "f_h"),
        ("热门", "乐门", "r_l"),
        ("返款", "访款", "an_ang"),
        ("人工", "仍工", "en_eng"),
        ("零钱", "林钱", "in_ing"),
    ],
)
def test_sounds_are_merged_as_the_settings_say(phrase: str, text: str, merger: Merger) -> None:
    for mergers, is_heard in ((frozenset({merger}), True), (frozenset(MERGERS) - {merger}, False)):
        heard = HeardPhrase(phrase, mergers)
        assert bool(list(heard.places(text))) == is_heard
        assert (not set(pairs_heard(text)).isdisjoint(heard.pairs()[0])) == is_heard


def test_what_is_stored_of_a_text() -> None:
    assert pairs_heard("保本，宝。宝行[姓名]吗？a b1") == [
        *("A B", "B yao", "B yi", "bao ben", "bao hang", "bao xing", "ben bao"),
    ]
    assert pairs_heard("嗯") == []


def test_a_long_text_is_heard_in_pieces() -> None:
    """The longest phrase that a search takes, in the middle of a text."""
    phrase = "保本保息" * 50
    assert list(HeardPhrase(phrase, MERGERS).places("您好" + phrase.replace("息", "溪") + "吗")) == [(2, 202)]
