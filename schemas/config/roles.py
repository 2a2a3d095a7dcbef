"""Who may see what in ClickHouse, as YAML: roles and views in `roles.yaml` beside this file, users in one's own.

`docs/roles.md` explains both files. What a server makes of them is in `processors/clickhouse/grants.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, StringConstraints, model_validator

from schemas.config.yaml_files import Location, YamlFileError, find_repeated, read_yaml_file
from schemas.messages.message import Identifier, Record, Sha256, ShortText, Slug, TenantId

ROLES_FILE = Path(__file__).parent / "roles.yaml"
"""The file that is shipped."""

ALL_TENANTS = "*"
WHOLE_CALLS = "whole_calls"
"""The view of which people are given parts of a call."""
RESERVED_USERS = frozenset({"default", "callstream", "analyst", "watcher"})
"""Accounts of the embedded engine, and of every server."""

Action = Literal[
    "see_text",
    "listen",
    "listen_unmasked",
    "export",
    "approve",
    "hold",
    "release",
    "delete",
    "review",
    "administer",
    "audit",
    "operate",
]
"""What a role of people may be granted, each apart from the others (R91)."""

ACTIONS: tuple[Action, ...] = get_args(Action)

RowScope = Literal["agent", "team", "tenant", "all"]
"""How far a role sees: the calls of one agent, of teams, of tenants, everything."""

_LEVELS: Mapping[RowScope, tuple[Literal["tenant", "team", "agent"], ...]] = {
    "agent": ("tenant", "agent"),
    "team": ("tenant", "team"),
    "tenant": ("tenant",),
    "all": (),
}

ColumnName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
UserName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Network = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f.:]{2,45}(/\d{1,3})?$")]


class RolesFileError(YamlFileError):
    """The file cannot be used; `problems` are sentences that name file, line, role or view and field."""


class UsersFileError(YamlFileError):
    """The file cannot be used; `problems` are sentences that name file, line, user and field, never a password."""


class QueryLimits(Record):
    """How much one query, one user at a time, and one user in an hour may take."""

    execution_s: int = Field(ge=1)
    memory_mb: int = Field(ge=64)
    read_gb: int = Field(ge=1)
    result_rows: int = Field(ge=1)
    concurrent_queries: int = Field(ge=1)
    queries_per_hour: int = Field(ge=1)


class OwnDatabase(Record):
    """What users of a role may do in the database of each of their tenants that is theirs to write to."""

    written_gb_per_hour: int = Field(ge=1)
    grants: tuple[str, ...] = Field(min_length=1)


class AccessRole(Record):
    """Either a role for people, who read views within limits, or one with its own `grants`, for technical accounts."""

    purpose: str
    purpose_zh: str
    rows: RowScope
    actions: tuple[Action, ...] = Field(default=(), description="what callstream lets it do, to the rows that it sees")
    limits: QueryLimits | None = None
    own_database: OwnDatabase | None = None
    grants: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        if bool(self.grants) != (self.rows == "all") or bool(self.grants) == (self.limits is not None):
            raise ValueError("a role has either limits, or grants of its own and rows: all")
        if self.grants and self.actions:
            raise ValueError("an account of work has no actions: they are for people")
        if self.own_database and self.rows != "tenant":
            raise ValueError("a database of one's own holds what a whole tenant may see: only for rows: tenant")
        if find_repeated(self.actions):
            raise ValueError("an action stands there twice")
        return self

    @property
    def of_people(self) -> bool:
        """Whether the role is for people, so that views say what it may read."""
        return not self.grants


class RegisterRole(Record):
    """A role for people without an account in ClickHouse: what it sees it sees through callstream."""

    purpose: str
    purpose_zh: str
    rows: Literal["agent", "team", "tenant"]
    actions: tuple[Action, ...] = Field(min_length=1)
    fields: tuple[Slug, ...] = Field(default=(), description="groups of columns of whole_calls that it is shown")

    @model_validator(mode="after")
    def _names_each_action_once(self) -> Self:
        if find_repeated(self.actions):
            raise ValueError("an action stands there twice")
        return self


@dataclass(frozen=True)
class PeopleRole:
    """What callstream lets a role of people do: to which calls, and which groups of columns of a call it is shown."""

    name: str
    rows: RowScope
    actions: frozenset[Action]
    fields: frozenset[str]
    purpose: str
    purpose_zh: str


class RowColumns(Record):
    """The columns of a view that say whose a row is; none if its rows belong to nobody."""

    tenant: ColumnName | None = None
    team: ColumnName | None = None
    agent: ColumnName | None = None
    role: ColumnName | None = Field(
        default=None, description="of storage: whoever asks sees rows of the own role alone"
    )
    also: str | None = Field(default=None, description="SQL: rows that everybody sees who may read the view")

    def of_level(self, rows: RowScope) -> tuple[str | None, ...]:
        """The columns that this level needs, in order; None if the view lacks one."""
        return tuple(getattr(self, level) for level in _LEVELS[rows])


class ViewPermission(Record):
    """What a role may read of a view: all of its columns."""

    rows: RowScope | None = Field(default=None, description="where it is not what the role usually sees")


class View(Record):
    """Who may read a view, and who may not."""

    rows: RowColumns = RowColumns()
    columns: dict[Slug, tuple[ColumnName, ...]] = Field(default_factory=dict, description="groups that parts have")
    part_of: ColumnName | None = Field(default=None, description="the view some of whose columns it has")
    groups: tuple[Slug, ...] = Field(default=(), description="of a part: the groups of columns that it has")
    comment: str = Field(default="", max_length=200, description="of a part: what it is")
    may: dict[Slug, ViewPermission] = Field(default_factory=dict)
    withheld: tuple[Slug, ...] = ()
    text: bool = Field(default=False, description="whether what was said is in it")

    @model_validator(mode="after")
    def _is_a_whole_part(self) -> Self:
        if len({self.part_of is None, not self.groups, not self.comment}) > 1:
            raise ValueError("a part of a view needs part_of, groups and comment; other views have none of them")
        if self.columns and (self.may or self.part_of):
            raise ValueError("a view with groups of columns is given to nobody: people are given its parts")
        return self


class RolesFile(Record):
    """The whole file."""

    version: int = Field(ge=1)
    roles: dict[Slug, AccessRole]
    register_roles: dict[Slug, RegisterRole] = Field(default_factory=dict)
    views: dict[ColumnName, View]
    storage: dict[ColumnName, RowColumns] = Field(
        description="tables that no person reads but through views, with the columns by which a row policy guards them"
    )

    @model_validator(mode="after")
    def _leaves_nothing_open(self) -> Self:
        problems = [f"{name} is a view and storage" for name in self.storage if name in self.views]
        problems += [
            f"{name} stands in roles and in register_roles" for name in self.register_roles if name in self.roles
        ]
        problems += [
            f"role {name} has no group of columns {group}"
            for name, role in self.register_roles.items()
            for group in role.fields
            if group not in self._whole_calls.columns
        ]
        people = {name for name, role in self.roles.items() if role.of_people}
        for name, view in self.views.items():
            named = [*view.may, *view.withheld]
            problems += [f"view {name} says twice what {role} may" for role in find_repeated(named)]
            problems += [f"view {name} does not say whether {role} may read it" for role in sorted(people - set(named))]
            problems += [
                f"view {name} names {role}, which no role of people is" for role in sorted(set(named) - people)
            ]
            problems += [
                f"view {name} has column {c} twice" for c in find_repeated(c for g in view.columns.values() for c in g)
            ]
            problems += self._problems_of_part(name, view)
            for role in people & set(view.may):
                problems += self._problems_of(name, view, role)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _problems_of(self, name: str, view: View, role: str) -> list[str]:
        permission = view.may[role]
        problems = []
        if view.text and "see_text" not in self.roles[role].actions:
            problems.append(f"view {name} has text, and {role} may not see_text: withhold it, or grant the action")
        if None in view.rows.of_level(permission.rows or self.roles[role].rows):
            problems.append(f"view {name} has no column by which {role} could be given its rows")
        return problems

    def _problems_of_part(self, name: str, view: View) -> list[str]:
        if view.part_of is None:
            return []
        whole = self.views.get(view.part_of)
        if whole is None:
            return [f"view {name} is part of {view.part_of}, which no view is"]
        problems = [
            f"view {name} has groups {group}, which {view.part_of} has not"
            for group in view.groups
            if group not in whole.columns
        ]
        lacking = {view.rows.tenant, view.rows.team, view.rows.agent} - {None, *self.columns_of_part(name)}
        problems += [f"view {name} lacks {column}, which says whose a row is" for column in sorted(map(str, lacking))]
        return problems

    def columns_of_part(self, name: str) -> tuple[str, ...]:
        """The columns of a part of a view, in no order that means anything."""
        part = self.views[name]
        whole = self.views[part.part_of].columns if part.part_of in self.views else {}
        return tuple(column for group in part.groups for column in whole.get(group, ()))

    @property
    def _whole_calls(self) -> View:
        return self.views.get(WHOLE_CALLS, View())

    @property
    def of_people(self) -> Mapping[str, PeopleRole]:
        """Every role that a person may be given, by its name."""
        parts = [view for view in self.views.values() if view.part_of == WHOLE_CALLS]
        found = {
            name: PeopleRole(
                name=name,
                rows=role.rows,
                actions=frozenset(role.actions),
                fields=frozenset(group for part in parts if name in part.may for group in part.groups),
                purpose=role.purpose,
                purpose_zh=role.purpose_zh,
            )
            for name, role in self.roles.items()
            if role.of_people
        }
        for name, each in self.register_roles.items():
            actions, fields = frozenset(each.actions), frozenset(each.fields)
            found[name] = PeopleRole(name, each.rows, actions, fields, each.purpose, each.purpose_zh)
        return found

    def rows_for(self, view: str, role: str) -> RowScope:
        """Which rows of that view the role may see."""
        return self.views[view].may[role].rows or self.roles[role].rows


class User(Record):
    """A person, or a person's program, that may log in."""

    name: UserName
    role: Slug
    tenants: tuple[TenantId | Literal["*"], ...] = ()
    teams: tuple[ShortText, ...] = ()
    agent: Identifier | None = None
    password_sha256: Sha256
    networks: tuple[Network, ...] = Field(default=(), description="addresses that a server lets in; any without")
    own_database: bool = Field(default=False, description="whether it may write to the databases of its tenants")

    def own_databases(self, database: str) -> tuple[str, ...]:
        """The databases that it may write to, beside that of callstream."""
        return tuple(own_database_of(database, tenant) for tenant in self.tenants) if self.own_database else ()


