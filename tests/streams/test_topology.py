"""One table is the topology: what is made from it fits it, and each stage has all that belongs to it."""

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

from processors.custody.ports import PURPOSES
from schemas.messages.topics import (
    ALERTS_RAISED,
    AUDIT_CHECKPOINTS,
    CALLS_REANALYZED,
    TOPICS,
    TRANSCRIPTS_RECEIVED,
    AnyTopic,
)
from streams.embedded.stack import stages_of
from streams.settings import Settings, load_settings, setting_groups
from streams.topology import STAGES, WORKER_NAMES, WORKERS, StageEntry, consumer_groups, operations

REPOSITORY = Path(__file__).parents[2]


def test_every_name_stands_once() -> None:
    names = [stage.name for stage in STAGES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("stage", WORKERS, ids=lambda stage: stage.name)
def test_a_worker_has_its_file_its_builder_and_its_test(stage: StageEntry) -> None:
    assert (REPOSITORY / "streams" / "stages" / f"{stage.name}.py").is_file()
    assert stage.builder == f"streams.stages.{stage.name}:build"
    assert callable(resolve_name(stage.builder))
    assert (REPOSITORY / "tests" / "streams" / "stages" / f"test_{stage.name}.py").is_file()


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_a_topic_is_written_and_read_and_has_an_example_message(topic: AnyTopic) -> None:
    assert {operation.action for operation in operations() if operation.topic is topic} == {"send", "receive"}
    assert list((REPOSITORY / "tests" / "examples" / topic.name).glob("*.json"))


def test_store_reads_every_topic_but_texts_in_clear_and_anchors() -> None:
    (store,) = (stage for stage in STAGES if stage.name == "store")
    assert [read.topic for read in store.reads if read.topic not in TOPICS] == []
    assert {read.topic for read in store.reads} == set(TOPICS) - {TRANSCRIPTS_RECEIVED, AUDIT_CHECKPOINTS}


def test_texts_in_clear_are_read_by_one_stage_alone() -> None:
    assert [stage.name for stage in STAGES if TRANSCRIPTS_RECEIVED in [read.topic for read in stage.reads]] == [
        "receive"
    ]


OPENS = {
    "serve": {"audio keys", "received keys"},
    "collect": {"audio keys"},
    "listen": {"audio keys", "transcript keys"},
    "receive": {"received keys", "transcript keys"},
    "replay": {"transcript keys"},
    "heal": {"transcript keys"},
    "play": {"audio keys", "transcript keys"},
    "keep": {"audio keys", "transcript keys"},
}
"""What each stage may open or seal; all others have no key of anything."""


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_is_given_the_keys_that_it_needs_and_no_others(stage: StageEntry) -> None:
    opens = {group for group in stage.setting_groups if group.endswith(" keys")}
    assert opens == OPENS.get(stage.name, set())
    assert ("keys" in stage.setting_groups) == bool(opens)


def test_groups_of_keys_are_those_of_the_purposes() -> None:
    """Else the test above would see none."""
    assert {group for group in setting_groups() if group.endswith(" keys")} == {f"{name} keys" for name in PURPOSES}


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_an_entry_says_what_the_stage_does_and_how_it_scales(stage: StageEntry) -> None:
    assert stage.summary
    assert stage.scales_by
    assert stage.needs_setting == "" or stage.needs_setting in Settings.model_fields


def test_the_table_loads_without_what_stages_need() -> None:
    """`callstream --help` reads it."""
    source = (REPOSITORY / "streams" / "topology.py").read_text(encoding="utf-8")
    assert set(re.findall(r"^from (\w+)[.\w]* import|^import (\w+)", source, re.MULTILINE)) <= {
        ("collections", ""),
        ("dataclasses", ""),
        ("schemas", ""),
    }


def test_a_stack_runs_some_stages_only_where_there_is_something_to_read_or_somebody_to_send_to() -> None:
    without = load_settings({}).settings
    subscriptions = {"CALLSTREAM_SUBSCRIPTIONS_FILE": "/etc/callstream/subscriptions.yaml"}
    reader = {
        "CALLSTREAM_SECOND_READER_URL": "https://llm.example/v1/chat/completions",
        "CALLSTREAM_SECOND_READER_MODEL": "qwen",
    }
    inbox = {"CALLSTREAM_COLLECT_FROM": "/var/spool/recordings"}
    with_all = load_settings(subscriptions | reader | inbox).settings
    assert set(stages_of(with_all)) == set(WORKER_NAMES)
    assert set(WORKER_NAMES) - set(stages_of(load_settings(subscriptions).settings)) == {"collect", "second_read"}
    assert set(WORKER_NAMES) - set(stages_of(without)) == {"collect", "notify", "second_read"}


def test_a_second_reader_that_nobody_has_named_is_never_behind() -> None:
    named = load_settings({"CALLSTREAM_SECOND_READER_URL": "https://a/v1", "CALLSTREAM_SECOND_READER_MODEL": "qwen"})
    assert set(consumer_groups([], named.settings)) - set(consumer_groups()) == {"second_read", "second_read.history"}
    assert consumer_groups([], load_settings({}).settings) == consumer_groups()


def test_every_subscription_is_a_consumer_group_and_notify_itself_is_none() -> None:
    groups = consumer_groups(["desk"])
    assert {group: topics for group, topics in groups.items() if group.partition(".")[0] in ("store", "notify")} == {
        "store": tuple(
            topic.name for topic in TOPICS if topic not in (CALLS_REANALYZED, TRANSCRIPTS_RECEIVED, AUDIT_CHECKPOINTS)
        ),
        "store.history": (CALLS_REANALYZED.name,),
        "notify.desk": (ALERTS_RAISED.name,),
    }
