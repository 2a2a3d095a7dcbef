from collections.abc import Sequence

import pytest

from processors.detectors.base.contract import Measure, NotMeasured, Result
from processors.detectors.sensitive_words import SensitiveWordsDetector
from processors.judging.call_context import CallContext
from processors.rules.rulebook import Rulebooks
from schemas.config.rule_pack import load_rule_packs
from schemas.messages.finding import Finding
from schemas.messages.transcript import Transcript
from tests.processors.transcripts import Turn, heard, said, segment, words
from tests.support.shipped_rules import shipped_rules

DETECTOR = SensitiveWordsDetector(shipped_rules())

S02: Sequence[Turn] = (
    ("agent", 300, 4267, "您好，我是您的理财顾问，想给您推荐一款新产品。"),
    ("customer", 4767, 6737, "什么产品啊，有风险吗？"),
    ("agent", 7137, 12936, "这款产品保本保息，年化收益百分之六，绝对不会亏损，您完全可以放心。"),
    ("customer", 13436, 18342, "真的保本吗？以前我买的产品也说过，最后还是亏了。"),
    ("agent", 18742, 22433, "您放心，我们内部有名额，今天不买明天就没有了。"),
    ("customer", 22933, 24560, "那我再考虑一下吧。"),
    ("agent", 24960, 27807, "好的，那我稍后再给您打电话，再见。"),
)
S02_AS_WHISPER_BASE_WRITES_IT: Sequence[Turn] = (
    (
        "agent",
        0,
        22430,
        "您好,我是您的理财顾问,想给您推荐一款新产品。这款产品薄本保锡,年华收益百分之六,绝对不会亏损,您完全可以放心。"
        "您放心,我们内部有名额,今天不满明天就没有了。",
    ),
    ("agent", 24840, 27700, "好的那五收后,再给您打电话再见。"),
)
S03: Sequence[Turn] = (
    ("agent", 300, 6390, "您好，为保障服务质量，本次通话将录音。工号五零零六为您服务。"),
    ("customer", 6890, 10235, "你好，我想了解一下你们的稳健型理财产品。"),
    ("agent", 10635, 15473, "好的，先和您核实一下身份信息，请问您的姓名是？"),
    ("customer", 15973, 16751, "我叫张伟。"),
    ("agent", 17151, 20625, "请您提供一下身份证号码的后四位。"),
    ("customer", 21125, 22620, "后四位是零三一八。"),
    (
        "agent",
        23020,
        31976,
        "核实无误，谢谢您的配合。需要提醒您，理财有风险，投资需谨慎，产品过往业绩不代表未来表现。",
    ),
    ("customer", 32476, 35266, "好的，我明白。那起购金额是多少？"),
    ("agent", 35666, 42606, "起购金额是一万元，我们不承诺保本，请您根据自己的风险承受能力选择。"),
    ("customer", 43106, 45118, "行，那我先看看产品说明。"),
    ("agent", 45518, 47360, "感谢您的来电，再见。"),
)
S04: Sequence[Turn] = (
    ("agent", 300, 4491, "您好，本次通话将录音，请问有什么可以帮您？"),
    ("customer", 4891, 10326, "你们的东西质量太差了，用了两天就坏了，我要退货，你们必须给我全额退款！"),
    ("agent", 10726, 17382, "先生您好，按照规定拆封的商品是不支持七天无理由退货的，需要您先"),
    ("customer", 15782, 20066, "什么叫不支持！东西是坏的，你们还不给退，你们这是骗人！"),
    ("agent", 18866, 21868, "您先听我说完，我们是有流程的。"),
    ("customer", 22168, 25242, "我不听你的流程，我要投诉，我要打一二三一五！"),
    ("agent", 25742, 33246, "非常抱歉给您带来不好的体验，我马上为您升级处理，今天之内给您答复，可以吗？"),
    ("agent", 36457, 39670, "一定的，请您保持电话畅通，再见。"),
)
S06: Sequence[Turn] = (
    ("agent", 300, 5672, "您好，这里是课程顾问中心，本次通话将录音，请问有什么可以帮您？"),
    ("customer", 6072, 10405, "我报名了你们的英语课，上了两节，现在想退费，能退多少？"),
    ("agent", 10805, 16024, "我们的课程保证通过考试，一般学员都不会退费的，您再坚持一下。"),
    ("customer", 16524, 18978, "我就是想知道退费规则是什么。"),
    ("agent", 19378, 23780, "开课后七天之内可以申请退费，扣除已上课时的费用。"),
    ("agent", 25812, 28390, "这个我不太清楚，您可以联系财务。"),
)
COMPLIANT: Sequence[tuple[str, str]] = (
    ("ecommerce", "您好，让您久等了。您的包裹昨天晚上已经到达转运中心，预计明天下午可以送到。"),
    ("ecommerce", "在的，抱歉。您的退款申请因为缺少凭证照片没有通过，请稍等，我帮您重新提交。"),
    ("ecommerce", "让您久等了，已经帮您重新提交，一到三个工作日退回原账户。"),
    ("ecommerce", "全场商品满三百减五十，优惠券可以叠加使用，活动截止到这个星期天晚上十二点。"),
    ("ecommerce", "如果以后不想接到此类电话，可以回复退订。"),
    ("finance", "好的，已经为您办理挂失，请您尽快到网点补办新卡。"),
    ("finance", "好的，请您提供一下银行卡号。"),
)


