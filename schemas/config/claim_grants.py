"""What an OpenID provider's claims grant, as YAML: which group is which role in which tenant (docs/people.md)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from schemas.config.roles import PeopleRole, check_scope
from schemas.config.yaml_files import Location, YamlFileError, read_yaml_file
from schemas.messages.message import Identifier, Record, ShortText, Slug, TenantId

_PART = r"[A-Za-z_][A-Za-z0-9_:/-]*"
ClaimPath = Annotated[str, StringConstraints(pattern=rf"^{_PART}(\.{_PART})*$", max_length=256)]
"""Name of a claim; `realm_access.roles` is one within another."""


class ClaimGrantsError(YamlFileError):
    """The file cannot be used; `problems` are sentences that name file, line and field."""


class ClaimGrant(Record):
    """Who is in `group` has `role` in `tenant`: for these teams or those that a claim lists, for the agent that a claim
    names."""

    group: str = Field(min_length=1, max_length=256)
    role: Slug
    tenant: TenantId
    teams: tuple[ShortText, ...] = ()
    teams_claim: ClaimPath | None = None
    agent: Identifier | None = None
    agent_claim: ClaimPath | None = None

    @model_validator(mode="after")
    def _says_each_once(self) -> Self:
        if self.teams and self.teams_claim:
            raise ValueError("give teams or teams_claim")
        if self.agent is not None and self.agent_claim:
            raise ValueError("give agent or agent_claim")
        return self


class ClaimGrants(Record):
    """The whole file."""

    version: int = Field(ge=1)
    groups_claim: ClaimPath = "groups"
    grants: tuple[ClaimGrant, ...] = Field(default=(), max_length=10_000)


NO_CLAIM_GRANTS = ClaimGrants(version=1)


def load_claim_grants(file: Path | None, roles: Mapping[str, PeopleRole]) -> ClaimGrants:
    """What the file says; nothing where none is named. Raises `ClaimGrantsError`, also for a role that there is not."""
    if file is None:
        return NO_CLAIM_GRANTS
    try:
        document = read_yaml_file(file, ClaimGrants, _entry_of)
    except YamlFileError as error:
        raise ClaimGrantsError(error.problems) from None
    known = ", ".join(sorted(roles))
    problems = [
        f"{file}:{document.line(('grants', number))}: there is no role {grant.role} of people: {known}"
        for number, grant in enumerate(document.content.grants)
        if grant.role not in roles
    ]
    for number, grant in enumerate(document.content.grants):
        if grant.role in roles:
            try:
                check_scope(
                    grant.role,
                    roles[grant.role].rows,
                    [grant.tenant],
                    grant.teams or [name for name in (grant.teams_claim,) if name],
                    grant.agent or grant.agent_claim,
                )
            except ValueError as error:
                problems.append(f"{file}:{document.line(('grants', number))}: {error}")
    if problems:
        raise ClaimGrantsError(problems)
    return document.content


def _entry_of(_content: Any, location: Location) -> str:
    match location:
        case ("grants", int(number), *_):
            return f"grant {number + 1}"
    return ""
