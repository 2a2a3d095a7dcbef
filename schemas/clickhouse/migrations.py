"""The numbered migrations of ClickHouse as data: `schemas/clickhouse/migrations/NNNN_name.sql`, tables and rows.

Every statement of a migration can be run again without harm (`CREATE … IF NOT EXISTS`, `ALTER … IF [NOT] EXISTS`),
because ClickHouse has no transaction around it: one that failed half-way, or that two processes run at once, is simply
run again. A migration that was applied is never edited; a new one follows it. Views are not among them
(`schemas.clickhouse.views`), so a migration must not read one.

Workers of the release before go on while a database is ahead of them (docs/operations.md#upgrading). So a migration
only adds: tables, columns with a default, indexes. One that takes away or changes what they use is named `…_contract`,
comes a release after nothing uses it any more, and they refuse to start once it was applied.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable

from schemas.errors import OperatorError

FORMER_CHECKSUMS = "former.sha256"
"""Beside the migrations, in the form of `sha256sum`: what files were when they were applied, before views left them."""

CONTRACT = "_contract"
"""How the name of a migration ends beside which workers of the release before cannot run."""

_FILE_NAME = re.compile(r"(?P<number>\d{4})_(?P<name>[a-z0-9_]+)\.sql")
_TOKEN = re.compile(
    r"""
      (?P<comment> --[^\n]* | /\*.*?\*/ )
    | (?P<text> '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.)*" | `(?:[^`\\]|\\.)*` )
    | (?P<end> ; )
    | (?P<other> [^-/'"`;]+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)


class MigrationFilesError(OperatorError):
    """The migration files do not form the sequence 1, 2, 3…; the text says where."""


@dataclass(frozen=True)
class Migration:
    """One migration file."""

    number: int
    name: str
    sql: str
    former_sha256: str = ""
    """Of the file as it was once: a database that says it was applied in that form has the same tables."""

    @property
    def label(self) -> str:
        """`0001_calls`: the name of the file without its ending."""
        return f"{self.number:04d}_{self.name}"

    @property
    def sha256(self) -> str:
        """SHA-256 of the file."""
        return sha256(self.sql.encode()).hexdigest()

    @property
    def statements(self) -> tuple[str, ...]:
        """The statements in order, without comments and semicolons; placeholders: `schemas.clickhouse.cluster`."""
        return split_statements(self.sql)


def load_migrations(folder: Traversable | None = None) -> tuple[Migration, ...]:
    """Every migration in order of number. Raises `MigrationFilesError`."""
    folder = resources.files("schemas.clickhouse") / "migrations" if folder is None else folder
    former = _former_checksums(folder)
    migrations = []
    for file in folder.iterdir():
        if not file.name.endswith(".sql"):
            continue
        match = _FILE_NAME.fullmatch(file.name)
        if not match:
            raise MigrationFilesError(f"{file.name} is not named NNNN_name.sql")
        sql = file.read_text(encoding="utf-8")
        migrations.append(Migration(int(match["number"]), match["name"], sql, former.get(file.name, "")))
    migrations.sort(key=lambda migration: migration.number)
    check_sequence(migrations)
    return tuple(migrations)


def _former_checksums(folder: Traversable) -> dict[str, str]:
    """File name → SHA-256."""
    file = folder / FORMER_CHECKSUMS
    lines = file.read_text(encoding="ascii").splitlines() if file.is_file() else []
    return {name: checksum for checksum, name in (line.split() for line in lines)}


def check_sequence(migrations: list[Migration] | tuple[Migration, ...]) -> None:
    """Raises `MigrationFilesError` unless the numbers are 1, 2, 3… without gap or repetition."""
    for expected, migration in enumerate(migrations, start=1):
        if migration.number != expected:
            problem = "is there twice" if migration.number < expected else f"follows a gap: {expected:04d} is missing"
            raise MigrationFilesError(f"migration {migration.label} {problem}")


def split_statements(sql: str, *, comments: bool = False) -> tuple[str, ...]:
    """Split at semicolons that stand neither in quotes nor in comments; comments are kept or dropped."""
    statements, current = [], ""
    for token in _TOKEN.finditer(sql):
        if token["end"]:
            statements.append(current.strip())
            current = ""
        else:
            current += " " if token["comment"] and not comments else token.group()
    statements.append(current.strip())
    return tuple(statement for statement in statements if statement)


class MigrationRefusedError(OperatorError):
    """The database and the migration files do not fit together; the text is a sentence for the operator."""


@dataclass(frozen=True)
class AppliedMigration:
    """What the database remembers of a migration."""

    number: int
    name: str
    sha256: str

    @property
    def only_adds(self) -> bool:
        """Whether a release that does not know it can use the database all the same."""
        return not self.name.endswith(CONTRACT)


def pending_migrations(
    migrations: tuple[Migration, ...], applied: tuple[AppliedMigration, ...], *, beside_newer: bool = False
) -> tuple[Migration, ...]:
    """The migrations that are still to be run, in order; with `beside_newer` none where those that these files do not
    know only add.

    Raises `MigrationRefusedError` when an applied file was changed, when one would run out of order, and when the
    database is ahead of these files.
    """
    remembered = {entry.number: entry for entry in applied}
    highest = max(remembered, default=0)
    unknown = [entry for number, entry in sorted(remembered.items()) if number > len(migrations)]
    if unknown and not (beside_newer and all(entry.only_adds for entry in unknown)):
        worst = unknown[-1] if not beside_newer else next(entry for entry in unknown if not entry.only_adds)
        raise MigrationRefusedError(
            f"The database was migrated to {worst.number:04d} ({worst.name}), but this callstream only knows "
            f"{len(migrations):04d}: it is older than the database; run the newer one."
        )
    for migration in migrations[:highest]:
        entry = remembered.get(migration.number)
        if entry is None:
            raise MigrationRefusedError(
                f"Migration {migration.label} was never applied although {highest:04d} was: migrations do not run out "
                "of order; give it a number after the highest one."
            )
        if entry.sha256 not in (migration.sha256, migration.former_sha256):
            raise MigrationRefusedError(
                f"Migration {migration.label} was changed after it was applied (as {entry.name}); undo the change and "
                "put it into a new migration."
            )
    return migrations[highest:]
