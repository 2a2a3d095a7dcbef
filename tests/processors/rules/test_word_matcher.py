from typing import Any

import pytest

from processors.rules.rulebook import Rulebooks
from processors.rules.word_matcher import WordHit, keep_claimed
from processors.text.normalized_text import normalize
from processors.text.phonetic import Merger, Sounds
from schemas.config.rule_pack import RulePack


def pack_of(*rules: dict[str, Any], **fields: Any) -> RulePack:
    """A pack of sensitive words given by what matters in the test."""
    common = {
        "category": "forbidden",
        "severity": "high",
        "score_delta": -10,
        "advice": "别说",
        "match": ["x"],
        "no_match": ["y"],
    }
    head = {"pack": "own", "industry": "general", "language": "zh", "version": 1, "owner": "tests"}
    return RulePack.model_validate({**head, **fields, "sensitive_words": [{**common, **rule} for rule in rules]})


def found_in(packs: list[RulePack], text: str, course_type: str | None = None) -> tuple[WordHit, ...]:
    """Every hit, whatever its stance."""
    book = Rulebooks(packs).book("acme", "zh", "general")
    assert book is not None
    normalized = normalize(text)
    return book.words.find(normalized, book.index.places(normalized.letters), course_type)


def hits(pack: RulePack, text: str) -> list[tuple[str, str]]:
    """Word and the letters that it was found as, claimed only."""
    letters = normalize(text).letters
    return [(hit.term.phrase.text, letters[hit.start : hit.end]) for hit in keep_claimed(found_in([pack], text))]


@pytest.mark.parametrize(
    ("word", "text", "found"),
    [
        pytest.param("保本保息", "保 本 保 息", True, id="spaces between the letters"),
        pytest.param("保本保息", "保本，保息", True, id="a comma that the recogniser put into a long word"),
        pytest.param("保本保息", "保本。保息", False, id="not over the end of a sentence"),
        pytest.param("保本", "需要担保，本次办理", False, id="a short word not over a comma"),
        pytest.param("保本", "保·本", True, id="other signs between the letters"),
        pytest.param("保本", "保\u200b本", True, id="zero-width space"),
        pytest.param("保本", "保\U0001f600本", True, id="emoji between the letters"),
        pytest.param("绝对不会亏损", "絕對不會虧損", True, id="traditional script in the text"),
        pytest.param("絕對不會虧損", "绝对不会亏损", True, id="traditional script in the rule"),
        pytest.param("加vx", "加ＶＸ吧", True, id="full width, capital"),
        pytest.param("加vx", "加vxa", False, id="only a part of a Latin word"),
        pytest.param("加vx", "加vx138", True, id="digits may follow a Latin word"),
        pytest.param("保0风险", "保０风险", True, id="full-width digits"),
        pytest.param("打12315", "我要打一二三一五", True, id="a number read out"),
        pytest.param("打12315", "我要打幺二三幺五", True, id="a number read out for the telephone"),
        pytest.param("打12315", "我要打12315", True, id="a number in digits"),
        pytest.param("买2份", "买二份", False, id="a quantity is not read out"),
        pytest.param("保证…通过", "保证您一次性通过", True, id="letters between the parts"),
        pytest.param("保证…通过", "保证通过", True, id="nothing between the parts"),
        pytest.param("保证…通过", "保证您在接下来的三个月之内通过", False, id="the parts are too far apart"),
        pytest.param("保证…通过", "保证金要交，审核通过", False, id="the parts lie in two clauses"),
        pytest.param("内部…名额", "内部没有名额", False, id="negated between the parts"),
        pytest.param("内部…名额", "名额是内部的", False, id="the parts in the wrong order"),
    ],
)
def test_words_are_found_however_they_are_written(word: str, text: str, found: bool) -> None:
    assert bool(hits(pack_of({"id": "one", "words": [word]}), text)) is found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("这款产品薄本保锡", [("保本保息", "薄本保锡")], id="s02 as Whisper base writes it"),
        pytest.param("这款产品宝本宝席", [], id="less than half as written"),
        pytest.param("我要抱本书", [], id="short words are not found by sound"),
        pytest.param("绝对布会亏损", [], id="a negation is never found by sound"),
        pytest.param("这款保本保溪", [("保本保息", "保本保溪")], id="the longer one, although only by sound"),
    ],
)
def test_long_words_are_found_by_their_sound(text: str, expected: list[tuple[str, str]]) -> None:
    assert hits(pack_of({"id": "one", "words": ["保本", "保本保息", "绝对不会亏损"]}), text) == expected


