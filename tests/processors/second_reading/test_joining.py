"""How a second reading joins an analysis."""

import pytest

from processors.clickhouse.rows import version_of_analysis
from processors.judging.call_context import CallContext
from processors.second_reading.joining import MEASURES, is_joined, with_reading, without_reading
from processors.second_reading.question import Question, question_about
from processors.second_reading.verification import SecondReading, VerifiedQuote
from schemas.config.prompt_pack import PromptPacks
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.transcript import Transcript
from tests.processors.rules.rule_packs import called
from tests.support.judged_calls import NOW
from tests.support.shipped_rules import shipped_judge

CALL = called(("agent", "您好，这款产品包您稳赚不赔。"), ("customer", "我要退款"), industry="finance")
PROMISE = VerifiedQuote(kind="false_promise", turn=0, start=7, end=13, confidence=0.8)
UPSET = VerifiedQuote(kind="customer_upset", turn=1, start=0, end=4, confidence=0.6)


def about(transcript: Transcript) -> tuple[CallAnalysis, Question]:
    pack = PromptPacks.read().of("acme")
    return shipped_judge().judge(transcript, NOW), question_about(CallContext(transcript), pack, 10_000)


def test_a_finding_names_reader_model_and_prompt_and_quotes_what_was_said() -> None:
    analysis, question = about(CALL)
    joined = with_reading(analysis, question, SecondReading(quotes=(PROMISE,), dropped=2), "qwen")
    (finding,) = [one for one in joined.findings if one.detector == "second_reader"]
    assert (finding.category, finding.rule_id) == ("second_reader_false_promise", "second_reader_false_promise")
    assert (finding.severity, finding.score_delta, finding.confidence) == ("info", 0, 0.8)
    assert (finding.attributes["model"], finding.attributes["prompt"]) == ("qwen", "conduct@1")
    assert finding.matched == "包您稳赚不赔"
    assert finding.matched in finding.quote
    assert joined.measures["second_reader_findings"] == 1
    assert joined.measures["second_reader_dropped"] == 2


def test_scores_and_risk_stay_as_they_were() -> None:
    analysis, question = about(CALL)
    joined = with_reading(analysis, question, SecondReading(quotes=(PROMISE,)), "qwen")
    assert (joined.scorecard, joined.risk, joined.outcome) == (analysis.scorecard, analysis.risk, analysis.outcome)
    assert CallAnalysis.decode(joined.encode()) == joined


def test_why_a_call_was_not_read_stands_beside_measures_that_are_null() -> None:
    analysis, _ = about(CALL)
    joined = without_reading(analysis, "budget_exceeded")
    assert [joined.measures[name] for name in MEASURES] == [None, None, None]
    assert {one.reason for one in joined.skipped_analysis if one.measure in MEASURES} == {"budget_exceeded"}
    assert joined.findings == analysis.findings


def test_the_joined_analysis_replaces_the_one_it_is_made_of_and_no_later_one() -> None:
    analysis, question = about(CALL)
    later = shipped_judge().judge(CALL, NOW.replace(minute=NOW.minute + 1))
    for joined in (with_reading(analysis, question, SecondReading(), "qwen"), without_reading(analysis, "too_long")):
        assert version_of_analysis(analysis) < version_of_analysis(joined) < version_of_analysis(later)
        assert is_joined(joined)
    assert not is_joined(analysis)


@pytest.mark.parametrize(
    ("words", "quotes", "disagrees"),
    [
        pytest.param("您好", (), False, id="neither finds any"),
        pytest.param("您好", (UPSET,), False, id="only the customer's upset"),
        pytest.param("您好，我们聊聊别的吧，好不好呀", (PROMISE,), True, id="only the reader"),
        pytest.param("您好，这款产品保本保息，没有风险。", (), True, id="only the rules"),
        pytest.param("您好，这款产品保本保息，没有风险。", (PROMISE,), False, id="both"),
    ],
)
def test_they_disagree_where_one_finds_a_violation_and_the_other_does_not(
    words: str, quotes: tuple[VerifiedQuote, ...], disagrees: bool
) -> None:
    analysis, question = about(called(("agent", words), ("customer", "我要退款"), industry="finance"))
    joined = with_reading(analysis, question, SecondReading(quotes=quotes), "qwen")
    assert joined.measures["second_reader_disagrees"] is disagrees
