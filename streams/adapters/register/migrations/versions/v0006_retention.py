"""How long each call is kept, and legal holds."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "retentions",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("call_id", sa.String(128), nullable=False),
        sa.Column("day", sa.Date),
        sa.Column("ended_at", time),
        sa.Column("customer_key", sa.String(64)),
        sa.Column("contract_id", sa.String(128)),
        sa.Column("retention_class", sa.String(64)),
        sa.Column("days", sa.Integer),
        sa.Column("starts_at", time),
        sa.Column("ends_on", sa.Date),
        sa.Column("floor_on", sa.Date),
        sa.Column("policy_version", sa.BigInteger),
        sa.Column("decided_by", sa.String(16)),
        sa.Column("archive_days", sa.Integer),
        sa.Column("waiting", sa.LargeBinary),
        sa.Column("is_misdial", sa.Boolean),
        sa.Column("early_on", sa.Date),
        sa.Column("archived_on", sa.Date),
        sa.Column("archived_at", time),
        sa.Column("due_on", sa.Date),
        sa.PrimaryKeyConstraint("tenant_id", "call_id", name="pk_retentions"),
        sa.CheckConstraint(
            "decided_by IN ('capture', 'judged', 'event', 'person')", name=op.f("ck_retentions_decided_by")
        ),
        sqlite_with_rowid=False,
    )
    for name, columns, given in (
        ("ix_retentions_due", ["due_on", "tenant_id", "call_id"], "due_on IS NOT NULL"),
        ("ix_retentions_customer", ["tenant_id", "customer_key"], "customer_key IS NOT NULL"),
        ("ix_retentions_contract", ["tenant_id", "contract_id"], "contract_id IS NOT NULL"),
    ):
        op.create_index(name, "retentions", columns, sqlite_where=sa.text(given), postgresql_where=sa.text(given))
    op.create_table(
        "retention_events",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("contract_id", sa.String(128), nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("came_at", time, nullable=False),
        sa.Column("told_by", sa.String(128), nullable=False),
        sa.Column("told_at", time, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "contract_id", "event", name="pk_retention_events"),
    )
    op.create_table(
        "holds",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("case_id", sa.String(160), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("opened_by", sa.String(128), nullable=False),
        sa.Column("opened_at", time, nullable=False),
        sa.Column("released_by", sa.String(128)),
        sa.Column("released_at", time),
        sa.PrimaryKeyConstraint("tenant_id", "case_id", name="pk_holds"),
        sa.CheckConstraint("state IN ('open', 'released')", name=op.f("ck_holds_state")),
    )
    op.create_table(
        "hold_calls",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("call_id", sa.String(128), nullable=False),
        sa.Column("case_id", sa.String(160), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "call_id", "case_id", name="pk_hold_calls"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "case_id"], ["holds.tenant_id", "holds.case_id"], name="fk_hold_calls_tenant_id"
        ),
    )
    op.create_index("ix_hold_calls_case", "hold_calls", ["tenant_id", "case_id"])
    op.create_table(
        "hold_customers",
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("case_id", sa.String(160), nullable=False),
        sa.Column("customer_key", sa.String(64), nullable=False),
        sa.Column("ended_from", time, nullable=False),
        sa.Column("ended_before", time, nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant_id", "case_id", "customer_key", "ended_from", "ended_before", name="pk_hold_customers"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "case_id"], ["holds.tenant_id", "holds.case_id"], name="fk_hold_customers_tenant_id"
        ),
    )
    op.create_index("ix_hold_customers_customer_key", "hold_customers", ["tenant_id", "customer_key"])
