"""Subscriptions: who is notified of which alerts, when and how. One file, read by `notify` and `callstream alerts`.

Whatever is wrong with the file is said with its line, subscription and field, and never with a value: a value may be a
secret, and so may a key that stands in the wrong place.
"""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from schemas.config.time_zones import time_zone
from schemas.config.yaml_files import ALIASES, TOO_DEEP, TWICE, load_yaml
from schemas.errors import OperatorError
from schemas.messages.alert_delivery import NAME_PATTERN, ChannelKind, SubscriberName
from schemas.messages.finding import Severity
from schemas.messages.message import Record, Slug

MAX_SUBSCRIPTIONS = 200
"""Each has a thread and a consumer of its own."""


def _any_host(_host: str, _allow_private: bool) -> bool:
    return True


@dataclass(frozen=True)
class Surroundings:
    """What a file is read with: where `{env: NAME}` and `{file: path}` are looked up, relative paths from `folder`, and
    whether anything may be sent to a host that is an IP address.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    folder: Path = Path()
    allows: Callable[[str, bool], bool] = _any_host


def _surroundings(info: ValidationInfo) -> Surroundings:
    return info.context if isinstance(info.context, Surroundings) else Surroundings()


def _looked_up(value: object, info: ValidationInfo) -> object:
    """The secret itself, or the one that `{env: NAME}` or `{file: path}` refers to."""
    if not isinstance(value, dict):
        return value
    sources = _surroundings(info)
    if set(value) == {"env"}:
        found = sources.environ.get(str(value["env"]), "")
        if not found:
            raise PydanticCustomError("secret_variable", "the variable that env names is not set")
        return found
    if set(value) == {"file"}:
        try:
            return (sources.folder / str(value["file"])).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError, RuntimeError):
            raise PydanticCustomError("secret_file", "the file that file names cannot be read") from None
    raise PydanticCustomError("secret", "must be the secret itself, {env: NAME} or {file: path}")


Secret = Annotated[SecretStr, BeforeValidator(_looked_up)]


_HTTP_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::[1-9][0-9]{0,4})?"
    r"(?:[/?][!-\"$-\[\]-~]*)?"
)
"""No user, no password, no fragment, no backslash, ASCII only: nothing that two readers could read differently."""


def _is_http_url(url: SecretStr) -> SecretStr:
    if not _HTTP_URL.fullmatch(url.get_secret_value()):
        raise PydanticCustomError(
            "http_url", "must be an https:// address without user, password and fragment, other characters as %XX"
        )
    return url


HttpUrl = Annotated[Secret, AfterValidator(_is_http_url)]
"""A URL is a secret as a whole: those of group robots hold their key."""


class ChannelModel(Record, ABC):
    """What a subscription says of one way to reach a subscriber, under the word `kind` in the file.

    Each way has a file of its own (`streams.adapters.channels`), and whoever reads subscriptions says which there are.
    """

    kind: ClassVar[ChannelKind]

    @property
    @abstractmethod
    def destination(self) -> str:
        """Where it goes, for people to see: nothing that must stay secret."""


class HttpTarget(ChannelModel):
    """The fields that all HTTP channels share."""

    url: HttpUrl
    allow_private: bool = Field(default=False, description="the address may be a private one, and the URL http://")
    ca_file: Path | None = Field(default=None, description="CA certificates (PEM) in place of the usual ones")

    @model_validator(mode="after")
    def _is_encrypted_unless_private(self) -> Self:
        if not self.allow_private and not self.url.get_secret_value().startswith("https:"):
            raise PydanticCustomError("not_https", "url must begin with https:// unless allow_private is true")
        return self

    @model_validator(mode="after")
    def _leads_to_an_allowed_address(self, info: ValidationInfo) -> Self:
        if not _surroundings(info).allows(self.host, self.allow_private):
            raise PydanticCustomError("refused_address", "url leads to an address that nothing is sent to")
        return self

    @property
    def host(self) -> str:
        """The host of the URL, which is no secret."""
        match = _HTTP_URL.fullmatch(self.url.get_secret_value())
        return match["host"].strip("[]").lower() if match else ""

    @property
    def destination(self) -> str:
        """The host: whoever knows the whole URL of a group robot can write to the group."""
        return self.host


class ChannelChoice(Record):
    """Exactly one of the ways to reach a subscriber; `subscription_model` adds a field for each."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self._chosen()) != 1:
            raise PydanticCustomError("one_channel", "must hold exactly one channel")
        return self

    def _chosen(self) -> list[ChannelKind]:
        return [kind for kind in type(self).model_fields if getattr(self, kind) is not None]

    @property
    def kind(self) -> ChannelKind:
        """Which of them it is."""
        return self._chosen()[0]

    @property
    def channel(self) -> ChannelModel:
        """The channel itself."""
        chosen: ChannelModel = getattr(self, self.kind)
        return chosen


