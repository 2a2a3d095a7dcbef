"""What each worker may do on Kafka is what the topology says, in every form it is written in."""

import json
import re
import shlex
from collections.abc import Mapping

import yaml

from schemas.messages.topics import AUDIT_CHECKPOINTS, CALLS_DEAD_LETTERS, TOPICS, TRANSCRIPTS_RECEIVED
from streams.adapters.kafka.acls import (
    COMMANDS,
    TOPICS_ADMIN,
    KafkaAccount,
    Right,
    accounts,
    as_json,
    as_script,
    as_strimzi,
)
from streams.topology import STAGES, WORKERS

ACCOUNTS: Mapping[str, KafkaAccount] = {account.name: account for account in accounts()}


def allowed(account: str, operation: str, resource: str = "topic") -> set[str]:
    return {r.name for r in ACCOUNTS[account].rights if r.operation == operation and r.resource == resource}


def test_each_worker_reads_and_writes_what_the_topology_says_and_nothing_else() -> None:
    speaking = [stage for stage in WORKERS if stage.reads or stage.writes]
    assert {stage.name.replace("_", "-") for stage in speaking} == ACCOUNTS.keys() - {COMMANDS, TOPICS_ADMIN}
    for stage in speaking:
        name = stage.name.replace("_", "-")
        assert allowed(name, "Read") == {read.topic.name for read in stage.reads}, name
        assert allowed(name, "Write") == {write.topic.name for write in stage.writes}, name
        assert {right.operation for right in ACCOUNTS[name].rights} <= {"Read", "Write", "Describe"}, name
        assert not any(right.resource == "cluster" for right in ACCOUNTS[name].rights), name


def test_what_lies_in_clear_is_read_by_the_stage_that_masks_it_and_by_people_who_run_commands() -> None:
    readers = {name for name in ACCOUNTS if TRANSCRIPTS_RECEIVED.name in allowed(name, "Read")}
    assert readers == {"receive", COMMANDS}


def test_groups_are_a_workers_own() -> None:
    for name, account in ACCOUNTS.items():
        if name in (COMMANDS, TOPICS_ADMIN):
            continue
        own = name.replace("-", "_")
        for right in account.rights:
            if right.resource == "group" and right.operation == "Read":
                assert re.fullmatch(rf"callstream\.{own}(\..*)?", right.name), (name, right)
    assert Right("group", "callstream.notify.", "Read", prefixed=True) in ACCOUNTS["notify"].rights
    assert allowed("reconcile", "Describe", "group") == {"callstream.store"}


def test_who_makes_topics_reads_and_writes_no_message() -> None:
    assert allowed(TOPICS_ADMIN, "Create") == {topic.name for topic in TOPICS}
    assert not allowed(TOPICS_ADMIN, "Read") | allowed(TOPICS_ADMIN, "Write")


def test_nobody_who_runs_commands_writes_checkpoints_of_the_audit_log_or_removes_a_topic() -> None:
    assert AUDIT_CHECKPOINTS.name not in allowed(COMMANDS, "Write")
    assert CALLS_DEAD_LETTERS.name in allowed(COMMANDS, "Read")
    assert not {right.operation for account in ACCOUNTS.values() for right in account.rights} & {"Delete", "All"}


def test_the_three_forms_say_the_same() -> None:
    every = list(ACCOUNTS.values())
    wanted = {(f"User:x-{a.name}", r.operation, r.resource, r.name, r.prefixed) for a in every for r in a.rights}
    listed = {
        (
            one["principal"],
            one["operation"],
            one["resource_type"].lower(),
            one["resource_name"],
            one["pattern_type"] == "PREFIXED",
        )
        for one in json.loads(as_json(every, "User:x-{name}"))
    }
    assert listed == wanted
    assert {one["host"] for one in json.loads(as_json(every))} == {"*"}

    called = set()
    for line in as_script(every, "User:x-{name}").splitlines():
        if not line.startswith("acls --allow-principal"):
            continue
        words = shlex.split(line)
        resource = next(word for word in ("topic", "group", "cluster") if f"--{word}" in words)
        name = "kafka-cluster" if resource == "cluster" else words[words.index(f"--{resource}") + 1]
        called.add((words[2], words[words.index("--operation") + 1], resource, name, "prefixed" in words))
    assert called == wanted

    users = list(yaml.safe_load_all(as_strimzi(every, "kafka")))
    made = {
        (
            user["metadata"]["name"].replace("callstream-", "User:x-", 1),
            operation,
            acl["resource"]["type"],
            acl["resource"].get("name", "kafka-cluster"),
            acl["resource"].get("patternType") == "prefix",
        )
        for user in users
        for acl in user["spec"]["authorization"]["acls"]
        for operation in acl["operations"]
    }
    assert made == wanted
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", user["metadata"]["name"]) for user in users)


def test_every_group_that_is_looked_at_is_a_stages() -> None:
    names = {"", *(stage.name for stage in STAGES)}
    assert {group for stage in STAGES for group in stage.looks_at_groups} <= names
