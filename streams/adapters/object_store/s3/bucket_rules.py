"""What a bucket of S3 is told to do by itself: keep what is overwritten for some days, remove what was never whole."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from streams.ports import BucketRule, BucketRuleState

_OUR_RULE = "callstream"
"""The id of our lifecycle rule. Rules under other ids are the operator's: they are kept as they are."""

_UNFINISHED_DAYS = 1

_VERSIONING = "what is overwritten or deleted is kept as an older version"
_UNFINISHED = f"uploads that were never finished are removed after {_UNFINISHED_DAYS} day"

CANNOT_LIST_VERSIONS = {"BadRequest", "NotImplemented", "MethodNotAllowed"}
"""What servers say that know no versions; the first is versitygw without a place for them."""

_UNSUPPORTED = {"NotImplemented", "MethodNotAllowed", "VersioningNotConfigured"}
_FORBIDDEN = {"AccessDenied", "AllAccessDisabled"}


class BucketRules:
    """The rules of one bucket: `set` writes them where the server can and we may, `states` says how they are."""

    def __init__(
        self, call: Callable[[Callable[[], Any]], Any], client: Any, bucket: str, older_versions_days: int
    ) -> None:
        """`call` makes a request, repeats it where that may help, and raises the errors of the port."""
        self._call = call
        self._client = client
        self._where = {"Bucket": bucket}
        self._older_versions_days = older_versions_days

    def set(self) -> None:
        """Write what is not as it should be. What the server cannot, or we may not, is left for `states` to say."""
        states = {rule.name: rule.state for rule in self.states()}
        if states[_VERSIONING] == "missing":
            enabled = {"Status": "Enabled"}
            self._ask(lambda: self._client.put_bucket_versioning(**self._where, VersioningConfiguration=enabled))
        if "missing" in (states[self._expiry_name], states[_UNFINISHED]):
            lifecycle = self._lifecycle()
            if not isinstance(lifecycle, str):
                rules = {"Rules": [*(rule for rule in lifecycle if rule.get("ID") != _OUR_RULE), self._rule()]}
                self._ask(
                    lambda: self._client.put_bucket_lifecycle_configuration(**self._where, LifecycleConfiguration=rules)
                )

    def states(self) -> Sequence[BucketRule]:
        """Each rule that there should be, and how it is."""
        lifecycle = self._lifecycle()
        if isinstance(lifecycle, str):
            expiry: BucketRuleState = lifecycle
            unfinished: BucketRuleState = lifecycle
        else:
            ours = next((rule for rule in lifecycle if rule.get("ID") == _OUR_RULE), {})
            is_on = ours.get("Status") == "Enabled" and _covers_everything(ours)
            wanted = self._rule()
            expires = ours.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays") == self._older_versions_days
            expiry = "set" if is_on and expires else "missing"
            if is_on and ours.get("AbortIncompleteMultipartUpload") == wanted["AbortIncompleteMultipartUpload"]:
                unfinished = "set"
            elif expiry == "set" and "AbortIncompleteMultipartUpload" not in ours:
                unfinished = "unsupported"  # we never write the one without the other: the server has left it out
            else:
                unfinished = "missing"
        return (
            BucketRule(_VERSIONING, self._versioning()),
            BucketRule(self._expiry_name, expiry),
            BucketRule(_UNFINISHED, unfinished),
        )

    def is_versioned(self) -> bool:
        """Whether there may be more than one version of an object. Raises the errors of the port."""
        return "Status" in self._call(lambda: self._client.get_bucket_versioning(**self._where))

    @property
    def _expiry_name(self) -> str:
        return f"older versions are removed after {self._older_versions_days} days"

    def _rule(self) -> dict[str, Any]:
        return {
            "ID": _OUR_RULE,
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "NoncurrentVersionExpiration": {"NoncurrentDays": self._older_versions_days},
            "Expiration": {"ExpiredObjectDeleteMarker": True},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _UNFINISHED_DAYS},
        }

    def _versioning(self) -> BucketRuleState:
        answer = self._ask(lambda: self._client.get_bucket_versioning(**self._where))
        if isinstance(answer, str):
            return answer
        if answer.get("Status") == "Enabled":
            return "set"
        return "missing" if self._can_list_versions() else "unsupported"

    def _can_list_versions(self) -> bool:
        """Some servers say of versioning that it is off where they cannot have it, and refuse to list versions."""

        def asked() -> bool:
            try:
                self._client.list_object_versions(**self._where, MaxKeys=1)
            except ClientError as error:
                if error.response["Error"]["Code"] in CANNOT_LIST_VERSIONS:
                    return False
                raise
            return True

        listed: bool = self._call(asked)
        return listed

    def _lifecycle(self) -> Sequence[Mapping[str, Any]] | BucketRuleState:
        answer = self._ask(lambda: self._client.get_bucket_lifecycle_configuration(**self._where))
        if isinstance(answer, str):
            return answer
        rules: Sequence[Mapping[str, Any]] = answer["Rules"]
        return rules

    def _ask(self, request: Callable[[], Any]) -> dict[str, Any] | BucketRuleState:
        """The answer of the server, or why there is none. Raises the errors of the port for anything else."""

        def asked() -> dict[str, Any] | BucketRuleState:
            try:
                answer: dict[str, Any] = request()
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "NoSuchLifecycleConfiguration":
                    return {"Rules": []}
                if code in _UNSUPPORTED:
                    return "unsupported"
                if code in _FORBIDDEN:
                    return "forbidden"
                raise
            return answer

        outcome: dict[str, Any] | BucketRuleState = self._call(asked)
        return outcome


def _covers_everything(rule: Mapping[str, Any]) -> bool:
    return not rule.get("Filter", {}).get("Prefix") and not rule.get("Prefix")
