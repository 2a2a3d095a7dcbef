"""What differs between tenants, as YAML: where their days begin, which length of a call is right (R42), which of the
claims that are only examples are true of their products, which reading heads read their calls, whether the last digits
of a number are kept, in which format else their recordings are kept (R13), and for how long (R16).

There is no such file unless a setting names one: then all tenants are alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from schemas.config.time_zones import time_zone
from schemas.config.yaml_files import Location, YamlFileError, entry_named_by_id, find_repeated, read_yaml_file
from schemas.messages.message import Record, Slug, TenantId

DEFAULT_ZONE = "Asia/Shanghai"

ClaimName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$", max_length=130)]
"""A pack, for all its claims, or one claim: `finance`, `finance.annual_return`."""


RecordingFormat = Literal["wav", "mp3", "flac", "opus"]
"""What a recording may be converted to (R13): WAV with 16 bits, MP3, FLAC, or Opus in Ogg."""


class TenantsError(YamlFileError):
    """The file cannot be used; `problems` are sentences that name file, line, entry and field."""


def _is_zone(name: str) -> str:
    try:
        time_zone(name)
    except ValueError:
        raise PydanticCustomError("timezone", "must be a time zone such as America/New_York") from None
    return name


class DurationBand(Record):
    """The lengths of a call that are right, both ends included."""

    min_s: int = Field(ge=0)
    max_s: int = Field(ge=1)

    @model_validator(mode="after")
    def _has_width(self) -> Self:
        if self.min_s >= self.max_s:
            raise ValueError("min_s must be less than max_s")
        return self


def _is_absolute(folder: Path) -> Path:
    if not folder.is_absolute():
        raise PydanticCustomError("not_absolute", "must begin with /")
    return folder


class TenantReading(Record):
    """Heads of the tenant's own, and from which probabilities on they suspect and alert, as `callstream learn` printed
    them."""

    weights: Annotated[Path, AfterValidator(_is_absolute)] | None = None
    suspect_from: float | None = Field(default=None, gt=0, le=1)
    alert_from: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="from this probability on a suspicion raises an alert; without it, none does",
    )
    model: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")] | None = Field(
        default=None, description="digest of the heads that both were measured with; they do not hold for others"
    )

    @model_validator(mode="after")
    def _names_the_model_of_thresholds(self) -> Self:
        if (self.suspect_from is None and self.alert_from is None) != (self.model is None):
            raise ValueError("suspect_from or alert_from goes together with model")
        return self


class TenantExports(Record):
    """By how many other people, and for how long, what leaves in an export is approved (R38)."""

    approvals: int = Field(default=1, ge=1, le=10, description="people besides the requester who must agree")
    request_days: int = Field(default=7, ge=1, le=90, description="so long a request waits for them")
    grant_days: int = Field(default=3, ge=1, le=90, description="so long it can be downloaded then")
    downloads: int = Field(default=3, ge=1, le=100, description="so often")
    makers_apart: bool = Field(
        default=True,
        description="refuse an approver where one account made theirs and the requester's, or can sign in as both",
    )


class TenantEntry(Record):
    """What is different for a tenant; what is not said is as for all."""

    id: TenantId
    timezone: Annotated[str, AfterValidator(_is_zone)] | None = None
    duration_band: DurationBand | None = None
    claims: tuple[ClaimName, ...] | None = None
    reading: TenantReading | None = None
    keep_last_digits: bool = Field(
        default=False, description="keep the last four digits of a customer's number in the event of the call (R30)"
    )
    convert_recordings_to: RecordingFormat | None = Field(
        default=None, description="a copy of each recording in this format is kept beside it (R13)"
    )
    retention_days: dict[Slug, Annotated[int, Field(ge=1, le=36_525)]] | None = Field(
        default=None,
        max_length=500,
        description="class of the retention file: days that its recordings are kept at least, never below the floor",
    )
    exports: TenantExports = TenantExports()
    weight: float = Field(
        default=1,
        ge=0.01,
        le=100,
        description="how much of `listen` it gets while calls of others wait, too: 2 is twice as much as 1",
    )


class IndustryEntry(Record):
    """What is different for the calls of an industry, whosever they are."""

    id: Slug
    duration_band: DurationBand


class Tenants(Record):
    """The whole file."""

    version: int = Field(ge=1, le=1_000_000_000)
    claims: tuple[ClaimName, ...] = Field(
        default=(), description="examples that tenants adopt which do not say themselves which ones they do"
    )
    tenants: tuple[TenantEntry, ...] = ()
    industries: tuple[IndustryEntry, ...] = ()

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        problems = [f"tenant {name} occurs twice" for name in find_repeated(one.id for one in self.tenants)]
        problems += [f"industry {name} occurs twice" for name in find_repeated(one.id for one in self.industries)]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def reading(self, tenant: str | None) -> TenantReading | None:
        """Of a tenant; None where the settings hold."""
        return next((one.reading for one in self.tenants if one.id == tenant), None)

    def keeps_last_digits(self, tenant: str) -> bool:
        """Whether the last four digits of a customer's number may be kept."""
        return any(one.keep_last_digits for one in self.tenants if one.id == tenant)

    def convert_recordings_to(self, tenant: str) -> RecordingFormat | None:
        """Of a tenant; None where the settings hold."""
        return next((one.convert_recordings_to for one in self.tenants if one.id == tenant), None)

    def weight(self, tenant: str) -> float:
        """How much it gets of what tenants share."""
        return next((one.weight for one in self.tenants if one.id == tenant), 1.0)

    def exports(self, tenant: str) -> TenantExports:
        """How exports of a tenant are approved."""
        return next((one.exports for one in self.tenants if one.id == tenant), TenantExports())

    def duration_band(self, tenant: str, industry: str) -> DurationBand | None:
        """That of the tenant, else that of the industry; None where neither has one."""
        of_tenant = next((one.duration_band for one in self.tenants if one.id == tenant), None)
        return of_tenant or next((one.duration_band for one in self.industries if one.id == industry), None)

    def adopts(self, tenant: str, pack: str, claim: str) -> bool:
        """Whether a claim of a pack that is only an example is true of the tenant's products, by its own word."""
        own = next((one.claims for one in self.tenants if one.id == tenant and one.claims is not None), None)
        return not {pack, f"{pack}.{claim}"}.isdisjoint(self.claims if own is None else own)

    def adopted_claims(self) -> frozenset[str]:
        """Every name that anybody adopts."""
        return frozenset(self.claims).union(*(one.claims or () for one in self.tenants))


