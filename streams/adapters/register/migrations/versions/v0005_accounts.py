"""People: accounts, their grants and tokens, their sessions, and tries to sign in."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("home", sa.String(64), nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("made_by", sa.String(128), nullable=False),
        sa.Column("password_hash", sa.String(256)),
        sa.Column("password_by", sa.String(128)),
        sa.Column("oidc_issuer", sa.String(512)),
        sa.Column("oidc_subject", sa.String(256)),
        sa.Column("os_user", sa.String(64)),
        sa.Column("clickhouse_user", sa.String(64)),
        sa.Column("disabled_at", time),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_accounts"),
    )
    op.create_index("ix_accounts_oidc", "accounts", ["oidc_issuer", "oidc_subject"], unique=True)
    op.create_index("ix_accounts_os_user", "accounts", ["os_user"], unique=True)
    op.create_table(
        "account_grants",
        sa.Column("grant_id", sa.String(32), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("role", sa.String(64), nullable=False),
        sa.Column("tenant_id", sa.String(64), nullable=False),
        sa.Column("teams", sa.Text()),
        sa.Column("agent_id", sa.String(128)),
        sa.Column("granted_at", time, nullable=False),
        sa.Column("granted_by", sa.String(128), nullable=False),
        sa.Column("ends_at", time),
        sa.Column("revoked_at", time),
        sa.PrimaryKeyConstraint("grant_id", name="pk_account_grants"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name="fk_account_grants_account_id"),
    )
    op.create_index("ix_account_grants_account_id", "account_grants", ["account_id"])
    op.create_table(
        "account_tokens",
        sa.Column("token_id", sa.String(32), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("label", sa.String(128), nullable=False),
        sa.Column("scopes", sa.String(256), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("issued_at", time, nullable=False),
        sa.Column("expires_at", time, nullable=False),
        sa.Column("revoked_at", time),
        sa.Column("used_at", time),
        sa.Column("held_by", sa.String(128)),
        sa.PrimaryKeyConstraint("token_id", name="pk_account_tokens"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name="fk_account_tokens_account_id"),
    )
    op.create_index("ix_account_tokens_account_id", "account_tokens", ["account_id"])
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("account_id", sa.String(64), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("opened_at", time, nullable=False),
        sa.Column("used_at", time, nullable=False),
        sa.Column("claimed", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_sessions"),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name="fk_sessions_account_id"),
    )
    op.create_index("ix_sessions_account_id", "sessions", ["account_id"])
    op.create_index("ix_sessions_used_at", "sessions", ["used_at"])
    op.create_table(
        "oidc_sign_ins",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("verifier", sa.String(128), nullable=False),
        sa.Column("began_at", time, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_oidc_sign_ins"),
    )
    op.create_index("ix_oidc_sign_ins_began_at", "oidc_sign_ins", ["began_at"])
    op.create_table(
        "sign_in_tries",
        sa.Column("who", sa.String(64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last_at", time, nullable=False),
        sa.Column("waits_until", time),
        sa.PrimaryKeyConstraint("who", name="pk_sign_in_tries"),
    )
    op.create_index("ix_sign_in_tries_last_at", "sign_in_tries", ["last_at"])
