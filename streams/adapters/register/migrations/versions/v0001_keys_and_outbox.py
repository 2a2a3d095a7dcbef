"""Keys of custody, and the outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "wrapping_keys",
        sa.Column("purpose", sa.String(64), nullable=False),
        sa.Column("version", sa.String(128), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("prepared_at", time, nullable=False),
        sa.Column("current_at", time),
        sa.Column("retiring_at", time),
        sa.Column("retired_at", time),
        sa.PrimaryKeyConstraint("purpose", "version", name="pk_wrapping_keys"),
        sa.CheckConstraint(
            "state IN ('prepared', 'current', 'retiring', 'retired')", name=op.f("ck_wrapping_keys_state")
        ),
    )
    op.create_index(
        "ix_wrapping_keys_one_current",
        "wrapping_keys",
        ["purpose"],
        unique=True,
        sqlite_where=sa.text("state = 'current'"),
        postgresql_where=sa.text("state = 'current'"),
    )
    op.create_table(
        "day_keys",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("purpose", sa.String(64), nullable=False),
        sa.Column("version", sa.String(128), nullable=False),
        sa.Column("blob", sa.LargeBinary, nullable=False),
        sa.Column("made_at", time, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "day", "purpose", name="pk_day_keys"),
        sa.ForeignKeyConstraint(
            ["purpose", "version"],
            ["wrapping_keys.purpose", "wrapping_keys.version"],
            name="fk_day_keys_purpose",
        ),
    )
    op.create_index("ix_day_keys_version", "day_keys", ["purpose", "version"])
    op.create_index("ix_day_keys_day", "day_keys", ["day"])
    op.create_table(
        "call_keys",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("call_id", sa.String(128), nullable=False),
        sa.Column("purpose", sa.String(64), nullable=False),
        sa.Column("blob", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("day", "tenant_id", "call_id", "purpose", name="pk_call_keys"),
        sqlite_with_rowid=False,
        postgresql_partition_by="RANGE (day)",
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE TABLE call_keys_default PARTITION OF call_keys DEFAULT")
    op.create_table(
        "outbox",
        sa.Column(
            "sequence",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.Identity(always=True),
            nullable=False,
        ),
        sa.Column("event_id", sa.String(36), nullable=False),
        sa.Column("topic", sa.String(64), nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("message", sa.LargeBinary, nullable=False),
        sa.Column("written_at", time, nullable=False),
        sa.Column("sent_at", time),
        sa.PrimaryKeyConstraint("sequence", name="pk_outbox"),
        sa.UniqueConstraint("event_id", name="uq_outbox_event_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_outbox_waiting",
        "outbox",
        ["sequence"],
        sqlite_where=sa.text("sent_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    op.create_index(
        "ix_outbox_sent",
        "outbox",
        ["sent_at"],
        sqlite_where=sa.text("sent_at IS NOT NULL"),
        postgresql_where=sa.text("sent_at IS NOT NULL"),
    )
