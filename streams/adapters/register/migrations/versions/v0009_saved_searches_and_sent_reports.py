"""Searches that people keep, and reports that were sent by mail."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "saved_searches",
        sa.Column("account_id", sa.String(256), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("criteria", sa.Text, nullable=False),
        sa.Column("saved_at", time, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "name", name="pk_saved_searches"),
    )
    op.create_table(
        "sent_reports",
        sa.Column("report", sa.String(64), nullable=False),
        sa.Column("period", sa.String(32), nullable=False),
        sa.Column("recipient", sa.String(320), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("tried_at", time, nullable=False),
        sa.Column("error", sa.String(128)),
        sa.PrimaryKeyConstraint("report", "period", "recipient", name="pk_sent_reports"),
        sa.CheckConstraint("state IN ('sending', 'sent', 'later', 'refused')", name=op.f("ck_sent_reports_state")),
    )
