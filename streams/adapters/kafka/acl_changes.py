"""ACLs on the brokers: those that are wanted and missing, those that are there and not wanted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from schemas.errors import OperatorError
from streams.adapters.kafka.acls import PRINCIPAL, KafkaAccount, Right
from streams.adapters.kafka.client import admin_client, failure, name_of_error
from streams.settings import Settings

_OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "Describe": AclOperation.DESCRIBE,
    "Alter": AclOperation.ALTER,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}
_RESOURCES = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "cluster": ResourceType.BROKER}
"""librdkafka calls the cluster a broker, and its name is Kafka's own."""
_WITHIN_S = 30


class NoAuthorizerError(OperatorError):
    """The brokers check no ACLs: whoever logs in may do anything."""

    exit_code = 3


@dataclass(frozen=True)
class AclChange:
    """What was done, or would be, about one principal."""

    principal: str
    added: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    """It has these, they are not wanted, and they stay."""
    removed: tuple[str, ...] = ()


def apply_acls(
    settings: Settings,
    accounts: Sequence[KafkaAccount],
    template: str = PRINCIPAL,
    *,
    prune: bool = False,
    dry_run: bool = False,
) -> list[AclChange]:
    """Have each account have its rights; with `prune` also no others. ACLs of other principals are left alone.

    Doing it again is right. Raises `NoAuthorizerError`, `RetryableError` and `KafkaAccessError`.
    """
    admin = admin_client(settings)
    changes = []
    for account in accounts:
        principal = account.principal(template)
        try:
            there = set(admin.describe_acls(_everything_of(principal)).result(timeout=_WITHIN_S))
            wanted = {_binding(principal, right) for right in account.rights}
            missing, extra = wanted - there, there - wanted
            if missing and not dry_run:
                _wait(admin.create_acls(list(missing)).values())
            if extra and prune and not dry_run:
                _wait(admin.delete_acls([_exactly(acl) for acl in extra]).values())
        except KafkaException as error:
            if name_of_error(error) == "SECURITY_DISABLED":
                raise NoAuthorizerError(
                    "The brokers check no ACLs: set authorizer.class.name="
                    "org.apache.kafka.metadata.authorizer.StandardAuthorizer on all of them first."
                ) from None
            raise failure("Kafka did not change its ACLs", error) from None
        named = tuple(sorted(map(_sentence, extra)))
        changes.append(
            AclChange(
                principal,
                tuple(sorted(map(_sentence, missing))),
                () if prune else named,
                named if prune else (),
            )
        )
    return changes


def _wait(futures: Iterable[object]) -> None:
    for future in futures:
        future.result(timeout=_WITHIN_S)  # type: ignore[attr-defined] # futures, which the library does not type


def _binding(principal: str, right: Right) -> AclBinding:
    return AclBinding(
        _RESOURCES[right.resource],
        right.name,
        ResourcePatternType.PREFIXED if right.prefixed else ResourcePatternType.LITERAL,
        principal,
        "*",
        _OPERATIONS[right.operation],
        AclPermissionType.ALLOW,
    )


def _everything_of(principal: str) -> AclBindingFilter:
    return _filter(
        ResourceType.ANY, None, ResourcePatternType.ANY, principal, None, AclOperation.ANY, AclPermissionType.ANY
    )


def _exactly(acl: AclBinding) -> AclBindingFilter:
    where = (acl.restype, acl.name, acl.resource_pattern_type)
    return _filter(*where, acl.principal, acl.host, acl.operation, acl.permission_type)


def _filter(*parts: Any) -> AclBindingFilter:
    """The library types it as if no part of it could be left open."""
    return AclBindingFilter(*parts)


def _sentence(acl: Any) -> str:
    kind = "cluster" if acl.restype == ResourceType.BROKER else acl.restype.name.lower()
    prefixed = "*" if acl.resource_pattern_type == ResourcePatternType.PREFIXED else ""
    denied = "" if acl.permission_type == AclPermissionType.ALLOW else f"{acl.permission_type.name.lower()} "
    where = "" if acl.host == "*" else f" from {acl.host}"
    return f"{denied}{acl.operation.name.lower()} {kind} {acl.name}{prefixed}{where}"
