import pytest

from processors.text.negation import CONTEXT_LETTERS, Stance, continues_list, holds_negation, stance
from processors.text.normalized_text import normalize

CASES: list[tuple[str, str, Stance]] = [
    # plain claims
    ("这款产品[保本保息]，年化收益百分之六", "the plain claim", "claimed"),
    ("[保本]的，您放心", "a claim at the start", "claimed"),
    ("我跟您说，[保本保息]", "the agent says it", "claimed"),
    ("我给您说[保本]的", "说 with the customer as the one who is told", "claimed"),
    ("我可以向您承诺[保本]", "a promise", "claimed"),
    ("专家都说[保本]", "an authority that the agent calls on", "claimed"),
    ("您放心，我们[内部有名额]，今天不买明天就没有了", "the negation stands after it in another clause", "claimed"),
    ("我们的课程[保证通过]考试，一般学员都不会退费的", "a negation in the next clause", "claimed"),
    # negated directly
    ("我们不[保本]", "bare 不", "negated"),
    ("不是[保本]的", "不是", "negated"),
    ("本产品并非[保本]", "并非", "negated"),
    ("这是非[保本]浮动收益型产品", "非 in a compound", "negated"),
    ("没有[内部名额]", "没有", "negated"),
    ("我们没有什么[内部名额]的", "没有什么", "negated"),
    ("不存在[内部名额]", "不存在", "negated"),
    ("没有所谓的[内部名额]", "所谓", "negated"),
    ("从来没有过[内部名额]", "从来没有过", "negated"),
    ("别相信[内部名额]", "别相信", "negated"),
    ("请勿轻信[保本保息]", "勿 in writing", "negated"),
    ("隔壁那家说[稳赚不赔]您别信，那是违规的", "别信 behind it", "negated"),
    ("[稳赚不赔]，您可千万别上当", "a warning behind the pause", "negated"),
    ("[保本保息]这种话谁说谁违规", "谁说谁违规", "negated"),
    ("[替考]是犯罪，连您一起查的", "a crime", "negated"),
    ("那就是[刷单]诈骗", "a fraud by that name", "negated"),
    ("[包过]的您千万别碰", "别碰 behind it", "negated"),
    ("我们[包过]，您别理隔壁", "别理 of others", "claimed"),
    ("我们[保本保息]，您别信别人的", "别信 of others", "claimed"),
    ("这款[稳赚不赔]，您别犹豫了", "别犹豫 behind it", "claimed"),
    # a denied promise
    ("起购金额是一万元，我们不承诺[保本]，请您选择", "s03 as spoken", "negated"),
    ("提供金额是一万元,我们不承诺[保本],请您根据自己的风险承受能力选择", "s03 with half-width marks", "negated"),
    ("我们不会保证[通过]", "不会保证", "negated"),
    ("不会[保证通过]", "the verb is part of the word", "negated"),
    ("不能[保证通过]", "不能", "negated"),
    ("我们不能向您承诺[保本]", "with the customer in between", "negated"),
    ("谁也不敢跟您[保证通过]", "谁也不敢", "negated"),
    ("任何机构都不能承诺[保证通过]", "任何机构都不能", "negated"),
    ("没有任何人可以承诺[保本保息]", "没有任何人", "negated"),
    ("没有一款理财产品是[保本保息]的", "没有一款", "negated"),
    ("我从来没说过[保本]", "从来没说过", "negated"),
    ("我没有说这个产品[保本]", "没有说这个产品", "negated"),
    ("我们不承诺您的本金和收益[零风险]", "the object of the denied promise is long", "negated"),
    ("监管规定不允许我们承诺[保本保息]", "不允许", "negated"),
    ("银行严禁销售人员宣传[保本]", "严禁", "negated"),
    ("理财产品不等于存款不[保本]", "two negations that do not stack", "negated"),
    ("不可能[稳赚不赔]", "不可能", "negated"),
    ("我们无法[保证通过]", "无法", "negated"),
    ("很难[保证通过]", "很难", "negated"),
    ("不不不不[保本]", "stutter", "negated"),
    ("没有没有[内部名额]", "没有 twice is stutter, not a double negation", "negated"),
    ("我们没办法[保证通过]", "没办法", "negated"),
    ("怎么可能[保本]呢", "a rhetorical question denies", "negated"),
    ("哪能[保本]啊", "哪能", "negated"),
    ("目前没有任何一家银行的理财是[保本]的", "a long subject between", "negated"),
    ("任何人不得以任何形式承诺[保本]", "以任何形式", "negated"),
    ("现在已经没有[保本]理财了", "no longer", "negated"),
    ("并不是[没有风险]的", "the word holds a negation itself", "negated"),
    ("我们从不承诺[保本保息]", "从不", "negated"),
    # negated from behind
    ("[保本]是不可能的", "不可能 behind", "negated"),
    ("市面上说[包过]的都不靠谱", "不靠谱 behind", "negated"),
    ("[保本保息]的产品现在已经没有了", "没有了 behind", "negated"),
    ("[内部名额]是没有的", "没有的 behind", "negated"),
    ("[保本保息]的产品是不存在的", "不存在 behind", "negated"),
    ("承诺[保本保息]的都是骗人的", "都是骗人 behind", "negated"),
    ("[保证通过]我们做不到", "做不到 behind", "negated"),
    ("[保本]这种话我们不能说", "这种话 behind", "negated"),
    ("[保本保息]，那是不可能的", "taken up again after a pause", "negated"),
    ("承诺[保本]属于违规行为", "违规 behind", "negated"),
    # what looks like a negation and is none
    ("不用担心，[保本保息]", "reassurance in the clause before", "claimed"),
    ("不用担心[保本保息]的", "the same where the recogniser lost the comma", "claimed"),
    ("您不用担心我们[保本保息]", "with the subject between", "claimed"),
    ("别担心[保本]的", "别担心", "claimed"),
    ("不是我说的，[保本保息]", "a negation must not reach over a comma", "claimed"),
    ("没有风险[保本保息]", "没有 has its own object", "claimed"),
    ("没有问题[保证通过]", "没有问题", "claimed"),
    ("没问题[绝对不会亏损]", "没问题", "claimed"),
    ("不管行情怎么样都[保本]", "不管", "claimed"),
    ("无论如何都[保证通过]", "无论", "claimed"),
    ("不仅[保本]还有高收益", "不仅", "claimed"),
    ("我们这个不光[保本保息]还送礼品", "不光", "claimed"),
    ("不瞒您说[保本]的", "不瞒您说", "claimed"),
    ("我不骗您[保本保息]", "不骗您", "claimed"),
    ("产品不错[保本保息]", "不错", "claimed"),
    ("非常好[保本]的", "非常", "claimed"),
    ("特别稳[保本]的", "特别", "claimed"),
    ("别的产品有风险，我们[保本]", "别的", "claimed"),
    ("不像别家，我们[保证通过]", "不像别家 in the clause before", "claimed"),
    ("未来[保本]", "未来", "claimed"),
    ("不能保证收益但是[保本]", "但是 turns the sentence round", "claimed"),
    ("虽然不是存款，但是[保本]", "但是 after a comma", "claimed"),
    ("不会让您失望[保证通过]", "不会让您失望", "claimed"),
    ("[保本]不会亏的", "the negation behind strengthens it", "claimed"),
    ("[保本]，不用担心", "reassurance behind", "claimed"),
    ("[保证通过]没有问题", "没有问题 behind", "claimed"),
    ("[内部名额]不多了", "不多 behind is no denial", "claimed"),
    ("[保本]无条件", "无条件", "claimed"),
    # double negations claim
    ("不可能不[保本]", "不可能不", "claimed"),
    ("不会不[保证通过]", "不会不", "claimed"),
    ("没有不[保本]的", "没有不", "claimed"),
    ("不是不[保本]", "不是不", "claimed"),
    ("我们不得不[保证通过]", "不得不", "claimed"),
    ("怎么可能不[保本]呢", "a rhetorical question denies the denial", "claimed"),
    # questions
    ("这不就是[保本]吗？", "rhetorical", "claimed"),
    ("难道不是[保本]吗？", "难道", "claimed"),
    ("[保本保息]，您还担心吗？", "the question is another clause", "claimed"),
    ("这么好的[保本]产品您不考虑一下吗？", "an offer put as a question", "claimed"),
    ("请问有没有人向您承诺[保本]？", "a follow-up call asks", "asked"),
    ("销售人员是否向您承诺过[保本保息]？", "是否", "asked"),
    ("您想要[保本]的吗？", "asks for the customer's wish", "asked"),
    ("这个[保本]吗？", "only a question", "asked"),
    ("谁跟您说[保本]的？", "谁", "asked"),
    # quoted
    ("您刚才说的[保本]", "the customer's own word", "quoted"),
    ("您问的[保本保息]我跟您解释一下", "the customer asked for it", "quoted"),
    ("他们说[保本]的", "others say so", "quoted"),
    ("客户说他们[保本]", "the customer says that others say so", "quoted"),
    ("别家说[保本]", "a competitor says so", "quoted"),
    ("有的公司宣传[保本保息]", "some company says so", "quoted"),
    ("市面上有些机构承诺[保本]", "some in the market say so", "quoted"),
    ("如果有人承诺[保本保息]请您报警", "a warning", "quoted"),
    ("凡是有人以[内部名额]名义让您转账的请您挂断", "a warning about others", "quoted"),
    ("如遇他人承诺[保证通过]请举报", "a warning in writing", "quoted"),
]