def _time_of_day(value: object) -> object:
    """YAML reads an unquoted 22:00 as the number 1320, minutes since midnight."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return time(value // 60, value % 60)
    if isinstance(value, str) and (match := re.fullmatch(r"(\d{1,2}):(\d{2})", value)):
        hour, minute = int(match[1]), int(match[2])
        if hour < 24 and minute < 60:
            return time(hour, minute)
    raise PydanticCustomError("time_of_day", 'must be a time of day such as "22:00"')


TimeOfDay = Annotated[time, BeforeValidator(_time_of_day)]


@cache
def _zone(name: str) -> ZoneInfo:
    return time_zone(name)


def _is_zone(name: str) -> str:
    try:
        _zone(name)
    except ValueError:
        raise PydanticCustomError("timezone", "must be a time zone such as Asia/Shanghai") from None
    return name


class QuietHours(Record):
    """Every day from one time to another, in which alerts wait; over midnight where `to` is not after `from`."""

    begin: TimeOfDay = Field(alias="from")
    end: TimeOfDay = Field(alias="to")
    timezone: Annotated[str, AfterValidator(_is_zone)] = "Asia/Shanghai"
    except_severity: tuple[Severity, ...] = ("critical",)

    @model_validator(mode="after")
    def _leaves_time(self) -> Self:
        if self.begin == self.end:
            raise PydanticCustomError("quiet_all_day", "from and to must differ")
        return self

    def end_after(self, now: datetime, severity: Severity) -> datetime | None:
        """When the quiet hours end in which `now` lies; None where it lies in none, or they do not hold for this
        severity. In UTC.
        """
        if severity in self.except_severity:
            return None
        zone = _zone(self.timezone)
        local = now.astimezone(zone)
        clock = local.time().replace(tzinfo=None)
        over_midnight = self.end <= self.begin
        quiet = clock >= self.begin or clock < self.end if over_midnight else self.begin <= clock < self.end
        if not quiet:
            return None
        day = local.date() + timedelta(days=1 if over_midnight and clock >= self.begin else 0)
        end = datetime.combine(day, self.end, zone).astimezone(now.tzinfo)
        # Where clocks are put back, the same time of day comes twice: never an end that has passed.
        return end if end > now else None


class Grouping(Record):
    """When more alerts of one cause (tenant and rule) come than `more_than` within `within_s`, those beyond become one
    message with their number and ids, sent when the time is over.
    """

    more_than: int = Field(default=5, ge=1, le=1_000)
    within_s: int = Field(default=300, ge=1, le=24 * 3_600)


CertainTrigger = Literal[
    "complaint_threat", "customer_agitated", "duration_anomaly", "mandatory_script", "safety", "sensitive_word"
]
"""What can select a call, but for what reading suspects, which nobody is notified of; a test compares them."""


class Subscription(Record):
    """One subscriber: which alerts it wants, when, and how it is reached. An empty list means all."""

    name: SubscriberName
    tenant: Annotated[str, StringConstraints(pattern=r"^(\*|[a-z][a-z0-9_-]{0,63})$")] = Field(
        description="a tenant id, or * for all"
    )
    on: Literal["alerts", "selected"] = Field(
        default="alerts",
        description="alerts by rule, risk, surge and missing recordings; or each call that was selected for review",
    )
    triggers: tuple[CertainTrigger, ...] = Field(default=(), description="with `on: selected`: what selected the call")
    min_severity: Severity = "high"
    categories: tuple[Slug, ...] = ()
    teams: tuple[str, ...] = ()
    rules: tuple[str, ...] = Field(default=(), description="rule ids; finance.* means all that begin so")
    kinds: tuple[Literal["call", "surge", "missing"], ...] = ()
    quiet_hours: QuietHours | None = None
    min_interval_s: int = Field(default=0, ge=0, le=7 * 24 * 3_600, description="of alerts of one tenant and rule")
    grouping: Grouping | None = None
    channel: ChannelChoice

    @model_validator(mode="before")
    @classmethod
    def _reads_on(cls, content: object) -> object:
        """YAML takes an unquoted `on` for true."""
        if isinstance(content, dict) and True in content and "on" not in content:
            return {("on" if name is True else name): value for name, value in content.items()}
        return content

    @model_validator(mode="after")
    def _filters_what_it_is_on(self) -> Self:
        given = self.model_fields_set & {"min_severity", "categories", "rules", "kinds"}
        if self.on == "selected" and given:
            raise PydanticCustomError(
                "filter_of_alerts",
                "{names} is about alerts: a selected call has none of them; use triggers, or leave out `on: selected`",
                {"names": ", ".join(sorted(given))},
            )
        if self.on == "alerts" and self.triggers:
            raise PydanticCustomError("filter_of_calls", "triggers are those of selected calls: add `on: selected`")
        return self


class SubscriptionFile(Record):
    """The subscriptions file."""

    subscriptions: tuple[Subscription, ...] = Field(max_length=MAX_SUBSCRIPTIONS)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [subscription.name for subscription in self.subscriptions]
        if len(set(names)) < len(names):
            raise PydanticCustomError("name_twice", "two subscriptions have the same name")
        return self


Channels = tuple[type[ChannelModel], ...]
"""The ways to reach a subscriber that there are."""


@cache
def subscription_model(channels: Channels) -> type[Subscription]:
    """A subscription that may choose one of these channels."""
    kinds: dict[str, Any] = {channel.kind: (channel | None, None) for channel in channels}
    choice = create_model("ChannelChoice", __base__=ChannelChoice, **kinds)
    return create_model("Subscription", __base__=Subscription, channel=(choice, ...))


@cache
def _file_model(channels: Channels) -> type[SubscriptionFile]:
    several = tuple.__class_getitem__((subscription_model(channels), ...))
    fields: dict[str, Any] = {"subscriptions": (several, Field(max_length=MAX_SUBSCRIPTIONS))}
    return create_model("SubscriptionFile", __base__=SubscriptionFile, **fields)


class SubscriptionsError(OperatorError):
    """The file cannot be used; `problems` are sentences that name file, line, subscription and field, never a value."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def load_subscriptions(
    file: Path | None,
    channels: Channels,
    environ: Mapping[str, str] | None = None,
    allows: Callable[[str, bool], bool] = _any_host,
) -> tuple[Subscription, ...]:
    """The subscriptions of the file, in its order; none where no file is named. Each may choose one of `channels`.

    `allows` says whether anything may be
    sent to a host, where that can be known without asking anybody; its second argument is `allow_private`.

    Raises `SubscriptionsError`.
    """
    if file is None:
        return ()
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SubscriptionsError([f"{file}: cannot be read: {type(error).__name__}"]) from None
    node, content = _composed(file, text)
    if not isinstance(content, dict) or node is None:
        raise SubscriptionsError([f"{file}: must hold `subscriptions:` and a list under it"])
    surroundings = Surroundings(os.environ if environ is None else environ, file.parent, allows)
    # Raised after the except block: inside it, the caught error would ride along as __context__, with its input.
    try:
        return _file_model(channels).model_validate(content, context=surroundings).subscriptions
    except ValidationError as error:
        details = error.errors(include_input=False, include_context=False, include_url=False)
    known = _field_names(channels)
    raise SubscriptionsError(_sentence(file, node, content, known, detail["loc"], detail["msg"]) for detail in details)


