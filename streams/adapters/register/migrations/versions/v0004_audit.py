"""The audit log: entries that stay, what of them is personal, their places in the tree, and what was signed of it."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_REFUSED = "the audit log is neither changed nor shortened"


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "audit_entries",
        sa.Column("entry_id", sa.String(36), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("at", time, nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("actor", sa.String(512), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("call_id", sa.String(512)),
        sa.Column("appended_at", time, nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name="pk_audit_entries"),
    )
    op.create_index("ix_audit_entries_at", "audit_entries", ["at"])
    op.create_index("ix_audit_entries_actor", "audit_entries", ["actor", "at"])
    op.create_index("ix_audit_entries_call_id", "audit_entries", ["tenant_id", "call_id"])
    op.create_table(
        "audit_waiting",
        sa.Column(
            "sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(always=True), nullable=False
        ),
        sa.Column("entry_id", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_audit_waiting"),
        sa.UniqueConstraint("entry_id", name="uq_audit_waiting_entry_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "audit_leaves",
        sa.Column("leaf_index", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.String(36), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("leaf_index", name="pk_audit_leaves"),
        sa.UniqueConstraint("entry_id", name="uq_audit_leaves_entry_id"),
    )
    op.create_table(
        "audit_personal",
        sa.Column("entry_id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("value", sa.String(512), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", "name", name="pk_audit_personal"),
    )
    op.create_index("ix_audit_personal_value", "audit_personal", ["value"])
    op.create_table(
        "audit_checkpoints",
        sa.Column("size", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("note", sa.String(2048), nullable=False),
        sa.Column("peaks", sa.LargeBinary, nullable=False),
        sa.Column("signed_at", time, nullable=False),
        sa.PrimaryKeyConstraint("size", name="pk_audit_checkpoints"),
    )
    op.create_table(
        "audit_positions",
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("position", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_audit_positions"),
    )
    if op.get_bind().dialect.name == "postgresql":
        _guard_on_postgresql()
    else:
        _guard_on_sqlite()


def _guard_on_postgresql() -> None:
    op.execute(
        f"CREATE FUNCTION audit_stays() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION '{_REFUSED}' USING ERRCODE = 'restrict_violation'; END $$"
    )
    op.execute(
        "CREATE FUNCTION audit_stays_a_year() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF OLD.appended_at < now() - interval '365 days' THEN RETURN OLD; END IF; "
        f"RAISE EXCEPTION '{_REFUSED}' USING ERRCODE = 'restrict_violation'; END $$"
    )
    for table in ("audit_entries", "audit_leaves", "audit_checkpoints"):
        op.execute(
            f"CREATE TRIGGER {table}_unchanged BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION audit_stays()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_whole BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION audit_stays()"
        )
        keeps = "audit_stays_a_year" if table == "audit_entries" else "audit_stays"
        op.execute(f"CREATE TRIGGER {table}_kept BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {keeps}()")


def _guard_on_sqlite() -> None:
    refuse = f"BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END"
    for table in ("audit_entries", "audit_leaves", "audit_checkpoints"):
        op.execute(f"CREATE TRIGGER {table}_unchanged BEFORE UPDATE ON {table} {refuse}")
        young = "WHEN OLD.appended_at >= datetime('now', '-365 days')" if table == "audit_entries" else ""
        op.execute(f"CREATE TRIGGER {table}_kept BEFORE DELETE ON {table} {young} {refuse}")
