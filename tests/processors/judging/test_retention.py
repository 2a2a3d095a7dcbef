"""How long a recording is kept: by event, by content, never shorter."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.judging.retention import RetentionPeriod, retention_by_content, retention_by_event
from schemas.config.retention import RetentionPolicy, read_retention_policy
from schemas.messages.call_analysis import TopicMention
from schemas.messages.call_ended import CallEnded
from tests.processors.transcripts import call

POLICY = read_retention_policy()


def event(industry: str, **changes: Any) -> CallEnded:
    return call(industry).model_copy(update=changes)


def topic(topic_id: str, name: str) -> TopicMention:
    return TopicMention(topic_id=topic_id, name=name, role="customer", quote="", confidence=1)


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        pytest.param(event("general"), RetentionPeriod("general", 180), id="R17: six months"),
        pytest.param(event("logistics"), RetentionPeriod("general", 180), id="an industry that has no class"),
        pytest.param(event("finance"), RetentionPeriod("finance", 1825), id="R18: up to five years"),
        pytest.param(event("medical"), RetentionPeriod("medical", 1825), id="R18 again"),
        pytest.param(event("education"), RetentionPeriod("education", 365), id="R81: one year"),
        pytest.param(
            event("education", inquiry_type="退费咨询"), RetentionPeriod("education_refund_3y", 1095), id="R82: refund"
        ),
        pytest.param(
            event("education", inquiry_type="课程报名"),
            RetentionPeriod("education_refund_3y", 1095),
            id="R82: enrolment",
        ),
        pytest.param(event("education", inquiry_type="课表"), RetentionPeriod("education", 365), id="another inquiry"),
        pytest.param(
            event("ecommerce", inquiry_type="退费"), RetentionPeriod("general", 180), id="R82 is about education alone"
        ),
    ],
)
def test_the_class_by_the_event_alone(of: CallEnded, expected: RetentionPeriod) -> None:
    assert retention_by_event(POLICY, of) == expected


REFUND = RetentionPeriod("education_refund_3y", 1095)
EDUCATION = RetentionPeriod("education", 365)


@pytest.mark.parametrize(
    ("known", "industry", "topics", "texts", "expected"),
    [
        pytest.param(EDUCATION, "education", [], ["想问一下课表"], EDUCATION, id="nothing of the kind"),
        pytest.param(EDUCATION, "education", [], ["你好", "我现在想退费"], REFUND, id="a phrase, without any topic"),
        pytest.param(EDUCATION, "education", [], ["我想報名"], REFUND, id="in traditional characters"),
        pytest.param(EDUCATION, "education", [topic("x", "退费规则")], [], REFUND, id="the name of a topic"),
        pytest.param(EDUCATION, "education", [topic("education.refund", "")], [], REFUND, id="the id of a topic"),
        pytest.param(EDUCATION, "education", [topic("education.schedule", "课表")], [], EDUCATION, id="another topic"),
        pytest.param(
            RetentionPeriod("general", 180),
            "ecommerce",
            [],
            ["我要退费"],
            RetentionPeriod("general", 180),
            id="another industry",
        ),
        pytest.param(REFUND, "education", [], ["课表"], REFUND, id="content never makes it shorter"),
        pytest.param(
            RetentionPeriod("old", 4000),
            "education",
            [],
            ["退费"],
            RetentionPeriod("old", 4000),
            id="nor does a newer policy",
        ),
        pytest.param(
            RetentionPeriod("same", 1095), "education", [], ["退费"], RetentionPeriod("same", 1095), id="nor rename it"
        ),
    ],
)
def test_the_class_after_the_call_was_heard(
    known: RetentionPeriod, industry: str, topics: list[TopicMention], texts: list[str], expected: RetentionPeriod
) -> None:
    assert retention_by_content(POLICY, known, event(industry), topics, texts) == expected


def policy(*classes: dict[str, Any]) -> RetentionPolicy:
    general = {"id": "general", "name": "n", "days": 180}
    return RetentionPolicy.model_validate({"version": 1, "owner": "o", "classes": [general, *classes]})


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        pytest.param({"tenants": ["acme"]}, 900, id="the tenant"),
        pytest.param({"tenants": ["other"]}, 180, id="another tenant"),
        pytest.param({"course_types": ["k12"]}, 900, id="the course type"),
        pytest.param({"course_types": ["adult"]}, 180, id="another course type"),
        pytest.param({"order_statuses": ["disputed"]}, 900, id="the status of the order"),
        pytest.param({"order_statuses": ["paid"]}, 180, id="another status"),
        pytest.param({"course_types": ["k12"], "industries": ["finance"]}, 180, id="all that is given must fit"),
    ],
)
def test_what_the_event_must_say(when: dict[str, Any], expected: int) -> None:
    of = event("education", course_type="k12", order_status="disputed")
    assert retention_by_event(policy({"id": "long", "name": "n", "days": 900, "when": when}), of).days == expected


def test_of_several_classes_that_fit_the_longest_wins_wherever_it_stands() -> None:
    classes = [{"id": f"c{days}", "name": "n", "days": days} for days in (500, 900, 700)]
    assert retention_by_event(policy(*classes), event("general")) == RetentionPeriod("c900", 900)


def test_content_never_shortens() -> None:
    lengthened = 0

    @settings(max_examples=300)
    @given(
        of=st.builds(
            event,
            st.sampled_from(["general", "education", "finance"]),
            inquiry_type=st.sampled_from([None, "退费", "其他"]),
        ),
        before=st.none() | st.integers(180, 3_000),
        topics=st.lists(st.sampled_from(["退费", "课表"]), max_size=1),
        said=st.sampled_from(["我要报名", "你好"]),
    )
    def holds(of: CallEnded, before: int | None, topics: list[str], said: str) -> None:
        nonlocal lengthened
        known = retention_by_event(POLICY, of) if before is None else RetentionPeriod("before", before)
        kept = retention_by_content(POLICY, known, of, [topic("t", name) for name in topics], [said])
        assert kept.days >= known.days
        assert kept == known or kept.days > known.days
        lengthened += kept.days > known.days

    holds()
    assert lengthened > 20