def subscriber_names(file: Path | None) -> tuple[str, ...]:
    """Names in the file, whatever else is wrong with it; for readers who have none of the secrets."""
    try:
        content = load_yaml(file.read_text(encoding="utf-8")) if file else None
        found = [each["name"] for each in content["subscriptions"]] if content else []
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError, LookupError, TypeError):
        return ()
    return tuple(name for name in found if isinstance(name, str) and re.fullmatch(NAME_PATTERN, name))


def content_digest(file: Path) -> str:
    """SHA-256 of the file, to notice changes; empty if it cannot be read."""
    try:
        return sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


def _composed(file: Path, text: str) -> tuple[yaml.Node | None, Any]:
    """The YAML as nodes that know their lines, and what it holds.

    Raises `SubscriptionsError`, also for a key that occurs twice and for aliases.
    """
    line, problem = "", "this is not YAML"
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader), load_yaml(text)
    except RecursionError:
        problem = TOO_DEEP
    except yaml.YAMLError as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        line = f":{mark.line + 1}" if mark else ""
        refusal = error.problem if isinstance(error, yaml.constructor.ConstructorError) else None
        if refusal in (ALIASES, TOO_DEEP):
            problem = refusal
        elif refusal and refusal.endswith(TWICE):
            problem = f"this key {TWICE}"
    raise SubscriptionsError([f"{file}{line}: {problem}"])


def _sentence(
    file: Path, node: yaml.Node, content: Any, known: Collection[str], loc: Sequence[int | str], message: str
) -> str:
    subscription = ""
    parts = list(loc)
    if parts[:1] == ["subscriptions"]:
        parts = parts[1:]
        if parts and isinstance(parts[0], int):
            subscription = f" subscription {_name_of(content, parts[0])},"
            parts = parts[1:]
    fields = ".".join(str(part) if isinstance(part, int) or part in known else "<unknown field>" for part in parts)
    where = f"{file}:{_line(node, loc)}:{subscription}{f' field {fields}:' if fields else ''}"
    return f"{where} {message[:1].lower()}{message[1:]}"


def _name_of(content: Any, number: int) -> str:
    """Its name where it has a valid one, else its number."""
    try:
        name = str(content["subscriptions"][number]["name"])
    except (LookupError, TypeError):
        name = ""
    return name if re.fullmatch(NAME_PATTERN, name) else str(number + 1)


def _line(node: yaml.Node, loc: Sequence[int | str]) -> int:
    """The line of the deepest part of the path that exists in the file."""
    line = node.start_mark.line + 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


@cache
def _field_names(channels: Channels) -> frozenset[str]:
    """Every name that a field of the file may have."""
    schema = _file_model(channels).model_json_schema()
    names = set(schema["properties"])
    for definition in schema["$defs"].values():
        names.update(definition.get("properties", {}))
    return frozenset(names)
