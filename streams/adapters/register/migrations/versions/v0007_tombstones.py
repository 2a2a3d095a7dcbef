"""Calls that were destroyed or are blocked, the purges that did it, and customers' requests to be erased."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "purges",
        sa.Column("purge_id", sa.String(32), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("role", sa.String(64), nullable=False),
        sa.Column("policy_version", sa.String(128), nullable=False),
        sa.Column("ticket", sa.String(128)),
        sa.Column("erasure_id", sa.String(32)),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("started_at", time, nullable=False),
        sa.Column("done", sa.String(256), nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
        sa.Column("worker", sa.String(32)),
        sa.Column("lease_until", time),
        sa.Column("late_at", time, nullable=False),
        sa.Column("receipt", sa.LargeBinary),
        sa.Column("receipted_at", time),
        sa.Column("ended_at", time),
        sa.PrimaryKeyConstraint("purge_id", name="pk_purges"),
    )
    op.create_index(
        "ix_purges_open",
        "purges",
        ["started_at"],
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "tombstones",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("call_id", sa.String(128), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("role", sa.String(64), nullable=False),
        sa.Column("policy_version", sa.String(128), nullable=False),
        sa.Column("ticket", sa.String(128)),
        sa.Column("erasure_id", sa.String(32)),
        sa.Column("purge_id", sa.String(32)),
        sa.Column("digest", sa.String(64)),
        sa.Column("days", sa.String(256), nullable=False),
        sa.Column("kept_by", sa.String(16)),
        sa.Column("look_at", time),
        sa.Column("written_at", time, nullable=False),
        sa.Column("purged_at", time),
        sa.CheckConstraint("state IN ('blocked', 'purging', 'purged')", name="ck_tombstones_state"),
        sa.PrimaryKeyConstraint("tenant_id", "call_id", name="pk_tombstones"),
    )
    op.create_index("ix_tombstones_purge_id", "tombstones", ["purge_id"])
    op.create_index("ix_tombstones_erasure_id", "tombstones", ["erasure_id"])
    op.create_index(
        "ix_tombstones_blocked",
        "tombstones",
        ["look_at"],
        sqlite_where=sa.text("state = 'blocked'"),
        postgresql_where=sa.text("state = 'blocked'"),
    )
    op.create_table(
        "erasures",
        sa.Column("erasure_id", sa.String(32), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("role", sa.String(64), nullable=False),
        sa.Column("ticket", sa.String(128)),
        sa.Column("customer_keys", sa.Text),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("customer_digest", sa.String(64), nullable=False),
        sa.Column("asked_at", time, nullable=False),
        sa.Column("listed_at", time),
        sa.Column("done_at", time),
        sa.Column("counts", sa.Text, nullable=False),
        sa.Column("receipt", sa.LargeBinary),
        sa.PrimaryKeyConstraint("erasure_id", name="pk_erasures"),
    )
    op.create_index("ix_erasures_tenant_id", "erasures", ["tenant_id"])