def test_confidence_is_the_share_of_letters_as_written() -> None:
    pack = pack_of({"id": "one", "words": ["保本保息"]})
    assert [hit.confidence for hit in found_in([pack], "薄本保锡，保本保息")] == [0.5, 1.0]


def test_of_nested_words_the_longest_is_found_once() -> None:
    pack = pack_of({"id": "one", "words": ["保本", "保息"]}, {"id": "two", "words": ["保本保息"]})
    assert hits(pack, "这款保本保息，真的保本") == [("保本保息", "保本保息"), ("保本", "保本")]


def test_of_equally_long_words_the_more_severe_rule_wins() -> None:
    mild = pack_of({"id": "mild", "words": ["保本"], "severity": "low"}, pack="a")
    grave = pack_of({"id": "grave", "words": ["保本"], "severity": "critical"}, pack="b")
    assert [hit.term.rule_id for hit in found_in([mild, grave], "保本")] == ["b.grave"]


def test_a_word_inside_a_harmless_phrase_is_no_hit() -> None:
    pack = pack_of({"id": "one", "words": ["保本", "保证…通过"], "unless": ["担保本", "保证金"]})
    assert hits(pack, "需要担保本人签字") == []
    assert hits(pack, "保证金审核通过") == []
    assert hits(pack, "需要担保本人签字，这是保本的") == [("保本", "保本")]


def test_an_exception_holds_for_its_own_rule_only() -> None:
    pack = pack_of({"id": "one", "words": ["保本"], "unless": ["担保本"]}, {"id": "two", "words": ["担保"]})
    assert hits(pack, "担保本人") == [("担保", "担保")]


def test_what_cannot_be_negated_is_found_also_when_it_is() -> None:
    pack = pack_of({"id": "insult", "words": ["傻瓜"], "negatable": False})
    assert hits(pack, "您不是傻瓜吧") == [("傻瓜", "傻瓜")]


def test_words_in_a_list_share_a_negation_but_not_a_later_claim() -> None:
    pack = pack_of({"id": "one", "words": ["保本", "零风险", "稳赚不赔"]})
    assert hits(pack, "我们不承诺保本、零风险，我们稳赚不赔") == [("稳赚不赔", "稳赚不赔")]


def test_short_words_are_found_by_sound_where_the_rule_says_so() -> None:
    pack = pack_of({"id": "one", "words": ["保本"], "sound": "short", "unless": ["保本次"]})
    assert hits(pack, "这是宝本的") == [("保本", "宝本")]
    assert hits(pack, "包本次运费") == [], "an exception holds by sound as well"
    assert hits(pack, "确保本次") == []


def test_nothing_is_found_by_sound_where_the_rule_says_so() -> None:
    assert hits(pack_of({"id": "one", "words": ["保本保息"], "sound": "off"}), "薄本保锡") == []


@pytest.mark.parametrize(
    ("mergers", "found"),
    [
        pytest.param(("in_ing",), True, id="merged"),
        pytest.param((), False, id="told apart"),
        pytest.param(("n_l",), False, id="another pair is merged"),
    ],
)
def test_sounds_that_many_do_not_tell_apart_are_one_where_the_settings_say_so(
    mergers: tuple[Merger, ...], found: bool
) -> None:
    book = Rulebooks([pack_of({"id": "one", "words": ["精品名额"]})], Sounds(mergers)).book("acme", "zh", "general")
    assert book is not None
    text = normalize("金品名额")
    assert bool(book.words.find(text, book.index.places(text.letters))) is found


def test_words_for_some_course_types_are_found_only_there() -> None:
    pack = pack_of({"id": "one", "words": ["超前教学"], "course_types": ["k12"]})
    assert [hit.term.rule.id for hit in found_in([pack], "我们超前教学", "k12")] == ["one"]
    assert found_in([pack], "我们超前教学", "adult") == ()
    assert found_in([pack], "我们超前教学") == ()
