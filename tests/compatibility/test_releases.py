"""Workers of the last release and of today run side by side: each reads what the other writes.

What a release wrote and expected is kept beside this file (`tests.compatibility.freeze`), because a clone may have no
tags.
"""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from processors.judging.pipeline import ANALYSIS_VERSION
from schemas.contracts import message_schemas, schema_file
from schemas.messages.topics import TOPICS, AnyTopic
from tests.compatibility.freeze import ANALYSIS_VERSION_FILE, EXAMPLES, freeze, frozen_releases, version_of

RELEASES = frozen_releases()
LAST = RELEASES[max(RELEASES)]
TOPIC_OF = {topic.name: topic for topic in TOPICS}

Json = dict[str, Any]


def examples(folder: Path, topic: AnyTopic) -> list[Json]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / topic.name).glob("*.json"))]


def schema_of_last_release(topic: AnyTopic) -> Json:
    schema: Json = json.loads((LAST / "schemas" / schema_file(topic.message)).read_text(encoding="utf-8"))
    return schema


def problems(schema: Json, message: Json, *, ignore_unknown_fields: bool) -> list[str]:
    """Where a message breaks a schema, and how. Never a value."""
    errors = (leaf for error in Draft202012Validator(schema).iter_errors(message) for leaf in _leaves(error))
    return [
        f"{error.json_path}: {error.validator}"
        for error in errors
        if not (ignore_unknown_fields and error.validator == "additionalProperties")
    ]


def _leaves(error: ValidationError) -> Iterator[ValidationError]:
    """The innermost errors: in `anyOf` those of the branch that fits best, which is the one with the fewest."""
    if not error.context:
        yield error
        return
    branches: dict[object, list[ValidationError]] = {}
    for inner in error.context:
        branches.setdefault(inner.schema_path[0], []).append(inner)
    for inner in min(branches.values(), key=len):
        yield from _leaves(inner)


def in_both(topic: AnyTopic) -> bool:
    return (LAST / "examples" / topic.name).is_dir()


old_topics = pytest.mark.parametrize("topic", [t for t in TOPICS if in_both(t)], ids=lambda topic: topic.name)


@pytest.mark.parametrize("release", RELEASES.values(), ids=lambda folder: folder.name)
def test_messages_of_every_release_are_read_today(release: Path) -> None:
    """From topics that keep them for 400 days, and from the bucket of transcripts."""
    folders = [folder for folder in sorted((release / "examples").iterdir()) if folder.name in TOPIC_OF]
    assert folders
    for folder in folders:
        for path in sorted(folder.glob("*.json")):
            TOPIC_OF[folder.name].decode(path.read_bytes())


def test_every_topic_of_the_last_release_is_still_there() -> None:
    """Its messages may wait there for a worker; a topic goes one release after nobody writes to it."""
    assert {folder.name for folder in (LAST / "examples").iterdir()} - {"finding"} <= set(TOPIC_OF)


@old_topics
def test_messages_of_today_keep_the_schema_of_the_last_release(topic: AnyTopic) -> None:
    """Unknown fields do not count: inside they are ignored, from outside and in a rule pack they are sent only once all
    workers know them."""
    schema = schema_of_last_release(topic)
    for message in examples(EXAMPLES, topic):
        assert problems(schema, message, ignore_unknown_fields=True) == []


@old_topics
def test_messages_of_the_last_release_keep_the_schema_of_today(topic: AnyTopic) -> None:
    schemas = message_schemas()
    for message in examples(LAST / "examples", topic):
        assert problems(schemas[schema_file(topic.message)], message, ignore_unknown_fields=False) == []


@old_topics
def test_these_tests_see_a_field_that_was_made_required_renamed_or_of_another_type(topic: AnyTopic) -> None:
    schema = schema_of_last_release(topic)
    required = schema["required"][0]
    for message in examples(LAST / "examples", topic):
        renamed = {(f"{name}_renamed" if name == required else name): value for name, value in message.items()}
        retyped = message | {required: [[]]}
        assert "$: required" in problems(schema, renamed, ignore_unknown_fields=True)
        assert problems(schema, retyped, ignore_unknown_fields=True) != []


def test_a_version_is_not_released_without_its_messages() -> None:
    project = tomllib.loads((EXAMPLES.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert version_of(project["version"]) <= max(RELEASES), "run `make freeze VERSION=…` before the release"


def test_freezing_again_writes_the_folder_anew(tmp_path: Path) -> None:
    folder = freeze("7.1.0", tmp_path)
    (folder / "schemas" / "gone.schema.json").write_text("{}", encoding="utf-8")

    assert freeze("7.1.0", tmp_path) == folder

    names = {path.name for path in (folder / "schemas").iterdir()}
    assert names == set(message_schemas())
    assert {path.name for path in (folder / "examples").iterdir()} == {path.name for path in EXAMPLES.iterdir()}
    with pytest.raises(ValueError, match="no version"):
        freeze("next", tmp_path)


def test_each_minor_release_has_a_higher_version_of_the_analysis() -> None:
    """Else a worker of the release before would take back what a newer one has judged, and `changes` told nobody."""
    project = tomllib.loads((EXAMPLES.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = version_of(project["version"])
    before = [release for release in RELEASES if release[:2] < version[:2]]
    judged_before = int((RELEASES[max(before)] / ANALYSIS_VERSION_FILE).read_text(encoding="utf-8"))
    assert judged_before < ANALYSIS_VERSION, "raise ANALYSIS_VERSION in processors/judging/pipeline.py by one"