def results(transcript: Transcript) -> list[Result]:
    return list(DETECTOR.process(CallContext(transcript)))


def findings(transcript: Transcript) -> list[Finding]:
    return [result for result in results(transcript) if isinstance(result, Finding)]


def words_of(transcript: Transcript) -> list[str]:
    """The words as the rule has them."""
    return [str(finding.attributes["word"]) for finding in findings(transcript)]


@pytest.mark.parametrize("with_words", [True, False], ids=["with word times", "without word times"])
def test_the_violating_finance_call_yields_its_three_words(with_words: bool) -> None:
    transcript = heard(S02, industry="finance", with_words=with_words)
    found = findings(transcript)
    assert [finding.matched for finding in found] == ["保本保息", "绝对不会亏损", "内部有名额"]
    for finding in found:
        turn = transcript.segments[int(finding.attributes["segment_id"])]
        assert turn.role == finding.role == "agent"
        start, end = int(finding.attributes["match_start"]), int(finding.attributes["match_end"])
        assert turn.text[start:end] == finding.matched
        assert finding.matched in finding.quote
        assert turn.start_ms <= finding.start_ms < finding.end_ms <= turn.end_ms
    assert Measure("sensitive_words", 3) in results(transcript)


def test_the_violating_finance_call_is_understood_as_whisper_base_writes_it() -> None:
    found = findings(heard(S02_AS_WHISPER_BASE_WRITES_IT, industry="finance"))
    by_word = {finding.attributes["word"]: finding for finding in found}
    assert list(by_word) == ["保本保息", "绝对不会亏损", "内部有名额"]
    assert by_word["保本保息"].matched == "薄本保锡"
    assert by_word["保本保息"].confidence == 0.5
    assert by_word["绝对不会亏损"].confidence == 1


def test_the_compliant_finance_call_yields_nothing() -> None:
    assert results(heard(S03, industry="finance")) == [Measure("sensitive_words", 0)]


def test_a_lawful_refusal_before_an_angry_customer_yields_nothing() -> None:
    assert results(heard(S04, industry="ecommerce")) == [Measure("sensitive_words", 0)]


def test_the_education_call_yields_the_promise_to_pass() -> None:
    (found,) = findings(heard(S06, industry="education"))
    assert (found.matched, found.rule_id) == ("保证通过", "education.guaranteed_pass")
    assert found.quote == "我们的课程保证通过考试，一般学员都不会退费的，您再坚持一下。"


@pytest.mark.parametrize(("industry", "text"), COMPLIANT)
def test_ordinary_service_yields_nothing(industry: str, text: str) -> None:
    assert words_of(said(("agent", text), industry=industry)) == []


def test_only_the_agent_is_judged() -> None:
    assert words_of(said(("customer", "你们保本保息吗，我要保本保息"), industry="finance")) == []


def test_words_of_another_industry_do_not_count() -> None:
    assert words_of(said(("agent", "我们包就业"), industry="finance")) == []
    assert words_of(said(("agent", "我们包就业"), industry="education")) == ["包就业"]


def test_general_words_count_in_every_industry() -> None:
    assert words_of(said(("agent", "你给我闭嘴"), industry="logistics")) == ["给我闭嘴"]


def test_an_unknown_speaker_is_not_guessed_to_be_the_agent() -> None:
    transcript = said(("unknown", "这款产品保本保息"), industry="finance")
    assert results(transcript) == [NotMeasured("sensitive_words", "speaker_unknown")]


def test_with_some_speech_of_an_unknown_speaker_findings_stand_but_are_not_counted() -> None:
    transcript = said(("agent", "保本保息"), ("unknown", "那就办吧"), industry="finance")
    assert [finding.matched for finding in findings(transcript)] == ["保本保息"]
    assert results(transcript)[-1] == NotMeasured("sensitive_words", "speaker_unknown")


def test_a_back_channel_of_an_unknown_speaker_is_no_words_of_the_agent() -> None:
    transcript = said(("agent", "保本保息"), ("unknown", "嗯嗯"), ("customer", "我想想"), industry="finance")
    assert results(transcript)[-1] == Measure("sensitive_words", 1)


def test_where_only_an_unknown_speaker_is_heard_nothing_is_counted() -> None:
    transcript = said(("unknown", "嗯嗯"), industry="finance")
    assert results(transcript)[-1] == NotMeasured("sensitive_words", "speaker_unknown")


@pytest.mark.parametrize("language", ["en", "yue", None])
def test_another_language_is_not_measured(language: str | None) -> None:
    transcript = heard([("agent", 0, 1_000, "保本保息")], industry="finance", language=language)
    assert results(transcript) == [NotMeasured("sensitive_words", "language_not_supported")]


@pytest.mark.parametrize("turns", [[], [("agent", 0, 1_000, "  ")]], ids=["no segments", "segments without text"])
def test_a_call_without_speech_is_not_measured(turns: list[Turn]) -> None:
    assert results(heard(turns, industry="finance")) == [NotMeasured("sensitive_words", "no_speech")]


