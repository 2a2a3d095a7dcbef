"""The columns of tables and views, as the SQL files say, without a database."""

import re
from dataclasses import dataclass

from schemas.clickhouse.cluster import to_sql
from schemas.clickhouse.migrations import load_migrations
from schemas.clickhouse.views import load_views

_COLUMN = re.compile(
    r"^(?:ALTER TABLE \w+)? *(?:ADD COLUMN IF NOT EXISTS |MODIFY COLUMN )?"
    r"`?(?P<name>[a-z][a-z0-9_.]*)`? (?P<type>[A-Z]\S*(?: \S+?)*?)"
    r"(?: (?P<filled>DEFAULT|MATERIALIZED) .+?)? COMMENT '(?P<comment>(?:[^']|'')*)'"
    r"(?:.*? AFTER `?(?P<after>[a-z0-9_.]+))?",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Column:
    """What a file says of a column."""

    type: str
    comment: str
    filled_by_database: bool

    @property
    def of_element(self) -> "Column":
        """The column of a view that unfolds this one."""
        return Column(self.type.removeprefix("Array(").removesuffix(")"), self.comment, self.filled_by_database)


def columns_of_table(table: str) -> dict[str, Column]:
    """Name → column, in the order of the table: those that were added later where they were put, or at its end;
    what a later migration says of a column holds."""
    columns: list[tuple[str, Column]] = []
    for statement in to_sql((each for migration in load_migrations() for each in migration.statements), None):
        created = re.match(rf"CREATE TABLE IF NOT EXISTS {table}\s", statement)
        if created or re.match(rf"ALTER TABLE {table} ADD COLUMN", statement):
            for match in _COLUMN.finditer(statement):
                names = [name for name, _ in columns]
                at = names.index(match["after"]) + 1 if match["after"] else len(columns)
                columns.insert(at, (match["name"], _column(match)))
        if re.match(rf"ALTER TABLE {table} MODIFY COLUMN", statement):
            for match in _COLUMN.finditer(statement):
                columns = [(name, _column(match) if name == match["name"] else each) for name, each in columns]
    assert columns, f"no migration creates {table}"
    return dict(columns)


def columns_of_view(view: str) -> dict[str, Column]:
    """Name → column, in the order of the view; none for a view with parameters."""
    head = re.split(r"^SQL SECURITY", load_views()[view], maxsplit=1, flags=re.MULTILINE)[0]
    return {match["name"]: _column(match) for match in _COLUMN.finditer(head)}


def _column(match: re.Match[str]) -> Column:
    return Column(match["type"], match["comment"], bool(match["filled"]))
