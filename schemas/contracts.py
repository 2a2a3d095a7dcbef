"""The contracts with other systems, made from the models: JSON Schemas and one AsyncAPI document.

Pure: nothing is read or written here. `callstream contracts` writes the files, a test keeps them current.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from schemas.messages.finding import Finding
from schemas.messages.message import Identifier, TenantId
from schemas.messages.topics import TOPICS, AnyTopic

CONTRACTS_FOLDER = "docs/contracts"
"""Where the files stand in the repository."""

ASYNCAPI_FILE = "asyncapi.json"
JSON_SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
KAFKA_BINDING_VERSION = "0.5.0"
CONTRACT_VERSION = "1.4.0"
"""Of the document: the second figure rises with a new topic or optional field, the first with a `.v2` topic."""

Json = dict[str, object]


@dataclass(frozen=True)
class Operation:
    """One stage, what it does with a topic, and why."""

    stage: str
    action: Literal["send", "receive"]
    topic: AnyTopic
    summary: str


def contracts_text(operations: Sequence[Operation]) -> dict[str, str]:
    """Path from the repository's root → content: a JSON Schema for each message and one AsyncAPI document.

    `operations` say which stage reads and writes which topic.
    """
    documents = message_schemas() | {ASYNCAPI_FILE: asyncapi(operations)}
    return {
        f"{CONTRACTS_FOLDER}/{name}": json.dumps(document, ensure_ascii=False, indent=2) + "\n"
        for name, document in documents.items()
    }


def message_schemas() -> dict[str, Json]:
    """File name → JSON Schema: of each message, and of a finding."""
    return {
        **{schema_file(topic.message): schema_of_topic(topic) for topic in TOPICS},
        schema_file(Finding): _schema_of(Finding, _TolerantSchema),
    }


def schema_file(model: type[BaseModel]) -> str:
    """`call_ended.v1.schema.json`; a part that carries no version of its own has none in its file name."""
    version = model.model_fields.get("schema_version")
    return f"{_snake(model.__name__)}{f'.v{version.default}' if version else ''}.schema.json"


class _TolerantSchema(GenerateJsonSchema):
    """Of a message between own stages: what it does not name is no error."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        document = super().model_schema(schema)
        document.pop("additionalProperties", None)
        return document


def schema_of_topic(topic: AnyTopic) -> Json:
    """JSON Schema (2020-12) of what is accepted on the wire. Unknown fields are refused where it says
    `additionalProperties: false`, and ignored elsewhere."""
    tolerant = not topic.from_outside and topic.message.own_unknown_fields == "ignore"
    return _schema_of(topic.message, _TolerantSchema if tolerant else GenerateJsonSchema)


def _schema_of(model: type[BaseModel], generator: type[GenerateJsonSchema]) -> Json:
    name = schema_file(model).removesuffix(".schema.json")
    schema = model.model_json_schema(schema_generator=generator)
    return {"$schema": JSON_SCHEMA_DIALECT, "$id": f"urn:callstream:{name}", **schema}


def asyncapi(operations: Sequence[Operation]) -> Json:
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
        "operations": {_operation_id(operation): _operation(operation) for operation in operations},
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
        "summary": _unknown_fields(topic),
        "contentType": "application/json",
        "payload": {"$ref": f"./{schema_file(topic.message)}"},
        "bindings": {"kafka": {"key": _key_schema(topic), "bindingVersion": KAFKA_BINDING_VERSION}},
    }


def _unknown_fields(topic: AnyTopic) -> str:
    if topic.from_outside:
        return "Written also by other programs: a message with an unknown field is refused."
    return "Written by callstream alone. Readers ignore unknown fields, except where the schema refuses them."


def _key_schema(topic: AnyTopic) -> Json:
    if topic.key_means in topic.message.model_fields:
        return {"type": "string", "format": "uuid", "description": topic.key_means}
    if topic.key_pattern is not None:
        return {"type": "string", "pattern": topic.key_pattern, "description": topic.key_means}
    tenant, call = (TypeAdapter(kind).json_schema()["pattern"][1:-1] for kind in (TenantId, Identifier))
    return {
        "type": "string",
        "pattern": f"^{tenant}/{call}$",
        "description": f"{topic.key_means}: everything about one call lies in one partition, in order",
    }


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or model.__name__).strip().splitlines()[0]


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
