"""What of an answer is believed."""

import json
from typing import Any

import pytest

from processors.judging.call_context import CallContext
from processors.second_reading.question import NotReadError, Question, question_about
from processors.second_reading.verification import MAX_FINDINGS, answer_schema, verify
from schemas.config.prompt_pack import PromptPacks
from tests.processors.rules.rule_packs import called

TALK = (
    ("agent", "您好，这款产品包您稳赚不赔，放心。"),
    ("customer", "他们说包您稳赚不赔，我要去银保监会投诉。"),
    ("agent", "明天给您回电。"),
)


def a_question() -> Question:
    return question_about(CallContext(called(*TALK)), PromptPacks.read().of("acme"), 10_000)  # type: ignore[arg-type]


def an_answer(*findings: Any) -> str:
    return json.dumps({"findings": findings}, ensure_ascii=False)


def a_finding(**changes: Any) -> dict[str, Any]:
    return {"kind": "false_promise", "turn": 0, "quote": "包您稳赚不赔", "confidence": 0.8} | changes


@pytest.mark.parametrize(
    ("finding", "turn"),
    [
        pytest.param(a_finding(), 0, id="word for word"),
        pytest.param(a_finding(quote="这款产品，包您稳赚不赔！"), 0, id="other punctuation"),
        pytest.param(a_finding(quote="包您穩賺不賠"), 0, id="the other script"),
        pytest.param(a_finding(turn=2), 0, id="the wrong turn is named"),
        pytest.param(a_finding(turn=None), 0, id="no turn is named"),
        pytest.param(a_finding(turn=99), 0, id="a turn that is not there"),
        pytest.param(a_finding(because="他承诺了"), 0, id="more than was asked for"),
        pytest.param(a_finding(kind="complaint_threat", turn=1, quote="我要去银保监会投诉"), 1, id="of the customer"),
        pytest.param(a_finding(quote="包您稳赚必赔"), None, id="the quote does not stand there"),
        pytest.param(a_finding(quote="产品包您稳赚…放心"), None, id="put together from two places"),
        pytest.param(a_finding(quote="。，"), None, id="no letters"),
        pytest.param(a_finding(quote="您"), None, id="one letter"),
        pytest.param(a_finding(kind="complaint_threat", quote="稳赚不赔，放心"), None, id="another speaker said it"),
        pytest.param(a_finding(kind="not_polite"), None, id="a kind of its own"),
        pytest.param(a_finding(confidence=1.5), None, id="more than sure"),
        pytest.param(a_finding(confidence=float("nan")), None, id="not a number"),
        pytest.param({"kind": "rude"}, None, id="without a quote"),
        pytest.param("包您稳赚不赔", None, id="no object"),
    ],
)
def test_a_finding_counts_where_its_quote_stands_and_is_counted_where_it_does_not(
    finding: Any, turn: int | None
) -> None:
    reading = verify(an_answer(finding), a_question())
    assert [quote.turn for quote in reading.quotes] == ([] if turn is None else [turn])
    assert reading.dropped == (1 if turn is None else 0)


def test_a_place_in_the_transcript_is_kept_and_none_of_its_words() -> None:
    question = a_question()
    reading = verify(an_answer(a_finding()), question)
    (quote,) = reading.quotes
    assert question.passages[quote.turn].utterance.text[quote.start : quote.end] == "包您稳赚不赔"
    assert "稳赚" not in reading.model_dump_json()


def test_the_same_place_twice_is_one_finding_with_the_greater_confidence() -> None:
    answer = an_answer(a_finding(confidence=0.4), a_finding(confidence=0.9), a_finding(confidence=0.1))
    (quote,) = verify(answer, a_question()).quotes
    assert quote.confidence == 0.9


@pytest.mark.parametrize(
    "wrapped",
    [
        pytest.param("{}", id="bare"),
        pytest.param("```json\n{}\n```", id="in a fence"),
        pytest.param('<think>先看第一句 {"findings": 1}</think>\n{}', id="after thoughts"),
    ],
)
def test_what_models_put_around_json_is_taken_off(wrapped: str) -> None:
    answer = wrapped.replace("{}", an_answer(a_finding()))
    assert len(verify(answer, a_question()).quotes) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("没有发现问题。", "answer_no_json", id="prose"),
        pytest.param("", "answer_no_json", id="nothing"),
        pytest.param('{"findings": [', "answer_no_json", id="broken off"),
        pytest.param("[" * 60_000, "answer_no_json", id="very deep"),
        pytest.param('{"result": []}', "answer_wrong_schema", id="another name"),
        pytest.param('{"findings": "none"}', "answer_wrong_schema", id="no list"),
        pytest.param("[]", "answer_wrong_schema", id="a list"),
        pytest.param(an_answer(*[a_finding()] * (MAX_FINDINGS + 1)), "answer_wrong_schema", id="too many"),
    ],
)
def test_what_is_no_answer_has_a_reason(text: str, reason: str) -> None:
    with pytest.raises(NotReadError) as caught:
        verify(text, a_question())
    assert caught.value.reason == reason


def test_the_schema_of_an_answer_closes_the_list_of_kinds() -> None:
    question = a_question()
    item = answer_schema(question)["properties"]["findings"]["items"]
    assert item["properties"]["kind"]["enum"] == [kind.id for kind in question.pack.kinds]
    assert set(item["required"]) == set(item["properties"])
