"""The contracts with other systems, made from the models: JSON Schemas and one AsyncAPI document.

Pure: nothing is read or written here. `callstream contracts` writes the files, a test keeps them current.
"""

import json
import re
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, TypeAdapter

from schemas.messages.finding import Finding
from schemas.messages.message import Identifier, TenantId
from schemas.messages.topics import (
    ALERTS_DELIVERED,
    ALERTS_RAISED,
    CALLS_ANALYZED,
    CALLS_DEAD_LETTERS,
    CALLS_ENDED,
    CALLS_RATED,
    CALLS_REANALYZED,
    CALLS_TRANSCRIBED,
    RECORDINGS_ACCESSED,
    RULES_PUBLISHED,
    TOPICS,
    AnyTopic,
)

CONTRACTS_FOLDER = "docs/contracts"
"""Where the files stand in the repository."""

ASYNCAPI_FILE = "asyncapi.json"
JSON_SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
KAFKA_BINDING_VERSION = "0.5.0"
CONTRACT_VERSION = "1.2.0"
"""Of the document: the second figure rises with a new topic or optional field, the first with a `.v2` topic."""

Json = dict[str, object]


@dataclass(frozen=True)
class Operation:
    """One stage, what it does with a topic, and why."""

    stage: Literal[
        "ingest", "listen", "judge", "rules", "replay", "store", "watch", "rollup", "notify", "rate", "access_log"
    ]
    action: Literal["send", "receive"]
    topic: AnyTopic
    summary: str


OPERATIONS: tuple[Operation, ...] = (
    Operation("ingest", "send", CALLS_ENDED, "announce a recording that is durable in the object store"),
    Operation("rate", "send", CALLS_RATED, "what became known of a call after it"),
    Operation("listen", "receive", CALLS_ENDED, "fetch the recording and recognise it"),
    Operation("listen", "send", CALLS_TRANSCRIBED, "what was said, or why the recording could not be heard"),
    Operation("listen", "send", CALLS_DEAD_LETTERS, "an event that can never be processed"),
    Operation("rules", "send", RULES_PUBLISHED, "put a version of a rule pack into force"),
    Operation("judge", "receive", RULES_PUBLISHED, "take over the rules in force"),
    Operation("judge", "receive", CALLS_TRANSCRIBED, "apply rules and measures"),
    Operation("judge", "send", CALLS_ANALYZED, "the judgement of the call"),
    Operation("judge", "send", ALERTS_RAISED, "what subscribers must hear of"),
    Operation("judge", "send", CALLS_DEAD_LETTERS, "a transcript that can never be processed"),
    Operation("replay", "receive", CALLS_TRANSCRIBED, "read history, from a day on"),
    Operation("replay", "receive", RULES_PUBLISHED, "find the version of the rules that was asked for"),
    Operation("replay", "send", CALLS_REANALYZED, "the judgement of a past call under the rules of today"),
    Operation("replay", "send", ALERTS_RAISED, "the same of past calls, only when asked"),
    Operation("store", "receive", CALLS_ENDED, "account for every call"),
    Operation("store", "receive", CALLS_TRANSCRIBED, "rows of what was said"),
    Operation("store", "receive", CALLS_ANALYZED, "rows of calls, findings and outcomes"),
    Operation("store", "receive", CALLS_REANALYZED, "rows of calls and findings that were judged again"),
    Operation("store", "receive", CALLS_RATED, "rows of what became known of calls later"),
    Operation("store", "receive", RULES_PUBLISHED, "rows of rule packs"),
    Operation("store", "receive", ALERTS_RAISED, "rows of alerts"),
    Operation("store", "receive", ALERTS_DELIVERED, "rows of attempts to deliver alerts"),
    Operation("store", "receive", RECORDINGS_ACCESSED, "rows of the log of access"),
    Operation("store", "receive", CALLS_DEAD_LETTERS, "rows of what was refused"),
    Operation("store", "send", CALLS_DEAD_LETTERS, "a message that only this stage reads and cannot decode"),
    Operation("watch", "send", ALERTS_RAISED, "a surge of calls about a topic, found in ClickHouse"),
    Operation("notify", "receive", ALERTS_RAISED, "deliver each alert to the subscriptions that ask for it"),
    Operation("notify", "send", ALERTS_DELIVERED, "each attempt, and why there was none"),
    Operation("access_log", "send", RECORDINGS_ACCESSED, "whatever shows recordings to people, before it does"),
)


