"""Bringing the register to this version, in one transaction: what fails leaves it as it was."""

from pathlib import Path

from streams.adapters.register.errors import newer_register, translated_errors
from streams.adapters.register.register import Register
from streams.adapters.register.tables import REVISIONS

_MIGRATE_LOCK = 4_817_001
"""An arbitrary number, the same in every release: two migrations at once run one after the other."""

MIGRATIONS = Path(__file__).with_name("migrations")


def migrate_register(register: Register, migrations: Path = MIGRATIONS, until: str = "head") -> list[str]:
    """Make what is missing, `until` a revision; returns the revisions that were applied, none the second time.

    Raises `RegisterSchemaError` for a register of a newer release, and as `Register.transaction`.
    """
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import text

    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    before = register.revision()
    if before is not None and migrations == MIGRATIONS and before not in REVISIONS:
        raise newer_register()
    applied: list[str] = []
    with translated_errors("be migrated", register.address), register.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _MIGRATE_LOCK})
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        config.attributes["connection"] = connection
        config.attributes["applied"] = applied
        command.upgrade(config, until)
    return applied