def test_a_word_that_the_recogniser_cut_in_two_is_found() -> None:
    transcript = heard(
        [("agent", 0, 2_000, "这款产品保本"), ("agent", 2_100, 4_000, "保息，请放心。")], industry="finance"
    )
    (finding,) = findings(transcript)
    assert finding.matched == "保本保息"
    assert finding.quote == "这款产品保本保息，请放心。"
    assert finding.attributes["segment_id"] == 0
    assert (finding.attributes["match_start"], finding.attributes["match_end"]) == (4, 6)
    assert (finding.attributes["last_segment_id"], finding.attributes["last_match_end"]) == (1, 2)
    assert (finding.start_ms, finding.end_ms) == (1_333, 2_575)


def test_a_negation_holds_over_a_cut_of_the_recogniser() -> None:
    turns: list[Turn] = [("agent", 0, 2_000, "我们不承诺"), ("agent", 2_100, 4_000, "保本的")]
    assert words_of(heard(turns, industry="finance")) == []


@pytest.mark.parametrize(
    "between",
    [
        pytest.param([], id="a long pause"),
        pytest.param([("customer", 2_100, 8_900, "什么意思")], id="the customer speaks meanwhile"),
    ],
)
def test_segments_far_apart_are_not_one_text(between: list[Turn]) -> None:
    turns: list[Turn] = [("agent", 0, 2_000, "我们是内部"), *between, ("agent", 9_000, 9_500, "名额很多")]
    assert words_of(heard(turns, industry="finance")) == []


def test_a_short_word_of_the_customer_between_does_not_tear_a_sentence() -> None:
    turns: list[Turn] = [
        ("agent", 0, 2_000, "这款产品保本"),
        ("customer", 1_900, 2_200, "嗯"),
        ("agent", 2_300, 4_000, "保息"),
    ]
    assert words_of(heard(turns, industry="finance")) == ["保本保息"]


def test_the_time_is_that_of_the_words_said() -> None:
    text = "这款产品保本保息。"
    timed = segment(
        0, "agent", 0, 60_000, text, words("这款产品", 500, 1_300, 1) + words("保本保息", 40_000, 40_800, 1)
    )
    transcript = heard([], industry="finance").model_copy(update={"segments": (timed,)})
    (finding,) = findings(transcript)
    assert (finding.start_ms, finding.end_ms) == (40_000, 40_800)


def test_without_words_the_time_is_interpolated() -> None:
    transcript = heard([("agent", 1_000, 2_000, "产品是保本保息的啊好")], industry="finance", with_words=False)
    (finding,) = findings(transcript)
    assert (finding.start_ms, finding.end_ms) == (1_300, 1_700)


def test_words_that_do_not_agree_with_the_text_leave_the_rest_to_interpolation() -> None:
    wrong = words("完全另外的话", 0, 600, 1)
    timed = segment(0, "agent", 1_000, 2_000, "产品是保本保息的啊好", wrong)
    transcript = heard([], industry="finance").model_copy(update={"segments": (timed,)})
    (finding,) = findings(transcript)
    assert (finding.start_ms, finding.end_ms) == (1_300, 1_700)


def test_a_quote_is_the_sentence_and_of_a_very_long_one_its_nearest_clauses() -> None:
    filler = "这里还有很多别的内容，" * 30
    (in_sentence,) = findings(said(("agent", "您好。这款保本保息。再见。"), industry="finance"))
    (in_stream,) = findings(said(("agent", f"{filler}这款保本保息，{filler}"), industry="finance"))
    assert in_sentence.quote == "这款保本保息。"
    assert "这款保本保息，" in in_stream.quote
    assert len(in_stream.quote) < 150


def test_ids_are_the_same_on_every_run_and_differ_by_place() -> None:
    transcript = said(("agent", "保本保息"), ("agent", "保本保息"), industry="finance")
    first, second = findings(transcript)
    assert first.finding_id != second.finding_id
    assert [first, second] == findings(transcript)


def test_ids_differ_by_call_and_by_version_of_the_rule() -> None:
    transcript = said(("agent", "保本保息"), industry="finance")
    other = transcript.model_copy(update={"call_id": "c-2"})
    newer = SensitiveWordsDetector(
        Rulebooks(pack.model_copy(update={"version": pack.version + 1}) for pack in load_rule_packs())
    )
    (newest,) = [result for result in newer.process(CallContext(transcript)) if isinstance(result, Finding)]
    assert int(newest.rule_version) == int(findings(transcript)[0].rule_version) + 1
    assert len({findings(transcript)[0].finding_id, findings(other)[0].finding_id, newest.finding_id}) == 3


def test_a_finding_carries_what_the_rule_says() -> None:
    (finding,) = findings(said(("agent", "这款产品保本保息"), industry="finance"))
    assert finding.rule_id == "finance.guaranteed_principal"
    assert (finding.severity, finding.score_delta, finding.category) == ("critical", -30, "forbidden_promise")
    assert "非保本" in str(finding.attributes["advice"])
