"""What each worker may do on Kafka, made of `streams.topology`, as a script, JSON or KafkaUsers of Strimzi.

Who may read or write may also describe: Kafka implies that. Idempotent producers need no right of their own.
"""

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import yaml

from schemas.messages.topics import TOPICS
from streams.adapters.kafka.canary import CANARY_TOPIC
from streams.adapters.kafka.client import GROUP_PREFIX
from streams.topology import STAGES, StageEntry, groups_of

Resource = Literal["topic", "group", "cluster"]
KafkaOperation = Literal["Read", "Write", "Create", "Describe", "Alter", "AlterConfigs", "DescribeConfigs"]

PRINCIPAL = "User:callstream-{name}"
"""How principals are called where nothing else is said."""
COMMANDS = "commands"
TOPICS_ADMIN = "topics"
_MAKES_TOPICS: tuple[KafkaOperation, ...] = ("Create", "Describe", "Alter", "AlterConfigs", "DescribeConfigs")
_WRITES_CANARY: tuple[KafkaOperation, ...] = ("Create", "Write")
CLUSTER = "kafka-cluster"
"""Kafka's own name of the one resource of its kind."""


@dataclass(frozen=True, order=True)
class Right:
    """What may be done with a resource; with `prefixed`, with every one whose name begins so."""

    resource: Resource
    name: str
    operation: KafkaOperation
    prefixed: bool = False


@dataclass(frozen=True)
class KafkaAccount:
    """Who logs in at Kafka: a worker, or people who run commands."""

    name: str
    """In lower case, with hyphens, as names in Kubernetes are."""
    purpose: str
    rights: tuple[Right, ...]

    def principal(self, template: str = PRINCIPAL) -> str:
        """`User:…` or whatever the brokers make of a login; `{name}` in the template is the name."""
        return template.replace("{name}", self.name)


def accounts() -> tuple[KafkaAccount, ...]:
    """One for each worker that speaks to Kafka, one for commands, one for `topics apply`."""
    workers = (
        KafkaAccount(account_of(stage.name), f"the worker {stage.name}: {stage.summary}", _sorted(_rights_of(stage)))
        for stage in STAGES
        if stage.builder and (stage.reads or stage.writes)
    )
    return (
        *workers,
        KafkaAccount(
            COMMANDS, "people who run commands: publish, rate, rules, replay, status …", _sorted(_of_commands())
        ),
        KafkaAccount(TOPICS_ADMIN, "`callstream topics apply` and `topics check`", _sorted(_of_topics_apply())),
    )


def account_of(stage: str) -> str:
    """The name of the account of a stage."""
    return stage.replace("_", "-")


def _rights_of(stage: StageEntry) -> Iterator[Right]:
    for read in stage.reads:
        yield Right("topic", read.topic.name, "Read")
    for write in stage.writes:
        yield Right("topic", write.topic.name, "Write")
    if stage.group_per_subscription:
        yield Right("group", f"{GROUP_PREFIX}{stage.name}.", "Read", prefixed=True)
    elif stage.builder:
        for group in groups_of(stage.name):
            yield Right("group", GROUP_PREFIX + group, "Read")
    for group in stage.looks_at_groups:
        yield Right("group", GROUP_PREFIX + group, "Describe", prefixed=not group)
    if "" in stage.looks_at_groups:
        # How far a group is behind, the end of the topic says.
        for topic in TOPICS:
            yield Right("topic", topic.name, "Describe")


def _of_commands() -> Iterator[Right]:
    for stage in STAGES:
        if not stage.builder:
            yield from _rights_of(stage)
    # `status` and `backup reset-groups` ask and move offsets, dead letters are looked at and given back to their stage.
    yield Right("group", GROUP_PREFIX, "Read", prefixed=True)
    for topic in TOPICS:
        yield Right("topic", topic.name, "Read")
    for stage in STAGES:
        for read in stage.reads:
            if not read.whole:
                yield Right("topic", read.topic.name, "Write")
    # `status` and `check broker` find out whether Kafka takes records by writing one.
    for operation in _WRITES_CANARY:
        yield Right("topic", CANARY_TOPIC, operation)


def _of_topics_apply() -> Iterator[Right]:
    for topic in TOPICS:
        for operation in _MAKES_TOPICS:
            yield Right("topic", topic.name, operation)
    yield Right("topic", "__consumer_offsets", "Describe")
    yield Right("cluster", CLUSTER, "DescribeConfigs")


def _sorted(rights: Iterable[Right]) -> tuple[Right, ...]:
    return tuple(sorted(set(rights)))


def as_script(accounts: Sequence[KafkaAccount], template: str = PRINCIPAL) -> str:
    """For `kafka-acls.sh`, which the shell finds on its path."""
    lines = [
        "#!/bin/sh",
        "# Made by `callstream topics acls`. BOOTSTRAP: a broker, host:port; ADMIN_CONFIG: properties of a super user.",
        "set -eu",
        'acls() { kafka-acls.sh --bootstrap-server "$BOOTSTRAP" --command-config "$ADMIN_CONFIG" --add "$@"; }',
    ]
    for account in accounts:
        lines += ["", f"# {account.purpose}"]
        for right in account.rights:
            where = ["--cluster"] if right.resource == "cluster" else [f"--{right.resource}", right.name]
            pattern = ["--resource-pattern-type", "prefixed"] if right.prefixed else []
            words = ["acls", "--allow-principal", account.principal(template), "--operation", right.operation]
            lines.append(shlex.join([*words, *where, *pattern]))
    return "\n".join(lines) + "\n"


def as_json(accounts: Sequence[KafkaAccount], template: str = PRINCIPAL) -> str:
    """A list of ACLs, in the words of Kafka's own admin interface."""
    listed = [
        {
            "principal": account.principal(template),
            "host": "*",
            "operation": right.operation,
            "permission_type": "ALLOW",
            "resource_type": right.resource.upper(),
            "resource_name": right.name,
            "pattern_type": "PREFIXED" if right.prefixed else "LITERAL",
        }
        for account in accounts
        for right in account.rights
    ]
    return json.dumps(listed, indent=2) + "\n"


def as_strimzi(accounts: Sequence[KafkaAccount], cluster: str) -> str:
    """A KafkaUser for each, for the cluster of that name; Strimzi makes its password and keeps it in a Secret."""
    return "---\n".join(
        yaml.safe_dump(
            {
                "apiVersion": "kafka.strimzi.io/v1",
                "kind": "KafkaUser",
                "metadata": {"name": f"callstream-{account.name}", "labels": {"strimzi.io/cluster": cluster}},
                "spec": {
                    "authentication": {"type": "scram-sha-512"},
                    "authorization": {"type": "simple", "acls": _strimzi_acls(account)},
                },
            },
            sort_keys=False,
        )
        for account in accounts
    )


def _strimzi_acls(account: KafkaAccount) -> list[dict[str, object]]:
    resources = list(dict.fromkeys((right.resource, right.name, right.prefixed) for right in account.rights))
    return [
        {
            "resource": {"type": "cluster"}
            if resource == "cluster"
            else {"type": resource, "name": name, "patternType": "prefix" if prefixed else "literal"},
            "operations": [
                right.operation
                for right in account.rights
                if (right.resource, right.name, right.prefixed) == (resource, name, prefixed)
            ],
        }
        for resource, name, prefixed in resources
    ]