def own_database_of(database: str, tenant: str) -> str:
    """The database that analysts of a tenant write to; of those of all tenants, what no other may read."""
    return f"{database}_own" if tenant == ALL_TENANTS else f"{database}_own_{tenant}"


class UserEntry(Record):
    """A user as the file has it."""

    name: UserName
    role: Slug
    tenants: tuple[TenantId | Literal["*"], ...] = ()
    teams: tuple[ShortText, ...] = ()
    agent: Identifier | None = None
    password_sha256: Sha256 | None = None
    password_file: Path | None = None
    networks: tuple[Network, ...] = ()
    own_database: bool = False

    @model_validator(mode="after")
    def _has_one_password_and_a_free_name(self) -> Self:
        if (self.password_sha256 is None) == (self.password_file is None):
            raise ValueError("give password_sha256 or password_file")
        if self.name in RESERVED_USERS:
            raise ValueError(f"the name {self.name} belongs to callstream itself: choose another")
        if ALL_TENANTS in self.tenants and len(self.tenants) > 1:
            raise ValueError('tenants is either a list of tenants or ["*"]')
        return self


class UsersFile(Record):
    """The whole file."""

    users: tuple[UserEntry, ...] = Field(max_length=10_000)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        if twice := find_repeated(user.name for user in self.users):
            raise ValueError("; ".join(f"user {name} occurs twice" for name in twice))
        return self


