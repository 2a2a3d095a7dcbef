"""What selects a call for review, as YAML (R49): triggers, each of which selects by itself. See `docs/scoring.md`.

`selection.yaml` beside this file is shipped; a setting names one's own in its place.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from schemas.config.yaml_files import Location, YamlFileError, entry_named_by_id, find_repeated, read_yaml_file
from schemas.messages.call_analysis import TriggerName
from schemas.messages.call_ended import Role
from schemas.messages.finding import Severity
from schemas.messages.message import Record, ShortText, Slug, TenantId

SELECTION_FILE = Path(__file__).parent / "selection.yaml"
"""The file that is shipped."""


class SelectionRulesError(YamlFileError):
    """The file cannot be used; `problems` are sentences that name file, line, trigger and field."""


class TriggerFindings(Record):
    """Which findings pull a trigger: one is enough. Those of severity `info` never do."""

    categories: tuple[Slug, ...] = ()
    rules: tuple[ShortText, ...] = Field(default=(), description="rule ids, whatever their category")
    except_rules: tuple[ShortText, ...] = Field(default=(), description="rule ids that do not pull it")
    roles: tuple[Role, ...] = Field(default=(), description="only what these said; empty: anyone")
    min_severity: Severity = "low"

    @model_validator(mode="after")
    def _names_findings(self) -> Self:
        if not self.categories and not self.rules:
            raise ValueError("findings need categories or rules")
        return self


class TriggerMeasure(Record):
    """When a measure pulls a trigger: it is `equals`, or it is more than `above`. One that is null never does."""

    name: Slug
    equals: bool | None = None
    above: float | None = None

    @model_validator(mode="after")
    def _says_when_one_way(self) -> Self:
        if (self.equals is None) == (self.above is None):
            raise ValueError("a measure needs either equals or above")
        return self


class TriggerRule(Record):
    """One trigger: its findings or its measure pull it."""

    id: TriggerName
    name: ShortText
    active: bool = Field(default=True, description="false: no call is selected by it, unless an override says so")
    findings: TriggerFindings | None = None
    measure: TriggerMeasure | None = None
    only_if: TriggerMeasure | None = Field(default=None, description="it is pulled only where this holds, too")

    @model_validator(mode="after")
    def _can_be_pulled(self) -> Self:
        if self.findings is None and self.measure is None:
            raise ValueError("a trigger needs findings or measure")
        return self


class SelectionOverride(Record):
    """For calls of these tenants and industries (both, where both are given): triggers that are active or not, and
    from which severity on findings pull them. Of several overrides that fit, the last one stands for each trigger."""

    tenants: tuple[TenantId, ...] = ()
    industries: tuple[Slug, ...] = ()
    active: dict[TriggerName, bool] = Field(default_factory=dict)
    min_severity: dict[TriggerName, Severity] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_whom_it_is_for(self) -> Self:
        if not self.tenants and not self.industries:
            raise ValueError("an override needs tenants or industries")
        if not self.active and not self.min_severity:
            raise ValueError("an override needs active or min_severity")
        return self


class SelectionRules(Record):
    """The selection file: triggers, and overrides for tenants and industries. A trigger that it leaves out never
    selects."""

    version: int = Field(ge=1, le=1_000_000_000)
    owner: ShortText
    triggers: tuple[TriggerRule, ...] = Field(min_length=1)
    overrides: tuple[SelectionOverride, ...] = ()

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        known = {trigger.id for trigger in self.triggers}
        with_findings = {trigger.id for trigger in self.triggers if trigger.findings is not None}
        problems = [f"trigger {name} occurs twice" for name in find_repeated(trigger.id for trigger in self.triggers)]
        named = {name for override in self.overrides for name in (*override.active, *override.min_severity)}
        problems += [f"an override names the trigger {name}, which is not there" for name in sorted(named - known)]
        graded = {name for override in self.overrides for name in override.min_severity} & known
        problems += [
            f"an override has a min_severity for the trigger {name}, which has no findings"
            for name in sorted(graded - with_findings)
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self


def read_selection_rules(file: Path = SELECTION_FILE) -> SelectionRules:
    """The rules of a file. Raises `SelectionRulesError`."""
    try:
        return read_yaml_file(file, SelectionRules, _trigger_of).content
    except YamlFileError as error:
        raise SelectionRulesError(error.problems) from None


def _trigger_of(content: Mapping[Any, Any], location: Location) -> str:
    return entry_named_by_id(content, location, ("triggers", "overrides")).replace("triggers ", "trigger ", 1)
