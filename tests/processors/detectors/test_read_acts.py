"""What rules miss of what an agent must do is read: the recording notice, and to ask who is calling (R15, R71)."""

import pytest

from processors.detectors.reading import ReadingSettings
from processors.judging.pipeline import Judge, JudgeSettings
from processors.reading.identity import asked_before_disclosing
from processors.rules.examples import imagine_transcript
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.finding import Finding
from tests.processors.transcripts import NOW, Line, heard, on_one_channel, said
from tests.support.shipped_rules import shipped_judge, shipped_rules

NOTICE = "您好，八零二号为您服务，咱们这个电话是留着录音的，您讲"
"""In words that no shipped rule knows."""


def judged(*lines: Line, industry: str = "ecommerce") -> CallAnalysis:
    return shipped_judge().judge(said(*lines, industry=industry), NOW)


def judged_of_finance(direction: str, *lines: Line) -> CallAnalysis:
    return shipped_judge().judge(imagine_transcript(lines, "finance", direction=direction), NOW)


def of_rule(analysis: CallAnalysis, rule: str) -> list[Finding]:
    return [one for one in analysis.findings if one.rule_id.endswith(f".{rule}")]


class TestRecordingNotice:
    def test_in_words_that_no_rule_knows_it_is_read_and_shown_with_its_source(self) -> None:
        analysis = judged(("agent", NOTICE), ("customer", "我查一下快递"))
        (finding,) = of_rule(analysis, "recording_notice")
        assert analysis.measures["recording_notice"] is True
        assert (finding.category, finding.severity, finding.score_delta) == ("script_found", "info", 0)
        assert finding.attributes["source"] == "reading"
        assert finding.matched in NOTICE
        assert 0 < finding.confidence < 1

    def test_without_reading_the_rules_alone_decide(self) -> None:
        settings = JudgeSettings(parts=(ReadingSettings(reading=False),))
        judge = Judge(settings, rulebooks=shipped_rules())
        analysis = judge.judge(said(("agent", NOTICE), ("customer", "我查一下快递")), NOW)
        assert analysis.measures["recording_notice"] is False

    def test_what_a_rule_finds_is_shown_as_its_own(self) -> None:
        analysis = judged(("agent", "您好，为保障服务质量，本次通话将录音"), ("customer", "我查一下快递"))
        (finding,) = of_rule(analysis, "recording_notice")
        assert (finding.attributes["source"], finding.confidence) == ("speech", 1)

    @pytest.mark.parametrize(
        "line",
        [
            pytest.param("您好，八零二号为您服务，您讲", id="a_greeting"),
            pytest.param("您好，八零二号为您服务，这个电话不录音，您讲", id="denied"),
            pytest.param("您好，八零二号为您服务，您那边没有录音吧", id="asked"),
            pytest.param("您好我这边录音机坏了，您要问什么", id="a_thing"),
            pytest.param("您好，您可以录音的，没关系", id="the_customer_may"),
        ],
    )
    def test_what_is_no_notice_is_not_read_as_one(self, line: str) -> None:
        analysis = judged(("agent", line), ("customer", "我查一下快递"))
        assert analysis.measures["recording_notice"] is False
        assert [one.category for one in of_rule(analysis, "recording_notice")] == ["missing_script"]

    def test_after_the_first_minute_it_is_too_late(self) -> None:
        transcript = heard([("customer", 0, 900, "我查一下快递"), ("agent", 61_000, 64_000, NOTICE)])
        assert shipped_judge().judge(transcript, NOW).measures["recording_notice"] is False

    def test_of_an_unknown_speaker_nothing_is_read(self) -> None:
        transcript = on_one_channel(said(("unknown", NOTICE), ("unknown", "我查一下快递")))
        assert shipped_judge().judge(transcript, NOW).measures["recording_notice"] is None


ASKED: Line = ("agent", "行，您叫什么名字，身份证后六位报给我听听")
ANSWERED: Line = ("customer", "我叫张伟，零三一八二四")
TOLD: Line = ("agent", "张先生，您账上还有三千二，上个月扣了四百")


def assert_stands_in(analysis: CallAnalysis, measure: str, read: str) -> None:
    """The measure has what is read, and says so."""
    assert analysis.measures[measure] == analysis.measures[read]
    assert measure in analysis.read_measures
    assert measure not in {skipped.measure for skipped in analysis.skipped_analysis}