ALL_ALIKE = Tenants(version=1)
"""What holds without a file."""


def read_tenants(file: Path | None) -> Tenants:
    """What the file says; nothing without one. Raises `TenantsError`."""
    if file is None:
        return ALL_ALIKE
    try:
        return read_yaml_file(file, Tenants, _entry_of).content
    except YamlFileError as error:
        raise TenantsError(error.problems) from None


def _entry_of(content: Mapping[Any, Any], location: Location) -> str:
    entry = entry_named_by_id(content, location, ("tenants", "industries"))
    return entry.replace("tenants ", "tenant ", 1).replace("industries ", "industry ", 1)


@dataclass(frozen=True)
class TenantDays:
    """Whose day is when: the zone of all tenants, and of those that have another one theirs. Zones by IANA name."""

    zone: str = DEFAULT_ZONE
    others: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, zone: str, tenants: Tenants) -> "TenantDays":
        """The zone of all, and those of the file that differ from it."""
        others = {one.id: one.timezone for one in tenants.tenants if one.timezone not in (None, zone)}
        return cls(zone, {tenant: name for tenant, name in sorted(others.items()) if name is not None})

    @cached_property
    def zones(self) -> tuple[ZoneInfo, ...]:
        """Every zone that there is, once."""
        return tuple(ZoneInfo(name) for name in sorted({self.zone, *self.others.values()}))

    @cached_property
    def tenants_by_zone(self) -> Mapping[str, tuple[str, ...]]:
        """Zone → the tenants that have it, without the zone of all."""
        return {
            zone: tuple(tenant for tenant, other in self.others.items() if other == zone)
            for zone in sorted(set(self.others.values()))
        }

    def zone_of(self, tenant: str | None) -> ZoneInfo:
        """The zone of a tenant; without one, that of all."""
        return ZoneInfo(self.others.get(tenant or "", self.zone))

    def day_of(self, moment: datetime, tenant: str | None) -> date:
        """On which day of the tenant a moment lies."""
        return moment.astimezone(self.zone_of(tenant)).date()

    def first_start(self, day: date) -> datetime:
        """When the day begins where it begins first."""
        return min(datetime.combine(day, time(), zone) for zone in self.zones)

    def last_start(self, day: date) -> datetime:
        """When the day begins where it begins last."""
        return max(datetime.combine(day, time(), zone) for zone in self.zones)


USUAL_DAYS = TenantDays()
"""Every tenant's where no setting says anything else."""
