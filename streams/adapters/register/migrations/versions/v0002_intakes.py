"""Intakes, and the objects that were left of them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "intakes",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("call_id", sa.String(128), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.String(32), nullable=False),
        sa.Column("object_key", sa.String(1024), nullable=False),
        sa.Column("lease_until", time),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("content", sa.String(64)),
        sa.Column("event", sa.LargeBinary),
        sa.Column("received_at", time),
        sa.Column("capture_ms", sa.BigInteger),
        sa.PrimaryKeyConstraint("tenant_id", "call_id", name="pk_intakes"),
        sa.CheckConstraint("state IN ('reserved', 'stored', 'announced')", name=op.f("ck_intakes_state")),
    )
    op.create_index(
        "ix_intakes_reserved",
        "intakes",
        ["lease_until"],
        sqlite_where=sa.text("state = 'reserved'"),
        postgresql_where=sa.text("state = 'reserved'"),
    )
    op.create_index(
        "ix_intakes_stored",
        "intakes",
        ["received_at"],
        sqlite_where=sa.text("state = 'stored'"),
        postgresql_where=sa.text("state = 'stored'"),
    )
    op.create_index(
        "ix_intakes_announced",
        "intakes",
        ["received_at"],
        sqlite_where=sa.text("state = 'announced'"),
        postgresql_where=sa.text("state = 'announced'"),
    )
    op.create_table(
        "leftovers",
        sa.Column("object_key", sa.String(1024), nullable=False),
        sa.Column("left_at", time, nullable=False),
        sa.Column("removed_at", time),
        sa.PrimaryKeyConstraint("object_key", name="pk_leftovers"),
    )
    op.create_index("ix_leftovers_left_at", "leftovers", ["left_at"])