class TestIdentity:
    @pytest.mark.parametrize("industry", ["ecommerce", "education", "general"])
    def test_where_no_rule_is_asked_it_is_read(self, industry: str) -> None:
        beginning: tuple[Line, ...] = (("agent", "您好，请讲"), ("customer", "我查一下我卡里的钱"))
        asked = judged(*beginning, ASKED, ANSWERED, TOLD, industry=industry)
        not_asked = judged(*beginning, TOLD, ("customer", "好的"), industry=industry)
        assert asked.measures["reading_identity_verified"] is True
        assert not_asked.measures["reading_identity_verified"] is False
        for analysis in (asked, not_asked):
            assert_stands_in(analysis, "identity_verified_before_disclosure", "reading_identity_verified")
            assert not any(one.category == "procedure_broken" for one in analysis.findings)

    def test_where_nothing_is_told_there_is_nothing_to_verify(self) -> None:
        analysis = judged(("agent", "您好，请讲"), ("customer", "你们几点关门"), ("agent", "晚上九点"))
        assert analysis.measures["reading_identity_verified"] is None
        (skipped,) = (one for one in analysis.skipped_analysis if one.measure == "reading_identity_verified")
        assert skipped.reason == "not_applicable"

    def test_a_question_that_a_rule_misses_and_reading_does_not_is_no_broken_procedure(self) -> None:
        lines: tuple[Line, ...] = (
            ("agent", "您好，请讲"),
            ("customer", "我查一下我卡里的钱"),
            ("agent", "行，您叫啥，哪年哪月生的，报给我对一对"),
            ("customer", "张伟，八八年三月"),
            ("agent", "对上了，您的账户余额是三千二百元"),
        )
        judge = Judge(JudgeSettings(parts=(ReadingSettings(reading=False),)), rulebooks=shipped_rules())
        transcript = said(*lines, industry="finance")
        by_rules, by_both = judge.judge(transcript, NOW), shipped_judge().judge(transcript, NOW)
        assert by_rules.measures["identity_verified_before_disclosure"] is False
        assert by_both.measures["identity_verified_before_disclosure"] is True
        assert of_rule(by_both, "identity_before_disclosure") == []

    def test_where_nobody_asks_the_rule_stays_broken(self) -> None:
        asked: Line = ("customer", "我查一下我卡里的钱")
        analysis = judged(("agent", "您好"), asked, ("agent", "查到了，您的账户余额是三千二百元"), industry="finance")
        assert analysis.measures["identity_verified_before_disclosure"] is False
        assert len(of_rule(analysis, "identity_before_disclosure")) == 1


class TestWarnsOfLoss:
    def test_who_calls_to_sell_and_warns_nobody_gave_no_risk_warning(self) -> None:
        """In words of which no rule knows that something is offered."""
        sold: tuple[Line, ...] = (
            ("agent", "蔡姐您好，我是支行的小贾，您那五十万不是礼拜三到期嘛，我给您留了个好东西，叫稳盈三号"),
            ("customer", "是理财产品吗"),
            ("agent", "您就把它当成我们行里一个铁柜子，搁进去什么样，拿出来只会多不会少"),
            ("customer", "那我跟老头子商量商量"),
            ("agent", "您跟他一说准黄，下午三点不划过来我只能给别人了"),
        )
        analysis = judged_of_finance("outbound", *sold)
        assert analysis.measures["reading_warns_of_loss"] is False
        assert_stands_in(analysis, "risk_warning", "reading_warns_of_loss")

    def test_the_warning_of_the_script_is_one_whatever_is_offered(self) -> None:
        warned = judged_of_finance(
            "outbound",
            ("agent", "您好，跟您讲一下您那只基金"),
            ("customer", "你说"),
            ("agent", "理财有风险，投资需谨慎"),
        )
        assert warned.measures["risk_warning"] is True
        assert "risk_warning" not in warned.read_measures

    def test_a_warning_that_may_be_one_is_doubt_enough(self) -> None:
        warned = judged_of_finance(
            "outbound",
            ("agent", "您好，跟您讲一下您那只基金"),
            ("customer", "你说"),
            ("agent", "您要是一分都不想少，就还是存定期"),
        )
        assert warned.measures["reading_warns_of_loss"] is True
        assert warned.measures["risk_warning"] is None


@pytest.mark.parametrize(
    ("asks", "discloses", "expected"),
    [
        pytest.param([0.9, 0.1], [0.1, 0.8], True, id="asked, then told"),
        pytest.param([0.1, 0.9], [0.8, 0.1], False, id="told, then asked"),
        pytest.param([0.9, 0.1], [0.1, 0.2], None, id="nothing told"),
        pytest.param([0.1, 0.9], [0.1, 0.8], False, id="in one breath"),
        pytest.param([0.5, 0.1, 0.1], [0.6, 0.1, 0.8], True, id="what most probably tells counts"),
        pytest.param([], [], None, id="nothing said"),
    ],
)
def test_an_utterance_before_the_one_that_discloses_must_ask(
    asks: list[float], discloses: list[float], expected: bool | None
) -> None:
    assert asked_before_disclosing(asks, discloses, 0.5, 0.5) is expected
