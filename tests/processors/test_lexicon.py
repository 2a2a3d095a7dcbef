from pathlib import Path
from typing import Any

import pytest
import yaml

from processors.lexicon import Lexicons, Matcher, check_examples
from processors.normalized_text import normalize
from schemas.lexicon import LEXICON_FOLDER, Lexicon, LexiconError, load_lexicons

SHIPPED = load_lexicons()
COMPILED = Lexicons(SHIPPED)

EXAMPLES = [
    pytest.param(lexicon, rule.id, example, expected, id=f"{lexicon.lexicon}.{rule.id}-{expected}-{place}")
    for lexicon in SHIPPED
    for rule in lexicon.rules
    for examples, expected in ((rule.match, True), (rule.no_match, False))
    for place, example in enumerate(examples)
]


def lexicon_of(*rules: dict[str, Any], **fields: Any) -> Lexicon:
    """A lexicon of rules given by what matters in the test."""
    common = {
        "category": "forbidden",
        "severity": "high",
        "score_delta": -10,
        "advice": "别说",
        "match": ["x"],
        "no_match": ["y"],
    }
    head = {"lexicon": "own", "industry": "general", "language": "zh", "version": 1, "owner": "tests"}
    return Lexicon.model_validate({**head, **fields, "rules": [{**common, **rule} for rule in rules]})


def hits(lexicon: Lexicon, text: str) -> list[tuple[str, str]]:
    """Word and the letters that it was found as, claimed only."""
    normalized = normalize(text)
    return [
        (hit.term.word, normalized.letters[hit.start : hit.end])
        for hit in Matcher([lexicon]).find(normalized)
        if hit.stance == "claimed"
    ]


@pytest.mark.parametrize(("lexicon", "rule_id", "example", "expected"), EXAMPLES)
def test_every_example_of_a_shipped_rule_holds(lexicon: Lexicon, rule_id: str, example: str, expected: bool) -> None:
    matcher = COMPILED.matcher(lexicon.language, lexicon.industry)
    assert matcher is not None
    found = {hit.term.rule_id for hit in matcher.find(normalize(example)) if hit.stance == "claimed"}
    assert (f"{lexicon.lexicon}.{rule_id}" in found) is expected


def test_the_shipped_lexicons_cover_the_industries_with_twenty_rules_each() -> None:
    assert {lexicon.industry for lexicon in SHIPPED} == {"general", "finance", "ecommerce", "education", "medical"}
    assert all(20 <= len(lexicon.rules) <= 60 for lexicon in SHIPPED)


def test_the_examples_of_shipped_lexicons_have_no_complaints() -> None:
    assert check_examples(SHIPPED) == ()


def test_a_wrong_example_is_named_with_lexicon_rule_and_field() -> None:
    wrong = lexicon_of({"id": "promise", "words": ["保本"], "match": ["收益稳定"], "no_match": ["保本的"]})
    assert check_examples([wrong]) == (
        "own: rule promise, field match: '收益稳定' is not found",
        "own: rule promise, field no_match: '保本的' is found",
    )


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
        pytest.param("絕對不會虧損", "绝对不会亏损", True, id="traditional script in the lexicon"),
        pytest.param("加vx", "加ＶＸ吧", True, id="full width, capital"),
        pytest.param("加vx", "加vxa", False, id="only a part of a Latin word"),
        pytest.param("加vx", "加vx138", True, id="digits may follow a Latin word"),
        pytest.param("保0风险", "保０风险", True, id="full-width digits"),
        pytest.param("保证…通过", "保证您一次性通过", True, id="letters between the parts"),
        pytest.param("保证…通过", "保证通过", True, id="nothing between the parts"),
        pytest.param("保证…通过", "保证您在接下来的三个月之内通过", False, id="the parts are too far apart"),
        pytest.param("保证…通过", "保证金要交，审核通过", False, id="the parts lie in two clauses"),
        pytest.param("内部…名额", "内部没有名额", False, id="negated between the parts"),
        pytest.param("内部…名额", "名额是内部的", False, id="the parts in the wrong order"),
    ],
)
def test_words_are_found_however_they_are_written(word: str, text: str, found: bool) -> None:
    assert bool(hits(lexicon_of({"id": "one", "words": [word]}), text)) is found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("这款产品薄本保锡", [("保本保息", "薄本保锡")], id="s02 as Whisper base writes it"),
        pytest.param("这款产品宝本宝席", [], id="less than half as written"),
        pytest.param("我要抱本书", [], id="short words are not found by sound"),
        pytest.param("绝对布会亏损", [], id="a negation is never found by sound"),
    ],
)
def test_long_words_are_found_by_their_sound(text: str, expected: list[tuple[str, str]]) -> None:
    assert hits(lexicon_of({"id": "one", "words": ["保本", "保本保息", "绝对不会亏损"]}), text) == expected


