"""The views as data: `schemas/clickhouse/views/NAME.sql`, one a file, made anew at each `callstream migrate`.

A view that reads another says so in a comment, `-- made after: NAME, NAME`. A view of which people are given parts
(`schemas/config/roles.yaml`, `part_of`) has one file; the parts are made of it: the same SELECT with fewer columns.
"""

import re
from graphlib import CycleError, TopologicalSorter
from importlib import resources
from importlib.resources.abc import Traversable

from schemas.clickhouse.days import with_days
from schemas.clickhouse.migrations import split_statements
from schemas.config.console_url import NO_CONSOLE, ConsoleUrl
from schemas.config.roles import RolesFile, load_roles
from schemas.config.tenants import USUAL_DAYS, TenantDays
from schemas.errors import OperatorError
from schemas.messages.classes import nature_in_sql, source_in_sql

_LINK = re.compile(r"\{\{call_url ([\w.]+), ([\w.]+)(?:, ([\w.]+))?\}\}")
_CLASS = re.compile(r"\{\{(nature|source) ([\w., ]+)\}\}")
_AFTER = re.compile(r"^-- made after: (.+)$", re.MULTILINE)
_WHOLE = re.compile(
    r"(?P<head>CREATE OR REPLACE VIEW )\w+(?P<on> [^\n]*\n\(\n)(?P<columns>.*?)(?P<between>\n\)\n.*?^AS SELECT\n)"
    r"(?P<selected>.*?)(?P<from>\nFROM .*?)\nCOMMENT '[^\n]*'",
    re.MULTILINE | re.DOTALL,
)


class ViewFilesError(OperatorError):
    """A file is not the view that its name says, or the views wait for each other; the text says which."""


def load_views(
    folder: Traversable | None = None, days: TenantDays | None = None, console: ConsoleUrl = NO_CONSOLE
) -> dict[str, str]:
    """Name → statement with placeholders (`schemas.clickhouse.cluster`), in an order in which they can be made.

    `{{nature category, role, severity, detector, attributes}}` and `{{source detector, attributes}}` are those of a
    finding.
    `days` are those of the tenants; without them all are where most are. `console` is where links to calls lead:
    `{{call_url tenant_id, call_id, start_ms}}` is one, without the last to the beginning of the call.

    Raises `ViewFilesError`.
    """
    folder = resources.files("schemas.clickhouse") / "views" if folder is None else folder
    days = days or USUAL_DAYS
    statements, after = {}, {}
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        name, ending, rest = file.name.partition(".sql")
        if not ending or rest:
            continue
        sql = file.read_text(encoding="utf-8")
        found = split_statements(sql)
        if len(found) != 1 or not re.match(rf"CREATE OR REPLACE VIEW {name}\s", found[0]):
            raise ViewFilesError(f"{file.name} must hold one statement: CREATE OR REPLACE VIEW {name}")
        statements[name] = _with_classes(_with_links(with_days(found[0], days), console))
        after[name] = [other.strip() for line in _AFTER.findall(sql) for other in line.split(",")]
    roles = load_roles()
    for name, view in roles.views.items():
        if view.part_of in statements:
            statements[name] = part_of_view(name, statements[view.part_of], roles)
            after[name] = after[view.part_of]
    unknown = sorted({other for others in after.values() for other in others} - statements.keys())
    if unknown:
        raise ViewFilesError(f"views are made after {', '.join(unknown)}, of which there is no file")
    try:
        return {name: statements[name] for name in TopologicalSorter(after).static_order()}
    except CycleError as error:
        raise ViewFilesError(f"these views wait for each other: {', '.join(error.args[1])}") from None


def _with_links(statement: str, console: ConsoleUrl) -> str:
    return _LINK.sub(lambda found: console.sql(*found.groups()), statement)


def _with_classes(statement: str) -> str:
    def expression(found: re.Match[str]) -> str:
        columns = found[2].split(", ")
        return nature_in_sql(*columns) if found[1] == "nature" else source_in_sql(*columns)

    return _CLASS.sub(expression, statement)


def part_of_view(name: str, whole: str, roles: RolesFile) -> str:
    """The statement of a part of a view: that of the whole with the columns of its groups alone, one a line.

    Raises `ViewFilesError` where the whole does not list and select its columns in the same order.
    """
    columns, source = set(roles.columns_of_part(name)), roles.views[name].part_of
    found = _WHOLE.fullmatch(whole)
    listed, selected = (found[which].split(",\n") if found else [] for which in ("columns", "selected"))
    names = [line.split()[0] for line in listed]
    if not found or names != [line.split()[-1] for line in selected] or not columns <= set(names):
        raise ViewFilesError(
            f"{source}.sql must list and select the same columns, those of {name} among them, one a line"
        )
    chosen = [at for at, each in enumerate(names) if each in columns]
    return (
        f"{found['head']}{name}{found['on']}{_joined(listed, chosen)}{found['between']}"
        f"{_joined(selected, chosen)}{found['from']}\nCOMMENT '{roles.views[name].comment}'"
    )


def _joined(lines: list[str], chosen: list[int]) -> str:
    return ",\n".join(lines[at] for at in chosen)