def load_roles(file: Path = ROLES_FILE) -> RolesFile:
    """The roles and views. Raises `RolesFileError`."""
    try:
        return read_yaml_file(file, RolesFile, _entry_of).content
    except YamlFileError as error:
        raise RolesFileError(error.problems) from None


def load_users(file: Path | None, roles: RolesFile) -> tuple[User, ...]:
    """The users of a file, their passwords hashed; none where no file is named. Files of passwords are looked for
    beside it. Raises `UsersFileError`.
    """
    if file is None:
        return ()
    try:
        document = read_yaml_file(file, UsersFile, _entry_of)
    except YamlFileError as error:
        raise UsersFileError(error.problems) from None
    users, problems = [], []
    for number, entry in enumerate(document.content.users):
        try:
            _check_scope(entry, roles)
            users.append(_user_of(entry, file.parent))
        except ValueError as error:
            problems.append(f"{file}:{document.line(('users', number))}: user {entry.name}: {error}")
    if problems:
        raise UsersFileError(problems)
    return tuple(users)


def _check_scope(entry: UserEntry, roles: RolesFile) -> None:
    """Raises `ValueError` unless the user has exactly the fields that its role needs."""
    if entry.name in roles.roles:
        raise ValueError("the name of a role cannot be that of a user: choose another")
    role = roles.roles.get(entry.role)
    if role is None:
        raise ValueError(f"there is no role {entry.role}: {', '.join(roles.roles)}")
    check_scope(entry.role, role.rows, entry.tenants, entry.teams, entry.agent)
    if entry.own_database and role.own_database is None:
        able = ", ".join(name for name, each in roles.roles.items() if each.own_database)
        raise ValueError(f"role {entry.role} has no database of its own; only {able}: leave own_database out")