def test_confidence_is_the_share_of_letters_as_written() -> None:
    matcher = Matcher([lexicon_of({"id": "one", "words": ["保本保息"]})])
    assert [hit.confidence for hit in matcher.find(normalize("薄本保锡，保本保息"))] == [0.5, 1.0]


def test_of_nested_words_the_longest_is_found_once() -> None:
    lexicon = lexicon_of({"id": "one", "words": ["保本", "保息"]}, {"id": "two", "words": ["保本保息"]})
    assert hits(lexicon, "这款保本保息，真的保本") == [("保本保息", "保本保息"), ("保本", "保本")]


def test_of_equally_long_words_the_more_severe_rule_wins() -> None:
    mild = lexicon_of({"id": "mild", "words": ["保本"], "severity": "low"}, lexicon="a")
    grave = lexicon_of({"id": "grave", "words": ["保本"], "severity": "critical"}, lexicon="b")
    assert [hit.term.rule_id for hit in Matcher([mild, grave]).find(normalize("保本"))] == ["b.grave"]


def test_a_word_inside_a_harmless_phrase_is_no_hit() -> None:
    lexicon = lexicon_of({"id": "one", "words": ["保本", "保证…通过"], "unless": ["担保本", "保证金"]})
    assert hits(lexicon, "需要担保本人签字") == []
    assert hits(lexicon, "保证金审核通过") == []
    assert hits(lexicon, "需要担保本人签字，这是保本的") == [("保本", "保本")]


def test_an_exception_holds_for_its_own_rule_only() -> None:
    lexicon = lexicon_of({"id": "one", "words": ["保本"], "unless": ["担保本"]}, {"id": "two", "words": ["担保"]})
    assert hits(lexicon, "担保本人") == [("担保", "担保")]


def test_what_cannot_be_negated_is_found_also_when_it_is() -> None:
    lexicon = lexicon_of({"id": "insult", "words": ["傻瓜"], "negatable": False})
    assert hits(lexicon, "您不是傻瓜吧") == [("傻瓜", "傻瓜")]


def test_words_in_a_list_share_a_negation_but_not_a_later_claim() -> None:
    lexicon = lexicon_of({"id": "one", "words": ["保本", "零风险", "稳赚不赔"]})
    assert hits(lexicon, "我们不承诺保本、零风险，我们稳赚不赔") == [("稳赚不赔", "稳赚不赔")]


@pytest.mark.parametrize(
    ("industry", "expected"),
    [
        pytest.param("finance", {"finance", "general"}, id="its own and the general one"),
        pytest.param("general", {"general"}, id="general alone"),
        pytest.param("logistics", {"general"}, id="an industry without a lexicon"),
    ],
)
def test_lexicons_apply_by_industry(industry: str, expected: set[str]) -> None:
    matcher = COMPILED.matcher("zh", industry)
    assert matcher is not None
    assert {lexicon.lexicon for lexicon in matcher.lexicons} == expected


@pytest.mark.parametrize("language", ["en", "yue", None])
def test_a_language_without_lexicon_has_no_matcher(language: str | None) -> None:
    assert COMPILED.matcher(language, "finance") is None
    assert COMPILED.version(language, "finance") == "none"


def test_a_lexicon_of_one_industry_does_not_serve_another_of_its_language() -> None:
    english = lexicon_of({"id": "one", "words": ["guaranteed"]}, language="en", industry="finance")
    assert Lexicons([english]).matcher("en", "medical") is None
    assert Lexicons([english]).matcher("en", "finance") is not None


def test_the_version_names_the_lexicons_and_changes_with_their_content() -> None:
    before = Lexicons([lexicon_of({"id": "one", "words": ["保本"]})]).version("zh", "finance")
    after = Lexicons([lexicon_of({"id": "one", "words": ["保本", "保息"]})]).version("zh", "finance")
    assert before.startswith("own@1#")
    assert after.startswith("own@1#")
    assert before != after
    assert before == Lexicons([lexicon_of({"id": "one", "words": ["保本"]})]).version("zh", "finance")


GOOD: dict[str, Any] = {
    "lexicon": "acme_finance",
    "industry": "finance",
    "language": "zh",
    "version": 1,
    "owner": "acme",
    "rules": [
        {
            "id": "house_word",
            "category": "forbidden_promise",
            "severity": "high",
            "score_delta": -10,
            "words": ["聚宝盆"],
            "advice": "说产品名",
            "match": ["我们的聚宝盆"],
            "no_match": ["没有聚宝盆"],
        }
    ],
}


