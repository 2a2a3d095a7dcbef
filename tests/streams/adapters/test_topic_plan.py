"""What `topics apply` would do of what there is: partitions only grow, and nothing is lost unasked."""

import pytest
from pydantic import ValidationError

from schemas.messages.topics import CALLS_ANALYZED, CALLS_ENDED, DAY_MS, RULES_PUBLISHED, AnyTopic
from streams.adapters.kafka.topic_plan import (
    FoundTopic,
    PlannedTopic,
    TopicsRefusedError,
    TopicStep,
    planned,
    require_nothing_lost,
)
from streams.settings import Settings


def wanted(
    topic: AnyTopic = CALLS_ENDED, partitions: int = 24, replicas: int = 3, insync: int = 0, days: int | None = None
) -> PlannedTopic:
    return PlannedTopic(topic, partitions, replicas, insync, 7, days)


def found(plan: PlannedTopic, partitions: int = 24, replicas: int = 3, **config: str) -> FoundTopic:
    return FoundTopic(partitions, replicas, plan.config(replicas) | {k.replace("_", "."): v for k, v in config.items()})


def test_a_topic_that_is_as_it_is_wanted_is_left_alone() -> None:
    step = TopicStep(wanted(), found(wanted()))
    assert (step.change, step.sentence(), step.to_set) == ("unchanged", "unchanged", {})


def test_a_missing_one_is_created() -> None:
    step = TopicStep(wanted(partitions=240), None)
    assert step.change == "created"
    assert step.sentence() == "to be created with 240 partitions, 3 replicas"


def test_partitions_grow_and_never_shrink() -> None:
    more, fewer = TopicStep(wanted(), found(wanted(), 12)), TopicStep(wanted(), found(wanted(), 48))
    assert (more.change, more.partitions_to_add) == ("partitions added", 12)
    assert more.sentence() == "partitions 12 -> 24"
    assert (fewer.change, fewer.partitions_to_add) == ("has more partitions", 0)
    assert fewer.sentence() == "keeps its 48 partitions, more than 24"


def test_a_longer_retention_is_set_without_a_question() -> None:
    step = TopicStep(wanted(days=30), found(wanted(days=30), retention_ms=str(7 * DAY_MS)))
    require_nothing_lost([step])
    assert step.sentence() == "retention.ms 7 days -> 30 days"


@pytest.mark.parametrize("former", [pytest.param("-1", id="for ever"), pytest.param(str(400 * DAY_MS), id="400 days")])
def test_a_shorter_retention_is_refused_until_it_is_allowed(former: str) -> None:
    step = TopicStep(wanted(CALLS_ANALYZED), found(wanted(CALLS_ANALYZED), retention_ms=former))
    with pytest.raises(TopicsRefusedError, match=r"Nothing was changed(.|\n)*calls.analyzed.v1.*-> 7 days"):
        require_nothing_lost([step], fewer_copies=True)
    require_nothing_lost([step], shorter_retention=True)


def test_what_was_kept_for_days_and_is_kept_for_ever_loses_nothing() -> None:
    step = TopicStep(wanted(RULES_PUBLISHED, 1), found(wanted(RULES_PUBLISHED, 1), 1, retention_ms=str(DAY_MS)))
    require_nothing_lost([step])
    assert step.change == "settings changed"


def test_fewer_copies_are_refused_until_they_are_allowed() -> None:
    step = TopicStep(wanted(replicas=3, insync=1), found(wanted(insync=1), min_insync_replicas="2"))
    with pytest.raises(TopicsRefusedError, match=r"min\.insync\.replicas 2 -> 1"):
        require_nothing_lost([step], shorter_retention=True)
    require_nothing_lost([step], fewer_copies=True)


def test_all_that_is_refused_is_named_at_once() -> None:
    steps = [
        TopicStep(wanted(topic), found(wanted(topic), retention_ms=str(500 * DAY_MS)))
        for topic in (CALLS_ENDED, CALLS_ANALYZED)
    ]
    with pytest.raises(TopicsRefusedError, match=r"calls.ended.v1(.|\n)*calls.analyzed.v1"):
        require_nothing_lost(steps)


@pytest.mark.parametrize(
    ("replicas", "asked", "insync"),
    [
        pytest.param(1, 0, 1, id="the only one"),
        pytest.param(2, 0, 1, id="two: one may be away"),
        pytest.param(3, 0, 2, id="three: two"),
        pytest.param(5, 0, 2, id="five: two, unless more are asked for"),
        pytest.param(5, 3, 3, id="as asked"),
        pytest.param(1, 2, 1, id="never more than there are"),
    ],
)
def test_so_many_must_have_a_message(replicas: int, asked: int, insync: int) -> None:
    assert wanted(insync=asked).config(replicas)["min.insync.replicas"] == str(insync)


def test_replicas_of_a_topic_that_is_there_are_told_and_not_changed() -> None:
    step = TopicStep(wanted(replicas=3), found(wanted(replicas=3), replicas=1))
    assert step.change == "unchanged"
    assert "keeps its 1 replica, 3 are wanted: kafka-reassign-partitions.sh" in step.sentence()


def test_plans_are_as_the_settings_say() -> None:
    (plan,) = planned(Settings(kafka_replication_factor=3, kafka_masked_days=9), [CALLS_ANALYZED])
    assert (plan.partitions, plan.replicas) == (12, 3)
    assert plan.config()["retention.ms"] == str(9 * DAY_MS)
    assert plan.config()["min.insync.replicas"] == "2"


@pytest.mark.parametrize(("replicas", "insync"), [(3, 3), (2, 2), (1, 2)])
def test_as_many_copies_as_there_are_replicas_are_refused(replicas: int, insync: int) -> None:
    with pytest.raises(ValidationError, match="kafka_min_insync_replicas"):
        Settings(kafka_replication_factor=replicas, kafka_min_insync_replicas=insync)
