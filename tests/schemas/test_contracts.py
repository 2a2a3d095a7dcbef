"""The published contracts are those of the models, and the example messages keep them."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from schemas.contracts import (
    ASYNCAPI_FILE,
    CONTRACTS_FOLDER,
    JSON_SCHEMA_DIALECT,
    contracts_text,
    schema_file,
)
from schemas.messages.alert import Alert
from schemas.messages.dead_letter import DeadLetter
from schemas.messages.finding import Finding
from schemas.messages.topics import (
    ALERTS_DELIVERED,
    AUDIT_CHECKPOINTS,
    CALLS_DEAD_LETTERS,
    CALLS_ENDED,
    CALLS_LISTED,
    CALLS_RATED,
    CUSTODY_CHANGED,
    FACTS_RECEIVED,
    RECORDINGS_ACCESSED,
    RULES_PUBLISHED,
    TOPICS,
    TRANSCRIPTS_RECEIVED,
    VERDICTS_GIVEN,
    AnyTopic,
    message_key,
)
from streams.topology import operations

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "tests" / "examples"
OPERATIONS = operations()
FILES = {Path(name).name: text for name, text in contracts_text(OPERATIONS).items()}
SCHEMA_OF_FOLDER = {**{topic.name: schema_file(topic.message) for topic in TOPICS}, "finding": schema_file(Finding)}
ASYNCAPI = json.loads(FILES[ASYNCAPI_FILE])


def test_the_files_in_docs_are_those_that_the_models_make() -> None:
    of_serve = REPOSITORY / CONTRACTS_FOLDER / "openapi.json"
    written = sorted(set((REPOSITORY / CONTRACTS_FOLDER).iterdir()) - {of_serve})
    on_disk = {str(path.relative_to(REPOSITORY)): path.read_text(encoding="utf-8") for path in written}
    assert on_disk == contracts_text(OPERATIONS), "run `callstream contracts`"


@pytest.mark.parametrize("name", SCHEMA_OF_FOLDER.values())
def test_a_schema_is_a_valid_schema_of_its_dialect(name: str) -> None:
    schema = json.loads(FILES[name])
    assert schema["$schema"] == JSON_SCHEMA_DIALECT == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_a_schema_refuses_a_field_that_it_does_not_name_where_other_programs_write(topic: AnyTopic) -> None:
    errors = Draft202012Validator(json.loads(FILES[schema_file(topic.message)])).iter_errors({"agnet": "A1"})
    assert ("additionalProperties" in {error.validator for error in errors}) is topic.from_outside


def test_schemas_refuse_unknown_fields_in_exactly_the_parts_that_decoding_does() -> None:
    """All of an event from outside; of a published pack the pack, not what stands around it; elsewhere nothing."""
    refusing = {name: set(_refusing_objects(json.loads(FILES[name]))) for name in SCHEMA_OF_FOLDER.values()}
    named = {name: set(_objects(json.loads(FILES[name]))) for name in SCHEMA_OF_FOLDER.values()}
    assert {name for name, objects in refusing.items() if objects} == {
        "call_ended.v1.schema.json",
        "call_listed.v1.schema.json",
        "call_rated.v1.schema.json",
        "fact_received.v1.schema.json",
        "rules_published.v1.schema.json",
        "transcript_received.v1.schema.json",
        "verdict_given.v1.schema.json",
    }
    for topic in (CALLS_ENDED, CALLS_LISTED, CALLS_RATED, FACTS_RECEIVED, TRANSCRIPTS_RECEIVED, VERDICTS_GIVEN):
        assert refusing[schema_file(topic.message)] == named[schema_file(topic.message)]
    pack = "rules_published.v1.schema.json"
    assert named[pack] - refusing[pack] == {"RulesPublished"}


def _objects(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every model in a schema, by its title."""
    return {each["title"]: each for each in (schema, *schema.get("$defs", {}).values()) if "properties" in each}


def _refusing_objects(schema: dict[str, Any]) -> list[str]:
    return [name for name, each in _objects(schema).items() if each.get("additionalProperties") is False]


@pytest.mark.parametrize(
    "path",
    [path for folder in SCHEMA_OF_FOLDER for path in sorted((EXAMPLES / folder).glob("*.json"))],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_an_example_keeps_its_schema(path: Path) -> None:
    schema = json.loads(FILES[SCHEMA_OF_FOLDER[path.parent.name]])
    Draft202012Validator(schema).validate(json.loads(path.read_text(encoding="utf-8")))


def test_every_reference_in_the_asyncapi_document_leads_somewhere() -> None:
    references = list(_references(ASYNCAPI))
    assert len(references) == len(TOPICS) + len({topic.message for topic in TOPICS}) + 2 * len(OPERATIONS)
    for reference in references:
        file, _, pointer = reference.partition("#")
        if file:
            assert file.removeprefix("./") in FILES, reference
        else:
            _resolve(pointer)


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [reference for part in node.values() for reference in _references(part)]
    return [reference for part in node for reference in _references(part)] if isinstance(node, list) else []


def _resolve(pointer: str) -> object:
    node = ASYNCAPI
    for part in pointer.split("/")[1:]:
        node = node[part]
    return node


def test_the_asyncapi_document_has_what_version_3_requires() -> None:
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(ASYNCAPI["info"])
    assert {operation["action"] for operation in ASYNCAPI["operations"].values()} == {"send", "receive"}
    for operation in ASYNCAPI["operations"].values():
        channel = operation["channel"]["$ref"]
        assert all(message["$ref"].startswith(f"{channel}/messages/") for message in operation["messages"])


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_every_topic_is_a_channel_with_the_settings_that_the_broker_gets(topic: AnyTopic) -> None:
    channel = ASYNCAPI["channels"][topic.name]
    kafka = channel["bindings"]["kafka"]
    assert (channel["address"], channel["description"]) == (topic.name, topic.purpose)
    assert (kafka["topic"], kafka["partitions"]) == (topic.name, topic.partitions)
    written = {
        key: ",".join(value) if isinstance(value, list) else str(value)
        for key, value in kafka["topicConfiguration"].items()
    }
    assert written == topic.config()


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_every_topic_is_written_and_read_by_a_stage(topic: AnyTopic) -> None:
    assert {operation.action for operation in OPERATIONS if operation.topic is topic} == {"send", "receive"}


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_the_key_schema_accepts_the_keys_that_the_stages_write(topic: AnyTopic) -> None:
    schema = ASYNCAPI["components"]["messages"][topic.message.__name__]["bindings"]["kafka"]["key"]
    key = message_key("demo", "ivr2:9021").decode()
    if topic is CALLS_DEAD_LETTERS:
        key = DeadLetter.id_of("listen", "calls.ended.v1", 0, 7)
    if topic in (ALERTS_DELIVERED, RECORDINGS_ACCESSED):
        key = Alert.id_of("demo", "ivr2:9021", "finance.no_loss", "1")
    if topic is CUSTODY_CHANGED:
        assert Draft202012Validator(schema).is_valid("*/6e4d7313-21d5-53a0-82cf-e9829230bf79")
    if topic is RULES_PUBLISHED:
        key = "*/finance@12"
    if topic is AUDIT_CHECKPOINTS:
        key = "1207"
    if topic is FACTS_RECEIVED:
        key = sha256(b"demo/order/SO1").hexdigest()
    validator = Draft202012Validator(schema, format_checker=FormatChecker(["uuid"]))
    assert validator.is_valid(key)
    assert not validator.is_valid("demo/../x")