def written(folder: Path, content: object, name: str = "acme.yaml") -> Path:
    """The folder, holding that content as a lexicon."""
    text = content if isinstance(content, str) else yaml.safe_dump(content, allow_unicode=True)
    folder.joinpath(name).write_text(text, encoding="utf-8")
    return folder


def changed(**rule: Any) -> dict[str, Any]:
    """The good lexicon with other fields in its rule."""
    return {**GOOD, "rules": [{**GOOD["rules"][0], **rule}]}


def test_a_folder_of_ones_own_is_read_besides_the_shipped_one(tmp_path: Path) -> None:
    lexicons = load_lexicons([LEXICON_FOLDER, written(tmp_path, GOOD)])
    matcher = Lexicons(lexicons).matcher("zh", "finance")
    assert matcher is not None
    found = [hit.term.rule_id for hit in matcher.find(normalize("我们的聚宝盆保本保息"))]
    assert found == ["acme_finance.house_word", "finance.guaranteed_principal"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(changed(words=[]), "rule 1 (house_word), field words: ", id="no words"),
        pytest.param(changed(words=["好", ""]), "rule 1 (house_word), field words.1: ", id="an empty word"),
        pytest.param(changed(words=["，。"]), "rule 1 (house_word), field words.0: ", id="a word of punctuation only"),
        pytest.param(changed(words=["保证…"]), "rule 1 (house_word), field words.0: ", id="a gap at the end"),
        pytest.param(changed(unless=["…"]), "rule 1 (house_word), field unless.0: ", id="an exception without letters"),
        pytest.param(changed(severity="grave"), "rule 1 (house_word), field severity: ", id="unknown severity"),
        pytest.param(changed(score_delta=5), "rule 1 (house_word), field score_delta: ", id="a reward"),
        pytest.param(changed(match=[]), "rule 1 (house_word), field match: ", id="no example that must match"),
        pytest.param(changed(no_match=[]), "rule 1 (house_word), field no_match: ", id="no example that must not"),
        pytest.param(changed(colour="red"), "rule 1 (house_word), field colour: ", id="an unknown field"),
        pytest.param({**GOOD, "rules": ["word"]}, "rule 1: ", id="a rule that is no mapping"),
        pytest.param({**GOOD, "version": 0}, "field version: ", id="version zero"),
        pytest.param({**GOOD, "rules": GOOD["rules"] * 2}, "rule house_word occurs twice", id="two rules of one id"),
        pytest.param(["a list"], "must hold a mapping", id="no mapping"),
        pytest.param("lexicon: [", "line 2: ", id="not YAML"),
        pytest.param("lexicon: a\nlexicon: b\n", "line 1: lexicon stands twice", id="a key twice"),
    ],
)
def test_a_wrong_lexicon_is_refused_with_file_rule_and_field(tmp_path: Path, content: object, says: str) -> None:
    with pytest.raises(LexiconError) as caught:
        load_lexicons([written(tmp_path, content)])
    assert f"{tmp_path / 'acme.yaml'}: " in str(caught.value)
    assert says in str(caught.value)


def test_all_problems_of_all_files_are_named_at_once(tmp_path: Path) -> None:
    written(tmp_path, changed(words=[], severity="grave"), "a.yaml")
    written(tmp_path, {**GOOD, "version": 0}, "b.yaml")
    with pytest.raises(LexiconError) as caught:
        load_lexicons([tmp_path])
    assert [problem.removeprefix(f"{tmp_path}/").split(": ")[1] for problem in caught.value.problems] == [
        "rule 1 (house_word), field severity",
        "rule 1 (house_word), field words",
        "field version",
    ]


def test_two_files_of_one_lexicon_are_refused(tmp_path: Path) -> None:
    written(tmp_path, GOOD, "a.yaml")
    written(tmp_path, GOOD, "b.yaml")
    with pytest.raises(LexiconError, match=r"b\.yaml: lexicon acme_finance is also in .*a\.yaml"):
        load_lexicons([tmp_path])


def test_a_folder_without_lexicons_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LexiconError, match="holds no lexicon"):
        load_lexicons([tmp_path / "missing"])


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    tmp_path.joinpath("acme.yaml").write_bytes("lexicon: 保".encode("gbk"))
    with pytest.raises(LexiconError, match="cannot be read: UnicodeDecodeError"):
        load_lexicons([tmp_path])