def _stance_of(marked: str) -> Stance:
    before, rest = marked.split("[")
    word, after = rest.split("]")
    text = normalize(before + word + after)
    start = len(normalize(before).letters)
    end = start + len(normalize(word).letters)
    return stance(text.before(start, CONTEXT_LETTERS), text.after(end, CONTEXT_LETTERS))


@pytest.mark.parametrize(
    ("marked", "expected"),
    [pytest.param(marked, expected, id=f"{why}: {marked}") for marked, why, expected in CASES],
)
def test_a_word_is_judged_by_its_own_clause(marked: str, expected: Stance) -> None:
    assert _stance_of(marked) == expected


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        pytest.param("没有", True, id="内部没有名额 denies"),
        pytest.param("没有多余的", True, id="with an adjective"),
        pytest.param("还有几个", False, id="内部还有几个名额 claims"),
        pytest.param("不用担心", False, id="reassurance between the parts is no denial"),
        pytest.param("", False, id="nothing between"),
    ],
)
def test_a_negation_between_the_parts_of_a_word_is_seen(between: str, expected: bool) -> None:
    assert holds_negation(between) is expected


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        pytest.param("、", True, id="list mark"),
        pytest.param("，", True, id="recognisers write a comma for it"),
        pytest.param("或者", True, id="conjunction"),
        pytest.param("", True, id="nothing at all"),
        pytest.param("。", False, id="a new sentence"),
        pytest.param("，我们", False, id="a new subject"),
        pytest.param("，但是", False, id="a turn"),
    ],
)
def test_words_of_one_list_share_their_negation(between: str, expected: bool) -> None:
    assert continues_list(between) is expected


def test_nothing_around_a_word_is_a_claim() -> None:
    assert stance("", "") == "claimed"


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        pytest.param("不" * 40, "negated", id="stutter"),
        pytest.param("没有的" * 13, "negated", id="an odd number of negations"),
        pytest.param("没有的" * 12, "claimed", id="an even number of negations"),
        pytest.param("您想要" * 13, "quoted", id="speakers and verbs"),
        pytest.param("一个" * 20, "claimed", id="carriers"),
    ],
)
def test_repetition_is_judged_without_trying_every_split(clause: str, expected: Stance) -> None:
    assert stance(clause, "") == expected
