"""Stages that are to stand still, or to do nothing for a tenant."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "pauses",
        sa.Column("stage", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("why", sa.String(256), nullable=False),
        sa.Column("actor", sa.String(256), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("stage", "tenant_id", name="pk_pauses"),
        sa.CheckConstraint("kind IN ('pause', 'drain')", name=op.f("ck_pauses_kind")),
    )