def check_scope(name: str, rows: RowScope, tenants: Sequence[str], teams: Sequence[str], agent: str | None) -> None:
    """Raises `ValueError` unless exactly that is given which a role that sees these rows needs."""
    needed = _LEVELS[rows]
    given = {"tenant": bool(tenants), "team": bool(teams), "agent": agent is not None}
    names = {"tenant": "tenants", "team": "teams", "agent": "agent"}
    if missing := [names[level] for level in needed if not given[level]]:
        raise ValueError(f"role {name} needs {' and '.join(missing)}")
    if useless := [names[level] for level, is_given in given.items() if is_given and level not in needed]:
        raise ValueError(f"role {name} does not look at {' and '.join(useless)}: leave it out")
    if rows == "agent" and (len(tenants) != 1 or ALL_TENANTS in tenants):
        raise ValueError(f"role {name} needs exactly one tenant: numbers of agents are theirs alone in it")


def _user_of(entry: UserEntry, folder: Path) -> User:
    """Raises `ValueError` when the password cannot be read."""
    digest = entry.password_sha256
    if entry.password_file is not None:
        path = folder / entry.password_file
        try:
            password = path.read_text(encoding="utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"password_file {path} cannot be read: {type(error).__name__}") from None
        if not password:
            raise ValueError(f"password_file {path} is empty")
        digest = sha256(password.encode()).hexdigest()
    return User(
        **entry.model_dump(exclude={"password_sha256", "password_file"}),
        password_sha256=digest or "",
    )


def _entry_of(content: Any, location: Location) -> str:
    """`user li_na`, `view calls`, `role agent`."""
    match location:
        case ("users", int(number), *_):
            try:
                return f"user {content['users'][number]['name']}"
            except (LookupError, TypeError):
                return f"user {number + 1}"
        case ("views", str(name), *_):
            return f"view {name}"
        case ("roles", str(name), *_):
            return f"role {name}"
    return ""
