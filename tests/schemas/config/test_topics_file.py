"""How many partitions topics have and how long they are kept: what the file says, and what no file may say."""

from pathlib import Path

import pytest

from schemas.config.topics_file import AS_DECLARED, TopicsFileError, read_topics_file
from schemas.messages.topics import (
    CALLS_ANALYZED,
    CALLS_DEAD_LETTERS,
    CALLS_ENDED,
    CALLS_RATED,
    DAY_MS,
    RULES_PUBLISHED,
    TOPICS,
)

EXAMPLE = Path(__file__).parents[3] / "deploy" / "topics.example.yaml"


def written(folder: Path, text: str) -> Path:
    file = folder / "topics.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_without_a_file_topics_are_as_declared() -> None:
    assert read_topics_file(None) is AS_DECLARED
    for topic in TOPICS:
        assert AS_DECLARED.partitions_of(topic) == topic.partitions
        assert AS_DECLARED.retention_days_of(topic) is None


def test_a_topic_is_as_its_entry_says_then_as_the_file_says_for_all(tmp_path: Path) -> None:
    file = read_topics_file(
        written(
            tmp_path,
            "version: 1\npartitions: 240\n"
            "topics:\n  calls.rated.v1: {partitions: 24}\n  calls.ended.v1: {retention_days: 3}\n",
        )
    )
    assert file.partitions_of(CALLS_RATED) == 24
    assert file.partitions_of(CALLS_ENDED) == 240
    assert file.retention_days_of(CALLS_ENDED) == 3
    assert file.retention_days_of(CALLS_RATED) is None
    assert file.partitions_of(RULES_PUBLISHED) == file.partitions_of(CALLS_DEAD_LETTERS) == 1


def test_what_is_kept_for_days_is_in_files_that_are_closed_after_a_day() -> None:
    assert CALLS_ENDED.config(retention_days=3)["retention.ms"] == str(3 * DAY_MS)
    assert CALLS_ENDED.config(retention_days=3)["segment.ms"] == str(DAY_MS)
    assert "segment.ms" not in CALLS_ENDED.config(retention_days=30)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(
            "version: 1\ntopics: {calls.ended.v2: {partitions: 3}}", "calls.ended.v2 is no topic", id="no such topic"
        ),
        pytest.param(
            "version: 1\ntopics: {rules.published.v1: {partitions: 3}}", "has one partition", id="it is one order"
        ),
        pytest.param(
            "version: 1\ntopics: {calls.analyzed.v1: {retention_days: 30}}", "kafka_masked_days", id="masked text"
        ),
        pytest.param(
            "version: 1\ntopics: {audit.checkpoints.v1: {retention_days: 30}}", "kept for ever", id="kept for ever"
        ),
        pytest.param(
            "version: 1\ntopics: {transcripts.received.v1: {retention_days: 9}}", "sealed originals", id="kept with"
        ),
        pytest.param("version: 1\npartitions: 0", "partitions", id="no partition at all"),
        pytest.param("version: 1\npartitions: 100000", "partitions", id="too many"),
        pytest.param("version: 1\ntopics: {calls.ended.v1: {replicas: 3}}", "replicas", id="an unknown field"),
        pytest.param("version: 2", "version", id="another version"),
        pytest.param("- calls.ended.v1", "must hold a mapping", id="a list"),
    ],
)
def test_what_cannot_be_is_refused_and_named(tmp_path: Path, text: str, sentence: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(TopicsFileError, match=sentence) as refused:
        read_topics_file(file)
    assert str(file) in str(refused.value)


def test_the_example_can_be_used_and_says_what_it_says_it_is() -> None:
    file = read_topics_file(EXAMPLE)
    assert file.partitions_of(CALLS_ENDED) == file.partitions_of(CALLS_ANALYZED) == 240
    one_order = {topic.name for topic in TOPICS if topic.is_one_order}
    assert all(name in EXAMPLE.read_text(encoding="utf-8") for name in one_order)
