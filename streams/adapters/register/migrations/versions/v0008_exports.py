"""Exports: what is asked for, who agreed, and where each stands."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "exports",
        sa.Column("export_id", sa.String(32), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("recipient", sa.String(128), nullable=False),
        sa.Column("contents", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("requester_account", sa.String(256), nullable=False),
        sa.Column("requester_person", sa.String(256), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("ticket", sa.String(128)),
        sa.Column("approvals_needed", sa.Integer, nullable=False),
        sa.Column("grant_lasts_s", sa.BigInteger, nullable=False),
        sa.Column("downloads_allowed", sa.Integer, nullable=False),
        sa.Column("requested_at", time, nullable=False),
        sa.Column("request_until", time, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("grant_until", time),
        sa.Column("downloads", sa.Integer, nullable=False),
        sa.Column("token_digest", sa.String(64)),
        sa.Column("token_until", time),
        sa.Column("ended_at", time),
        sa.Column("end_reason", sa.String(64)),
        sa.PrimaryKeyConstraint("export_id", name="pk_exports"),
        sa.CheckConstraint(
            "state IN ('requested', 'approved', 'downloaded', 'refused', 'withdrawn', 'expired', 'void', 'closed')",
            name=op.f("ck_exports_state"),
        ),
    )
    op.create_index("ix_exports_tenant_id_requested_at", "exports", ["tenant_id", "requested_at"])
    op.create_table(
        "export_calls",
        sa.Column("export_id", sa.String(32), nullable=False),
        sa.Column("call_id", sa.String(128), nullable=False),
        sa.Column("recording", sa.String(64)),
        sa.Column("text", sa.String(64)),
        sa.Column("analysis", sa.String(64)),
        sa.Column("muting", sa.String(64)),
        sa.PrimaryKeyConstraint("export_id", "call_id", name="pk_export_calls"),
        sa.ForeignKeyConstraint(["export_id"], ["exports.export_id"], name="fk_export_calls_export_id"),
    )
    op.create_index("ix_export_calls_call_id", "export_calls", ["call_id"])
    op.create_table(
        "export_approvals",
        sa.Column("export_id", sa.String(32), nullable=False),
        sa.Column("person", sa.String(256), nullable=False),
        sa.Column("account", sa.String(256), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("approved_at", time, nullable=False),
        sa.PrimaryKeyConstraint("export_id", "person", name="pk_export_approvals"),
        sa.ForeignKeyConstraint(["export_id"], ["exports.export_id"], name="fk_export_approvals_export_id"),
    )