def contracts_text() -> dict[str, str]:
    """Path from the repository's root → content: a JSON Schema for each message and one AsyncAPI document."""
    documents: dict[str, Json] = {schema_file(topic.message): schema_of(topic.message) for topic in TOPICS}
    documents[schema_file(Finding)] = schema_of(Finding)
    documents[ASYNCAPI_FILE] = asyncapi()
    return {
        f"{CONTRACTS_FOLDER}/{name}": json.dumps(document, ensure_ascii=False, indent=2) + "\n"
        for name, document in documents.items()
    }


def schema_file(model: type[BaseModel]) -> str:
    """`call_ended.v1.schema.json`; a part that carries no version of its own has none in its file name."""
    version = model.model_fields.get("schema_version")
    return f"{_snake(model.__name__)}{f'.v{version.default}' if version else ''}.schema.json"


def schema_of(model: type[BaseModel]) -> Json:
    """JSON Schema (2020-12) of what is accepted on the wire."""
    name = schema_file(model).removesuffix(".schema.json")
    return {"$schema": JSON_SCHEMA_DIALECT, "$id": f"urn:callstream:{name}", **model.model_json_schema()}


def asyncapi() -> Json:
    """The AsyncAPI 3.0 document: every topic as a channel, and which stage sends and receives there."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "callstream",
            "version": CONTRACT_VERSION,
            "description": "Finished calls as events: heard, judged, stored and alerted of. One topic per step, one "
            "message type per topic; delivery is at least once. All messages about a call carry the same key, but for "
            "its dead letters, the deliveries of its alerts and the record of who accessed it.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": {_operation_id(operation): _operation(operation) for operation in OPERATIONS},
        "components": {"messages": {topic.message.__name__: _message(topic) for topic in TOPICS}},
    }


def _channel(topic: AnyTopic) -> Json:
    name = topic.message.__name__
    return {
        "address": topic.name,
        "title": topic.name,
        "description": topic.purpose,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": _topic_configuration(topic),
                "bindingVersion": KAFKA_BINDING_VERSION,
            }
        },
    }


def _topic_configuration(topic: AnyTopic) -> Json:
    """`Topic.config()` in the types of the Kafka binding: policies as a list, numbers as numbers."""
    return {
        key: value.split(",") if key == "cleanup.policy" else int(value) if re.fullmatch(r"-?\d+", value) else value
        for key, value in topic.config().items()
    }


def _operation_id(operation: Operation) -> str:
    return f"{operation.stage}.{operation.action}.{operation.topic.name}"


def _operation(operation: Operation) -> Json:
    channel = f"#/channels/{operation.topic.name}"
    return {
        "action": operation.action,
        "channel": {"$ref": channel},
        "title": f"{operation.stage}: {operation.action} {operation.topic.name}",
        "summary": operation.summary,
        "tags": [{"name": operation.stage}],
        "messages": [{"$ref": f"{channel}/messages/{operation.topic.message.__name__}"}],
    }


def _message(topic: AnyTopic) -> Json:
    return {
        "name": topic.message.__name__,
        "title": _first_line(topic.message),
        "contentType": "application/json",
        "payload": {"$ref": f"./{schema_file(topic.message)}"},
        "bindings": {"kafka": {"key": _key_schema(topic), "bindingVersion": KAFKA_BINDING_VERSION}},
    }


def _key_schema(topic: AnyTopic) -> Json:
    if topic is CALLS_DEAD_LETTERS:
        return {"type": "string", "format": "uuid", "description": "dead_letter_id"}
    if topic is RECORDINGS_ACCESSED:
        return {"type": "string", "format": "uuid", "description": "access_id"}
    if topic is ALERTS_DELIVERED:
        return {"type": "string", "format": "uuid", "description": "alert_id"}
    tenant, call = (TypeAdapter(kind).json_schema()["pattern"][1:-1] for kind in (TenantId, Identifier))
    return {
        "type": "string",
        "pattern": f"^{tenant}/{call}$",
        "description": "<tenant_id>/<call_id>: everything about one call lies in one partition, in order",
    }


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or model.__name__).strip().splitlines()[0]


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
